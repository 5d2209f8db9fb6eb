"""The bases that nobody trains on, and how one is opened: converted, encoded and indexed in a scratch folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kblampp.backbone.load import Backbone
from kblampp.converters.registry import convert_dataset
from kblampp.core.errors import DataError
from kblampp.core.params import ConvertParams, Params
from kblampp.data.dataset import TRAINING_KB, Dataset
from kblampp.data.windows import day
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.evaluation.systems import Split
from kblampp.index.build import build_indexes
from kblampp.model.workspace import Workspace

HELD_OUT = ("bakery", "family")
"""Dossiers that are asked once, at the end; nothing reads them unless they are asked for."""
DOSSIERS, YAGO = Path("dossiers"), Path("raw/yago")
"""Below the data folder."""
SPLIT = "test"
WHOLE = ConvertParams(
    max_samples=None,
    skip_bad=False,
    folds=2,
    fold=0,
    dev_share=0,
    template_questions=False,
    distractor_facts=False,
    oracle_facts=False,
)
"""Every row counts, whatever `convert` in params.yaml says; both converters put all questions into one split."""


@dataclass(frozen=True)
class Source:
    """Where a base comes from.

    Attributes:
        name: Its name in all tables.
        converter: Reads its files; also the name of the dataset that they become.
        folder: Holds them.
    """

    name: str
    converter: str
    folder: Path

    @property
    def is_dossier(self) -> bool:
        """Whether people wrote it for this measurement."""
        return self.converter == "custom"


def sources(data: Path, *, held_out: bool = False, names: Sequence[str] = ()) -> list[Source]:
    """The open dossiers and YAGO, or the held-out dossiers; nothing of the files is read.

    Args:
        data: The folder `data`.
        held_out: Whether the held-out ones are asked for.
        names: Some of them alone; none for all.

    Raises:
        DataError: There is no such base.
    """
    folders = sorted(path.parent for path in (data / DOSSIERS).glob("*/facts.csv"))
    found = [Source(path.name, "custom", path) for path in folders if (path.name in HELD_OUT) == held_out]
    if not held_out:
        found.append(Source("yago", "yago", data / YAGO))
    known = [source.name for source in found]
    for name in names:
        if name not in known:
            remedy = "; held-out dossiers are asked with --held-out" if name in HELD_OUT else ""
            raise DataError(f"there is no base {name!r} to ask about, expected {', '.join(known) or 'none'}{remedy}")
    return [source for source in found if not names or source.name in names]


def open_base(
    source: Source, params: Params, store: Path, backbone: Backbone, encoders: Encoders, scratch: Path
) -> Split:
    """The base with its questions, in the vectors that the adapter of `params.dataset` reads.

    Args:
        source: The base.
        params: Of encoder and index.
        store: The folder `store`, for the projections of `params.dataset`.
        backbone: For its tokenizer.
        encoders: Those of `params.encoder`.
        scratch: An empty folder, which must be there as long as the base is used.

    Raises:
        KBLaMError: The files are malformed, or projections or encoder are missing or do not fit.
    """
    as_of = day(params.selector.as_of)
    convert_dataset(source.converter, source.folder, scratch / "converted", WHOLE, seed=params.seed, as_of=as_of)
    dataset = Dataset.load(scratch / "converted", source.converter)
    if SPLIT not in dataset.questions:
        raise DataError(f"{source.folder} has no question of split {SPLIT}: add some to its questions.jsonl")
    encode_dataset(dataset, scratch, params.encoder, encoders, start=store / params.dataset)
    build_indexes([TRAINING_KB], scratch, params.index)
    workspace = Workspace(dataset, backbone, Projections.load(scratch / PROJECTION), scratch)
    return Split.open(workspace, SPLIT, as_of)
