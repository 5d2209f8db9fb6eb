"""What a sentence is put together from: words, each with where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kblampp.model.answers import Source

Origin = Literal["fact", "question", "model"]
"""Copied from a fact, a word of the question, or one of the language model's own."""
_CLOSING = (".", ",")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a sentence that is written as it stands.

    Attributes:
        text: A word, a name of several words, or a point or comma.
        origin: Where it comes from.
        sources: The facts and fields that it was copied from; what the question or the model says has none.
        name: Whether it is a name, number or copied text, of which no letter may change.
    """

    text: str
    origin: Origin = "model"
    sources: tuple[Source, ...] = ()
    name: bool = False

    @property
    def low(self) -> str:
        """A word as word lists have it; nothing for a name, which is in none."""
        return "" if self.name else self.text.lower()

    @property
    def owns(self) -> bool:
        """Whether it is whose something is: "Ada Finch's"."""
        return self.text.endswith(("'s", "\u2019s", "s'", "s\u2019"))


Pieces = tuple[Piece, ...]


def own(*words: str) -> Pieces:
    """Words of the language model's own."""
    return tuple(Piece(word) for word in words)


def text_of(pieces: Sequence[Piece]) -> str:
    """The pieces as one line: spaces between them, but none before a point or comma."""
    text = ""
    for piece in pieces:
        closing = piece.text in _CLOSING or piece.text.startswith(("'s", "\u2019s"))
        text += piece.text if closing or not text else f" {piece.text}"
    return text


def runs_of(pieces: Sequence[Piece]) -> Pieces:
    """The pieces with their spaces, so that joined they are `text_of`; neighbours of one origin but a fact are one."""
    runs: list[Piece] = []
    for piece in pieces:
        space = text_of((Piece("x"), piece))[1 : -len(piece.text)] if runs else ""
        if space and runs[-1].origin == "fact" and piece.origin == "fact":
            runs.append(Piece(space))
        elif space and runs[-1].origin != "fact":
            runs[-1] = replace(runs[-1], text=runs[-1].text + space)
        elif space:
            piece = replace(piece, text=space + piece.text)
        if runs and piece.origin == runs[-1].origin != "fact":
            runs[-1] = replace(runs[-1], text=runs[-1].text + piece.text)
        else:
            runs.append(piece)
    return tuple(runs)


def as_sentence(pieces: Sequence[Piece]) -> Pieces:
    """The pieces with a capital letter at the start, unless a name stands there, and a point at the end."""
    first, *rest = pieces
    if not first.name:
        first = replace(first, text=first.text[:1].upper() + first.text[1:])
    ends = () if pieces[-1].text.endswith(".") else own(".")
    return (first, *rest, *ends)
