"""Writes the evidence of every answer and measures it: `store/<dataset>/evidence/` and `metrics/evidence/`."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.evidence.dump import dump_evidence


def main(params: Params) -> None:
    """Explains the answers to every split that is measured; edits facts of the split that counts and asks again."""
    dump_evidence(params, data=Path("data"), store=Path("store"), metrics=Path("metrics/evidence"))


if __name__ == "__main__":
    raise SystemExit(run_stage("dump_evidence", main))
