"""Encodes facts and questions: `store/<dataset>/projection/` and `store/<dataset>/kb/<kb>/`."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.data.dataset import DatasetFiles
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import load_encoders
from kblampp.encoding.engines import open_engine

BESIDE = ("encode",)
"""Parameters on which no file depends: who encodes, and how many."""


def main(params: Params) -> None:
    """Encodes every fact and question once; projections are fitted on the training base, or those of `start_from`.

    Killed and run again, it goes on where it stopped.
    """
    dataset, store = DatasetFiles.open(Path("data"), params.dataset), Path("store")
    start = None if params.start_from == "scratch" else store / params.start_from
    encoders = load_encoders(params.encoder.model, store, batch_size=params.encoder.batch_size)
    with open_engine(params.encode, params.encoder, store, encoders) as engine:
        encode_dataset(dataset, store / params.dataset, params.encoder, encoders, start, engine)


if __name__ == "__main__":
    raise SystemExit(run_stage("encode", main, beside=BESIDE))
