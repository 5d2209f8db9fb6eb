"""Draws the images from metrics and plot data: `metrics/*/images/` and `metrics/sweep/sweep.png`."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.report.plots import draw_plots


def main(params: Params) -> None:
    """Draws every image of `kblampp/report/plots.py` again; it takes seconds and computes no result."""
    draw_plots(Path("metrics"))


if __name__ == "__main__":
    raise SystemExit(run_stage("plots", main))
