"""The image files of the experiment, and one page of them that needs no network: ``python -m kblampp.report.page``.

`dvc plots show` fetches its drawing code from the network; this draws the committed figures again and puts the images
into one HTML file.
"""

from __future__ import annotations

import argparse
import base64
import html
import sys
from collections.abc import Sequence
from pathlib import Path

from kblampp.core.errors import DataError, one_line_errors
from kblampp.core.files import atomic_write
from kblampp.report.plots import draw_plots, images

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>KBLaM++</title>
<style>body {{ font-family: sans-serif; max-width: 800px; margin: 2em auto; }} img {{ width: 100%; }}</style></head>
<body>
<h1>KBLaM++</h1>
{figures}
</body>
</html>
"""


def write_page(metrics: Path, page: Path) -> None:
    """Writes one HTML file that holds every image of `plots.PLOTS`; it refers to nothing outside itself.

    Raises:
        DataError: There is no image.
    """
    figures = [_figure(title, path) for title, path in images(metrics)]
    if not figures:
        raise DataError(f"{metrics} has no images to show; run `python -m kblampp.report.page --draw`")
    with atomic_write(page) as file:
        file.write(PAGE.format(figures="\n".join(figures)))


def _figure(title: str, image: Path) -> str:
    title = html.escape(title)
    data = base64.b64encode(image.read_bytes()).decode("ascii")
    return f'<h2>{title}</h2>\n<img alt="{title}" src="data:image/png;base64,{data}">'


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the page, after drawing the images again if asked to."""
    parser = argparse.ArgumentParser(prog="python -m kblampp.report.page", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--metrics", type=Path, default=Path("metrics"), help="folder of the figures; %(default)s")
    parser.add_argument("--draw", action="store_true", help="draw the image files again first")
    parser.add_argument("--page", type=Path, default=Path("dvc_plots/images.html"), help="default: %(default)s")
    arguments = parser.parse_args(argv)

    def work() -> None:
        if arguments.draw:
            draw_plots(arguments.metrics)
        write_page(arguments.metrics, arguments.page)
        sys.stdout.write(f"{arguments.page}\n")

    return one_line_errors(work)


if __name__ == "__main__":
    raise SystemExit(main())
