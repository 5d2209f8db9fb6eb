"""What a living base remembers: each state of each fact, and the calls that wrote them."""

from __future__ import annotations

from dataclasses import dataclass

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
