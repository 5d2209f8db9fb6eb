"""Measures the trained model and the baselines on every split: `metrics/eval/`."""

from __future__ import annotations

from pathlib import Path

from kblampp.config import Params
from kblampp.measuring import run_evaluation
from kblampp.stage import run_stage

READS = ("seed", "threads", "dataset", "backbone", "selector", "injection.copy_head", "injection.hop", "eval")


def main(params: Params) -> None:
    """Answers the questions of dev, swap and novel with each system and writes tables and plots."""
    run_evaluation(params, data=Path("data"), store=Path("store"), metrics=Path("metrics/eval"))


if __name__ == "__main__":
    raise SystemExit(run_stage("eval", READS, main))
