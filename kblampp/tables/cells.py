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
_SPACES = re.compile(r" *")
_OPENING = re.compile(r' *"')
_QUOTED = re.compile(r'[^"]*(?:""[^"]*)*')
_SEP_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t ]*(?:\r\n|\n|\r|$)', re.IGNORECASE)


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
    plain = re.compile(rf"[^{re.escape(separator)}\r\n]*")
    while at < len(text):
        end = LINE_END.search(text, at)
        stop, following = (end.start(), end.end()) if end else (len(text), len(text))
        raw, problem, n_lines = text[at:stop], None, 1
        if '"' not in raw:
            cells = raw.split(separator)
        else:
            alone = line < until  # a row that a broken quote would hold has but its line, so that none is read often
            cells, reached, problem = _quoted(raw, 0, plain) if alone else _quoted(text, at, plain)
            reached += at if alone else 0
            if reached > stop:
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


def _quoted(text: str, at: int, plain: re.Pattern[str]) -> tuple[list[str], int, str | None]:
    """The cells of a row with quotes, where it ends or is found to be none, and why it is none.

    Args:
        text: The table.
        at: Where the row begins.
        plain: A cell without quotes: up to a separator or the end of the line.
    """
    cells: list[str] = []
    n_lines = 0
    while True:
        quote = _OPENING.match(text, at)
        if quote:
            after = _end(_QUOTED, text, quote.end())
            cell = text[quote.end() : after]
            n_lines += cell.count("\n") + cell.count("\r")
            if after == len(text) or n_lines > 2 * MOST_LINES:
                after = len(text.rstrip("\r\n")) if after == len(text) else after
                return [], after, "a quote is not closed: close it, or write it twice inside a cell"
            at = after + 1
            at = _end(_SPACES, text, at)
            cells.append(cell.replace('""', '"'))
        else:
            begin, at = at, _end(plain, text, at)
            cells.append(text[begin:at])
        if at == len(text) or text[at] in "\r\n":
            return cells, at, None
        if _end(plain, text, at) > at:
            return [], at, "text follows a closing quote: write a quote inside a cell twice"
        at += 1


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a pattern that matches nothing too ends."""
    found = pattern.match(text, at)
    return found.end() if found else at
