"""Questions over two or three facts of an open base, each about the tail of the one before."""

from __future__ import annotations

from kblampp.synthetic.open_draft import Draft
from kblampp.synthetic.open_schema import OPEN_BY_ID
from kblampp.synthetic.open_subjects import TODAY, Subjects
from kblampp.synthetic.open_times import time_within
from kblampp.synthetic.place_questions import implied
from kblampp.synthetic.question_words import say

LARGER_PLACE, IMPLIED = 0.15, 2 / 3
"""Share of the two-hop questions that ask for the larger place of a place, and of these that do not name it."""


def ask_two_hop(subjects: Subjects) -> Draft | None:
    """Over two facts."""
    return _larger_place(subjects) if subjects.rng.random() < LARGER_PLACE else _chain(subjects, 2)


def ask_three_hop(subjects: Subjects) -> Draft | None:
    """Over three facts."""
    return _chain(subjects, 3)


def _chain(subjects: Subjects, count: int) -> Draft | None:
    """A chain whose phrases mean today, or whose first says "the first NOUN of"; only single facts have no mode."""
    rng, row = subjects.rng, subjects.row("single", "successive")
    head = subjects.facts[row[0]].head.name
    phrase, mode, path = head, "any", list[int]()
    relations: list[str] = []
    for hop in range(count - 1):
        relation, _ = subjects.about(row)
        if relation.kind == "many" or not relation.phrases:
            return None
        wording = rng.choice(relation.phrases)
        found = row
        if relation.kind == "successive" and hop == 0 and rng.random() < 0.25:
            wording, found, mode = f"the first {relation.noun} of {{x}}", row[:1], "first"
        elif relation.kind == "successive":
            if mode == "first":
                return None
            found, mode = subjects.holding(row, TODAY), "now"
        if len(found) != 1:
            return None
        path.append(found[0])
        relations.append(relation.id)
        phrase = wording.format(x=phrase)
        rows = subjects.rows_of.get(subjects.name(found[0]))
        if not rows:
            return None
        row = rng.choice(rows)
    relation, _ = subjects.about(row)
    wordings, when, window, found = relation.questions, "", None, row
    if relation.kind == "successive":
        if mode == "first":
            return None
        if mode == "any" and rng.random() < 0.5:
            when, window = time_within(rng, subjects.some_window(row))
            found = subjects.holding(row, window)
        else:
            wordings, mode, found = relation.current, "now", subjects.holding(row, TODAY)
    answer = subjects.name(found[0]) if len(found) == 1 else head
    names = [head, *(subjects.name(number) for number in path), answer]
    if relation.kind == "many" or len(set(names)) < len(names):
        return None
    text = say(rng, wordings, x=phrase, when=when).replace("the the ", "the ")
    kind = "two_hop" if count == 2 else "three_hop"
    return Draft(text, kind, [*path, found[0]], answer, [*relations, relation.id], head, time=window, mode=mode)


def _larger_place(subjects: Subjects) -> Draft | None:
    """For the region or country of a head's town; one of those that the base has, which may be none."""
    if not subjects.in_larger:
        return _chain(subjects, 2)
    rng = subjects.rng
    inner, outer = rng.choice(subjects.in_larger)
    (relation, fact), (larger, _) = subjects.about(inner), subjects.about(outer)
    now = relation.kind == "successive"
    found = subjects.holding(inner, TODAY) if now else inner
    if len(found) != 1 or subjects.name(found[0]) != subjects.facts[outer[0]].head.name:
        return None
    head, answer = fact.head.name, subjects.name(outer[0])
    tails = [OPEN_BY_ID[other].tail for other in subjects.relations_of[head]]
    wording = None
    if rng.random() < IMPLIED and larger.tail not in tails:  # else it may mean what the head itself has
        wording = implied(relation, larger, only_place=tails.count(relation.tail) == 1, rng=rng)
    if wording is None:
        phrase = rng.choice(relation.phrases).format(x=head)
        text = say(rng, larger.questions, x=phrase).replace("the the ", "the ")
    else:
        text = say(rng, (wording,), x=head)
    ids, mode = [relation.id, larger.id], "now" if now else "any"
    return None if head == answer else Draft(text, "two_hop", [found[0], outer[0]], answer, ids, head, mode=mode)
