"""What all systems are asked: the same questions about bases that nobody trained on, spread over their kinds."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest
from pathlib import Path

from kblampp.core.errors import DataError
from kblampp.core.files import fingerprint
from kblampp.core.params import Params
from kblampp.data.facts import Question
from kblampp.encoding.encoders import Encoders
from kblampp.evaluation.systems import Split
from kblampp.model.predictor import Predictor
from kblampp.transfer.bases import DOSSIERS, ON_DEMAND, WORLDS, YAGO, open_groups
from kblampp.transfer.kinds import kind_asked

logger = logging.getLogger(__name__)
ALWAYS = (*WORLDS, DOSSIERS, YAGO)
"""Groups of bases that are asked without being named."""
Rows = dict[str, dict[str, Split]]
"""`{row of the table: {base: the questions about it}}`."""


def chosen(names: Sequence[str], known: Sequence[str], what: str) -> tuple[str, ...]:
    """Some of the names that are known, in the order of these; all for none.

    Raises:
        DataError: One is not known.
    """
    for name in names:
        if name not in known:
            raise DataError(f"there is no {what} {name!r} to compare, expected some of {', '.join(known)}")
    return tuple(name for name in known if not names or name in names)


def groups_asked(names: Sequence[str], raw: Path | None) -> tuple[str, ...]:
    """The groups of bases that are asked; datasets on demand only where they are named or their raw files are given.

    Raises:
        DataError: There is no such group.
    """
    found = chosen(names, (*ALWAYS, *ON_DEMAND), "base")
    return found if names or raw else tuple(name for name in found if name in ALWAYS)


def open_rows(
    params: Params,
    *,
    data: Path,
    store: Path,
    predictor: Predictor,
    encoders: Encoders,
    scratch: Path,
    names: Sequence[str],
    raw: Path | None,
    questions: int,
) -> Rows:
    """The rows of the table, each with so many questions, or all where there are fewer.

    Args:
        params: The parameters.
        data: Holds the bases.
        store: Holds projections and the worlds' bases.
        predictor: For the backbone's tokenizer.
        encoders: Those of `params.encoder`.
        scratch: An empty folder, which must be there as long as the bases are used.
        names: `groups_asked`.
        raw: The raw files of a dataset on demand; None for its folder in `data/raw`.
        questions: How many for each row.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    rows: Rows = {}
    for name, bases in open_groups(params, data, store, predictor.backbone, encoders, scratch, names=names, raw=raw):
        parts = {base: {base: split} for base, split in bases.items()} if name in ON_DEMAND else {name: bases}
        for row, splits in parts.items() if bases else ():  # there may be no open dossier
            places = spread({base: split.encoded.questions for base, split in splits.items()}, questions, params.seed)
            rows[row] = {
                base: replace(split, encoded=split.encoded.part(places[base]))
                for base, split in splits.items()
                if places[base]
            }
            asked = sum(map(len, places.values()))
            logger.info("%s: %d questions about %d facts", row, asked, facts_of(rows[row]))
    return rows


def facts_of(splits: Mapping[str, Split]) -> int:
    """How many facts the bases of a row have together."""
    return sum(split.base.store.n for split in splits.values())


def spread(questions: Mapping[str, Sequence[Question]], n: int, seed: int) -> dict[str, list[int]]:
    """Places of `n` questions about one or several bases, spread evenly over their kinds and then over the bases.

    Fewer are a part of more.  All are taken where there are not so many.

    Args:
        questions: By base.
        n: How many.
        seed: Decides which of a kind.
    """
    of_kind: dict[str, dict[str, list[int]]] = defaultdict(lambda: {base: [] for base in questions})
    for base, asked in questions.items():
        for place in sorted(range(len(asked)), key=lambda place: fingerprint(str(seed), asked[place].qid)):
            of_kind[kind_asked(asked[place])][base].append(place)
    lines = []
    for number, (_, places) in enumerate(sorted(of_kind.items())):
        bases = list(places)
        first = number % len(bases)  # else the first bases would get the rest of every kind
        lines.append(
            list(_in_turns([[(base, place) for place in places[base]] for base in bases[first:] + bases[:first]]))
        )
    taken: dict[str, list[int]] = {base: [] for base in questions}
    for base, place in islice(_in_turns(lines), n):
        taken[base].append(place)
    return {base: sorted(places) for base, places in taken.items()}


def _in_turns(lines: Sequence[Sequence[tuple[str, int]]]) -> Iterator[tuple[str, int]]:
    """One of each line, then another of each that has more."""
    return (each for each in chain.from_iterable(zip_longest(*lines)) if each is not None)
