"""Strict reading of JSONL files: typed fields, errors that name the file, line and field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError

__all__ = ["Fields", "read_rows", "wrong_field"]

_SHOWN = 60  # characters of a wrong value that an error shows
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Fields:
    """Typed access to the fields of a JSON object; `prefix` is the path to it, such as "head."."""

    row: Mapping[str, Any]
    where: str
    prefix: str = ""

    def _get(self, name: str, kind: type, expected: str) -> Any:
        if name not in self.row:
            raise DataError(f"{self.where}: field {self.prefix + name!r} is missing: expected {expected}")
        value = self.row[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(name, expected, value)
        return value

    def error(self, name: str, expected: str, found: object) -> DataError:
        return wrong_field(self.where, self.prefix + name, expected, found)

    def text(self, name: str) -> str:
        return str(self._get(name, str, "a string"))

    def name(self, name: str) -> str:
        value = self._get(name, str, "a string that is not blank")
        if not value.strip():
            raise self.error(name, "a string that is not blank", value)
        return str(value)

    def text_or_none(self, name: str) -> str | None:
        value = self.row.get(name)
        if value is not None and not isinstance(value, str):
            raise self.error(name, "a string or null", value)
        return value

    def whole(self, name: str) -> int:
        value = self._get(name, int, "a whole number from 0")
        if value < 0:
            raise self.error(name, "a whole number from 0", value)
        return int(value)

    def object(self, name: str) -> Fields:
        return Fields(self._get(name, Mapping, "an object"), self.where, f"{self.prefix}{name}.")

    def items(self, name: str, kind: type, expected: str) -> list[Any]:
        values = self._get(name, list, expected)
        for value in values:
            wrong_kind = not isinstance(value, kind) or isinstance(value, bool)
            if wrong_kind or (kind is int and value < 0):
                raise self.error(name, expected, value)
        return list(values)


def wrong_field(where: str, name: str, expected: str, found: object) -> DataError:
    """The error for a field with a wrong value: where it is, which it is, what was expected and what was found."""
    shown = repr(found)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
    return DataError(f"{where}: field {name!r}: expected {expected}, found {shown} ({type(found).__name__})")


def read_rows(path: Path, start: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields "file:line" and the object of each line, one line in memory at a time; the first `start` are passed by."""
    where = str(path)
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                where = f"{path}:{number}"
                if number > start:
                    yield where, _parse_line(line, where)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): expected a JSONL file") from None
    if where == str(path):
        raise DataError(f"{path} is empty: expected one JSON object a line; make the file again")


def _parse_line(line: bytes, where: str) -> dict[str, Any]:
    if line.startswith(b"\xef\xbb\xbf"):
        raise DataError(f"{where} starts with a byte order mark: expected plain UTF-8; save the file without it")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 at byte {error.start} of the line: save the file as UTF-8") from None
    if not text.strip():
        raise DataError(f"{where} is blank: expected one JSON object a line; remove the blank line")
    try:
        row = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        hint = "" if line.endswith(b"\n") else "; the line has no end, so the file looks cut off: make it again"
        raise DataError(f"{where} is not valid JSON ({error}): expected one JSON object{hint}") from None
    if "\\ud" in text.lower() and _SURROGATE.search(json.dumps(row, ensure_ascii=False)):
        raise DataError(f"{where} holds half a surrogate pair (\\ud...), which is no character: write it whole")
    if not isinstance(row, dict):
        raise DataError(f"{where} is a JSON {type(row).__name__}: expected an object")
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
