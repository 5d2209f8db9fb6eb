"""What a question should be answered from any facts, told by its program: what is right after an edit of the base.

Only questions of one hop, whose program says how they were made (`Question.program`).
"""

from __future__ import annotations

from collections.abc import Sequence

from kblampp.data.facts import UNKNOWN_ANSWER, FiveTuple, Question
from kblampp.data.spans import in_span
from kblampp.data.windows import SYNTHETIC_TODAY, Window, in_words
from kblampp.model.answers import NO, SEPARATOR, YES

TODAY = Window(SYNTHETIC_TODAY, SYNTHETIC_TODAY + 1)
EDITED_KINDS = {
    "start": "when",
    "end": "when",
    "yes_no": "yes_no",
    "list": "list",
    "count": "count",
    "first": "first_last",
    "last": "first_last",
    "before": "before_after",
    "after": "before_after",
    "now": "current",
}
"""Form, or of a question for a name its mode -> one of `facts.KINDS`."""


def edited_kind(question: Question) -> str | None:
    """One of `facts.KINDS`; None for a question whose right answer after an edit is not known."""
    if question.program is None or len(question.hops) != 1:
        return None
    if question.inverse:
        return "inverse"
    plain = "tail" if question.question_time is None else "temporal"
    return EDITED_KINDS.get(question.mode if question.form == "value" else question.form, plain)


def concerns(question: Question, fact: FiveTuple) -> bool:
    """Whether a fact is of the relation asked about and of the head named; from tail to head, of the tail named."""
    program = question.program or {}
    asked: bool = fact.tail.name == program["tail"] if question.inverse else fact.head.name == program["head"]
    return asked and bool(fact.relation.id == program["relations"][0])


def right_answer(question: Question, row: Sequence[FiveTuple]) -> str | None:
    """The right answer from the facts that a question concerns.

    Args:
        question: The question; its `answer` is not looked at.
        row: All facts that it concerns, as they stand in the base.

    Returns:
        The answer, "unknown" where no fact gives one; None where several answers would be right.
    """
    if question.inverse:
        return _one([fact.head.name for fact in row])
    ordered = sorted(row, key=lambda fact: fact.window.start or 0)
    found, named = _asked(question, ordered), (question.program or {})["tail"]
    names = list(dict.fromkeys(fact.tail.name for fact in found))
    match question.form:
        case "yes_no":
            return YES if named in names else NO
        case "list":
            return SEPARATOR.join(names) or UNKNOWN_ANSWER
        case "count":
            return str(len(names)) if names else UNKNOWN_ANSWER
        case "start" | "end":
            return _one([_bound(fact, question.form) for fact in found if fact.tail.name == named])
    time = question.question_time
    if len(names) > 1 and time is not None and time.start is None:
        return found[-1].tail.name  # "before 2015" means the latest of them
    if len(names) > 1 and time is not None and time.end is None:  # "after 2015" means the first that begins in it
        return next((f.tail.name for f in found if (f.window.start or 0) >= (time.start or 0)), None)
    return _one(names)


def _asked(question: Question, row: Sequence[FiveTuple]) -> list[FiveTuple]:
    """Those of a row in time that the question is about."""
    if question.mode in ("first", "last"):
        return list(row[:1] if question.mode == "first" else row[-1:])
    if question.mode in ("before", "after"):
        step, named = (1 if question.mode == "after" else -1), (question.program or {})["tail"]
        places = [place + step for place, fact in enumerate(row) if fact.tail.name == named]
        return [row[place] for place in places if 0 <= place < len(row)]
    window = TODAY if question.mode == "now" else question.question_time
    if window is None:
        return list(row)
    found = [fact for fact in row if fact.window.overlaps(window)]
    return (
        in_span(window.bounds, found, lambda fact: fact.window.bounds) if question.form in ("list", "count") else found
    )


def _bound(fact: FiveTuple, form: str) -> str:
    day = fact.window.start if form == "start" else fact.window.end
    if day is None:
        return UNKNOWN_ANSWER
    return in_words(day - (form == "end"), last=form == "end")


def _one(names: Sequence[str]) -> str | None:
    """The one name; "unknown" if there is none, None if there are several."""
    found = set(names)
    return None if len(found) > 1 else found.pop() if found else UNKNOWN_ANSWER
