"""Facts as JSON: a five-tuple or a flat object a line, or a list of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError, first_line
from kblampp.data.facts import FiveTuple
from kblampp.tables.columns import Layout, find_columns
from kblampp.tables.decoding import LINE_END, Decoded, stripped
from kblampp.tables.facts_of_rows import Remark, fact_of
from kblampp.tables.orders import FileOrder, order_of_file
from kblampp.tables.rows import Parsed, ParsedRow

NO_JSON = "it is not valid JSON"


@dataclass(frozen=True)
class _Row:
    """A value of the file: its first line, its text, and the object, or why it is none."""

    line: int
    raw: str
    value: Mapping[str, Any] | str

    @property
    def flat(self) -> bool:
        return isinstance(self.value, Mapping) and not isinstance(self.value.get("head"), Mapping)


def read_objects(decoded: Decoded, path: Path, columns: Mapping[str, str] | None) -> Parsed:
    """Reads five-tuples, and objects with the names of columns.

    Raises:
        DataError: The names of the objects are not understood, or nothing is an object.
    """
    listed = stripped(decoded.text[:1000]).startswith("[")
    found = list(_elements(decoded) if listed else _lines(decoded))
    if all(isinstance(row.value, str) for row in found):
        reason = found[0].value if found else "it is an empty list"
        raise DataError(f"{path} begins like JSON, but holds no object a line, and no list of objects: {reason}")
    flat = [row.value for row in found if row.flat and isinstance(row.value, Mapping)]
    names = list(dict.fromkeys(name for value in flat for name in value))
    layout = find_columns(names, str(path), columns, header=False) if flat else None
    order = order_of_file(_dated(found, layout)) if layout else FileOrder()
    rows = [ParsedRow(row.line, row.raw, _outcome(row, layout, order)) for row in found]
    what = "five-tuples" if layout is None else "objects"
    form = f"{what} in JSON{'' if listed else ' lines'}, {decoded.encoding}"
    return Parsed(rows, form, layout, list(order.said))


def _dated(rows: Iterable[_Row], layout: Layout) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line and cells of the flat objects, by part."""
    for row in rows:
        if row.flat and isinstance(row.value, Mapping):
            with suppress(DataError):
                yield row.line, _texts(row.value, layout)


def _outcome(row: _Row, layout: Layout | None, order: FileOrder) -> tuple[FiveTuple, list[Remark]] | str:
    if isinstance(row.value, str):
        return row.value
    try:
        if not row.flat or layout is None:
            return FiveTuple.from_row(json.loads(row.raw, parse_constant=_refuse), "the five-tuple"), []
        return fact_of(_texts(row.value, layout), layout, order)
    except (DataError, ValueError, RecursionError) as error:
        return str(error) if isinstance(error, DataError) else f"{NO_JSON} ({first_line(error)})"


def _texts(value: Mapping[str, Any], layout: Layout) -> dict[str, str]:
    """The cells of an object, by part; numbers are the text that stands in the file."""
    by_name = {stripped(name): content for name, content in value.items()}
    texts: dict[str, str] = {}
    for part, number in layout.place.items():
        content = by_name.get(layout.names[number])
        if content is not None and not isinstance(content, str):
            raise DataError(f"{layout.name(part)!r} is a JSON {type(content).__name__}: expected a text or a number")
        texts[part] = stripped(content or "")
    return texts


def _lines(decoded: Decoded) -> Iterator[_Row]:
    for number, line in enumerate(LINE_END.split(decoded.text), start=1):
        if stripped(line):
            yield _Row(number, line, _value(stripped(line), decoded))


def _elements(decoded: Decoded) -> Iterator[_Row]:
    """The elements of a JSON list; what stands behind one that is broken is one row with it."""
    text = decoded.text
    at, line, counted = text.index("[") + 1, 1, 0
    while True:
        while at < len(text) and (text[at].isspace() or text[at] == ","):
            at += 1
        line, counted = line + sum(1 for _ in LINE_END.finditer(text, counted, at)), at
        if at == len(text):
            yield _Row(line, "", "the list is not closed: it looks cut off")
            return
        if text[at] == "]":
            if rest := stripped(text[at + 1 :]):
                yield _Row(line, rest, "it stands behind the end of the list")
            return
        try:
            _, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield _Row(line, text[at:], f"{NO_JSON} ({first_line(error)}), and what follows is lost with it")
            return
        yield _Row(line, text[at:end], _value(text[at:end], decoded))
        at = end


def _value(raw: str, decoded: Decoded) -> Mapping[str, Any] | str:
    """The object that a text is, its numbers as their text, or why it is none."""
    if fault := decoded.fault(raw):
        return fault
    try:
        value = _DECODER.decode(raw)
        fault = decoded.fault("".join(_strings(value))) if "\\u" in raw else None
    except (ValueError, RecursionError) as error:
        return f"{NO_JSON} ({first_line(error)})"
    if not isinstance(value, Mapping):
        return f"it is a JSON {type(value).__name__}: expected an object"
    return fault or value


def _strings(value: object) -> Iterator[str]:
    """All texts of a JSON value, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, content in value.items():
            yield name
            yield from _strings(content)
    elif isinstance(value, list):
        for content in value:
            yield from _strings(content)


def _constant(name: str) -> None:
    """NaN is how pandas and others write that there is nothing."""
    if name != "NaN":
        raise ValueError(f"{name} is not JSON")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"field {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_constant, object_pairs_hook=_object)
