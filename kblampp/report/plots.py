"""All images of the experiment: what is drawn, by which function, and where it stands below `metrics`.

To add one, write a function `draw_…(metrics, output)` in a file of this folder and its line in `PLOTS`.  It reads files
below `metrics` and writes `output`, or nothing where nothing was measured.  A file that no other plot reads is also a
dependency of the stage `plots` in `dvc.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kblampp.report.evaluation_plots import draw_em, draw_losses, draw_recall, draw_reliability, draw_risk
from kblampp.report.evidence_plots import draw_questions
from kblampp.report.names import TYPE_NAMES
from kblampp.report.sweep_plots import draw_sweeps


@dataclass(frozen=True)
class Plot:
    """One image, or a folder of images of one kind.

    Attributes:
        path: Below the folder `metrics`: a PNG file, or a folder with a PNG file for each question type.
        title: Above it on the page.
        draw: Draws it from the files below `metrics`, given as first argument, to the path given as second.
    """

    path: str
    title: str
    draw: Callable[[Path, Path], None]


PLOTS = (
    Plot("eval/images/em_by_type.png", "EM by question type", draw_em),
    Plot("eval/images/recall_by_k.png", "Recall of the last hop's fact by k", draw_recall),
    Plot("eval/images/risk_coverage.png", "Error among the questions answered, by their share", draw_risk),
    Plot("eval/images/reliability.png", "Share of right answers by their probability", draw_reliability),
    Plot("eval/images/loss.png", "Losses of the trainings", draw_losses),
    Plot("evidence/images", "Evidence", draw_questions),
    Plot("sweep/sweep.png", "Sweeps over parameters", draw_sweeps),
)
"""In the order of the page."""


def draw_plots(metrics: Path) -> None:
    """Draws every image again; those of what is no longer measured are deleted.

    Args:
        metrics: The folder `metrics`.

    Raises:
        DataError: A file is missing or lacks what is to be drawn.
    """
    for plot in PLOTS:
        output = metrics / plot.path
        if output.is_file():
            output.unlink()
        plot.draw(metrics, output)


def images(metrics: Path) -> Iterator[tuple[str, Path]]:
    """Title and file of every image that is there, in the order of `PLOTS`."""
    for plot in PLOTS:
        path = metrics / plot.path
        if path.is_file():
            yield plot.title, path
        for kind, name in TYPE_NAMES.items():
            if (path / f"{kind}.png").is_file():
                yield f"{plot.title}: {name.label}", path / f"{kind}.png"
