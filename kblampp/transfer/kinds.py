"""The kinds of questions: what a question's kind is called, and some questions of each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from kblampp.data.facts import Question
from kblampp.evaluation.systems import Split


def kind_asked(question: Question) -> str:
    """What the data calls the question's kind, or else its type and number of hops."""
    return str(question.kind or (question.program or {}).get("kind") or f"{question.type}, {len(question.hops)} hops")


def some_of_each_kind(split: Split, per_kind: int) -> Split:
    """The first questions of each kind, so many of them."""
    count: dict[str, int] = defaultdict(int)
    places = []
    for place, question in enumerate(split.encoded.questions):
        kind = kind_asked(question)
        count[kind] += 1
        if count[kind] <= per_kind:
            places.append(place)
    return replace(split, encoded=split.encoded.part(places))
