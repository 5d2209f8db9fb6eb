"""The bases that nobody trains on, and how one is opened: converted, encoded and indexed in a scratch folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kblampp.backbone.load import Backbone
from kblampp.converters.registry import convert_dataset
from kblampp.core.errors import DataError
from kblampp.core.params import ConvertParams, Params
from kblampp.data.dataset import TRAINING_KB, Dataset, DatasetFiles
from kblampp.data.windows import day
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import Encoders, load_encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.evaluation.systems import Split
from kblampp.index.build import build_indexes
from kblampp.model.checkpoint import load_trained
from kblampp.model.predictor import Predictor
from kblampp.model.workspace import Workspace, open_backbone, selector_options

HELD_OUT = ("brewery", "railway", "school", "shipyard", "theatre")
"""Dossiers that are asked once, at the end; nothing reads them unless they are asked for."""
ON_DEMAND: Mapping[str, Mapping[str, str]] = {"timeqa": {"timeqa_human": "test", "timeqa_hard": "test_hard"}}
"""Datasets that are asked only when they are named, since git does not hold their raw files: the splits of each, by the
name that a split's questions have in all tables."""
DOSSIERS, YAGO, WORLDS = "dossiers", "yago", ("swap", "novel")
"""Groups of bases: the open dossiers together, YAGO, and the worlds that are new to the model."""
RAW = Path("raw")
"""Below the data folder, as the dossiers are."""
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
    known_at=None,
)
"""Every row counts, whatever `convert` in params.yaml says; folds mean nothing where all is measured."""


@dataclass(frozen=True)
class Source:
    """Where a base comes from.

    Attributes:
        name: What it is asked by.
        converter: Reads its files; also the name of the dataset that they become.
        folder: Holds them.
    """

    name: str
    converter: str
    folder: Path

    @property
    def splits(self) -> Mapping[str, str]:
        """The splits that are asked, by their names in all tables."""
        return ON_DEMAND.get(self.name, {self.name: SPLIT})

    @property
    def is_dossier(self) -> bool:
        """Whether people wrote it for this measurement."""
        return self.converter == "custom"


def sources(data: Path, *, held_out: bool = False, names: Sequence[str] = (), raw: Path | None = None) -> list[Source]:
    """The open dossiers and YAGO, or the held-out dossiers, or a dataset on demand; nothing of the files is read.

    Args:
        data: The folder `data`.
        held_out: Whether the held-out ones are asked for.
        names: Some of them alone, or one of `ON_DEMAND`; none for all but those on demand.
        raw: The raw files of the one on demand; None for its folder in `data/raw`.

    Raises:
        DataError: There is no such base, or one on demand is named together with others.
    """
    demanded = next((name for name in names if name in ON_DEMAND), None)
    if demanded is not None and not held_out:
        if len(names) > 1:
            raise DataError(f"{demanded} has a file of figures of its own: name it alone, not with other bases")
        return [Source(demanded, demanded, raw or data / RAW / demanded)]
    folders = sorted(path.parent for path in (data / DOSSIERS).glob("*/facts.csv"))
    found = [Source(path.name, "custom", path) for path in folders if (path.name in HELD_OUT) == held_out]
    if not held_out:
        found.append(Source(YAGO, YAGO, data / RAW / YAGO))
    known = [source.name for source in found]
    for name in names:
        if name not in known:
            remedy = "; held-out dossiers are asked with --held-out" if name in HELD_OUT else ""
            expected = [*known, *([] if held_out else ON_DEMAND)]
            raise DataError(f"there is no base {name!r} to ask about, expected {', '.join(expected) or 'none'}{remedy}")
    return [source for source in found if not names or source.name in names]


def open_predictor(params: Params, store: Path) -> tuple[Predictor, Encoders]:
    """The adapter that `eval.adapter` names, asked as `params` say, and the encoders of what it is asked about.

    Raises:
        KBLaMError: Backbone, projections, adapter or encoder are missing, damaged, or do not fit each other.
    """
    folder, section = store / params.dataset, params.eval
    backbone = open_backbone(params, store)
    model = load_trained(folder / section.adapter, backbone, Projections.load(folder / PROJECTION))
    predictor = Predictor(model, backbone, selector_options(params), section.batch_size, section.max_new_tokens)
    return predictor, load_encoders(params.encoder.model, store, batch_size=params.encoder.batch_size)


def open_base(
    source: Source, params: Params, store: Path, backbone: Backbone, encoders: Encoders, scratch: Path
) -> dict[str, Split]:
    """The base with its questions, in the vectors that the adapter of `params.dataset` reads, by their names in tables.

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
    dataset = read_base(source, params, scratch)
    return open_dataset(dataset, source.splits, params, store, backbone, encoders, scratch)


def read_base(source: Source, params: Params, scratch: Path) -> Dataset:
    """The facts and questions of a base, converted in an empty folder.

    Raises:
        DataError: The files are malformed, or have no question to ask.
    """
    as_of, converted = day(params.selector.as_of), scratch / "converted"
    convert_dataset(source.converter, source.folder, converted, WHOLE, seed=params.seed, as_of=as_of, measured=True)
    dataset = Dataset.load(converted, source.converter)
    if not set(source.splits.values()) & set(dataset.questions):
        raise DataError(f"{source.folder} has no question to ask: add some, of split {SPLIT}")
    return dataset


def open_dataset(
    dataset: Dataset,
    splits: Mapping[str, str],
    params: Params,
    store: Path,
    backbone: Backbone,
    encoders: Encoders,
    scratch: Path,
) -> dict[str, Split]:
    """The splits that a dataset of one base has, by their names in tables, encoded and indexed in a scratch folder.

    Raises:
        KBLaMError: Projections or encoder are missing or do not fit.
    """
    dataset.save(scratch / "dataset")
    files = DatasetFiles.open(scratch / "dataset", dataset.name)
    encode_dataset(files, scratch, params.encoder, encoders, start=store / params.dataset)
    build_indexes([TRAINING_KB], scratch, params.index)
    workspace = Workspace(dataset, backbone, Projections.load(scratch / PROJECTION), scratch)
    as_of = day(params.selector.as_of)
    return {name: Split.open(workspace, split, as_of) for name, split in splits.items() if split in dataset.questions}


def open_groups(
    params: Params,
    data: Path,
    store: Path,
    backbone: Backbone,
    encoders: Encoders,
    scratch: Path,
    *,
    names: Sequence[str] = (DOSSIERS, YAGO, *WORLDS),
    raw: Path | None = None,
) -> Iterator[tuple[str, dict[str, Split]]]:
    """Groups of bases, opened one after the other: the name of each, and its splits by their names in tables.

    Args:
        params: The parameters; their dataset has the splits of the worlds.
        data: Holds the bases.
        store: Holds projections and the worlds' bases.
        backbone: For its tokenizer.
        encoders: Those of `params.encoder`.
        scratch: An empty folder, which must be there as long as the bases are used.
        names: Which groups, or datasets on demand.
        raw: The raw files of a dataset on demand; None for its folder in `data/raw`.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    for name in names:
        if name in WORLDS:
            folder = store / params.dataset
            dataset = Dataset.load(data, params.dataset, (name,))
            workspace = Workspace(dataset, backbone, Projections.load(folder / PROJECTION), folder)
            yield name, {name: Split.open(workspace, name, day(params.selector.as_of))}
            continue
        found = sources(data) if name == DOSSIERS else sources(data, names=[name], raw=raw)
        splits: dict[str, Split] = {}
        for source in found:
            if source.is_dossier == (name == DOSSIERS):
                place = scratch / source.name
                place.mkdir()
                splits |= open_base(source, params, store, backbone, encoders, place)
        yield name, splits
