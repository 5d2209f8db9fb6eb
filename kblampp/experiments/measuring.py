"""What the programs that measure the adapter of params.yaml on bases never seen do around their one function."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from kblampp.core.errors import one_line_errors
from kblampp.core.files import write_json
from kblampp.core.params import Params
from kblampp.core.params_file import load_params

METRICS, SOME = Path("metrics/transfer"), Path(".ckpt/transfer")
"""Where figures go; those of a part do not replace those of all."""


def make_parser(
    name: str, text: str | None, *, part: str | None = None, metrics: str = str(METRICS)
) -> argparse.ArgumentParser:
    """A parser that knows `--params` and `--metrics`.

    Args:
        name: Of the module in this folder.
        text: Its docstring, which is the program's help.
        part: What the program says of a call that measures a part; the metrics of such a call go to `SOME`.
        metrics: What it says of the folder of all others.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m kblampp.experiments.{name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    elsewhere = "" if part is None else f", or {SOME} {part}"
    parser.add_argument("--metrics", type=Path, help=f"default: {metrics}{elsewhere}")
    return parser


def run_measurement(params: Path, measure: Callable[[Params], str], *, level: int = logging.INFO) -> int:
    """Measures with the parameters of a file and prints the lines that come of it.

    Args:
        params: The file; its `threads` are torch's.
        measure: The work, and what is to be printed.
        level: Of the log lines on stderr.

    Returns:
        The exit status; see `one_line_errors`.
    """
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", stream=sys.stderr)

    def work() -> None:
        loaded = load_params(params)
        torch.set_num_threads(loaded.threads)
        sys.stdout.write(measure(loaded) + "\n")

    return one_line_errors(work)


def run_on_backbone(
    name: str,
    text: str | None,
    argv: Sequence[str] | None,
    measure: Callable[[Params], dict[str, Any]],
    told: Callable[[dict[str, Any]], str],
) -> int:
    """A program that measures with the language model of params.yaml or another one, and writes `<name>.json`.

    Args:
        name: Of the module in this folder.
        text: Its docstring.
        argv: The arguments; None takes the program's own.
        measure: The work, with parameters whose backbone is the one asked for.
        told: The lines to print of what it gave.

    Returns:
        The exit status; see `one_line_errors`.
    """
    parser = make_parser(name, text)
    parser.add_argument("--backbone", help="another language model than that of params.yaml, such as smollm2")
    arguments = parser.parse_args(argv)

    def work(params: Params) -> str:
        backbone = arguments.backbone or params.backbone.name
        section = params.backbone.model_copy(update={"name": backbone})
        result = measure(params.model_copy(update={"backbone": section}))
        write_json((arguments.metrics or Path("metrics") / Path(backbone).name) / f"{name}.json", result)
        return told(result)

    return run_measurement(arguments.params, work)
