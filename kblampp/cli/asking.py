"""The command `ask`: one question, many, or a prompt line."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from kblampp.asking.asked import Asked
from kblampp.asking.quiet import quiet
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.cli.output import Base, Json, KnownAt, Model, day_of, moment, say, whole
from kblampp.core.cache import cache_root
from kblampp.core.errors import DataError, KBLaMError
from kblampp.core.params import AnswerStyle
from kblampp.tables.questions import read_questions
from kblampp.tables.writing import line_of

BATCH = 64
"""Questions of a file that are read together."""


def ask(
    base: Base,
    questions: Annotated[
        list[str] | None, typer.Argument(metavar="[QUESTION…]", help="In quotes; without any a prompt line, or stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", metavar="FILE", help="A question a line.")] = None,
    today: Annotated[
        str | None, typer.Option(metavar="DAY", help='The day of asking, which "now" means; today without.')
    ] = None,
    known_at: KnownAt = None,
    top: Annotated[int, typer.Option(parser=whole(0), metavar="N", help="Facts shown beside the answer.")] = 5,
    brief: Annotated[bool, typer.Option("--brief", "-b", help="The answers alone, one a line.")] = False,
    style: Annotated[
        str | None, typer.Option(metavar="STYLE", help="short, or sentence; without, as params.yaml says.")
    ] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Ask the base, and see what the answer was copied from.

    Example: kblampp ask my.kb "Who was the director of the Harrowgate Museum in 2001?"
    """
    opened = KnowledgeBase.open(base)
    given = _given(questions or [], file)
    quiet()
    from kblampp.asking.kb_model import KBModel  # brings torch along: after what can be refused without it
    from kblampp.asking.replies import as_text

    reader = KBModel.open(model)
    day, wanted = day_of(today, "--today"), _style_of(style)

    def answer(some: Sequence[str]) -> None:
        asked = [Asked(question, day, moment(known_at), top, wanted) for question in some]
        for reply in reader.ask(opened, asked):
            if as_json:
                lines = [json.dumps(reply.to_json(), ensure_ascii=False)]
            elif brief:
                lines = [line_of(reply.text)]
            else:
                lines = [*as_text(reply), ""]
            sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

    if given is None:
        say(f"{opened.count()} facts, read by {reader.name}; an empty line ends")
        for question in _prompted():
            try:
                answer([question])
            except KBLaMError as error:
                say(f"error: {error}")
        return
    for start in range(0, len(given), BATCH):
        answer(given[start : start + BATCH])


def _style_of(text: str | None) -> AnswerStyle | None:
    if text is None or text in ("short", "sentence"):
        return cast(AnswerStyle | None, text)
    raise DataError(f"--style is {text!r}, expected short or sentence")


def _given(questions: Sequence[str], file: Path | None) -> list[str] | None:
    """The questions that are asked; None where a person types them one by one."""
    if file is not None and questions:
        raise DataError("questions were given in quotes and with --file: use one of both")
    if file is not None:
        try:
            found = read_questions(file.read_bytes(), str(file))
        except OSError as error:
            raise DataError(f"{file} cannot be read ({error.strerror}): expected a question a line") from None
    elif questions:
        found = [question for question in questions if question.strip()]
    elif sys.stdin.isatty():
        return None
    else:
        found = read_questions(sys.stdin.buffer.read(), "standard input")
    if not found:
        raise DataError('there is no question: give one in quotes, such as "Who led Silver Harbor in 2012?"')
    return found


def _prompted() -> Iterator[str]:
    """What a person types, with a history over sessions where the system can keep one."""
    try:
        import readline
    except ImportError:  # Windows
        readline = None  # type: ignore[assignment]
    root = cache_root()
    history = None if readline is None or root is None else root / "questions"
    if readline is not None and history is not None:
        with contextlib.suppress(OSError):
            readline.read_history_file(history)
    try:
        while True:
            try:
                question = input("> ").strip()
            except EOFError:
                return
            if not question:
                return
            yield question
    finally:
        if readline is not None and history is not None:
            with contextlib.suppress(OSError):  # what was typed is no reason to fail
                history.parent.mkdir(parents=True, exist_ok=True)
                readline.set_history_length(1000)
                readline.write_history_file(history)
