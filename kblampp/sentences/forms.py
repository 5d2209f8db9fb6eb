"""Words of a sentence that go by their neighbours: the article of a phrase, the form of a verb."""

from __future__ import annotations

from kblampp.sentences import english
from kblampp.sentences.english import PREPOSITIONS
from kblampp.sentences.pieces import Piece, Pieces, own


def article_of(words: Pieces) -> Pieces:
    """ "The" for a phrase that begins with a common noun."""
    first, bound = words[0], english.DETERMINERS | english.PRONOUNS | PREPOSITIONS
    return own("the") if english.is_plain(first.low) and not first.owns and first.low not in bound else ()


def inflected(auxiliary: str, verb: Piece) -> Piece:
    """The verb with the tense of "did", "does" or "do"."""
    form = {"did": english.past, "does": english.third}.get(auxiliary)
    return verb if form is None or form(verb.low) == verb.text else Piece(form(verb.low))


def agreeing(verb: Piece) -> Piece:
    """The verb of several subjects."""
    form = english.plural(verb.low)
    return verb if not verb.low or form == verb.text else Piece(form)
