"""Resolves and checks the frozen language model: `store/backbone/manifest.json`."""

from __future__ import annotations

from pathlib import Path

from kblampp.backbone.load import write_backbone_manifest
from kblampp.core.params import Params
from kblampp.core.program import run_stage

MANIFEST = Path("store/backbone/manifest.json")


def main(params: Params) -> None:
    """Loads the backbone once and writes down what it is: name, sizes, sha256 of each file."""
    write_backbone_manifest(MANIFEST, params.backbone.name, params.backbone.revision)


if __name__ == "__main__":
    raise SystemExit(run_stage("backbone", main))
