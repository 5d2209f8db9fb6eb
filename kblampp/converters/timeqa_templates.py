"""More training questions about TimeQA's training pages, from the templates that come with the dataset.

The dataset's own questions were made in this way too: a template of the relation, the page's name, and a time
expression that names a fact's window (*easy*) or a part of it (*hard*).  Test and dev pages get none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kblampp.data.windows import MONTHS, Window, iso, month_bounds

HARD_EACH = 2
"""Questions about a part of the window, for each template and window."""


class Group(NamedTuple):
    """Question number `i` of a page: its `idx`, its window, and whether it has no answer."""

    idx: str
    window: Window
    unanswerable: bool


class Made(NamedTuple):
    """A question, the `idx` whose facts answer it, and whether it has an answer."""

    qid: str
    question: str
    idx: str
    answerable: bool


def template_questions(head: str, templates: Sequence[str], groups: Sequence[Group]) -> Iterator[Made]:
    """The questions of one page; nothing is random but for the `idx`.

    A part of a window that another group's window shares is left out, since it would have two answers.

    Args:
        head: Name of the page.
        templates: Of its relation, with "$1" for the head and "$2" or "$4" for the time.
        groups: Its windows.
    """
    known = [group for group in groups if group.window.start is not None and group.window.end is not None]
    for place, group in enumerate(known):
        rng = random.Random(group.idx)
        others = [other.window for other in known if other.idx != group.idx]
        for number, template in enumerate(templates):
            times = [_whole(group.window), *(_part(rng, group.window, others) for _ in range(HARD_EACH))]
            if place == 0:
                times.append(_open(rng, group.window, others, "before"))
            if place == len(known) - 1:
                times.append(_open(rng, group.window, others, "after"))
            for kind, time in enumerate(times):
                if time is not None:
                    text = template.replace("$1", head).replace("$2", time).replace("$4", time)
                    qid = f"{group.idx}/template{number}.{kind}"
                    yield Made(qid, " ".join(text.split()), group.idx, not group.unanswerable)


def _months(window: Window) -> list[tuple[int, int]]:
    """Year and month of the window's first month to its last."""
    start, end = window.start or 1, window.end or 1
    first, last = (tuple(map(int, iso(day).split("-")[:2])) for day in (start, end - 1))
    count = 12 * (last[0] - first[0]) + last[1] - first[1] + 1
    return [divmod(12 * first[0] + first[1] - 1 + step, 12) for step in range(count)]


def _whole(window: Window) -> str:
    months = _months(window)
    if len(months) <= 2:
        return f"in {_month(months[0])}"
    return f"from {_end(months[0])} to {_end(months[-1])}"


def _part(rng: random.Random, window: Window, others: Sequence[Window]) -> str | None:
    """A month, a span of months, a year or a part of a decade inside the window; None if it finds none of its own."""
    months = _months(window)
    for _ in range(10):
        first, last = sorted(rng.sample(range(len(months)), 2)) if len(months) > 2 else (0, 0)
        year = months[first][0] + 1
        part, low, high = rng.choice((("early", 0, 4), ("late", 7, 10)))
        decade = 10 * (year // 10)
        choices = [
            (f"in {_month(months[first])}", months[first], months[first]),
            (f"between {_end(months[first])} and {_end(months[last])}", months[first], months[last]),
            (f"in {year}", (year, 0), (year, 11)),
            (f"in {part} {decade}s", (decade + low, 0), (decade + high - 1, 11)),
        ]
        text, start, end = rng.choice(choices)
        if months[0] <= start and end <= months[-1] and not _shared(start, end, others):
            return text
    return None


def _open(rng: random.Random, window: Window, others: Sequence[Window], kind: str) -> str | None:
    """Before or after a month inside the first or last window."""
    months = _months(window)
    if len(months) < 3:
        return None
    month = rng.choice(months[1:-1])
    span = ((1, 0), month) if kind == "before" else (month, (9998, 0))
    return None if _shared(*span, others) else f"{kind} {_month(month)}"


def _shared(start: tuple[int, int], end: tuple[int, int], others: Sequence[Window]) -> bool:
    low, high = (month_bounds(year, month + 1) or (None, None) for year, month in (start, end))
    window = Window(low[0], high[1], "question_text")
    return any(window.overlaps(other) for other in others)


def _month(month: tuple[int, int]) -> str:
    return f"{MONTHS[month[1]][:3]} {month[0]}"


def _end(month: tuple[int, int]) -> str:
    """An end of a span, as the dataset prints it: January as the bare year."""
    return _month(month) if month[1] else str(month[0])
