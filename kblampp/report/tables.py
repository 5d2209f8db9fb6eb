"""The result tables of README and `docs/results.md`, made from metrics: ``python -m kblampp.report [--write]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError, one_line_errors
from kblampp.core.files import atomic_write, read_json
from kblampp.data.dataset import HEADLINE_SPLITS
from kblampp.report.names import (
    ABLATION_NAMES,
    FIGURES,
    GROUPS,
    KIND_NAMES,
    MODELS,
    REASONS,
    REFUSALS,
    TRANSFER_ASKED,
    TRANSFER_GROUPS,
    TRANSFER_SYSTEMS,
    TRANSFER_TRAINED,
    TYPE_NAMES,
    WORLDS,
    splits_in_order,
    systems,
)

README, PAGE = Path("README.md"), Path("docs/results.md")
BEGIN, END = "<!-- worlds: begin (python -m kblampp.report --write) -->", "<!-- worlds: end -->"
"""Around the tables of the page; those of the README's small table are `HEADLINE_BEGIN` and `HEADLINE_END`."""
HEADLINE_BEGIN, HEADLINE_END = "<!-- headline: begin (python -m kblampp.report --write) -->", "<!-- headline: end -->"
TRANSFER_BEGIN, TRANSFER_END = "<!-- transfer: begin (python -m kblampp.report --write) -->", "<!-- transfer: end -->"
"""Around the tables of unseen bases, of README and page alike."""
ABLATION_BEGIN = "<!-- transfer ablation: begin (python -m kblampp.report --write) -->"
ABLATION_END = "<!-- transfer ablation: end -->"
"""Around the page's table of what each part brings on unseen bases."""
TRANSFER_SMALL = ("dossiers", "yago")
"""Bases of the README's table."""
YAGO_SHOWN = ("temporal", "tail")
"""Kinds of question of the table of what each part brings."""
HEADLINE_ROWS = frozenset({"stage_a", "stage_b", "rag_4", "in_context"})
"""Rows of the README's table, in the order of all tables; its splits are `WORLDS`."""
SHOWN = ("f1", "recall_at_1", "recall_at_8", "time_accuracy")
"""Figures right of EM by type."""


def results(metrics: Path) -> str:
    """All tables as Markdown.

    Args:
        metrics: Folder of `table.json` and `abstention.json`.

    Raises:
        DataError: A file is missing or not JSON.
    """
    table = _ordered(read_json(metrics / "table.json", error=DataError))
    abstention = _ordered(read_json(metrics / "abstention.json", error=DataError))
    parts = [result_table(table), difference_line(table), ablation_table(table), refusal_table(abstention)]
    return "\n\n".join(part for part in parts if part)


def _ordered(splits: Mapping[str, Any]) -> dict[str, Any]:
    return {split: splits[split] for split in splits_in_order(splits)}


def result_table(table: Mapping[str, Any]) -> str:
    """Models and baselines: EM by question type with its standard error and n, and what it takes.

    Args:
        table: `metrics/eval/table.json`.
    """
    lines = table_head(["split", "system", *_type_heads(), *map(FIGURES.__getitem__, (*SHOWN, "prompt_tokens"))])
    for split, rows in table.items():
        for system, name in named_systems(rows).items():
            lines.append(table_line([split, name, *_cells(rows[system])]))
    note = (
        "EM ± bootstrap standard error, (n) questions. F1 and recall of the last hop's fact: of answerable questions. "
        "Time accuracy: share of top facts that hold at the time asked about, where others do not."
    )
    return "\n".join([*lines, "", note])


def headline_table(table: Mapping[str, Any]) -> str:
    """The README's small table: EM by question type on the worlds that are new to the model.

    Args:
        table: `metrics/eval/table.json`.

    Raises:
        DataError: It has no split of the worlds.
    """
    splits = [split for split in WORLDS if split in table]
    if not splits:
        raise DataError(
            f"the table has no figures of the synthetic worlds ({' or '.join(WORLDS)}), which the README shows; "
            "take those back with `git checkout metrics`"
        )
    lines, counts = table_head(["split", "system", *_type_heads()]), list[str]()
    for split in splits:
        asked: dict[str, list[str]] = {}
        for system, name in named_systems(table[split]).items():
            if system in HEADLINE_ROWS:
                rows = [table[split][system].get(kind) for kind in TYPE_NAMES]
                lines.append(table_line([split, name, *(shown(row and row["em"]) for row in rows)]))
                numbers = ", ".join(str(row["n"]) if row else "–" for row in rows)
                asked.setdefault(numbers, []).append(name.split(":")[0].strip("*"))
        counts.append(f"{split}: " + "; ".join(f"{n} for {', '.join(names)}" for n, names in asked.items()) + ".")
    return "\n".join([*lines, "", f"EM. Questions, in the order of the columns, on {' On '.join(counts)}"])


def _headline(table: Mapping[str, Any]) -> str:
    """Where Stage B is compared and ablations are measured."""
    return next((split for split in HEADLINE_SPLITS if split in table), HEADLINE_SPLITS[0])


def named_systems(found: Iterable[str]) -> dict[str, str]:
    """Models and baselines among the systems, in the order of their rows, by the name shown; ours is bold."""
    return {id_: f"**{name.label}**" if id_ in MODELS else name.label for id_, name in systems(found).items()}


def _type_heads() -> list[str]:
    return [name.label for name in TYPE_NAMES.values()]


def _cells(rows: Mapping[str, Any]) -> list[str]:
    answerable, temporal = rows.get("answerable", {}), rows.get("temporal", {})
    tokens = rows.get("all", {}).get("prompt_tokens")
    cells = [shown((temporal if name == "time_accuracy" else answerable).get(name)) for name in SHOWN]
    return [*(shown_em(rows.get(kind)) for kind in TYPE_NAMES), *cells, "–" if tokens is None else f"{tokens:.0f}"]


def difference_line(table: Mapping[str, Any]) -> str:
    """Stage B minus Stage A on the same questions, a sentence; empty if they were not compared."""
    split = _headline(table)
    rows = table.get(split, {}).get("stage_b", {})
    kinds = {kind: name.label for kind, name in TYPE_NAMES.items()} | {
        kind: GROUPS[kind] for kind in ("answerable", "all")
    }
    parts = [f"{name} {_difference(rows[kind])}" for kind, name in kinds.items() if _difference(rows.get(kind, {}))]
    if not parts:
        return ""
    return f"Stage B minus Stage A on {split}, EM with its 95 % interval (paired bootstrap): {'; '.join(parts)}."


def ablation_table(table: Mapping[str, Any]) -> str:
    """The model with one part off at a time; empty without ablations."""
    split = _headline(table)
    found = table.get(split, {})
    names = [name for name in ABLATION_NAMES if name in found]
    if not names:
        return ""
    figures = [FIGURES[name] for name in SHOWN]
    lines = table_head([f"{split}, without", *_type_heads(), *figures, "minus the whole"])
    for name in names:
        rows = found[name]
        lines.append(table_line([ABLATION_NAMES[name], *_cells(rows)[:-1], _difference(rows.get("all", {})) or "–"]))
    note = (
        "One part of the trained model switched off at a time, without another training. The last column is EM over "
        "all types minus that of the whole model on the same questions, with its 95 % interval (paired bootstrap)."
    )
    return "\n".join([*lines, "", note])


def refusal_table(abstention: Mapping[str, Any]) -> str:
    """Abstention by split; empty if nothing was measured.

    Args:
        abstention: `metrics/eval/abstention.json`.
    """
    if not abstention:
        return ""
    area = FIGURES["auroc"]
    lines = table_head(["abstention", area, *(f"{area}, {name}" for name in REASONS.values()), *REFUSALS.values()])
    for split, row in abstention.items():
        areas = [row.get("auroc"), *(row.get(reason, {}).get("auroc") for reason in REASONS)]
        lines.append(table_line([split, *map(shown, [*areas, *(row.get(name) for name in REFUSALS)])]))
    threshold = next((row["threshold"] for row in abstention.values() if "threshold" in row), None)
    note = (
        "Score: weight of the null fact. AUROC of each reason: its questions against all answerable ones. From EM to "
        f"accuracy: with questions refused whose score is above the threshold chosen on dev ({shown(threshold)}). "
        "AURC and ECE: confidence is the weight of the heaviest candidate, the null fact included."
    )
    return "\n".join([*lines, "", note])


def transfer_tables(table: Mapping[str, Any]) -> str:
    """Bases that nobody trained on: shares of right answers by group and by kind of question.

    Args:
        table: `metrics/transfer/table.json`.
    """
    note = (
        "Share of right answers ± bootstrap standard error, (n) questions. Broken: answers that are no name of the "
        "base letter by letter, date, number, yes, no or refusal. AUROC: weight of the null fact, unanswerable "
        "questions against all others. Lookup: tail of the model's top fact. Phrase lookup, without training: tail of "
        'the fact whose "relation of head" is nearest to the question.'
    )
    groups = _shares(table, "groups", TRANSFER_GROUPS, [FIGURES["auroc"], "broken"])
    return "\n".join([*groups, "", note, "", *_shares(table, "kinds", KIND_NAMES)])


def small_transfer_table(table: Mapping[str, Any]) -> str:
    """The dossiers together and YAGO, by group of kinds.

    Args:
        table: `metrics/transfer/table.json`.
    """
    chosen = {base: table[base] for base in TRANSFER_SMALL if base in table}
    return "\n".join(_shares(chosen, "groups", TRANSFER_GROUPS, [FIGURES["auroc"], "broken"]))


def transfer_ablation_table(result: Mapping[str, Any]) -> str:
    """What each part brings on bases that nobody trained on; a row that is not finished is left out.

    Args:
        result: `metrics/transfer/ablation.json`.
    """
    steps = result["steps"]
    kinds = {name: KIND_NAMES[name] for name in YAGO_SHOWN}
    heads = [*TRANSFER_GROUPS.values(), FIGURES["auroc"], *(f"YAGO: {name}" for name in kinds.values())]
    lines = table_head(["", "without", *heads])
    for part, how, names in (
        ("asked", "asked", TRANSFER_ASKED),
        ("trained", f"trained, {steps} steps", TRANSFER_TRAINED),
    ):
        for name in (name for name in names if name in result[part]):
            dossiers, yago = (result[part][name].get(base, {}) for base in TRANSFER_SMALL)
            groups = [_share(dossiers.get(group)) for group in TRANSFER_GROUPS]
            cells = [*groups, shown(dossiers.get("auroc")), *(_share(yago.get(kind)) for kind in kinds)]
            lines.append(table_line([how, names[name], *cells]))
    note = (
        "Share of right answers ± bootstrap standard error, (n) questions; the first six figures are of all dossiers "
        "together. Asked: the adapter as it is, one part switched off at a time, without another training. Trained: "
        f"Stage A anew, {steps} steps for every row, one parameter changed; compare these rows with each other alone."
    )
    return "\n".join([*lines, "", note])


def _shares(table: Mapping[str, Any], part: str, names: Mapping[str, str], more: Sequence[str] = ()) -> list[str]:
    """A line for each base and system, all dossiers together first; with `more`, AUROC and broken answers as well."""
    lines = table_head(["base", "system", *names.values(), *more])
    for base in sorted(table, key=lambda name: (name != "dossiers", name)):
        rows = table[base]
        for system in (system for system in TRANSFER_SYSTEMS if system in rows):
            cells = [_share(rows[system][part].get(name)) for name in names]
            after = [shown(rows[system].get("auroc")), f"{rows[system]['broken']} of {rows[system]['n']}"]
            lines.append(table_line([base, TRANSFER_SYSTEMS[system], *cells, *(after if more else ())]))
    return lines


def _share(row: Mapping[str, Any] | None) -> str:
    return "–" if row is None else f"{row['share']:.3f} ± {row['stderr']:.3f} ({row['n']})"


def table_head(names: Sequence[str]) -> list[str]:
    """The first two lines of a Markdown table."""
    return [table_line(names), "|---" * len(names) + "|"]


def table_line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def shown_em(row: Mapping[str, Any] | None) -> str:
    """EM with its standard error and n."""
    return "–" if not row else f"{row['em']:.3f} ± {row['em_stderr']:.3f} ({row['n']})"


def shown(value: float | None) -> str:
    """A figure with three digits."""
    return "–" if value is None else f"{value:.3f}"


def _difference(row: Mapping[str, Any]) -> str:
    """`+0.010 [-0.002, +0.021]` of a row that has been compared with another system, else nothing."""
    name = next((key.removesuffix("_low") for key in row if key.startswith("em_minus_") and key.endswith("_low")), None)
    if name is None:
        return ""
    return f"{row[name]:+.3f} [{row[f'{name}_low']:+.3f}, {row[f'{name}_high']:+.3f}]"


def with_table(text: str, table: str, where: str, begin: str = BEGIN, end: str = END) -> str:
    """The text with the part between the markers replaced.

    Raises:
        DataError: The markers are not there, or not in order.
    """
    first, last = text.find(begin), text.find(end)
    if not 0 <= first < last:
        raise DataError(f"{where} has no lines {begin!r} and {end!r} to put the table between; add them")
    return text[: first + len(begin)] + "\n" + table + "\n" + text[last:]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the tables, or writes them into README and page."""
    parser = argparse.ArgumentParser(prog="python -m kblampp.report", description=__doc__)
    parser.add_argument("--metrics", type=Path, default=Path("metrics/eval"), help="default: %(default)s")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write the small table into {README} and the others into {PAGE}, between their markers",
    )
    arguments = parser.parse_args(argv)

    def work() -> None:
        tables, transfer = results(arguments.metrics), arguments.metrics.parent / "transfer" / "table.json"
        unseen = read_json(transfer, error=DataError) if transfer.is_file() else {}
        ablation = transfer.with_name("ablation.json")
        parts = transfer_ablation_table(read_json(ablation, error=DataError)) if ablation.is_file() else ""
        if not arguments.write:
            found = [tables, *([transfer_tables(unseen)] if unseen else []), *([parts] if parts else [])]
            sys.stdout.write("\n\n".join(found) + "\n")
            return
        small = headline_table(read_json(arguments.metrics / "table.json", error=DataError))
        readme = with_table(README.read_text(encoding="utf-8"), small, str(README), HEADLINE_BEGIN, HEADLINE_END)
        page = with_table(PAGE.read_text(encoding="utf-8"), tables, str(PAGE))
        if unseen:
            readme = with_table(readme, small_transfer_table(unseen), str(README), TRANSFER_BEGIN, TRANSFER_END)
            page = with_table(page, transfer_tables(unseen), str(PAGE), TRANSFER_BEGIN, TRANSFER_END)
        if parts:
            page = with_table(page, parts, str(PAGE), ABLATION_BEGIN, ABLATION_END)
        for path, text in ((README, readme), (PAGE, page)):
            with atomic_write(path) as file:
                file.write(text)

    return one_line_errors(work)
