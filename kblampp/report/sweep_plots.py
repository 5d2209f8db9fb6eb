"""Images of the sweeps over parameters, drawn from the committed results alone; `plots` lists them."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.errors import DataError
from kblampp.core.files import read_json
from kblampp.report.names import FIGURES, INK, TYPE_NAMES, Name, sweeps_in_order
from kblampp.report.style import drawn, label_lines

LINES = {
    **{f"em_{kind}": TYPE_NAMES[kind] for kind in ("single_hop", "temporal", "two_hop")},
    "recall_at_1": Name(FIGURES["recall_at_1"], INK),
}


def draw_sweeps(metrics: Path, output: Path) -> None:
    """EM by type and recall@1 on `swap`: a panel a parameter, its values at even distances.

    Raises:
        DataError: The results are missing or are not of that form.
    """
    source = metrics / "sweep" / "table.json"
    done = read_json(source, error=DataError)
    try:
        done = sweeps_in_order(done)
        curves = {
            parameter: {
                figure: [(x, float(row[figure])) for x, row in enumerate(values.values()) if figure in row]
                for figure in LINES
            }
            for parameter, values in done.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{source} cannot be drawn: expected {{parameter: {{value: figures}}}}; run `make sweep`"
        ) from error
    if not done:
        raise DataError(f"{source} cannot be drawn: it holds no results; run `make sweep`")
    with drawn(output, 2.8) as figure:
        panels = figure.subplots(1, len(done), sharey=True, squeeze=False)[0]
        for axes, (parameter, lines) in zip(panels, curves.items(), strict=True):
            ends = {}
            for key, points in lines.items():
                if points:
                    name = LINES[key]
                    axes.plot(*zip(*points, strict=True), color=name.colour, marker="o", markersize=3, clip_on=False)
                    ends[name.label] = (*points[-1], name.colour)
            axes.set_xticks(range(len(done[parameter])), list(done[parameter]))
            axes.set(title=parameter)
        panels[0].set_ylabel("EM and recall@1 on swap")
        label_lines(panels[-1], ends)
