"""All systems side by side: their answers as figures, and these as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kblampp.core.params import Params
from kblampp.evaluation.systems import Split
from kblampp.experiments.systems_answers import MODEL
from kblampp.experiments.systems_asked import ALWAYS, Rows, facts_of
from kblampp.experiments.systems_kept import Kept
from kblampp.model.predictor import Prediction
from kblampp.report.names import COMPARED, TRANSFER_GROUPS
from kblampp.report.tables import table_head, table_line
from kblampp.transfer.bases import DOSSIERS
from kblampp.transfer.measure import answers_of
from kblampp.transfer.scoring import Answer, holds_answer, score

ALL = "all"


def figures_of(rows: Rows, kept: Kept, systems: Sequence[str], params: Params) -> dict[str, dict[str, Any]]:
    """By row and system the figures of `scoring.score`, what share holds the answer, and the mean length of a prompt.

    Args:
        rows: What was asked.
        kept: What was said to it; a system that has nothing to say about a base of a row is not in the row.
        systems: Those that were asked.
        params: The seed and the number of samples of the bootstrap.
    """
    how = {"bootstrap_samples": params.eval.bootstrap_samples, "seed": params.seed}
    table: dict[str, dict[str, Any]] = {}
    for row, splits in rows.items():
        there = [system for system in systems if all(kept.has(base, system) for base in splits)]
        if not there:
            continue
        answers = [answer for base, split in splits.items() for answer in _answers(base, split, kept, there)]
        table[row] = score(answers, **how)
        for system in there:
            held = [holds_answer(answer.question, answer.said[system]) for answer in answers]
            table[row][system]["holds"] = round(sum(held) / len(held), 5)
            lengths = [length for base in splits for length in kept.get(base, system).prompt_tokens]
            table[row][system]["prompt_tokens"] = round(sum(lengths) / len(lengths), 1)
    return table


def _answers(base: str, split: Split, kept: Kept, systems: Sequence[str]) -> list[Answer]:
    said = {system: kept.get(base, system) for system in systems}
    null = said[MODEL].null if MODEL in said else [None] * len(split.encoded)
    texts = {system: each.texts for system, each in said.items()}
    return answers_of(base, split, [Prediction("", null=score) for score in null], texts)


def sizes_of(rows: Rows) -> dict[str, dict[str, int]]:
    """By row how many questions, facts and bases there are."""
    return {
        row: {
            "questions": sum(len(split.encoded) for split in splits.values()),
            "facts": facts_of(splits),
            "bases": len(splits),
        }
        for row, splits in rows.items()
    }


def systems_table(result: Mapping[str, Any]) -> str:
    """All systems as Markdown: a line each, and what belongs to the figures below.

    Args:
        result: `metrics/<backbone>/systems.json`.
    """
    found_rows = result["table"]  # a file has its keys in another order
    order = {row: place for place, row in enumerate(ALWAYS)}
    table = {row: found_rows[row] for row in sorted(found_rows, key=lambda row: (order.get(row, len(order)), row))}
    columns = [(row, part) for row, systems in table.items() for part in _parts(row, systems)]
    lines = table_head(["system", *(_head(table, *column) for column in columns), "prompt tokens"])
    for system, label in COMPARED.items():
        found = {row: systems[system] for row, systems in table.items() if system in systems}
        if found:
            cells = [_cell(found.get(row), part) for row, part in columns]
            lines.append(table_line([label, *cells, f"{_mean_tokens(found):.0f}"]))
    return "\n".join([*lines, "", " ".join(_notes(result))])


def _parts(row: str, systems: Mapping[str, Any]) -> list[str]:
    """The columns of a row: of the dossiers groups of kinds as well."""
    groups = next(iter(systems.values()))["groups"]
    return [ALL, *(group for group in TRANSFER_GROUPS if row == DOSSIERS and group in groups)]


def _figure(system: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = system[ALL] if part == ALL else system["groups"][part]
    return found


def _head(table: Mapping[str, Any], row: str, part: str) -> str:
    n = _figure(next(iter(table[row].values())), part)["n"]
    return f"{row} ({n})" if part == ALL else f"{row}: {TRANSFER_GROUPS[part]} ({n})"


def _cell(system: Mapping[str, Any] | None, part: str) -> str:
    if system is None:
        return "–"
    figure = _figure(system, part)
    holds = f" ({system['holds']:.3f})" if part == ALL and "holds" in system else ""
    return f"{figure['share']:.3f} ± {figure['stderr']:.3f}{holds}"


def _mean_tokens(found: Mapping[str, Any]) -> float:
    return float(
        sum(row["n"] * row["prompt_tokens"] for row in found.values()) / sum(row["n"] for row in found.values())
    )


def _notes(result: Mapping[str, Any]) -> list[str]:
    """The line below the table."""
    notes = [
        f"Backbone {result['backbone']}. Share of right answers ± bootstrap standard error, of the same (n) questions "
        "for all systems; an unanswerable question wants a refusal. In brackets: share whose words hold the right "
        "answer, whatever else they say. Prompt tokens: their mean, where it was asked. "
        "–: not asked; in context only where all questions say which facts answer them."
    ]
    if prompts := result.get("prompts"):
        shares = ", ".join(f"{style} {share:.3f}" for style, share in sorted(prompts["right_on_unseen"].items()))
        notes.append(
            f"Prompts without training: {prompts['style']}, chosen by {prompts['questions_per_kind']} questions of "
            f"each kind of unseen (right: {shares})."
        )
    for name, how in sorted(result["training"].items()):
        parts = [f"{how['steps']} steps"]
        if "seconds" in how:
            parts.append(f"{how['seconds']:.0f} s")
        if "style" in how:
            parts.append(f"{how['facts']} facts in a prompt, {how['style']}")
        notes.append(f"Training of {name}: {', '.join(parts)}.")
    if result["left_out"]:
        reasons: dict[str, list[str]] = {}
        for system in (system for system in COMPARED if system in result["left_out"]):
            reasons.setdefault(result["left_out"][system], []).append(COMPARED[system].strip("*"))
        parts = [f"{', '.join(names)} ({reason})" for reason, names in reasons.items()]
        notes.append(f"Left out: {'; '.join(parts)}.")
    return notes
