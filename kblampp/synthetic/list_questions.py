"""Questions for all tails of a head, or for their number; at any time or within one."""

from __future__ import annotations

from typing import Literal

from kblampp.data.spans import in_span
from kblampp.synthetic.open_draft import Draft
from kblampp.synthetic.open_names import VALUE_TYPES
from kblampp.synthetic.open_subjects import Subjects
from kblampp.synthetic.open_times import years_within
from kblampp.synthetic.question_words import say

SINGULAR = 0.45
"""Share of the lists that are asked for as if there were one."""


def ask_list(subjects: Subjects) -> Draft | None:
    """For all of them."""
    return _all(subjects, "list")


def ask_count(subjects: Subjects) -> Draft | None:
    """How many they are."""
    return _all(subjects, "count")


def _all(subjects: Subjects, form: Literal["list", "count"]) -> Draft | None:
    rng, row = subjects.rng, subjects.row("successive", "many")
    relation, fact = subjects.about(row)
    singular = form == "list" and bool(relation.singular) and rng.random() < SINGULAR
    wordings = relation.singular if singular else getattr(relation, form)
    text, window, path = say(rng, wordings, x=fact.head.name), None, row
    if relation.kind == "successive" and rng.random() < 0.4:
        when, window = years_within(rng, subjects.some_window(row))
        mark = text[-1] if text[-1] in "?." and not text.endswith(fact.head.name) else ""  # not that of "& Co."
        text, holding = f"{text[: len(text) - len(mark)]} {when}{mark}", subjects.holding(row, window)
        path = in_span(window.bounds, holding, lambda number: subjects.facts[number].window.bounds)
    names = list(subjects.tail_names(path))
    if not names or (window is None and relation.kind == "successive" and len(names) < 2):
        return None
    if form == "count" and window is not None and len(names) == 1 and relation.tail in VALUE_TYPES:
        return None  # that number may be meant
    answer = str(len(names)) if form == "count" else "; ".join(names)
    # Asked for as one, of which there is one: what tells it from a list is the base, not the wording.
    asked = "value" if singular and len(row) == 1 else form
    return Draft(text, form, path, answer, [relation.id], fact.head.name, time=window, form=asked)
