"""What people write, as the base keeps it: facts from fields of text, changes of single fields, moments.

The command line, the server and programs share these rules.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import replace

from kblampp.core.arguments import DateLike, date_text, name_of, text_of
from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import UNKNOWN, Window
from kblampp.tables.dates import bound_text, read_bound
from kblampp.tables.facts_of_rows import SOURCE

_LENGTHS = {"day": len("2026-11-23"), "minute": len("2026-11-23T09:30"), "second": len("2026-11-23T09:30:00")}


def fact_of(
    head: str | float,
    relation: str | float,
    tail: str | float,
    *,
    context: str = "",
    start: DateLike | None = "",
    end: DateLike | None = "",
) -> FiveTuple:
    """A fact as people write one.

    Args:
        head: Who or what.
        relation: Which property.
        tail: Its value.
        context: The sentence that says so.
        start: First year, month or day on which it holds; empty or None if that is open or not known.
        end: The last one, which counts whole.

    Raises:
        DataError: A name is empty or neither text nor number, a date is none, or the end lies before the start.
    """
    parts = {"head": head, "relation": relation, "tail": tail}
    names = {place: name_of(name, f"the {place} of a fact").strip() for place, name in parts.items()}
    context = text_of(context, "the context of a fact", "She led the museum.")
    for place, name in names.items():
        if not name:
            raise DataError(f"the {place} of a fact is empty: expected a name")
    return FiveTuple(
        Entity(None, names["head"]),
        Relation(None, names["relation"]),
        Entity(None, names["tail"]),
        Context(SOURCE, sent_span=context.strip()),
        with_bounds(UNKNOWN, start=date_text(start, "the start of a fact"), end=date_text(end, "the end of a fact")),
    )


def changed(
    fact: FiveTuple,
    *,
    head: str | None = None,
    relation: str | None = None,
    tail: str | None = None,
    context: str | None = None,
    start: str | None = None,
    end: str | None = None,
) -> FiveTuple:
    """A fact with other fields; None leaves one as it is.

    A new name loses the old one's id and type.  It is written into the sentence too, where that has the old one and is
    not given anew, so that both go on to say the same.

    Raises:
        DataError: As `fact_of`.
    """
    now = (fact.head.name, fact.relation.name, fact.tail.name)
    made = fact_of(*(old if new is None else new for old, new in zip(now, (head, relation, tail), strict=True)))
    sentence = fact.context.sent_span
    for old, new in ((fact.head.name, made.head.name), (fact.tail.name, made.tail.name)):
        if new != old:
            sentence = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _, new=new: new, sentence)  # type: ignore[misc]
    said = replace(fact.context, sent_span=sentence if context is None else context.strip())
    return replace(
        fact,
        head=fact.head if made.head.name == fact.head.name else made.head,
        relation=fact.relation if made.relation.name == fact.relation.name else made.relation,
        tail=fact.tail if made.tail.name == fact.tail.name else made.tail,
        context=said,
        window=with_bounds(fact.window, start=start, end=end),
    )


def with_bounds(window: Window, *, start: str | None = None, end: str | None = None) -> Window:
    """A window with other bounds; None leaves one as it is, an empty text opens it.

    Raises:
        DataError: A text is no date, or the end lies before the start.
    """
    bounds = [(window.start, window.start_unit), (window.end, window.end_unit)]
    for place, (name, text) in enumerate((("start", start), ("end", end))):
        if text is not None:
            try:
                read = read_bound(text, end=name == "end")
            except DataError as error:
                raise DataError(f"field {name!r}: {error}") from None
            bounds[place] = (read.day, read.unit)
    (first, first_unit), (stop, stop_unit) = bounds
    if (first, first_unit, stop, stop_unit) == (window.start, window.start_unit, window.end, window.end_unit):
        return window
    if first is None and stop is None:
        return UNKNOWN
    if first is not None and stop is not None and stop <= first:
        said = (bound_text(first, first_unit, end=False), bound_text(stop, stop_unit, end=True))
        raise DataError(f"it starts in {said[0]} and ends in {said[1]}: expected end after start")
    return Window(first, stop, window.source or SOURCE, first_unit, stop_unit)


def check_text(text: str) -> None:
    """Refuses what no file could hold.

    Raises:
        DataError: It holds NUL, or half of a pair of surrogates.
    """
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise DataError(f"{text[:40]!r} holds a character that is none (NUL or half of a pair): remove it")


def timestamp(moment: datetime.datetime) -> str:
    """A moment as the base writes it: UTC, of one length, so that texts sort as moments do."""
    return moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_moment(text: str) -> str:
    """A moment as people write it, as the base writes it; without a zone UTC.

    A day, minute or second means its end, so that a time copied from a log has what was written then.

    Raises:
        DataError: It is none.
    """
    text = text.strip()
    try:
        moment = datetime.datetime.fromisoformat(text)
        without_zone = text.removesuffix("Z").split("+")[0]
        without_zone = without_zone if without_zone.count("-") < 3 else without_zone.rsplit("-", 1)[0]
        if len(without_zone) <= _LENGTHS["day"]:
            moment = datetime.datetime.combine(moment, datetime.time.max)
        elif len(without_zone) <= _LENGTHS["minute"]:
            moment = moment.replace(second=59, microsecond=999_999)
        elif len(without_zone) <= _LENGTHS["second"]:
            moment = moment.replace(microsecond=999_999)
        return timestamp(moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment)
    except (ValueError, OverflowError):
        raise DataError(
            f"{text[:80]!r} is no moment: expected a day such as 2026-11-23, or 2026-11-23T09:30 with a zone or in UTC"
        ) from None
