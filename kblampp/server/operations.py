"""What clients may do to a base, in fields of text: the routes and the tool server both do it through these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import UNKNOWN, Window
from kblampp.server.problems import Conflict, Invalid, NotThere
from kblampp.server.protocols import Base, Call, Version
from kblampp.tables.dates import bound_text, read_bound

SOURCE = "custom"
"""Where facts come from that somebody writes."""


def fact_json(version: Version) -> dict[str, Any]:
    """A fact as clients see it."""
    content, window = version.content, version.content.window
    return {
        "id": version.fact,
        "head": content.head.name,
        "relation": content.relation.name,
        "tail": content.tail.name,
        "context": content.context.sent_span,
        "start": bound_text(window.start, window.start_unit, end=False),
        "end": bound_text(window.end, window.end_unit, end=True),
        "written": version.written,
        "retired": version.retired,
        "call": version.call,
    }


def call_json(call: Call) -> dict[str, Any]:
    """A call as clients see it."""
    return {name: getattr(call, name) for name in ("id", "at", "what", "note", "facts", "undone_by")}


def content_of(fields: Mapping[str, str]) -> FiveTuple:
    """The content of a new fact.

    Raises:
        DataError: if a date is none, or the end lies before the start.
    """
    return FiveTuple(
        head=Entity(None, fields["head"]),
        relation=Relation(None, fields["relation"]),
        tail=Entity(None, fields["tail"]),
        context=Context(SOURCE, sent_span=fields.get("context", "")),
        window=_with_bounds(UNKNOWN, fields),
    )


def changed_content(old: FiveTuple, fields: Mapping[str, str]) -> FiveTuple:
    """A fact's content with the given fields instead of its own; a new name loses the old one's id and type.

    Raises:
        DataError: if a date is none, or the end lies before the start.
    """
    new = old
    if fields.get("head", old.head.name) != old.head.name:
        new = replace(new, head=Entity(None, fields["head"]))
    if fields.get("relation", old.relation.name) != old.relation.name:
        new = replace(new, relation=Relation(None, fields["relation"]))
    if fields.get("tail", old.tail.name) != old.tail.name:
        new = replace(new, tail=Entity(None, fields["tail"]))
    if fields.get("context", old.context.sent_span) != old.context.sent_span:
        new = replace(new, context=Context(SOURCE, sent_span=fields["context"]))
    return replace(new, window=_with_bounds(old.window, fields))


def add_facts(base: Base, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Adds facts; `call` of the result is None if all of them were there.

    Raises:
        Invalid: if a row's dates are wrong.
    """
    contents = []
    for number, row in enumerate(rows):
        try:
            contents.append(content_of(row))
        except DataError as error:
            raise Invalid(f"fact {number + 1}: {error}" if len(rows) > 1 else str(error)) from None
    before = base.version
    with _as_conflict():
        versions = [base.fact(number) for number in base.add(contents)]
    call = max(version.call for version in versions)
    return {"facts": [fact_json(version) for version in versions], "call": call if call > before else None}


def change_fact(base: Base, fact: int, fields: Mapping[str, str]) -> dict[str, Any]:
    """Changes some fields of a fact.

    Raises:
        NotThere: if there is no such fact.
        Invalid: if a date is wrong.
        Conflict: if the base refuses.
    """
    old = _known(base, fact)
    try:
        content = changed_content(old.content, fields)
    except DataError as error:
        raise Invalid(str(error)) from None
    with _as_conflict():
        call = base.change(fact, content)
    return {"fact": fact_json(base.fact(fact)), "call": call.id}


def end_fact(base: Base, fact: int, last: str) -> dict[str, Any]:
    """Says when a fact held for the last time; raises as `change_fact`."""
    _known(base, fact)
    try:
        read_bound(last, end=True)
    except DataError as error:
        raise Invalid(str(error)) from None
    with _as_conflict():
        call = base.end(fact, last)
    return {"fact": fact_json(base.fact(fact)), "call": call.id}


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


def search_facts(
    base: Base, *, search: str, held_on: int | None, known_at: int | str | None, limit: int, offset: int
) -> dict[str, Any]:
    """A page of the facts that fit, and how many fit in all."""
    total = base.count(search=search, held_on=held_on, known_at=known_at)
    found = base.facts(search=search, held_on=held_on, known_at=known_at, limit=limit, offset=offset)
    return {"total": total, "facts": [fact_json(version) for version in found]}


def history(base: Base, fact: int) -> dict[str, Any]:
    """All states of a fact, oldest first.

    Raises:
        NotThere: if there never was such a fact.
    """
    try:
        return {"versions": [fact_json(version) for version in base.history(fact)]}
    except DataError as error:
        raise NotThere(str(error)) from None


def log(base: Base, limit: int) -> dict[str, Any]:
    """The last calls, newest first."""
    return {"calls": [call_json(call) for call in base.log(limit)]}


def _with_bounds(window: Window, fields: Mapping[str, str]) -> Window:
    start, start_unit, end, end_unit = window.start, window.start_unit, window.end, window.end_unit
    if "start" in fields:
        bound = _bound(fields, "start")
        start, start_unit = bound
    if "end" in fields:
        bound = _bound(fields, "end")
        end, end_unit = bound
    if (start, start_unit, end, end_unit) == (window.start, window.start_unit, window.end, window.end_unit):
        return window
    return UNKNOWN if start is None and end is None else Window(start, end, SOURCE, start_unit, end_unit)


def _bound(fields: Mapping[str, str], name: str) -> tuple[int | None, str | None]:
    try:
        bound = read_bound(fields[name], end=name == "end")
    except DataError as error:
        raise DataError(f"field {name!r}: {error}") from None
    return bound.day, bound.unit


def _known(base: Base, fact: int) -> Version:
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
