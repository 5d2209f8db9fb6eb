"""Encodes facts and questions: `store/<dataset>/kb/{projection,<kb>}/`."""

from __future__ import annotations

from pathlib import Path

from kblampp.config import Params
from kblampp.datasets import Dataset
from kblampp.encoding import encode_dataset
from kblampp.stage import run_stage

READS = ("threads", "dataset", "encoder")


def main(params: Params) -> None:
    """Encodes every fact and question once; the projections are fitted on the training knowledge base."""
    dataset = Dataset.load(Path("data"), params.dataset)
    encode_dataset(dataset, Path("store") / params.dataset, params.encoder)


if __name__ == "__main__":
    raise SystemExit(run_stage("encode", READS, main))
