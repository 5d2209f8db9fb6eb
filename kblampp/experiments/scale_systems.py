"""What is asked of a large base: the trained model, and the same backbone with retrieved sentences or without a model.

Both searches without training know each distinct string once, so they are no slower in a base of many facts than the
number of its names makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.files import map_array, read_json, save_array, write_json
from kblampp.data.facts import UNKNOWN_ANSWER, FiveTuple, evidence_sentence
from kblampp.data.windows import UNKNOWN, UNKNOWN_DAY, Window, window_bounds
from kblampp.encoding.sentence_encoder import FloatArray
from kblampp.experiments.scale_strings import KeptStrings

RAG = 8
NEAREST = 32
"""Phrases "<relation> of <head>" that are compared with a question, of those whose two parts lie nearest to it."""


@dataclass
class Columns:
    """The facts of a base in columns, each distinct string once; added to while a base is filled.

    Attributes:
        strings: Their numbers, in the order in which they are met.
        sentences: Number of each fact's sentence.
        heads: Of its head's name.
        relations: Of its relation's label.
        tails: Of its tail's name.
        days: First day of its window and first day after it.
    """

    strings: dict[str, int] = field(default_factory=dict)
    sentences: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    relations: list[int] = field(default_factory=list)
    tails: list[int] = field(default_factory=list)
    days: list[tuple[int, int]] = field(default_factory=list)

    def add(self, facts: Sequence[FiveTuple]) -> None:
        """Adds facts."""
        low, high = window_bounds([fact.window for fact in facts])
        self.days += zip(low.tolist(), high.tolist(), strict=True)
        for fact in facts:
            self.sentences.append(self._number(evidence_sentence(fact)))
            self.heads.append(self._number(fact.head.name))
            self.relations.append(self._number(fact.relation.name))
            self.tails.append(self._number(fact.tail.name))

    def _number(self, text: str) -> int:
        return self.strings.setdefault(text, len(self.strings))

    def save(self, folder: Path) -> None:
        """Writes them to a folder that is there."""
        write_json(folder / _STRINGS, list(self.strings))
        for name in _COLUMNS:
            save_array(folder / f"{name}.npy", np.array(getattr(self, name), dtype=np.int32))


_STRINGS, _COLUMNS = "strings.json", ("sentences", "heads", "relations", "tails", "days")


def texts_of(facts: Iterable[FiveTuple]) -> Iterable[str]:
    """All strings of facts that an encoder of names and sentences is asked for, and their relations' labels."""
    for fact in facts:
        yield from (fact.head.name, fact.tail.name, evidence_sentence(fact), fact.relation.name)


class SearchedStrings:
    """The columns of a base with the vectors of its strings.

    Args:
        folder: Where `Columns.save` has written them.
        strings: Makes vectors.
    """

    def __init__(self, folder: Path, strings: KeptStrings) -> None:
        columns = {name: map_array(folder / f"{name}.npy") for name in _COLUMNS}
        self._columns, self._strings = columns, strings
        self.texts: list[str] = read_json(folder / _STRINGS)
        self._sentences, first = np.unique(columns["sentences"], return_index=True)
        self._first_fact = first
        self._of_sentences = strings([self.texts[number] for number in self._sentences])

    def nearest_sentences(self, question: FloatArray, most: int = RAG) -> list[int]:
        """The first facts of the sentences nearest to a question's vector (d_sent,), the nearest first."""
        scores = self._of_sentences @ question
        best = np.argpartition(-scores, min(most, len(scores) - 1))[:most]
        return [int(self._first_fact[place]) for place in best[np.argsort(-scores[best], kind="stable")]]

    def sentences(self, facts: Sequence[int]) -> list[str]:
        """The sentences of facts."""
        return [self.texts[self._columns["sentences"][fact]] for fact in facts]

    def phrase_lookup(self, questions: FloatArray, windows: Sequence[Window | None]) -> list[str]:
        """What `transfer.phrase_lookup` answers to questions (n, d_sent), (n,).

        The whole phrases of the `NEAREST` heads and relations alone are compared, those of the largest sums of the
        cosines of both parts.
        """
        columns = self._columns
        rows = columns["heads"].astype(np.int64) << 32 | columns["relations"]
        pairs, of_fact = np.unique(rows, return_inverse=True)
        order = np.argsort(of_fact, kind="stable")
        starts = np.searchsorted(of_fact[order], np.arange(len(pairs) + 1))
        heads, of_head = np.unique(pairs >> 32, return_inverse=True)
        labels, of_label = np.unique(pairs & 0xFFFFFFFF, return_inverse=True)
        of_heads, of_labels = (self._strings([self.texts[n] for n in which]) for which in (heads, labels))
        found: list[list[int]] = []
        for question in questions:
            scores = (of_heads @ question)[of_head] + (of_labels @ question)[of_label]
            best = np.argpartition(-scores, min(NEAREST, len(scores) - 1))[:NEAREST]
            found.append(best[np.argsort(-scores[best], kind="stable")].tolist())
        phrases = {pair: self._phrase(int(pairs[pair])) for row in found for pair in row}
        self._strings.add(phrases.values())
        answers = []
        for question, near, window in zip(questions, found, windows, strict=True):
            scores = self._strings([phrases[pair] for pair in near]) @ question
            answers.append(self._answer([near[place] for place in np.argsort(-scores)], order, starts, window))
        return answers

    def _phrase(self, pair: int) -> str:
        return f"{self.texts[pair & 0xFFFFFFFF]} of {self.texts[pair >> 32]}"

    def _answer(
        self, near: Sequence[int], order: npt.NDArray[Any], starts: npt.NDArray[Any], window: Window | None
    ) -> str:
        """The tail of the fact of the nearest row that holds in a time, the one that starts last."""
        days = self._columns["days"]
        for pair in near:
            facts = np.sort(order[starts[pair] : starts[pair + 1]])
            held = facts[_hold(days[facts], window)]
            if len(held):
                return str(self.texts[self._columns["tails"][held[days[held, 0].argmax()]]])
        return UNKNOWN_ANSWER


def _hold(days: npt.NDArray[Any], time: Window | None) -> npt.NDArray[np.bool_]:
    """Which windows (n, 2) share a day with another one; all do if there is none."""
    (start,), (end,) = window_bounds([time or UNKNOWN])
    if start == UNKNOWN_DAY:
        return np.ones(len(days), dtype=np.bool_)
    holds: npt.NDArray[np.bool_] = (days[:, 0] == UNKNOWN_DAY) | ((days[:, 0] < end) & (days[:, 1] > start))
    return holds
