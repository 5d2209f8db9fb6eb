"""What clients may do to a base, in fields of text: the routes and the tool server both do it through these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kblampp.base.editing import changed, fact_of
from kblampp.core.errors import DataError
from kblampp.data.windows import day
from kblampp.server.bodies import SearchQuery
from kblampp.server.problems import Conflict, Invalid, NotThere
from kblampp.server.protocols import Base, Call
from kblampp.tables.dates import read_bound
from kblampp.tables.writing import FactState, state_row


def call_json(call: Call) -> dict[str, Any]:
    """A call as clients see it."""
    return {name: getattr(call, name) for name in ("id", "at", "what", "note", "facts", "undone_by")}


def add_facts(base: Base, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Adds facts; `call` of the result is None if all of them were there.

    Raises:
        Invalid: if a row's dates are wrong.
    """
    contents = []
    for number, row in enumerate(rows):
        try:
            contents.append(fact_of(**row))
        except DataError as error:
            raise Invalid(f"fact {number + 1}: {error}" if len(rows) > 1 else str(error)) from None
    before = base.version
    with _as_conflict():
        versions = [base.fact(number) for number in base.add(contents)]
    call = max(version.call for version in versions)
    return {"facts": [state_row(version) for version in versions], "call": call if call > before else None}


def change_fact(base: Base, fact: int, fields: Mapping[str, str]) -> dict[str, Any]:
    """Changes some fields of a fact.

    Raises:
        NotThere: if there is no such fact.
        Invalid: if a date is wrong.
        Conflict: if the base refuses.
    """
    try:
        changed(_known(base, fact).content, **fields)
    except DataError as error:
        raise Invalid(str(error)) from None
    with _as_conflict():
        call = base.change(fact, lambda now: changed(now, **fields))
    return {"fact": state_row(base.fact(fact)), "call": call.id}


def end_fact(base: Base, fact: int, last: str) -> dict[str, Any]:
    """Says when a fact held for the last time; raises as `change_fact`."""
    _known(base, fact)
    try:
        read_bound(last, end=True)
    except DataError as error:
        raise Invalid(str(error)) from None
    with _as_conflict():
        call = base.end(fact, last)
    return {"fact": state_row(base.fact(fact)), "call": call.id}


def delete_fact(base: Base, fact: int) -> dict[str, Any]:
    """Deletes a fact; raises as `change_fact`."""
    _known(base, fact)
    with _as_conflict():
        return {"call": base.delete([fact]).id}


def undo(base: Base, call: int | None) -> dict[str, Any]:
    """Undoes a call, None the last one.

    Raises:
        Conflict: if the base refuses.
    """
    with _as_conflict():
        return {"call": base.undo(call).id}


def search_facts(base: Base, query: SearchQuery) -> dict[str, Any]:
    """A page of the facts that fit, and how many fit in all."""
    held_on = None if query.held_on is None else day(query.held_on)
    total = base.count(search=query.search, held_on=held_on, known_at=query.known_at)
    found = base.facts(
        search=query.search, held_on=held_on, known_at=query.known_at, limit=query.limit, offset=query.offset
    )
    return {"total": total, "facts": [state_row(version) for version in found]}


def fact_of_base(base: Base, fact: int) -> dict[str, Any]:
    """A fact as the base says it now; raises as `history`."""
    return state_row(_known(base, fact))


def history(base: Base, fact: int) -> dict[str, Any]:
    """All states of a fact, oldest first.

    Raises:
        NotThere: if there never was such a fact.
    """
    try:
        return {"versions": [state_row(version) for version in base.history(fact)]}
    except DataError as error:
        raise NotThere(str(error)) from None


def log(base: Base, limit: int) -> dict[str, Any]:
    """The last calls, newest first."""
    return {"calls": [call_json(call) for call in base.log(limit)]}


def _known(base: Base, fact: int) -> FactState:
    try:
        return base.fact(fact)
    except DataError as error:
        raise NotThere(str(error)) from None


@contextmanager
def _as_conflict() -> Iterator[None]:
    """What the base refuses of well-formed data is due to its state."""
    try:
        yield
    except DataError as error:
        raise Conflict(str(error)) from None
