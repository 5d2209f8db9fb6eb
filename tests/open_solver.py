"""Answers a question about an open base from its program and the fact rows alone, in its own way.

It knows the file format and the meaning of programs, and nothing of the package: days are ISO dates, which sort as
text.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
TODAY = "2026-11-25"
EARLIEST, LATEST = "0001-01-01", "9999-12-31"


class OpenSolver:
    """Reads one knowledge base.

    Args:
        rows: The facts in the order of their file.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.names = {row[side]["name"] for row in rows for side in ("head", "tail")}
        self._of: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._to: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            self._of[row["head"]["name"], row["relation"]["id"]].append(number)
            self._to[row["tail"]["name"], row["relation"]["id"]].append(number)

    def solve(self, program: Row) -> tuple[str, list[int]] | None:
        """The answer and the facts that give it; None if there is no answer."""
        *earlier, relation = program["relations"]
        if program["inverse"]:
            facts = self._to[program["tail"], relation]
            heads = {self.rows[number]["head"]["name"] for number in facts}
            return (heads.pop(), facts) if len(heads) == 1 else None
        path: list[int] = []
        head = program["head"]
        for hop in earlier:
            found = self._chosen(head, hop, program, None)
            if len(found) != 1:
                return None
            path += found
            head = self.tail(found[0])
        facts = self._chosen(head, relation, program, program["time"])
        return self._answer(program, facts, path)

    def tail(self, number: int) -> str:
        """Name of a fact's tail."""
        return str(self.rows[number]["tail"]["name"])

    def row(self, head: str, relation: str) -> list[int]:
        """Facts of a head and relation in order of time."""
        return sorted(self._of[head, relation], key=lambda number: self._days(number)[0])

    def _days(self, number: int) -> tuple[str, str]:
        window = self.rows[number]["time_window"]
        return window["start"] or EARLIEST, window["end"] or LATEST

    def _chosen(self, head: str, relation: str, program: Row, time: Row | None) -> list[int]:
        row, mode = self.row(head, relation), program["mode"]
        if mode in ("first", "last"):
            return row[:1] if mode == "first" else row[-1:]
        if mode in ("before", "after"):
            places = [
                place + (1 if mode == "after" else -1) for place, n in enumerate(row) if self.tail(n) == program["tail"]
            ]
            return [row[place] for place in places if 0 <= place < len(row)]
        if mode == "now":
            return [n for n in row if self._days(n)[0] <= TODAY < self._days(n)[1]]
        if time is None:
            return row
        low, high = time["start"] or EARLIEST, time["end"] or LATEST
        found = [n for n in row if self._days(n)[0] < high and low < self._days(n)[1]]
        return self._in_span(found, low, high) if program["form"] in ("list", "count") else found

    def _in_span(self, found: list[int], low: str, high: str) -> list[int]:
        """Without who left in the first year as another came, or came in the last as another left."""
        next_year = f"{int(low[:4]) + 1:04}-01-01"
        last_year = f"{int(high[:4]) - 1:04}-01-01"
        if low == EARLIEST or high == LATEST or not next_year < last_year:
            return found
        inner = [n for n in found if self._days(n)[0] < last_year and next_year < self._days(n)[1]]
        came = any(low <= self._days(n)[0] < next_year for n in inner)
        went = any(last_year < self._days(n)[1] <= high for n in inner)
        left = {n for n in found if self._days(n)[0] < low and self._days(n)[1] <= next_year}
        entered = {n for n in found if last_year <= self._days(n)[0] and high < self._days(n)[1]}
        return [n for n in found if not (came and n in left) and not (went and n in entered)]

    def _answer(self, program: Row, facts: list[int], path: list[int]) -> tuple[str, list[int]] | None:
        form, time = program["form"], program["time"]
        if form == "yes_no":
            named = [n for n in facts if self.tail(n) == program["tail"]]
            return ("yes", named) if named else ("no", facts) if facts else None
        if form in ("start", "end"):
            named = [n for n in facts if self.tail(n) == program["tail"]]
            return (words(self.rows[named[0]]["time_window"][form], form), named) if len(named) == 1 else None
        names = list(dict.fromkeys(map(self.tail, facts)))
        if form in ("list", "count"):
            return ("; ".join(names) if form == "list" else str(len(names)), facts) if facts else None
        if len(names) > 1 and time is not None and time["start"] is None:
            facts = facts[-1:]
        elif len(names) > 1 and time is not None and time["end"] is None:
            facts = [n for n in facts if self._days(n)[0] >= time["start"]][:1]
        elif len(names) != 1:
            return None
        return self.tail(facts[0]), path + (facts if not path else facts[:1])


def words(day: str, form: str) -> str:
    """A day in words, as precise as it seems to be."""
    date = datetime.date.fromisoformat(day)
    whole_month = date.day == 1
    if form == "end":
        date -= datetime.timedelta(days=1)
    whole_year = whole_month and (date.month, date.day) in ((1, 1), (12, 31))
    return date.strftime("%Y" if whole_year else "%B %Y" if whole_month else f"{date.day} %B %Y")
