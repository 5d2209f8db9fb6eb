"""An answer and its question to a sentence: the statements that the grammar allows, of which the model writes one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kblampp.model.answers import NO, YES, Source
from kblampp.sentences import english
from kblampp.sentences.forms import agreeing
from kblampp.sentences.frames import Frame, Statements
from kblampp.sentences.grammar import statements
from kblampp.sentences.pieces import Piece, Pieces, as_sentence, own, text_of
from kblampp.sentences.reading import pieces_of

MOST = 48
"""Wordings of one answer that the language model compares."""
LONGEST = 400
"""Characters of a question, and of a sentence: longer ones are no sentence that anybody would say."""
_DAY = re.compile(r"[0-9]{1,2} [A-Z]")
Choose = Callable[[str, Sequence[str]], int]
"""Which of the wordings, (n,), of an answer to a question is written."""


@dataclass(frozen=True)
class Told:
    """A short answer, as it was decided.

    Attributes:
        question: The question.
        items: What was copied, each with its sources: one, or those of a list; none of a refusal.
        names: Names of facts that the question may mention, with their places.
    """

    question: str
    items: tuple[tuple[str, tuple[Source, ...]], ...]
    names: Mapping[str, Source]


def write_sentence(told: Told, choose: Choose) -> Pieces | None:
    """The sentence; None where the question gives none, so that the short answer is said.

    Args:
        told: The short answer and the question.
        choose: The language model.
    """
    found = wordings(told)
    if not found:
        return None
    texts = [text_of(pieces) for pieces in found]
    return found[choose(told.question, texts) if len(found) > 1 else 0]


def wordings(told: Told) -> list[Pieces]:
    """All sentences that say the short answer, each once; none where the question is not understood.

    Args:
        told: The short answer and the question.
    """
    read = statements(pieces_of(told.question, told.names)) if len(told.question) <= LONGEST else None
    if read is None:
        return []
    found = {text_of(pieces): pieces for pieces in map(as_sentence, _said(read, told))}
    return [pieces for text, pieces in found.items() if len(text) <= LONGEST][:MOST]


def _said(read: Statements, told: Told) -> Iterator[Pieces]:
    if not told.items:
        yield from _refused(read)
        return
    (text, sources), *more = told.items
    judged = not more and text in (YES, NO) and all(source.field == "fact" for source in sources)
    if judged != bool(read.confirmed):
        return
    if judged:
        answer = Piece(text.capitalize(), "fact", sources, name=True)
        for statement in read.confirmed if text == YES else read.denied:
            yield (answer, *own(","), *statement)
        return
    fields = {source.field for source in sources}
    if fields & {"start", "end"} and read.kind not in ("day", "phrase"):
        return
    if "fact" in fields and read.kind not in ("amount", "phrase"):
        return
    if read.kind == "day" and not any(letter.isdigit() for letter in text):
        return
    for frame in read.frames:
        for answer_pieces in _answers(told.items):
            day = bool(_DAY.match(text)) if read.kind == "day" else None
            yield from _filled(frame, answer_pieces, several=bool(more), day=day)


def _answers(items: Sequence[tuple[str, tuple[Source, ...]]]) -> Iterator[Pieces]:
    """The copied parts: "A, B and C"; before a single common noun an article may stand."""
    pieces = [Piece(text, "fact", sources, name=True) for text, sources in items]
    joined: list[Piece] = []
    for at, piece in enumerate(pieces):
        joined += own("and" if at == len(pieces) - 1 else ",") if at else ()
        joined.append(piece)
    yield tuple(joined)
    first = items[0][0].split()[0]
    if len(items) == 1 and english.is_plain(first) and first not in english.DETERMINERS:
        yield (*own("an" if first[0] in "aeiou" else "a"), *joined)


def _filled(frame: Frame, answer: Pieces, *, several: bool, day: bool | None) -> Iterator[Pieces]:
    """The statement with the answer; none where its verb or preposition does not fit.

    `day` says whether the answer is a day ("on"), or a month or year ("in"); None where it is no time.
    """
    ahead = frame.ahead
    if day is not None and ahead == own("in" if day else "on"):
        return
    equals = frame.before[-1] if frame.before and not frame.asks else None
    if equals is not None and (equals.text in ("are", "were")) != several:
        return
    after = frame.after
    if several and frame.subject and after:
        after = (agreeing(after[0]), *after[1:])
    yield (*frame.before, *ahead, *answer, *frame.behind, *after)


def _refused(read: Statements) -> Iterator[Pieces]:
    says = own("the", "base", "does", "not", "say")
    if read.confirmed:
        yield from ((*says, *own("whether"), *statement) for statement in read.confirmed)
    for frame in read.frames:
        if frame.asks:
            yield (*says, *read.asked, *frame.before, *frame.after)
        elif not read.asked and frame.before[-1].text in ("is", "was"):
            before = frame.before[:-1] if frame.before else ()
            verb = frame.before[-1:]
            yield (*says, *own("what"), *before, *verb, *frame.after)
