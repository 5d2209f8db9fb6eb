"""Images of the evaluation and of the trainings, drawn from the committed figures alone; `plots` lists them."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.ticker import LogLocator

from kblampp.core.errors import DataError
from kblampp.report.names import (
    FIGURES,
    GREY,
    INK,
    LOSSES,
    REFUSALS,
    TYPE_NAMES,
    WORLDS,
    split_name,
    splits_in_order,
    systems,
)
from kblampp.report.style import drawn, label_lines, read_points

FLOOR = 1e-4
"""Smaller losses are drawn as this one: the axis is logarithmic."""


def draw_em(metrics: Path, output: Path) -> None:
    """Bars of EM with their standard errors: a panel a split, a group a question type, a colour a system.

    Raises:
        DataError: The rows are missing, or none is of a model or baseline.
    """
    source = metrics / "eval" / "plots" / "em_by_type.json"
    rows = read_points(source, ("split", "system", "type", "em", "em_stderr"))
    found = {(row["split"], row["system"], row["type"]): row for row in rows}
    every = dict.fromkeys(row["split"] for row in rows)
    splits = [split for split in WORLDS if split in every] or splits_in_order(every)
    shown = systems(system for split, system, _ in found if split in splits)
    kinds = [kind for kind in TYPE_NAMES if any(key[2] == kind for key in found)]
    if not shown or not kinds:
        raise DataError(f"{source} has no EM of a model or baseline to draw; run `dvc repro eval`")
    bar = 0.86 / len(shown)
    with drawn(output, 0.5 + 2.3 * len(splits)) as figure:
        panels = figure.subplots(len(splits), squeeze=False)[:, 0]
        for axes, split in zip(panels, splits, strict=True):
            for number, (system, name) in enumerate(shown.items()):
                for place, kind in enumerate(kinds):
                    if (row := found.get((split, system, kind))) is None:
                        continue
                    at = place + (number - (len(shown) - 1) / 2) * bar
                    axes.bar(at, row["em"], 0.9 * bar, color=name.colour)
                    axes.errorbar(at, row["em"], row["em_stderr"], color=INK, linewidth=0.8, capsize=1.5)
                    top = row["em"] + row["em_stderr"] + 0.015
                    label = f"{100 * row['em']:.0f}"
                    size = 7 if len(label) < 3 else 5.5  # three digits are wider than a bar
                    axes.text(at, top, label, ha="center", va="bottom", fontsize=size)
            axes.set(title=split_name(split).label, ylabel=FIGURES["em"], ylim=(0, 1.1), yticks=[0, 0.25, 0.5, 0.75, 1])
            axes.set_xticks(range(len(kinds)), [TYPE_NAMES[kind].label for kind in kinds])
        handles = [panels[0].plot([], [], "s", color=name.colour, label=name.short)[0] for name in shown.values()]
        figure.legend(
            handles=handles, loc="outside upper center", ncols=len(shown), frameon=False, fontsize=8,
            handletextpad=0, columnspacing=0.9,
        )  # fmt: skip


def draw_recall(metrics: Path, output: Path) -> None:
    """Lines of recall by k: a panel a split, a line a question type; nothing if nothing was retrieved.

    Raises:
        DataError: The rows are missing.
    """
    rows = read_points(metrics / "eval" / "plots" / "recall_by_k.json", ("split", "type", "k", "recall"))
    if not rows:
        return
    splits = splits_in_order(row["split"] for row in rows)
    ks = sorted({row["k"] for row in rows})
    lowest = min(row["recall"] for row in rows)
    with drawn(output, 2.6) as figure:
        panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
        for axes, split in zip(panels, splits, strict=True):
            ends = {}
            for kind, name in TYPE_NAMES.items():
                points = sorted((r["k"], r["recall"]) for r in rows if (r["split"], r["type"]) == (split, kind))
                if points:
                    axes.plot(*zip(*points, strict=True), color=name.colour, marker="o", markersize=3, clip_on=False)
                    ends[name.label] = (*points[-1], name.colour)
            axes.set_xscale("log", base=2)
            ticks = [2**power for power in range(ks[-1].bit_length()) if 2**power >= ks[0]]
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
            axes.set(title=split_name(split).label, xlabel="k", ylim=(lowest - 0.08 * (1 - lowest) - 0.002, 1))
        panels[0].set_ylabel("recall@k")
        label_lines(panels[-1], ends)


def draw_risk(metrics: Path, output: Path) -> None:
    """Lines of the risk among the questions that the model is surest of, by their share: a line a split.

    Without confidence, as with `top_k` 0, nothing is drawn.

    Raises:
        DataError: The rows are missing.
    """
    rows = read_points(metrics / "eval" / "plots" / "risk_coverage.json", ("split", "coverage", "risk"))
    if not rows:
        return
    splits = splits_in_order(row["split"] for row in rows)
    with drawn(output, 3.2) as figure:
        axes = figure.subplots()
        ends = {}
        for split in splits:
            points = sorted((row["coverage"], row["risk"]) for row in rows if row["split"] == split)
            name = split_name(split)
            axes.plot(*zip(*points, strict=True), color=name.colour, clip_on=False)
            ends[name.label] = (*points[-1], name.colour)
        highest = max(row["risk"] for row in rows)
        axes.set(xlabel="coverage: share of the questions, the surest first", xlim=(0, 1))
        axes.set(ylabel="risk: wrong among them", ylim=(0, 1.08 * highest or 1))
        label_lines(axes, ends)


def draw_reliability(metrics: Path, output: Path) -> None:
    """Lines of the share of right answers by their probability, with the calibration error: a line a split.

    On the dashed line answers are right as often as they are probable.  Without confidence nothing is drawn.

    Raises:
        DataError: The rows are missing.
    """
    rows = read_points(metrics / "eval" / "plots" / "reliability.json", ("split", "confidence", "right", "ece"))
    if not rows:
        return
    with drawn(output, 3.6) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        ends = {}
        for split in splits_in_order(row["split"] for row in rows):
            points = sorted((row["confidence"], row["right"]) for row in rows if row["split"] == split)
            error, name = next(row["ece"] for row in rows if row["split"] == split), split_name(split)
            axes.plot(*zip(*points, strict=True), color=name.colour, marker="o", markersize=3, clip_on=False)
            ends[f"{name.label}, {REFUSALS['ece']} {error:.3f}"] = (1.0, points[-1][1], name.colour)
        axes.set(xlabel="probability of the answer: means of bins of equally many", xlim=(0, 1))
        axes.set(ylabel="share right", ylim=(0, 1.02))
        label_lines(axes, ends)


def draw_losses(metrics: Path, output: Path) -> None:
    """Curves of the losses of both trainings by step, on one logarithmic axis; nothing if neither had a step.

    Raises:
        DataError: A training has no files.
    """
    curves = {stage: read_curves(metrics / stage / "plots" / "metrics" / "train") for stage in ("trainA", "trainB")}
    drawable = {stage: lines for stage, lines in curves.items() if lines}
    if not drawable:
        return
    with drawn(output, 3.2) as figure:
        panels = figure.subplots(1, len(drawable), sharey=True, squeeze=False)[0]
        for axes, (stage, lines) in zip(panels, drawable.items(), strict=True):
            for name, points in lines.items():
                width = 2.0 if name == "loss" else 1.3
                axes.plot(*zip(*points, strict=True), color=LOSSES[name].colour, linewidth=width)
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
            axes.set(title=f"Stage {stage[-1]}", xlabel="step")
        panels[0].set_ylabel("loss")
        for axes, lines in zip(panels, drawable.values(), strict=True):
            label_lines(axes, {LOSSES[n].label: (*points[-1], LOSSES[n].colour) for n, points in lines.items()})


def read_curves(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Loss -> (step, value) pairs from DVCLive's files, those of `LOSSES` that have points.

    Raises:
        DataError: `loss.tsv` is missing, or a file is not of numbers.
    """
    if not (folder / "loss.tsv").is_file():
        raise DataError(f"{folder / 'loss.tsv'} does not exist, expected the curve of a training; run the stage")
    curves = {}
    for name in LOSSES:
        path = folder / f"{name}.tsv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                try:
                    rows = [(float(r["step"]), float(r[name])) for r in csv.DictReader(file, delimiter="\t")]
                except (KeyError, TypeError, ValueError) as error:
                    raise DataError(f"{path} has no columns of numbers named step and {name}; run the stage") from error
            if rows:
                curves[name] = [(step, max(value, FLOOR)) for step, value in rows]
    return curves
