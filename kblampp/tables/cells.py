"""The rows and cells of a text: commas, semicolons, tabs or another character between them, quotes around them.

A quote counts at the beginning of a cell.  Where one is not closed, or text follows what closes it, only the line it
stands in is lost; the lines that it would have held are then rows of their own, and know it (`Record.inside`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kblampp.tables.decoding import LINE_END, stripped

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MOST_LINES = 1000
"""Most lines of one row: a quote that holds more is not closed."""
_QUOTED = re.compile(r'[^"]*(?:""[^"]*)*')
_SEP_LINE = re.compile(r'"?sep=([^\w\s"]|\t| )"?[,;\t ]*(?:\r\n|\n|\r|$)', re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """A row as it stands.

    Attributes:
        line: Where it begins, from 1.
        raw: Its text, without the end of its last line.
        cells: Its cells, stripped; empty if there is a problem.
        problem: Why it is no row; None if it is one.
        inside: The line of a quote that is not closed and would hold this row too; None if there is none.
    """

    line: int
    raw: str
    cells: list[str]
    problem: str | None = None
    inside: int | None = None

    @property
    def blank(self) -> bool:
        """Whether nothing stands in it."""
        return self.problem is None and not any(self.cells)


def sep_line(text: str) -> tuple[str, int] | None:
    """The separator that a first line such as "sep=;" names, and where the text goes on; None without such a line."""
    found = _SEP_LINE.match(text)
    return (found[1], found.end()) if found else None


def records(text: str, separator: str, *, at: int = 0, line: int = 1) -> Iterator[Record]:
    """Yields the rows from `at`, which is the beginning of `line`; blank ones too.

    Args:
        text: The table.
        separator: Between the cells.
        at: Where to begin.
        line: Number of the line there.
    """
    inside, until = None, 0
    while at < len(text):
        end = LINE_END.search(text, at)
        stop, following = (end.start(), end.end()) if end else (len(text), len(text))
        raw, problem, n_lines = text[at:stop], None, 1
        if '"' not in raw:
            cells = raw.split(separator)
        else:
            cells, reached, problem = _quoted(text, at, separator)
            n_lines += sum(1 for _ in LINE_END.finditer(text, at, reached))
            if problem is None:
                raw = text[at:reached]
                end = LINE_END.match(text, reached)
                following = end.end() if end else reached
            elif n_lines > 1:
                last = line + n_lines - 1
                problem = f"a quote holds lines {line} to {last}: close it, or write it twice inside a cell"
                if last > until:
                    inside, until = line, last
                n_lines = 1
        held = inside if line <= until and line != inside else None
        yield Record(line, raw, [] if problem else [stripped(cell) for cell in cells], problem, held)
        at, line = following, line + n_lines


def _quoted(text: str, at: int, separator: str) -> tuple[list[str], int, str | None]:
    """The cells of a row with quotes, where it ends or is found to be none, and why it is none."""
    opening = re.compile(r' *"' if separator != " " else '"')
    plain = re.compile(rf"[^{re.escape(separator)}\r\n]*")
    cells: list[str] = []
    n_lines = 0
    while True:
        quote = opening.match(text, at)
        if quote:
            content = _QUOTED.match(text, quote.end())
            after = content.end() if content else quote.end()
            cell = text[quote.end() : after]
            n_lines += cell.count("\n") + cell.count("\r")
            if after == len(text) or n_lines > 2 * MOST_LINES:
                after = len(text.rstrip("\r\n")) if after == len(text) else after
                return [], after, "a quote is not closed: close it, or write it twice inside a cell"
            at = after + 1
            while text.startswith(" ", at) and separator != " ":
                at += 1
            cells.append(cell.replace('""', '"'))
        else:
            found = plain.match(text, at)
            stop = found.end() if found else at
            cells.append(text[at:stop])
            at = stop
        if at == len(text) or text[at] in "\r\n":
            return cells, at, None
        if text[at] != separator:
            return [], at, "text follows a closing quote: write a quote inside a cell twice"
        at += 1
