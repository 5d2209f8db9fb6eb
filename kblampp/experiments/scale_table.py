"""The curve as a table in the document and as a picture, from the figures that `benchmarks/scale.py` has written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError
from kblampp.core.files import atomic_write, read_json
from kblampp.report.names import GREY
from kblampp.report.style import drawn, label_lines
from kblampp.report.tables import table_head, table_line, with_table

BEGIN, END = "<!-- curve: begin (python benchmarks/scale.py --write) -->", "<!-- curve: end -->"
SYSTEMS = {
    "model": "KBLaM++",
    "phrase_lookup": "phrase lookup",
    "rag_8": "RAG, 8 sentences",
    "in_context": "in context",
}
COLOURS = {"model": "#b3331d", "phrase_lookup": "#2f6f8f", "rag_8": "#7a7a7a", "in_context": "#8a6d1d"}
SHAPES = {"embedded": "embedded", "smollm2_135m": "SmolLM2's shape"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of the sizes, the smallest first.

    Raises:
        DataError: The file is missing or holds none.
    """
    found = read_json(path, error=DataError)
    rows = found.get("rows") if isinstance(found, dict) else None
    if not isinstance(rows, dict) or not rows:
        raise DataError(f"{path} holds no rows: run `python benchmarks/scale.py`")
    return [rows[size] for size in sorted(rows, key=int)]


def curve_table(path: Path) -> str:
    """All figures as Markdown: answers, search, and what it costs."""
    rows = rows_of(path)
    sizes = [f"{row['facts']:,}" for row in rows]
    parts = [_answers(rows, sizes), _kinds(rows, sizes), _search(rows, sizes), _cost(rows, sizes), _aims(rows)]
    return "\n\n".join(parts)


def _answers(rows: list[dict[str, Any]], sizes: list[str]) -> str:
    lines = table_head(["EM of", *sizes])
    for system, label in SYSTEMS.items():
        for part in ("all", "answerable", "unanswerable"):
            cells = [_em(row, system, part) for row in rows]
            if any(cell != "–" for cell in cells):
                lines.append(table_line([f"{label}: {part}", *cells]))
    first = rows[0]
    note = (
        f"{first['questions']} questions, the same at each size; in context only where all facts of a base fit into "
        "the backbone's window."
    )
    return "\n".join([*lines, "", note])


def _kinds(rows: list[dict[str, Any]], sizes: list[str]) -> str:
    kinds = [name for name in rows[0]["systems"]["model"] if name not in ("all", "answerable", "unanswerable")]
    lines = table_head(["EM of the model by source and kind", "n", *sizes])
    for kind in kinds:
        number = rows[0]["systems"]["model"][kind]["n"]
        lines.append(table_line([kind, str(number), *(_em(row, "model", kind) for row in rows)]))
    return "\n".join(lines)


def _em(row: Mapping[str, Any], system: str, part: str) -> str:
    found = row["systems"].get(system, {}).get(part)
    return "–" if found is None else f"{found['em']:.3f}"


def _search(rows: list[dict[str, Any]], sizes: list[str]) -> str:
    names = {
        "search_recall_at_1": "a fact that answers (or begins) is the first search's best key",
        "search_recall_at_8": "… is among its 8 best",
        "last_layer_recall_at_1": "a fact that answers is what the last layer weighs most",
        "last_layer_recall_at_8": "… is among its 8 heaviest",
        "index_recall_at_8": "recall@8 of the index against all keys",
        "auroc": "AUROC of abstention",
        "answerable_refused": "answerable questions refused",
    }
    lines = table_head(["search and abstention", *sizes])
    for name, label in names.items():
        lines.append(table_line([label, *("–" if row[name] is None else f"{row[name]:.3f}" for row in rows)]))
    note = (
        f"The first four of the {rows[0]['with_facts']} questions whose source says which facts answer them (not the "
        f"dossiers); recall of the index of {rows[0]['index_compared']} to {rows[-1]['index_compared']} questions."
    )
    return "\n".join([*lines, "", note])


def _cost(rows: list[dict[str, Any]], sizes: list[str]) -> str:
    lines = table_head(["cost", *sizes])

    def line(label: str, cells: list[str]) -> None:
        lines.append(table_line([label, *cells]))

    for shape, label in SHAPES.items():
        for system in ("model", "rag_8", "bare"):
            name = SYSTEMS.get(system, "bare backbone")
            line(
                f"first token, {label}: {name}, ms", [f"{row['timing'][shape][system]['first_ms']:.0f}" for row in rows]
            )
        line(
            f"further token, {label}: {SYSTEMS['model']} / bare, ms",
            [" / ".join(f"{row['timing'][shape][each]['token_ms']:.1f}" for each in ("model", "bare")) for row in rows],
        )
    line("build a base (without strings), s", [f"{row['build_s']:.1f}" for row in rows])
    line("highest memory of the build, MB", [f"{row['build']['peak_mb']:,}" for row in rows])
    line("… before its first base, MB", [f"{row['build']['before_mb']:,}" for row in rows])
    line("open a base, ms", [f"{row['open_ms']:.0f}" for row in rows])
    line("highest memory of asking, MB", [f"{row['asking']['peak_mb']:,}" for row in rows])
    line("… before the first base, MB", [f"{row['asking']['before_mb']:,}" for row in rows])
    parts = {"all": "bytes a fact on disk", "keys": "… keys", "index": "… index", "values": "… values and contexts"}
    for part, label in parts.items():
        line(label, [f"{row['bytes_a_fact'][part]:,}" for row in rows])
    line("… other columns of the segment", [f"{row['bytes_a_fact']['columns']:,}" for row in rows])
    line("… SQLite file, with the facts and their vectors", [f"{row['bytes_a_fact']['file']:,}" for row in rows])
    return "\n".join(lines)


def _aims(rows: list[dict[str, Any]]) -> str:
    by_size = {row["facts"]: row for row in rows}
    small, large = by_size.get(1000), by_size[max(by_size)]
    if small is None or small is large:
        return "The aims compare a larger size with 1,000 facts, which was not measured."
    em = large["systems"]["model"]["all"]["em"] / small["systems"]["model"]["all"]["em"]
    timing = large["timing"]["smollm2_135m"]
    rag = timing["model"]["first_ms"] / timing["rag_8"]["first_ms"]
    own = timing["model"]["first_ms"] / small["timing"]["smollm2_135m"]["model"]["first_ms"]
    return (
        f"At {large['facts']:,} facts against 1,000: EM {_aim(em, 0.99, least=True)}; first token with SmolLM2's shape "
        f"{_aim(rag, 0.5, least=False)} of RAG's, and {_aim(own, 1.2, least=False)} of its own."
    )


def _aim(value: float, aim: float, *, least: bool) -> str:
    met = value >= aim if least else value <= aim
    return f"{value:.3f} (aim {'at least' if least else 'at most'} {aim}: {'met' if met else '**missed**'})"


def write_table(path: Path, page: Path) -> None:
    """Puts the table into a document, between its marks.

    Raises:
        DataError: The document has no marks, or the figures are missing.
    """
    text = page.read_text(encoding="utf-8")
    with atomic_write(page) as file:
        file.write(with_curve(text, path, page))


def with_curve(text: str, path: Path, page: Path) -> str:
    """A document with the table between its marks, a blank line on either side of it.

    Raises:
        DataError: It has no marks, or the figures are missing.
    """
    return with_table(text, f"\n{curve_table(path)}\n", str(page), BEGIN, END)


def draw_curve(path: Path, output: Path) -> None:
    """Draws EM, and the time to the first token, over the number of facts."""
    rows = rows_of(path)
    sizes = [row["facts"] for row in rows]
    with drawn(output, 3.4) as figure:
        left, right = figure.subplots(1, 2)
        ends: dict[str, tuple[float, float, str]] = {}
        for system, label in SYSTEMS.items():
            points = [(row["facts"], row["systems"][system]["all"]["em"]) for row in rows if system in row["systems"]]
            if points:
                left.plot(*zip(*points, strict=True), marker="o", markersize=4, color=COLOURS[system])
                ends[label] = (*points[-1], COLOURS[system])
        left.set(xscale="log", ylim=(0, 1.02), xlabel="facts of the base", title="EM, all questions")
        of_left, ends = ends, {}
        for system, label in (*list(SYSTEMS.items())[:3:2], ("bare", "bare backbone")):
            times = [row["timing"]["smollm2_135m"][system]["first_ms"] for row in rows]
            right.plot(sizes, times, marker="o", markersize=4, color=COLOURS.get(system, GREY))
            ends[label] = (sizes[-1], times[-1], COLOURS.get(system, GREY))
        right.set(xscale="log", xlabel="facts of the base", title="First token, ms (SmolLM2's shape)")
        right.set_ylim(bottom=0)
        for axes in (left, right):
            axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axes.minorticks_off()
        label_lines(left, of_left, size=8)
        label_lines(right, ends, size=8)
