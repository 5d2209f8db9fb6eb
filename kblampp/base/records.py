"""What a living base remembers: each state of each fact, and the calls that wrote them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from kblampp.core.errors import DataError
from kblampp.data.facts import FiveTuple

CALLS = ("init", "add", "change", "end", "delete", "import", "undo", "rollback")


@dataclass(frozen=True)
class Version:
    """One state of one fact.

    Attributes:
        fact: The fact's id, the same over all its changes.
        content: What it says.
        call: The call that wrote it.
        written: When, in UTC (ISO 8601 with microseconds and Z).
        retired: When it was changed or deleted; None for what the base says now.
    """

    fact: int
    content: FiveTuple
    call: int
    written: str
    retired: str | None = None


@dataclass(frozen=True)
class Call:
    """One call that wrote to the base: all of it is there, or nothing.

    Attributes:
        id: Its number, from 1; also the version of the base after it.
        at: When it was made, in UTC.
        what: One of CALLS.
        note: Free text, such as the name of an imported file.
        facts: How many facts it wrote, changed or deleted.
        undone_by: The call that took it back; None for one that stands.
    """

    id: int
    at: str
    what: str
    note: str
    facts: int
    undone_by: int | None = None


def timestamp(moment: datetime.datetime) -> str:
    """A moment as the base writes it: UTC, of one length, so that texts sort as moments do."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_timestamp(text: str) -> str:
    """A moment as people write it, as the base writes it; a day without a time means its end, one without a zone UTC.

    Raises:
        DataError: It is none.
    """
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise DataError(
            f"{text!r} is no moment: expected a day such as 2026-11-23, or 2026-11-23T09:30 with a zone or in UTC"
        ) from None
    if len(text.strip()) <= len("2026-11-23"):
        moment = datetime.datetime.combine(moment, datetime.time.max)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    try:
        return timestamp(moment)
    except OverflowError:
        raise DataError(f"{text!r} is beyond the calendar: expected a moment in the years 1 to 9999") from None
