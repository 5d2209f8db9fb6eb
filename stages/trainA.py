"""Stage A: the backbone stays frozen, only the knowledge modules learn; `store/<dataset>/trainA/`."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.training.stage_a import train_stage_a


def main(params: Params) -> None:
    """Trains the knowledge modules, from their designed start or on from `start_from`; resumes where a kill stopped."""
    train_stage_a(
        params, data=Path("data"), store=Path("store"), metrics=Path("metrics/trainA"), checkpoints=Path(".ckpt")
    )


if __name__ == "__main__":
    raise SystemExit(run_stage("trainA", main, several=True))
