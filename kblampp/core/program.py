"""What every script in `stages/` does around its one function: parameters, seeds, errors, logs."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kblampp.core.errors import ParamsError, one_line_errors
from kblampp.core.params import Params, load_params, unread

logger = logging.getLogger(__name__)

STRICT_PARAMS = "KBLAMPP_STRICT_PARAMS"
_TALKATIVE = ("transformers", "sentence_transformers", "httpx", "httpcore", "urllib3", "faiss")


def run_stage(
    name: str,
    reads: Sequence[str],
    function: Callable[[Params], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Runs one stage of the pipeline as a program.

    Args:
        name: the stage's name in `dvc.yaml`.
        reads: the parameters it declares there, keys or sections. "threads" and "seed" among them
            set torch's threads and all random generators before the start.
        function: the work; its docstring is the program's help.
        argv: the arguments; None takes the program's own.

    Returns:
        The exit status: 0, 1 after an error of the package, told in one line on stderr, or 130
        after an interrupt. With `KBLAMPP_STRICT_PARAMS=1`, a declared parameter that was never
        read is an error too. Any other exception is a defect and keeps its traceback.
    """
    arguments = _parser(name, function).parse_args(argv)
    _configure_logging()

    def work() -> None:
        params = load_params(arguments.params, reads=reads)
        _prepare(params, reads)
        function(params)
        if os.environ.get(STRICT_PARAMS) == "1":
            _refuse_unread(name, params)
        logger.info("%s: done", name)

    return one_line_errors(work)


def _parser(name: str, function: Callable[[Params], None]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"stages/{name}.py",
        description=inspect.getdoc(function),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        metavar="FILE",
        help="the parameters (default: params.yaml)",
    )
    return parser


def _configure_logging() -> None:
    """Log lines go to stderr; a no-op for a caller that has set up logging before."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.WARNING)


def _prepare(params: Params, reads: Sequence[str]) -> None:
    """Sets threads and seeds, for a stage that depends on them."""
    if "threads" not in reads and "seed" not in reads:
        return
    import torch  # here, because it takes seconds and some stages do without

    if "threads" in reads:
        torch.set_num_threads(params.threads)
    if "seed" in reads:
        random.seed(params.seed)
        np.random.seed(params.seed)
        torch.manual_seed(params.seed)


def _refuse_unread(name: str, params: Params) -> None:
    left = unread(params)
    if left:
        raise ParamsError(
            f"stage {name} declares parameters that it never reads: {', '.join(left)}; "
            "remove them from READS and from dvc.yaml"
        )
