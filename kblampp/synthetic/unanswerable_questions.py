"""Questions that an open base cannot answer: about nobody, for a relation that is not there, or of another time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from kblampp.data.facts import REASONS
from kblampp.data.windows import SYNTHETIC_TODAY
from kblampp.synthetic.open_draft import Draft
from kblampp.synthetic.open_schema import CONFLICTS, OPEN_BY_ID, OpenRelation
from kblampp.synthetic.open_subjects import TODAY, Subjects
from kblampp.synthetic.open_times import time_expression
from kblampp.synthetic.question_words import say

NEAR_RELATION = 0.4
"""Share of the missing relations that are near one that the head has."""


def ask_unanswerable(subjects: Subjects) -> Draft | None:
    """For what no fact says; each reason as often."""
    reason = REASONS[subjects.number % len(REASONS)]
    draft = _BY_REASON[reason](subjects)
    return None if draft is None else replace(draft, kind="unanswerable", path=(), answer="", reason=reason)


def _unknown_head(subjects: Subjects) -> Draft | None:
    rng, relation = subjects.rng, subjects.rng.choice(list(subjects.relations.values()))
    inverse = bool(relation.inverse) and subjects.unknown.has_names(relation.tail) and rng.random() < 0.2
    kind = relation.tail if inverse else relation.head
    known = [head for head in subjects.heads.values() if head.type == kind] or subjects.tails[kind]
    name = subjects.unknown.draw(kind, known)
    if name is None:
        return None
    return _ask_of_nobody(subjects, relation, None if inverse else name, name if inverse else None)


def _missing_relation(subjects: Subjects) -> Draft | None:
    rng, relation = subjects.rng, subjects.rng.choice(list(subjects.relations.values()))
    if relation.inverse and rng.random() < 0.2:
        tail = rng.choice(subjects.tails[relation.tail])
        draft = _ask_of_nobody(subjects, relation, None, tail.name)
        held = (tail.name, relation.id) in subjects.heads_of
        return None if held or not subjects.only_meaning(relation.inverse, tail, relation) else draft
    heads = [head.name for head in subjects.heads.values() if head.type == relation.head]
    head = rng.choice(heads)
    if rng.random() < NEAR_RELATION:
        near = [
            other
            for other in subjects.relations.values()
            if other.head == relation.head and _is_near(subjects, other, head)
        ]
        if not near:
            return None
        relation = rng.choice(near)
    if subjects.relations_of[head] & (CONFLICTS[relation.id] | {relation.id}):
        return None
    return _ask_of_nobody(subjects, relation, head, None)


def _is_near(subjects: Subjects, relation: OpenRelation, head: str) -> bool:
    """Whether the head has another relation with tails of the same type, or with a word of its labels."""
    own = [OPEN_BY_ID[other] for other in subjects.relations_of[head] if other != relation.id]
    return any(_label_words(relation) & _label_words(other) for other in own) or (
        relation.tail not in ("PERSON", "PHRASE") and any(relation.tail == other.tail for other in own)
    )


@cache
def _label_words(relation: OpenRelation) -> frozenset[str]:
    return frozenset(word for label in relation.labels for word in re.findall(r"\w{4,}", label.casefold()))


def _ask_of_nobody(subjects: Subjects, relation: OpenRelation, head: str | None, tail: str | None) -> Draft | None:
    """A question of any kind about a head or, if that is None, a tail that has no such fact."""
    rng = subjects.rng
    if head is None:
        text = say(rng, relation.inverse, t=str(tail))
        return Draft(text, "", (), "", [relation.id], None, tail, inverse=True)
    if relation.kind == "single":
        return Draft(say(rng, relation.questions, x=head), "", (), "", [relation.id], head)
    if relation.kind == "many":
        return Draft(say(rng, relation.list, x=head), "", (), "", [relation.id], head, form="list")
    kind = rng.choice(("questions", "questions", "current", "first", "last", "before", "after", "began", "ended"))
    if kind == "questions":
        when, window = time_expression(rng, rng.randint(SYNTHETIC_TODAY - 18_000, SYNTHETIC_TODAY))
        return Draft(say(rng, relation.questions, x=head, when=when), "", (), "", [relation.id], head, time=window)
    named = kind in ("before", "after", "began", "ended")
    tail = rng.choice(subjects.tails[relation.tail]).name if named else None
    if tail == head:
        return None
    text = say(rng, getattr(relation, kind), x=head, t=tail or "")
    form = {"began": "start", "ended": "end"}.get(kind, "value")
    mode = "any" if form != "value" else "now" if kind == "current" else kind
    return Draft(text, "", (), "", [relation.id], head, tail, form=form, mode=mode)


def _wrong_time(subjects: Subjects) -> Draft | None:
    rng, row = subjects.rng, subjects.row("successive")
    relation, fact = subjects.about(row)
    ids, head = [relation.id], fact.head.name
    if rng.random() < 0.2:
        if subjects.holding(row, TODAY):
            return None
        return Draft(say(rng, relation.current, x=head), "", (), "", ids, head, mode="now")
    if rng.random() < 0.2:
        kind, named = rng.choice((("before", subjects.name(row[0])), ("after", subjects.name(row[-1]))))
        if not subjects.held_once(row, named):
            return None
        return Draft(say(rng, getattr(relation, kind), x=head, t=named), "", (), "", ids, head, named, mode=kind)
    first, last = subjects.facts[row[0]].window, subjects.facts[row[-1]].window
    earliest = (first.start or first.end or SYNTHETIC_TODAY) - 7300
    latest = min((last.end or SYNTHETIC_TODAY) + 3650, SYNTHETIC_TODAY)
    when, window = time_expression(rng, rng.randint(earliest, latest))
    if subjects.holding(row, window):
        return None
    return Draft(say(rng, relation.questions, x=head, when=when), "", (), "", ids, head, time=window)


_BY_REASON: dict[str, Callable[[Subjects], Draft | None]] = {
    "unknown_head": _unknown_head,
    "missing_relation": _missing_relation,
    "wrong_time": _wrong_time,
}
