"""A question about an open base before it gets its number, and its program: what it asks, in exact terms.

`Question.program` says how one was made, so that an independent solver can answer it:

- kind: one of `open_questions.KINDS`; head: the head's name, null where the question asks for it; tail: the tail that
  it names, or null.
- relations: the ids, one a hop; time: the window named, or null.
- form, mode, inverse: as `Question` reads them.

Of several holders in a window open at its start ("before 2015") the latest is meant, in one open at its end ("right
after 2015") the first that begins in it; every other window overlaps one holder.  `now` is the day SYNTHETIC_TODAY.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kblampp.data.windows import Window, iso


@dataclass(frozen=True)
class Draft:
    """A question before it gets its number.

    Attributes:
        text: The words.
        kind: Its key in `open_questions.KINDS`.
        path: Ids of the supporting facts.
        answer: The answer, "" if there is none.
        relations: Relation ids, one a hop.
        head: The head named, or None.
        tail: The tail named, or None.
        time: The window named, or None.
        form: One of FORMS.
        mode: One of MODES.
        inverse: Whether it asks for the head.
        reason: One of REASONS for a question without an answer.
        aliases: Other answers that count as right.
    """

    text: str
    kind: str
    path: Sequence[int]
    answer: str
    relations: Sequence[str]
    head: str | None
    tail: str | None = None
    time: Window | None = None
    form: str = "value"
    mode: str = "any"
    inverse: bool = False
    reason: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def program(self) -> dict[str, Any]:
        """What is asked, as `Question.program` has it."""
        window = self.time
        return {
            "kind": self.kind,
            "head": self.head,
            "relations": list(self.relations),
            "tail": self.tail,
            "time": None if window is None else {"start": _iso(window.start), "end": _iso(window.end)},
            "form": self.form,
            "mode": self.mode,
            "inverse": self.inverse,
        }

    @property
    def type(self) -> str:
        """The type of the question, as `Question.type` has it."""
        if self.reason is not None:
            return "unanswerable"
        if len(self.relations) > 1:
            return "multi-hop"
        return "single-hop" if self.time is None else "temporal"


def _iso(day: int | None) -> str | None:
    return None if day is None else iso(day)
