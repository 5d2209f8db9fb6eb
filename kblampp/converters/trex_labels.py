"""The names of Wikidata's properties, from the side file that T-REx was made with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from kblampp.core.errors import DataError

LABELS = "wikidata-properties.csv"
_LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
_PROPERTY = re.compile(r"/(P\d+)>?$")


def read_labels(path: Path) -> dict[str, str]:
    """PID -> label, the first if there are several; other names of the property are left out.

    Raises:
        DataError: The file is missing, cannot be read, or has a line that is not `address <tab> kind <tab> "text"`.
    """
    labels: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8-sig") as file:
            for pid, label in _labels(file, path):
                labels.setdefault(pid, label)
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing: it names the predicates; {path.parent / 'README.md'} says where to get it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 ({error}); get the file again") from None
    return labels


def _labels(lines: Iterator[str], path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            uri, kind, quoted = line.rstrip("\n").split("\t")
            match, text = _PROPERTY.search(uri), json.loads(quoted)
            text.encode()  # half a surrogate pair cannot be written
        except (ValueError, AttributeError):
            match = None
        if match is None:
            raise DataError(
                f'{path}:{number}: expected a property\'s address, tab, kind, tab, "text", found {line[:60]!r}'
            )
        if kind == _LABEL and text.strip():
            yield match[1], text.strip()
