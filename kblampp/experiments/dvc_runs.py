"""DVC experiments that a program runs: each in a temporary copy, its results read from what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import dvc.api
from dvc.exceptions import DvcException

from kblampp.core.errors import DataError


def run_experiment(name: str, changes: Mapping[str, Any], *, copy: Sequence[str] = (), target: str = "eval") -> None:
    """Runs an experiment in a folder of its own, so that the workspace stays as it is.

    Args:
        name: Its name; an older one of that name is forgotten.
        changes: Parameters by dotted name.
        copy: Files or folders outside git that it needs, such as raw data.
        target: The stage up to which it runs.

    Raises:
        DataError: It failed.
    """
    _dvc("exp", "remove", name, check=False)  # what an interrupted run has left
    settings = [part for key, value in changes.items() for part in ("-S", f"{key}={value}")]
    copied = [part for path in copy for part in ("--copy-paths", path)]
    _dvc("exp", "run", "--temp", "--name", name, *copied, *settings, target)


def file_of(experiment: str, path: str) -> str:
    """A text file as an experiment has left it, be it in git or in DVC's cache.

    Raises:
        DataError: There is no such experiment, or it has no such file.
    """
    try:
        return str(dvc.api.read(path, rev=experiment, encoding="utf-8"))
    except DvcException as error:
        raise DataError(
            f"experiment {experiment} has left no {path} ({str(error).splitlines()[0]}); look at the output of "
            f"`dvc exp run` above, and forget the experiment with `dvc exp remove {experiment}`"
        ) from error


def _dvc(*arguments: str, check: bool = True) -> None:
    output = None if check else subprocess.DEVNULL
    command = [sys.executable, "-m", "dvc", *arguments]
    status = subprocess.run(command, check=False, stdout=output, stderr=output, stdin=subprocess.DEVNULL).returncode
    if check and status:
        raise DataError(f"`dvc {' '.join(arguments)}` failed with status {status}; its output above says why")
