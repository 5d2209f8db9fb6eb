"""Images of what stands behind an answer, one for each type of question, drawn from the committed evidence alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from kblampp.core.errors import DataError
from kblampp.core.files import atomic_dir
from kblampp.data.calendar import date_of, day_number, year_in_words
from kblampp.data.windows import day
from kblampp.report.names import BLUE, DEEP_ORANGE, FAINT_ORANGE, GREEN, GREY, INK, NAVY, ORANGE, PALE_ORANGE, SKY
from kblampp.report.style import drawn, label_lines, read_points

KEYS = ("type", "question", "answer", "prediction", "question_time", "layers", "heat_map", "tokens", "timeline")
LAYER_COLOURS = (SKY, BLUE, NAVY, INK)
MOST_FACTS, MOST_WINDOWS, LABEL_WIDTH = 9, 9, 84
MARGIN_DAYS = 2 * 365.25
"""How far a timeline goes beyond its first and last date; open windows run to its edge."""


def draw_questions(metrics: Path, output: Path) -> None:
    """Draws `<type>.png` for each question of `evidence/plots/questions.json` (written by `dump_evidence`).

    Args:
        metrics: The folder `metrics`, with `evidence` in it.
        output: Folder of the images; it is replaced.

    Raises:
        DataError: The file is missing or is not of that form.
    """
    source = metrics / "evidence" / "plots" / "questions.json"
    rows = read_points(source, KEYS)
    with atomic_dir(output) as folder:
        for row in rows:
            try:
                draw_question(row, folder / f"{row['type']}.png")
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise DataError(
                    f"{source} has no complete drawing of type {row['type']!r} ({type(error).__name__}: {error}); "
                    "run `dvc repro dump_evidence`"
                ) from error


def draw_question(row: Mapping[str, Any], output: Path) -> None:
    """Draws one question: weights of the facts, gates over the tokens and, if facts compete in time, their windows.

    Args:
        row: An object of `metrics/evidence/plots/questions.json` (docs/data-formats.md).
        output: The PNG file.
    """
    shown = _shown(row["heat_map"])
    windows = _dated(row)
    heights = [0.95 + 0.23 * len(shown), 2.0] + ([0.75 + 0.23 * len(windows)] if windows else [])
    question = textwrap.wrap(row["question"], 88)
    gold = row["answer"] or "none in the base"
    with drawn(output, sum(heights) + 0.25 * len(question)) as figure:
        figure.suptitle("\n".join(question), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        parts = figure.subfigures(len(heights), height_ratios=heights, squeeze=False)[:, 0]
        answers = f"answer: {gold}   |   model: {row['prediction']}   |   green: what is right"
        parts[0].suptitle(answers, x=0.01, ha="left", fontsize=9.5)
        layers = row["layers"]
        _draw_weights(parts[0].subplots(1, 2, sharey=True, width_ratios=(len(layers), 4)), row, shown)
        _draw_gates(parts[1].subplots(), row["tokens"], layers)
        if windows:
            _draw_windows(parts[2].subplots(), row, windows)


def _shown(heat_map: Mapping[str, Any]) -> list[int]:
    """Which facts are drawn, top down: the supporting ones and the weightiest of any layer, then the null fact."""
    facts, alpha = heat_map["facts"], heat_map["alpha"]
    best = [max(layer[place] for layer in alpha) for place in range(len(facts))]
    ranked = sorted(range(len(facts) - 1), key=lambda place: (not facts[place]["supporting"], -best[place]))
    return [*sorted(ranked[:MOST_FACTS], key=lambda place: -best[place]), len(facts) - 1]


def _draw_weights(panels: Sequence[Axes], row: Mapping[str, Any], shown: Sequence[int]) -> None:
    """A heat map of alpha, facts by layers, and bars of the last layer's alpha in the same rows."""
    grid, bars = panels
    facts, alpha, layers = row["heat_map"]["facts"], row["heat_map"]["alpha"], row["layers"]
    values = [[layer[place] for layer in alpha] for place in shown]
    grid.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            grid.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=_on_blue(value))
    grid.set_xticks(range(len(layers)), layers, fontsize=8)
    grid.set_yticks(range(len(shown)), [_short(facts[place]["label"]) for place in shown], fontsize=7)
    last = [line[-1] for line in values]
    colours = [GREEN if facts[place]["supporting"] else GREY for place in shown]
    bars.barh(range(len(shown)), last, 0.7, color=colours)
    for y, value in enumerate(last):
        bars.text(value + 0.02, y, f"{value:.2f}", va="center", fontsize=7.5)
    bars.set(xlim=(0, 1.15), xticks=[])
    bars.tick_params(labelleft=False)
    for tick, place in zip(grid.get_yticklabels(), shown, strict=True):
        if facts[place]["supporting"]:
            tick.set(color=GREEN, fontweight="bold")
    grid.set_title("alpha by layer", fontsize=9)
    bars.set_title("alpha of the last layer", fontsize=9)
    for axes in (grid, bars):
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)


def _on_blue(value: float) -> str:
    return "white" if value > 0.55 else INK


def _draw_gates(axes: Axes, tokens: Mapping[str, Any], layers: Sequence[int]) -> None:
    """Fusion and copy gates at each token, and how much of each token of the answer was copied."""
    text, start = tokens["text"], tokens["answer_start"]
    places = range(len(text))
    edge, ends = len(text) - 0.5, {}
    axes.bar(places[start:], tokens["copied"], 0.8, color=PALE_ORANGE)
    if tokens["copied"]:
        ends["copied share"] = (edge, tokens["copied"][-1], DEEP_ORANGE)
    for number, (layer, gates) in enumerate(zip(layers, tokens["beta"], strict=True)):
        colour = LAYER_COLOURS[number % len(LAYER_COLOURS)]
        axes.plot(places, gates, color=colour, marker=".", linewidth=1)
        ends[f"beta, layer {layer}"] = (edge, gates[-1], colour)
    axes.hlines(tokens["copy_gate"], start - 0.5, edge, color=ORANGE, linewidth=1)
    ends["copy gate"] = (edge, tokens["copy_gate"], ORANGE)
    axes.axvline(start - 0.5, color=GREY, linestyle=":", linewidth=1)
    axes.set_xticks(places, [token.strip() or "↵" for token in text], rotation=90, fontsize=7)
    axes.set(ylim=(0, 1.03), xlim=(-0.7, len(text) - 0.3), yticks=[0, 0.5, 1])
    axes.set_title("gates over tokens (the answer is right of the dotted line)", fontsize=9)
    label_lines(axes, ends, size=8)


def _dated(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The competing facts, if time plays a part among them; the first ones alone where they are many."""
    facts = row["timeline"]["facts"]
    timed = any(pair and any(pair) for pair in (row["question_time"], *(fact["window"] for fact in facts)))
    return list(facts[:MOST_WINDOWS]) if timed else []


def _draw_windows(axes: Axes, row: Mapping[str, Any], facts: Sequence[Mapping[str, Any]]) -> None:
    """A bar for each competing fact's window, over a band for the question's; open ends run to the edge."""
    asked = row["question_time"]
    known = [text for pair in (asked, *(fact["window"] for fact in facts)) if pair for text in pair if text]
    days = [day(text) for text in known]
    low, high = min(days) - MARGIN_DAYS, max(days) + MARGIN_DAYS
    if asked:
        left, right = _ends(asked, low, high)
        axes.axvspan(left, right, color=FAINT_ORANGE, linewidth=0)
        axes.text((left + right) / 2, -0.75, "asked", color=ORANGE, ha="center", fontsize=8)
    for y, fact in enumerate(facts):
        colour = GREEN if fact["supporting"] else GREY
        if fact["window"] is None:
            axes.text(low, y, " window unknown", color=GREY, va="center", fontsize=8)
            continue
        left, right = _ends(fact["window"], low, high)
        axes.barh(y, right - left, 0.55, left, color=colour)
        axes.text((left + right) / 2, y, f"{fact['alpha']:.2f}", color="white", ha="center", va="center", fontsize=8)
    first, last = (date_of(int(end)).year for end in (low, high))
    ticks = range(first + 1, last + 1, max(1, (last - first) // 8))
    axes.set_xticks([day_number(year, 1, 1) for year in ticks], [year_in_words(year) for year in ticks])
    axes.set_yticks(range(len(facts)), [_short(fact["tail"], 40) for fact in facts], fontsize=8)
    axes.set(xlim=(low, high), ylim=(len(facts) - 0.5, -0.5))
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_title(
        f"windows of {row['timeline']['head']} — {row['timeline']['relation']}, with alpha", fontsize=9, pad=14
    )


def _ends(window: Sequence[str | None], low: float, high: float) -> tuple[float, float]:
    start, end = window
    return (low if start is None else day(start)), (high if end is None else day(end))


def _short(text: str, width: int = LABEL_WIDTH) -> str:
    """Cut in the middle, so that tail and window stay."""
    end = 3 * width // 5
    return text if len(text) <= width else f"{text[: width - end - 1]}…{text[-end:]}"
