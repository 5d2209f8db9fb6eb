"""Answers a synthetic question from its program and the fact rows alone.

It knows the file format and nothing of the package: the rows are those of `data/5tuple/*.jsonl`, days are compared
as ISO dates, which sort as text.  What generator and solver agree on is therefore more than the generator's opinion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """One way to follow the relations: the last tail's name and the facts on the way."""

    answer: str
    path: tuple[int, ...]


class Solver:
    """Follows relations through one knowledge base.

    Args:
        rows: The facts in the order of their file.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.names: set[str] = set()
        self._facts: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            self.names |= {row["head"]["name"], row["tail"]["name"]}
            self._facts.setdefault(row["head"]["name"], []).append(number)

    def solve(self, program: Row) -> list[Found]:
        """Every answer; a time restricts the last hop only."""
        reached = [Found(program["head"], ())]
        for hop, relation in enumerate(program["relations"]):
            last = hop == len(program["relations"]) - 1
            reached = [
                Found(self.rows[number]["tail"]["name"], (*found.path, number))
                for found in reached
                for number in self.facts_of(found.answer, relation)
                if not last or program["time"] is None or overlap(self.rows[number]["time_window"], program["time"])
            ]
        return reached

    def facts_of(self, head: str, relation: str) -> list[int]:
        """Facts with this head and relation, whenever they hold."""
        return [number for number in self._facts.get(head, []) if self.rows[number]["relation"]["id"] == relation]


def overlap(fact: Row, asked: Row) -> bool:
    """Whether two half-open windows share a day; a fact's window without ends and source is unknown and shares none."""
    if fact["start"] is None and fact["end"] is None and fact["source"] is None:
        return False
    fact_starts_in_time = fact["start"] is None or asked["end"] is None or fact["start"] < asked["end"]
    fact_ends_in_time = fact["end"] is None or asked["start"] is None or asked["start"] < fact["end"]
    return fact_starts_in_time and fact_ends_in_time
