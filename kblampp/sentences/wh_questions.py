"""The statements of a question with a question word: the answer stands where the word has been, or where it belongs."""

from __future__ import annotations

from collections.abc import Iterator

from kblampp.sentences import english
from kblampp.sentences.cuts import (
    ADVERBS,
    RELATIVE,
    answer_spots,
    dangling_at,
    is_subject,
    participles_at,
    subject_ends,
    verb_places,
)
from kblampp.sentences.english import AUXILIARIES, BE, DO, HAVE, MODAL, NOW, PREPOSITIONS
from kblampp.sentences.forms import article_of, inflected
from kblampp.sentences.frames import Frame, Gap, Statements
from kblampp.sentences.pieces import Piece, Pieces, own

_DAYS = english.word_set("year month day date season decade time")


def with_question_word(words: Pieces, *, told: bool) -> Statements | None:
    """The statements of a question for something; None for one that is not understood.

    Args:
        words: The question, from its question word or the preposition before that.
        told: Whether it may have the order of a statement.
    """
    ahead: Pieces = ()
    if words[0].low in PREPOSITIONS:
        ahead, words = words[:1], words[1:]
    kind, noun, rest = _question_word(words)
    if not rest:
        return None
    asked = (*ahead, *(words[:1] if len(rest) == len(words) else words[: len(words) - len(rest)]))
    verb, left = rest[0], rest[1:]
    gap = Gap(kind, noun, ahead)
    if verb.low in BE and left:
        frames = _with_be(gap, verb, left)
    elif verb.low in HAVE and left:
        frames = _with_have(gap, verb, left)
    elif verb.low in (*DO, *MODAL) and left:
        frames = _with_do(gap, verb, left)
    elif told and not english.is_finite(verb.low):
        frames = _as_told(gap, rest)
    elif kind in ("name", "amount", "owner") and english.is_plain(rest[0].low) and rest[0].low not in PREPOSITIONS:
        frames = gap.subjects(rest)
    else:
        return None
    return Statements(asked, "day" if noun and noun[-1].low in _DAYS else kind, tuple(frames))


def _question_word(words: Pieces) -> tuple[str, Pieces, Pieces]:
    """The kind of the gap, the noun, and what follows."""
    first, second = words[0].low, words[1].low if len(words) > 1 else ""
    if first in ("where", "when"):
        return ("place" if first == "where" else "day"), (), words[1:]
    if first == "how":
        if second in ("many", "much"):
            noun, rest = _noun(words[2:])
            return ("amount" if noun else "name"), (*own("of"), *noun) if noun and second == "much" else noun, rest
        if second in english.MEASURES and len(words) > 2 and words[2].low in BE:
            return "measure", words[1:2], words[2:]
        if second in ("often", "long", "far", "fast"):
            return "way", (), words[2:]
        return ("way", (), words[1:]) if second in AUXILIARIES else ("", (), ())
    if first in ("who", "whom"):
        return "name", (), words[1:]
    noun, rest = _noun(words[1:])
    if noun and noun[0].low == "of":  # "Which of the ships is the oldest?": the oldest of the ships
        noun, rest = (), (*rest, *noun)
    return ("owner" if first == "whose" else "name"), noun, rest


def _noun(words: Pieces) -> tuple[Pieces, Pieces]:
    """What stands before the verb, and the rest from there; an auxiliary is a surer sign of it than an ending."""
    for at, word in enumerate(words):
        if word.low in AUXILIARIES:
            return words[:at], words[at:]
        if word.low in RELATIVE - {"and"}:
            break
    for at, word in enumerate(words):
        if at and english.is_finite(word.low) and words[at - 1].low not in PREPOSITIONS:
            return words[:at], words[at:]
    return (), words


def _with_be(gap: Gap, verb: Piece, rest: Pieces) -> Iterator[Frame]:
    if gap.kind in ("name", "amount", "owner") and not gap.preposition:
        dangling = dangling_at(rest)
        if dangling is not None and any(word.low in english.WH | {"that"} for word in rest):
            return  # whose preposition it is, the clause hides
        if dangling is not None:
            for cut in subject_ends(rest[: dangling + 1]):
                before = (*rest[:cut], verb, *rest[cut : dangling + 1])
                yield from gap.fill(before, rest[dangling + 1 :], bare=True)
            if not gap.noun and not is_subject(rest):  # "What was the last town that she lived in?"
                yield Frame((*rest, verb))
            return
        yield from gap.subjects((verb, *rest))
        if english.is_participle(rest[0].low) or gap.kind == "amount":
            for at in answer_spots(rest) if gap.kind == "amount" else ():
                yield from gap.fill((*rest[:at], verb), rest[at:])
            return
        for at in participles_at(rest):
            yield from gap.fill((*rest[:at], verb, *rest[at : at + 1]), rest[at + 1 :])
        if gap.kind == "name":
            for at in answer_spots(rest):
                yield Frame((*article_of(rest), *rest[:at], verb), rest[at:])
        return
    cuts = participles_at(rest)
    dangling = dangling_at(rest)
    for cut in cuts:
        if dangling is not None and dangling > cut:
            yield from gap.fill((*rest[:cut], verb, *rest[cut : dangling + 1]), rest[dangling + 1 :], bare=True)
            continue
        for at in answer_spots(rest[cut + 1 :], first=0):
            yield from gap.fill((*rest[:cut], verb, *rest[cut : cut + 1 + at]), rest[cut + 1 + at :])
    if not cuts and (rest[0].low in english.PRONOUNS or is_subject(rest)):
        for at in answer_spots(rest[1:], first=0):
            yield from gap.fill((rest[0], verb, *rest[1 : 1 + at]), rest[1 + at :])
        return
    for at in () if cuts else answer_spots(rest):
        yield from gap.fill((*article_of(rest), *rest[:at], verb), rest[at:])
    if not cuts and gap.kind == "day":
        for cut in subject_ends(rest):
            yield from gap.fill((*rest[:cut], verb, *rest[cut:]), ())


def _with_have(gap: Gap, verb: Piece, rest: Pieces) -> Iterator[Frame]:
    skip = 1 if rest[0].low in NOW | ADVERBS else 0
    if english.is_participle(rest[skip].low) and gap.kind in ("name", "amount", "owner") and not gap.preposition:
        yield from gap.subjects((verb, *rest))
        if rest[0].low == "been" and gap.kind == "name" and len(rest) > 1:
            for at in answer_spots(rest[1:]):
                yield Frame((*rest[1 : 1 + at], verb, rest[0]), rest[1 + at :])
        return
    for cut in participles_at(rest):
        subject, left = rest[:cut], rest[cut + 1 :]
        yield from _around(gap, (*subject, verb, rest[cut]), left)
        yield from _related(gap, (*subject, verb, rest[cut], *left))
    if not participles_at(rest) and gap.kind == "name" and not (gap.noun or gap.preposition):
        yield from gap.subjects((verb, *rest))  # "Who had the ring in 1950?"
    elif not participles_at(rest):  # "How many routes has the line?"
        for at in answer_spots(rest):
            yield from gap.fill((*rest[:at], verb), rest[at:])


def _with_do(gap: Gap, verb: Piece, rest: Pieces) -> Iterator[Frame]:
    for cut in verb_places(rest):
        subject, left = rest[:cut], rest[cut + 1 :]
        spoken = (verb, rest[cut]) if verb.low in MODAL else (inflected(verb.low, rest[cut]),)
        yield from _around(gap, (*subject, *spoken), left)
        yield from _related(gap, (*subject, *spoken, *left))


def _around(gap: Gap, before: Pieces, left: Pieces) -> Iterator[Frame]:
    """The answer after a subject and its verb: after a preposition that waits for it, or where such things stand."""
    dangling = dangling_at(left)
    if dangling is not None and not gap.preposition:
        yield from gap.fill((*before, *left[: dangling + 1]), left[dangling + 1 :], bare=True)
        return
    has_object = bool(left) and left[0].low not in PREPOSITIONS | NOW
    if gap.adverbial():
        spots = answer_spots(left, first=1 if has_object else 0)
    elif has_object:
        spots = answer_spots(left, first=0)
    else:
        spots = [1 if left and left[0].low in english.PARTICLES else 0]
    for at in spots:
        yield from gap.fill((*before, *left[:at]), left[at:])


def _related(gap: Gap, clause: Pieces) -> Iterator[Frame]:
    """ "The award that it got in 2019 was …"."""
    if gap.kind == "name" and gap.noun and not gap.preposition:
        yield from gap.equals((*own("the"), *gap.noun, *own("that"), *clause))


def _as_told(gap: Gap, rest: Pieces) -> Iterator[Frame]:
    """After "tell me" the words stand as in a statement: "where she was born", "who the director was"."""
    if gap.kind != "name" or rest[-1].low in BE:
        yield from gap.fill(rest, ())
