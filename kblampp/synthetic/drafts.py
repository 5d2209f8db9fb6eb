"""A question before it gets its number, and its program: how it was made, for an independent solver."""

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
        kind: Its key in KINDS.
        path: Ids of the supporting facts.
        answer: The answer, "" if there is none.
        relations: Relation ids, one a hop.
        head: The head named, or None.
        tail: The tail named, or None.
        time: The window named, or None.
        form: One of FORMS.
        mode: One of MODES.
        inverse: Whether it names the tail and begins there.
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


def program_of(draft: Draft) -> dict[str, Any]:
    """The program of a question as its row holds it."""
    window = draft.time
    return {
        "kind": draft.kind,
        "head": draft.head,
        "relations": list(draft.relations),
        "tail": draft.tail,
        "time": None if window is None else {"start": _iso(window.start), "end": _iso(window.end)},
        "form": draft.form,
        "mode": draft.mode,
        "inverse": draft.inverse,
    }


def _iso(day: int | None) -> str | None:
    return None if day is None else iso(day)
