"""Tunes the encoder of relations and questions: `store/encoder/` and `metrics/tune/metrics.json`."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.tuning.tune import run_tune


def main(params: Params) -> None:
    """Tunes the sentence encoder to hear which relation a question asks for, whatever names stand in it."""
    run_tune(params, store=Path("store"), metrics=Path("metrics/tune"))


if __name__ == "__main__":
    raise SystemExit(run_stage("tune", main))
