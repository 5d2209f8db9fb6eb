"""Measures the trained models, the baselines and the ablations: `metrics/eval/`."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.evaluation.evaluate import run_evaluation


def main(params: Params) -> None:
    """Answers the questions of every split that is measured with each system and writes tables and plots."""
    run_evaluation(params, data=Path("data"), store=Path("store"), metrics=Path("metrics/eval"))


if __name__ == "__main__":
    raise SystemExit(run_stage("eval", main))
