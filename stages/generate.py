"""Makes the knowledge bases and the questions: `data/5tuple/*.jsonl`, `data/qa/*.jsonl`."""

from __future__ import annotations

from pathlib import Path

from kblampp.config import Params
from kblampp.stage import run_stage
from kblampp.synthesis import make_synthetic

READS = ("seed", "dataset", "generate")


def main(params: Params) -> None:
    """Makes the knowledge bases and the questions of the dataset."""
    make_synthetic(params.generate, name=params.dataset, seed=params.seed).save(Path("data"))


if __name__ == "__main__":
    raise SystemExit(run_stage("generate", READS, main))
