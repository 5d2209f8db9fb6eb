"""What the commands share: their options, and what they say to people or, with `--json`, to programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from kblampp.base.records import Call
from kblampp.core.errors import DataError
from kblampp.data.facts import FiveTuple
from kblampp.data.windows import day
from kblampp.tables.writing import line_of, span


def whole(low: int, high: int | None = None, *, where: str = "") -> Callable[[str | int], int]:
    """A parser of whole numbers for an argument or option.

    Args:
        low: The least that is taken.
        high: The greatest; None for any.
        where: Where to look them up, as the end of the sentence.
    """

    def parse(text: str | int) -> int:
        text = str(text).strip()
        number = int(text) if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20 else None
        if number is None or number < low or (high is not None and number > high):
            span_ = f"from {low} on" if high is None else f"from {low} to {high}"
            raise typer.BadParameter(f"{text[:40]!r}, expected a whole number {span_}{where and f': {where}'}")
        return number

    return parse


fact_id = whole(1, where="`kblampp facts` shows the ids")
call_id = whole(1, where="`kblampp log` shows the calls")
Base = Annotated[Path, typer.Argument(metavar="BASE", help="Folder of the knowledge base, such as my.kb.")]
FactId = Annotated[int, typer.Argument(metavar="ID", help="The fact's id: `kblampp facts` shows it.", parser=fact_id)]
Json = Annotated[bool, typer.Option("--json", help="One JSON value a line on standard output, for programs.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Stands beside the call in the log.")]
Model = Annotated[
    Path | None,
    typer.Option("--model", metavar="FOLDER", help="Clone of the repository whose trained model reads the base."),
]
KnownAt = Annotated[
    str | None,
    typer.Option("--known-at", metavar="WHEN", help="The base as it was after a call (its number) or at a moment."),
]


def say(text: str) -> None:
    """A line for people, on standard error, where it disturbs no result."""
    sys.stderr.write(f"{text}\n")


def give(value: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """A result, on standard output."""
    rows = [json.dumps(value, ensure_ascii=False)] if as_json else list(lines)
    sys.stdout.write("".join(f"{row}\n" for row in rows))


def moment(text: str | None) -> int | str | None:
    """The number of a call, or a moment as it was written."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else text


def day_of(text: str | None, option: str) -> int | None:
    """The day number of an option.

    Raises:
        DataError: It is no day.
    """
    if text is None:
        return None
    try:
        return day(text)
    except DataError as error:
        raise DataError(f"{option}: {error}") from None


def counted(number: int, thing: str) -> str:
    """A number and what is counted: "1 fact", "12 facts"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def fact_line(number: int, fact: FiveTuple) -> str:
    """A fact in a line."""
    when = span(fact.window)
    return line_of(f"fact {number}: ({fact.head.name}, {fact.relation.name}, {fact.tail.name}){when and ', ' + when}")


def give_call(call: Call, text: str, *, as_json: bool) -> None:
    """What a call has written."""
    give(asdict(call), [f"{text} (call {call.id})"], as_json=as_json)
