"""Asks the trained model about bases that nobody trained on: `metrics/transfer/`."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.transfer.measure import run_transfer


def main(params: Params) -> None:
    """Answers the questions of the open dossiers and of YAGO, and writes tables and answers."""
    run_transfer(params, data=Path("data"), store=Path("store"), metrics=Path("metrics/transfer"))


if __name__ == "__main__":
    raise SystemExit(run_stage("transfer", main))
