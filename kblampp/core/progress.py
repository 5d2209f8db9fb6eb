"""Progress of long work on stderr: a bar on a terminal, a line now and then in a file or in CI."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from kblampp.core.processes import place

SECONDS = 30
"""Between two lines; work that takes less writes none."""


def progress_bar(**options: Any) -> tqdm[Any]:
    """A progress bar, to be used as one of tqdm; of several processes the first alone shows it.

    Args:
        **options: Those of tqdm, such as `iterable`, `total` and `desc`.
    """
    if place():
        options["disable"] = True
    return tqdm(**options) if sys.stderr.isatty() else _Lines(**options)


class _Lines(tqdm):  # type: ignore[type-arg]  # at run time it takes no type argument
    """Writes whole lines where a bar would be drawn anew in its place."""

    def __init__(self, **options: Any) -> None:
        often = {"mininterval": SECONDS, "delay": SECONDS, "miniters": 1}
        super().__init__(**{**options, **often, "leave": False})  # a bar that is left would end in an empty line

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Writes the present state, also the last one, for which tqdm calls with an empty `msg` to clear the bar."""
        self.fp.write(f"{self}\n")
        self.fp.flush()
