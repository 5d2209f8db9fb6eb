"""The exceptions of the package.

Each one is a `KBLaMError`, so a caller can catch everything the package raises on purpose, and a
builtin, so code that knows nothing of the package still catches it. A message is one sentence:
what is wrong, where, what was expected and what to do.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable


class KBLaMError(Exception):
    """Base of all errors that the package raises on purpose."""


class ParamsError(KBLaMError, ValueError):
    """`params.yaml` is broken, or a stage reads a parameter that it did not declare."""


class DataError(KBLaMError, ValueError):
    """A fact, a question or a date does not have the form it must have."""


class StoreError(KBLaMError, ValueError):
    """A folder with a manifest (store, index, …) is missing, damaged or of another kind."""


class CheckpointError(KBLaMError, ValueError):
    """Saved weights do not fit the model they are loaded into."""


class TrainingError(KBLaMError, RuntimeError):
    """Training cannot go on."""


class BackboneError(KBLaMError, ValueError):
    """A language model cannot be loaded, or its layers cannot be found."""


class EncoderError(KBLaMError, RuntimeError):
    """The sentence encoder is missing or its weights are not the expected ones."""


def one_line_errors(work: Callable[[], object]) -> int:
    """Runs the work of a program and tells an error of the package in one line on stderr.

    What the program reads and writes on its standard streams is UTF-8 on every system.

    Returns:
        The exit status: 0, 1 after an error of the package, or 130 after an interrupt. Any other exception is a defect
        and keeps its traceback.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # in a file or pipe on Windows they are of the locale otherwise
            stream.reconfigure(encoding="utf-8", errors=stream.errors)
    try:
        work()
    except KBLaMError as error:
        sys.stderr.write(f"error: {' '.join(str(error).splitlines())}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


def first_line(error: Exception) -> str:
    """What went wrong, on one line: messages of libraries go on for paragraphs."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text.rstrip(".:") if len(text) <= 200 else f"{text[:200]}…"
