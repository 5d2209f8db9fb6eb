"""What a question can become: statements with a place for the answer, and how the answer fills it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kblampp.sentences.english import BE
from kblampp.sentences.pieces import Pieces, own

PLACES, TIMES = ("in", "at", "on"), ("in", "on")
"""Prepositions that a place or a day takes."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A statement with a place for the answer.

    Attributes:
        before: What stands before it.
        after: What stands after it.
        ahead: Directly before it, and only with it: "in", or the noun that the question names.
        behind: Directly behind it: what was counted.
        asks: Whether the words without the answer, after the question word, say what was asked.
        subject: Whether the answer is the subject, so that the verb after it agrees.
    """

    before: Pieces = ()
    after: Pieces = ()
    ahead: Pieces = ()
    behind: Pieces = ()
    asks: bool = True
    subject: bool = False


@dataclass(frozen=True, slots=True)
class Statements:
    """What a question can become.

    Attributes:
        asked: The question word and what belongs to it, as an indirect question begins; none where it has none.
        kind: What the answer is to the question: see `Gap`; "phrase" where it has no verb.
        frames: With a place for the answer.
        confirmed, denied: Of a yes-or-no question, in the same order.
    """

    asked: Pieces
    kind: str
    frames: tuple[Frame, ...] = ()
    confirmed: tuple[Pieces, ...] = ()
    denied: tuple[Pieces, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """What the answer is to the statement.

    Attributes:
        kind: "name" (who, what, which), "owner" (whose), "amount" (how many), "measure" (how heavy), "place", "day" or
            "way".
        noun: What the question word belongs to: "stadium" of "which stadium"; "heavy".
        preposition: One that stood before the question word.
    """

    kind: str
    noun: Pieces = ()
    preposition: Pieces = ()

    def fill(self, before: Pieces, after: Pieces, *, bare: bool = False) -> Iterator[Frame]:
        """The frames with the answer here; `bare` where a preposition stands before it already."""
        if self.kind == "owner":
            yield Frame(before, after, self.preposition, (*own("'s"), *self.noun))
        elif self.kind in ("amount", "measure"):
            yield Frame(before, after, self.preposition, self.noun)
        elif self.preposition or bare or self.kind in ("name", "way"):
            if not any(piece.name for piece in self.noun):
                yield Frame(before, after, self.preposition)
            if self.noun:
                yield Frame(before, after, (*self.preposition, *own("the"), *self.noun))
        else:
            for word in PLACES if self.kind == "place" else TIMES:
                yield Frame(before, after, own(word))

    def subjects(self, rest: Pieces) -> Iterator[Frame]:
        """The frames in which the answer is the subject of what follows."""
        if self.kind == "owner":
            yield Frame((), rest, (), (*own("'s"), *self.noun))
        elif self.kind == "amount":
            yield Frame((), rest, (), self.noun, subject=True)
        elif not any(piece.name for piece in self.noun):
            yield Frame((), rest, subject=True)
        if self.kind == "name" and self.noun:
            yield Frame((), rest, (*own("the"), *self.noun), subject=True)
            yield from self.equals((*own("the"), *self.noun, *own("that"), *rest))

    def equals(self, subject: Pieces) -> Iterator[Frame]:
        """ "The stadium that she designed is …"."""
        for verb in BE:
            yield Frame((*subject, *own(verb)), (), asks=False)

    def adverbial(self) -> bool:
        """Whether the answer may stand at several places."""
        return self.kind in ("place", "day", "way") or bool(self.preposition)
