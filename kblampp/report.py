"""The README's result table, made from the committed metrics: ``python -m kblampp.report [--write README.md]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kblampp.artifacts import atomic_write, read_json
from kblampp.errors import DataError, KBLaMError

BEGIN, END = "<!-- results: begin (python -m kblampp.report --write README.md) -->", "<!-- results: end -->"
TYPES = {
    "single_hop": "single-hop",
    "temporal": "temporal",
    "two_hop": "2-hop",
    "three_hop": "3-hop",
    "unanswerable": "unanswerable",
}
SPLITS = ("dev", "swap", "novel")
"""Order of the rows; other splits follow as they come."""
SYSTEMS = {
    "stage_a": "**KBLaM++ (Stage A)**",
    "in_context": "in context: gold + distractors",
    "closed_book": "closed book",
}


def result_table(table: Mapping[str, Any]) -> str:
    """EM by split, system and question type as a Markdown table, with its standard error and n.

    Args:
        table: `metrics/eval/table.json`.
    """
    table = {
        split: table[split] for split in [*(s for s in SPLITS if s in table), *(s for s in table if s not in SPLITS)]
    }
    lines = ["| split | system | " + " | ".join(TYPES.values()) + " |", "|---" * (len(TYPES) + 2) + "|"]
    for split, systems in table.items():
        for system, name in SYSTEMS.items():
            if system in systems:
                cells = [_cell(systems[system].get(kind)) for kind in TYPES]
                lines.append(f"| {split} | {name} | " + " | ".join(cells) + " |")
    lines += ["", "EM ± bootstrap standard error, (n) questions. Retrieval and abstention of the model:", ""]
    lines += ["| split | recall@1 | recall@8 | time accuracy | abstention AUROC |", "|---|---|---|---|---|"]
    for split, systems in table.items():
        lines.append(f"| {split} | " + " | ".join(_retrieval(systems.get("stage_a", {}))) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any] | None) -> str:
    return "–" if row is None else f"{row['em']:.3f} ± {row['em_stderr']:.3f} ({row['n']})"


def _retrieval(rows: Mapping[str, Any]) -> list[str]:
    figures = [
        rows.get("answerable", {}).get("recall_at_1"),
        rows.get("answerable", {}).get("recall_at_8"),
        rows.get("temporal", {}).get("time_accuracy"),
        rows.get("all", {}).get("abstain_auroc"),
    ]
    return ["–" if figure is None else f"{figure:.3f}" for figure in figures]


def with_table(text: str, table: str, where: str) -> str:
    """The text with the part between the markers replaced.

    Raises:
        DataError: The markers are not there, or not in order.
    """
    first, last = text.find(BEGIN), text.find(END)
    if not 0 <= first < last:
        raise DataError(f"{where} has no lines {BEGIN!r} and {END!r} to put the table between; add them")
    return text[: first + len(BEGIN)] + "\n" + table + "\n" + text[last:]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table, or writes it into a file."""
    parser = argparse.ArgumentParser(prog="python -m kblampp.report", description=__doc__)
    parser.add_argument("--table", type=Path, default=Path("metrics/eval/table.json"), help="default: %(default)s")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace the table between the markers of this file")
    arguments = parser.parse_args(argv)
    try:
        table = result_table(read_json(arguments.table, error=DataError))
        if arguments.write is None:
            sys.stdout.write(table + "\n")
        else:
            text = with_table(arguments.write.read_text(encoding="utf-8"), table, str(arguments.write))
            with atomic_write(arguments.write) as file:
                file.write(text)
    except KBLaMError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
