"""The list of commands, and how they end: ``kblampp``, or ``python -m kblampp``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from kblampp import __version__
from kblampp.cli import asking, reading, serving, writing
from kblampp.core.errors import DataError, first_line, one_line_errors

EPILOG = 'From nothing to an answer: kblampp init my.kb && kblampp import my.kb facts.csv && kblampp ask my.kb "Who …?"'

app = typer.Typer(
    name="kblampp",
    help="A knowledge base of timed facts that a language model reads inside its layers.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"kblampp {__version__}\n")
        raise typer.Exit


@app.callback()
def _whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Name and version, and nothing else.")
    ] = False,
) -> None:
    """Takes the options that stand before a command."""


for command in (
    writing.init,
    writing.import_,
    asking.ask,
    reading.facts,
    writing.add,
    writing.change,
    writing.end,
    writing.delete,
    writing.undo,
    writing.rollback,
    reading.history,
    reading.log,
    reading.verify,
    writing.compact,
    reading.export,
    serving.serve,
    serving.mcp,
    reading.doctor,
):
    app.command(command.__name__.rstrip("_"))(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit status: 0, 1 after an error of the package, 2 where the command is not understood, 130 after an
        interrupt.
    """
    status = 0

    def run() -> None:
        nonlocal status
        try:
            app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="kblampp")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except BrokenPipeError:  # whoever reads has seen enough
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
        except UnicodeError as error:
            raise DataError(f"a text is not UTF-8 ({first_line(error)}): write it in UTF-8") from None
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            problem = f"{place}{error.strerror or first_line(error)}"
            raise DataError(f"{problem}: check that it may be read and written") from None

    return one_line_errors(run) or status
