"""Streams records out of raw files: JSON lists and JSON lines, plain or gzip, whatever the file is called.

One record is in memory at a time.  What a record holds is checked by the converter, field by field (`rows.Fields`).
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import ijson

from kblampp.core.errors import DataError
from kblampp.core.progress import progress_bar

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Record:
    """One value of a file and where it stands, such as "data/raw/trex/a.json, record 3"; records count from 1."""

    where: str
    value: Any


class BrokenFile(DataError):
    """A file that cannot be read on from here: truncated, not UTF-8, or not JSON."""


def find_files(folder: Path, patterns: Sequence[str], *, what: str) -> list[Path]:
    """The files that match one of the patterns, sorted by name; hidden ones and the README are none.

    Raises:
        DataError: There are none.
    """
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    shown = (path for path in found if not path.name.startswith(".") and path.name != "README.md")
    files = sorted(shown, key=lambda path: path.name)  # paths themselves sort without case on Windows
    if not files:
        raise DataError(
            f"{folder} holds no {what} ({' or '.join(patterns)}); {folder / 'README.md'} says where to get the files"
        )
    return files


def files_named(folder: Path, name: str) -> list[Path]:
    """The files of a folder that have a name, in lower case, in any case: "Facts.CSV" is how some systems write it."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.lower() == name and path.is_file())


def read_records(path: Path) -> Iterator[Record]:
    """Yields the elements of a JSON list, or the lines of a JSON-lines file, with a progress bar over the file's bytes.

    Raises:
        BrokenFile: The file is empty, is neither of the two, or cannot be opened or read to its end.
    """
    try:
        with (
            open(path, "rb") as raw,
            progress_bar(total=path.stat().st_size, desc=path.name, unit="B", unit_scale=True, leave=False) as progress,
        ):
            stream, first = _opened(raw)
            if not first:
                raise BrokenFile(f"{path} is empty: expected a JSON list or JSON lines; get the file again")
            records = _list(stream, path) if first == b"[" else _lines(stream, path)
            for record in records:
                yield record
                progress.update(raw.tell() - progress.n)
    except (OSError, EOFError, zlib.error) as error:
        raise BrokenFile(f"{path} cannot be read to its end ({error}); get the file again") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """A small side file that is one JSON object.

    Raises:
        DataError: It is missing, or is no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError: half a surrogate pair
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable JSON file ({error}); {path.parent / 'README.md'} names it") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} is a JSON {type(value).__name__}: expected an object")
    return value


def _opened(raw: IO[bytes]) -> tuple[io.BufferedReader, bytes]:
    """The uncompressed bytes from the first character that is no white space, and that character."""
    magic = raw.read(2)
    raw.seek(0)
    stream = io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw) if magic == _GZIP else raw))
    if stream.peek(3)[:3] == _BOM:
        stream.read(3)
    while (first := stream.peek(1)[:1]).isspace():
        stream.read(1)
    return stream, first


def _list(stream: IO[bytes], path: Path) -> Iterator[Record]:
    number = 0
    try:
        for value in ijson.items(stream, "item", use_float=True):
            number += 1
            yield Record(f"{path}, record {number}", value)
    except (ijson.JSONError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split("\\n")[0].split("\n")[0].removeprefix("b'").split())
        raise BrokenFile(f"{path} breaks off in record {number + 1} ({reason}): expected a whole JSON list") from None


def _lines(stream: IO[bytes], path: Path) -> Iterator[Record]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line.decode("utf-8"), parse_constant=_refuse)
            if b"\\u" in line:
                json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError: half a surrogate pair
            yield Record(where, value)
        except (ValueError, RecursionError) as error:  # Unicode errors are ValueErrors
            end = "" if line.endswith(b"\n") else "; the line has no end, so the file looks cut off"
            yield Record(where, DataError(f"{where} is not valid JSON in UTF-8 ({error}){end}"))


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
