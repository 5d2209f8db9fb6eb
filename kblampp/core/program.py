"""What every script in `stages/` does around its one function: parameters, seeds, errors, logs."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kblampp.core.errors import one_line_errors
from kblampp.core.params import Params
from kblampp.core.params_file import declared_params, load_params
from kblampp.core.processes import joined, threads_of_each

logger = logging.getLogger(__name__)

_TALKATIVE = ("transformers", "sentence_transformers", "httpx", "httpcore", "urllib3", "faiss")


def run_stage(
    name: str,
    function: Callable[[Params], None],
    argv: Sequence[str] | None = None,
    *,
    several: bool = False,
    beside: Sequence[str] = (),
) -> int:
    """Runs one stage of the pipeline as a program.

    The stage gets the parameters that `dvc.yaml` of the working directory declares for it and no others, so that DVC
    knows of everything that its files depend on.  "threads" and "seed" among them set torch's threads and all random
    generators before the start.

    Args:
        name: The stage's name in `dvc.yaml`.
        function: The work; its docstring is the program's help.
        argv: The arguments; None takes the program's own.
        several: Whether several processes can do the work together (`core.processes`).
        beside: Parameters that the stage gets without a declaration: those on which none of its files depends, so that
            DVC must not run it again for another value.

    Returns:
        The exit status: 0, 1 after an error of the package, told in one line on stderr, or 130 after an interrupt. Any
        other exception is a defect and keeps its traceback.
    """
    arguments = _parser(name, function).parse_args(argv)
    _configure_logging()
    if "DVC_EXP_BASELINE_REV" in os.environ and not knows_the_author():
        logger.warning(
            "git does not know who you are, and DVC commits an experiment's start when files have changed: run "
            "`git config user.name NAME` and `git config user.email ADDRESS` before the next `dvc exp run`"
        )

    def work() -> None:
        with joined(name, several=several):
            declared = declared_params(name)
            params = load_params(arguments.params, only=[*declared, *beside])
            _prepare(params, declared)
            function(params)
            logger.info("%s: done", name)

    return one_line_errors(work)


def knows_the_author() -> bool:
    """Whether git in the working directory has a name and an address to commit with."""
    for variable, key in (("NAME", "user.name"), ("EMAIL", "user.email")):
        if any(os.environ.get(f"GIT_{role}_{variable}") for role in ("AUTHOR", "COMMITTER")):
            continue
        try:
            found = subprocess.run(["git", "config", "--get", key], capture_output=True, check=False)
        except OSError:  # DVC will say that there is no git
            return True
        if not found.stdout.strip():
            return False
    return True


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


def _prepare(params: Params, declared: Sequence[str]) -> None:
    """Sets threads and seeds, for a stage that depends on them."""
    if "threads" not in declared and "seed" not in declared:
        return
    import torch  # here, because it takes seconds and some stages do without

    if "threads" in declared:
        torch.set_num_threads(threads_of_each(params.threads))
    if "seed" in declared:
        random.seed(params.seed)
        np.random.seed(params.seed)
        torch.manual_seed(params.seed)
