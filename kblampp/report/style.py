"""What all images have in common: one style, text that is never read as markup, and bytes that depend on the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

from kblampp.core.errors import DataError
from kblampp.core.files import atomic_write, read_json
from kblampp.report.names import GREY, INK, LIGHT_GREY

WIDTH = 8.0
"""Of every image, in inches; at DPI these are 1040 pixels, sharp at the 800 of a README."""
DPI = 130
COLOURS = 128
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same letters
    "font.size": 9.5,
    "text.parse_math": False,  # a dollar sign in a fact is a dollar sign
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LIGHT_GREY,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}


@contextmanager
def drawn(path: Path, height: float) -> Iterator[Figure]:
    """A figure of `WIDTH` by `height` inches, saved as PNG at `path` when the block ends well.

    The bytes depend on what is drawn and on the versions of matplotlib and Pillow alone: the user's own style does not
    matter, and no program, version or date is written into the file.
    """
    with style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure
        pixels = BytesIO()
        figure.savefig(pixels, format="png", dpi=DPI)
    image = Image.open(pixels).convert("RGB").quantize(COLOURS)  # a third of the bytes
    with atomic_write(path, "wb") as file:
        image.save(file, "PNG", optimize=True)


def read_points(path: Path, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Reads a JSON list of objects; an empty one says that nothing was measured, as with `top_k` 0.

    Raises:
        DataError: The file is missing or no such list, or an object lacks one of the keys.
    """
    rows = read_json(path, error=DataError)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} cannot be drawn: expected a list of objects; run the stage that writes it")
    for number, row in enumerate(rows):
        if missing := [key for key in keys if key not in row]:
            raise DataError(
                f"{path} cannot be drawn: object {number} has no {', '.join(missing)}; run the stage that writes it"
            )
    return rows


def spread(values: Sequence[float], gap: float, lowest: float, highest: float) -> list[float]:
    """Moves label positions apart, (n,), so that they keep their order and, where there is room, `gap` between them.

    Args:
        values: Where the labels would like to be.
        gap: Distance wanted.
        lowest: No label goes below.
        highest: No label goes above.
    """
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(order))
    apart = isotonic_regression(np.asarray(values)[order] - steps).x  # the nearest places that keep order and distance
    places = np.empty(len(order))
    places[order] = np.clip(apart, lowest, highest - steps[-1]) + steps
    return [float(place) for place in places]


def label_lines(axes: Axes, ends: Mapping[str, tuple[float, float, str]], *, size: float = 9) -> None:
    """Writes names beside the ends of lines, in their colours, instead of a legend.

    Args:
        axes: Where the lines are drawn; its limits are final.
        ends: Name -> x and y of the line's last point, and its colour.
        size: Of the letters, in points.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    figure.draw_without_rendering()  # brings limits and layout, and with them the transformations, up to date
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((x, y))[1]) for x, y, _ in ends.values()]
    inches = axes.get_window_extent().height / figure.dpi
    places = spread(heights, 1.35 * size / 72 / inches, 0.0, 1.0)
    right = max(x for x, _, _ in ends.values())
    for (name, (_, _, colour)), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            name,
            (right, place),
            (6, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=colour,
            fontsize=size,
            va="center",
            annotation_clip=False,
        )
