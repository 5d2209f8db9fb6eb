"""Makes or converts the knowledge bases and the questions: `data/5tuple/*.jsonl`, `data/qa/*.jsonl`."""

from __future__ import annotations

from pathlib import Path

from kblampp.converters.registry import convert_dataset
from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.data.windows import day
from kblampp.synthetic.dataset import make_synthetic


def main(params: Params) -> None:
    """Makes the synthetic worlds, or converts the raw files of the dataset."""
    data = Path("data")
    if params.dataset == "synth_world":
        make_synthetic(params.generate, name=params.dataset, seed=params.seed).save(data)
    else:
        raw, as_of = data / "raw" / params.dataset, day(params.selector.as_of)
        convert_dataset(params.dataset, raw, data, params.convert, seed=params.seed, as_of=as_of)


if __name__ == "__main__":
    raise SystemExit(run_stage("generate", main))
