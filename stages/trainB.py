"""Stage B: LoRA or the last layers of the backbone learn with the knowledge modules; `store/<dataset>/trainB/`."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.training.stage_b import train_stage_b


def main(params: Params) -> None:
    """Trains on from trainA's adapter, a part of the backbone with it; goes on where a killed run stopped."""
    train_stage_b(
        params, data=Path("data"), store=Path("store"), metrics=Path("metrics/trainB"), checkpoints=Path(".ckpt")
    )


if __name__ == "__main__":
    raise SystemExit(run_stage("trainB", main, several=True))
