"""Questions for yes or no about an open base, half of them untrue: of another time, role or head, or of nobody."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kblampp.synthetic.open_draft import Draft
from kblampp.synthetic.open_schema import OpenRelation
from kblampp.synthetic.open_subjects import TODAY, Subjects
from kblampp.synthetic.open_times import time_within
from kblampp.synthetic.question_words import say

STILL = (
    "Is {t} still the {noun} of {x}?",
    "Is the {noun} of {x} still {t}?",
    "Does {x} still have {t} as its {noun}?",
    "Is {t} currently {x}'s {noun}?",
    "Is {x}'s {noun} {t} these days?",
    "is {t} the {noun} of {x} at present",
    "Is {t} the {noun} of {x} today?",
    "Does {x} have {t} as {noun} now?",
    "Has {x} still got {t} as its {noun}?",
    "Does {t} still serve as the {noun} of {x}?",
    "{x}: is the {noun} still {t}?",
    "does {x} still have the {noun} {t}",
    "Is it still the case that {t} is the {noun} of {x}?",
)
ASKED_NOW = 1 / 2
"""Share of the questions about holders that ask who holds today."""
NEAR_NAME = 0.2
"""Share of the untrue questions with a name that nobody has and that is near the right one."""
NEAR_ROLE = 0.25
"""Share of those with a name that the head has in another role: who is its owner is not its architect."""
_PAST = re.compile(r"(Was|Were|Did) (\{[xt]\}) (.*)", re.IGNORECASE)


def ask_yes_no(subjects: Subjects) -> Draft | None:
    """Whether a tail is the one, at any time, at a time or today."""
    rng, row = subjects.rng, subjects.row("single", "successive", "successive", "many")
    relation, fact = subjects.about(row)
    now = relation.kind == "successive" and rng.random() < ASKED_NOW
    wording = rng.choice((*STILL, *_in_the_present(relation.confirm)) if now else relation.confirm)
    wording = wording.replace("{noun}", relation.noun)
    when, window = time_within(rng, subjects.some_window(row)) if "{when}" in wording else ("", None)
    holding = subjects.holding(row, TODAY) if now else row if window is None else subjects.holding(row, window)
    if not holding:
        return None
    yes = subjects.number % 2 == 0  # half of them
    if yes:
        tail = subjects.name(rng.choice(holding))
        path = [number for number in holding if subjects.name(number) == tail]
    else:
        other = _other_tail(subjects, row, holding, relation)
        if other is None:
            return None
        tail, path = other, holding
    text = say(rng, (wording,), x=fact.head.name, t=tail, when=when)
    answer = "yes" if yes else "no"
    mode = "now" if now else "any"
    return Draft(text, "yes_no", path, answer, [relation.id], fact.head.name, tail, window, "yes_no", mode)


def _in_the_present(wordings: Sequence[str]) -> list[str]:
    """Yes-or-no questions about a time as questions about now: "Was {x} ... {when}?" as "Is {x} still ...?"."""
    result = []
    for wording in wordings:
        match = _PAST.match(wording)
        if match and "{when}" in wording:
            verb = {"was": "is", "were": "are", "did": "does"}[match[1].lower()]
            verb = verb.capitalize() if match[1][0].isupper() else verb
            result.append(f"{verb} {match[2]} still {match[3]}".replace(" {when}", ""))
    return result


def _other_tail(subjects: Subjects, row: Sequence[int], holding: Sequence[int], relation: OpenRelation) -> str | None:
    """A tail that does not hold: of another time, role or head, or nobody's and like one that does."""
    rng, head = subjects.rng, subjects.facts[row[0]].head.name
    held = {head, *subjects.tail_names(holding)}
    if rng.random() < NEAR_ROLE:
        numbers = [number for other in subjects.rows_of[head] for number in other]
        roles = [subjects.facts[number].tail for number in numbers if number not in row]
        near = [tail.name for tail in roles if tail.type == relation.tail and tail.name not in held]
        if near:
            return rng.choice(near)
    if subjects.unknown.has_names(relation.tail) and rng.random() < NEAR_NAME:
        return subjects.unknown.near(subjects.name(rng.choice(holding)), relation.tail)
    others = [subjects.facts[n].tail for n in row] if rng.random() < 0.5 else subjects.tails[relation.tail]
    wrong = [other.name for other in others if other.name not in held]
    return rng.choice(wrong) if wrong else None
