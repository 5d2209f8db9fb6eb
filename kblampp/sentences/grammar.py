"""The statements that a question can become: a place for the answer between its own words.

A question word gives way to the answer, the auxiliary goes behind the subject, and "did" gives its tense to the verb.
Where only the sense tells (where a subject ends, which preposition a place takes, where a time stands) all that may be
are made: the language model says which is written (`chooser`).  What is not understood gives none.
"""

from __future__ import annotations

from dataclasses import replace

from kblampp.sentences import english
from kblampp.sentences.cuts import answer_spots, subject_ends, verb_places
from kblampp.sentences.english import AUXILIARIES, BE, DO, NOW, PREPOSITIONS
from kblampp.sentences.forms import article_of, inflected
from kblampp.sentences.frames import Frame, Statements
from kblampp.sentences.pieces import Piece, Pieces, own
from kblampp.sentences.wh_questions import with_question_word

_LEADS = (
    "can you tell me",
    "could you tell me",
    "do you know",
    "do we know",
    "i want to know",
    "i would like to know",
    "please tell me",
    "tell me",
    "say",
    "please",
)
_COMMANDS = ("please list", "please name", "list", "name", "give me", "show me", "tell me")


def statements(words: Pieces) -> Statements | None:
    """The statements of a question; None for one that is not understood.

    Args:
        words: The question (`reading.pieces_of`).
    """
    if not words or words[0].text[0] in "¿¡" or english.is_foreign([word.low for word in words]):
        return None
    words, told = _without_lead(words)
    front, words = _front(words)
    if not words:
        return None
    found = _asked(words, told=told)
    if found is None or not (found.frames or found.confirmed):
        return None
    return _with_front(found, front) if front else found


def _asked(words: Pieces, *, told: bool) -> Statements | None:
    first, last = words[0].low, words[-1].low
    if first in english.WH or (first in PREPOSITIONS and len(words) > 2 and words[1].low in english.WH):
        return with_question_word(words, told=told)
    if first in AUXILIARIES and len(words) > 1:
        return _yes_no(words[0], words[1:])
    if last in ("where", "when"):
        return with_question_word((words[-1], *words[:-1]), told=True)
    return _phrase(words)


def _starts(words: Pieces, phrase: str) -> bool:
    return [word.low for word in words[: len(phrase.split())]] == phrase.split()


def _without_lead(words: Pieces) -> tuple[Pieces, bool]:
    """The question without "tell me" and the like, and whether it had it: then it may have the order of a statement."""
    for lead in _LEADS:
        length = len(lead.split())
        if _starts(words, lead) and len(words) > length and words[length].low in english.WH:
            return words[length:], True
    for command in _COMMANDS:
        if _starts(words, command) and len(words) > len(command.split()) + 1:
            return words[len(command.split()) :], False
    return words, False


def _front(words: Pieces) -> tuple[Pieces, Pieces]:
    """A time before the question ("In May 2016, who …"), and the question."""
    if words[0].low not in PREPOSITIONS | NOW or _begins(words):
        return (), words
    for at in range(1, len(words)):
        clause = words[at - 1].low in english.PRONOUNS  # "before she was …" goes on
        if _begins(words[at:]) and not clause and words[at - 1].low not in PREPOSITIONS:
            front = words[: at - 1] if words[at - 1].text == "," else words[:at]
            return front, words[at:]
    return (), words


def _begins(words: Pieces) -> bool:
    """Whether words begin a question."""
    first = words[0].low
    return first in english.WH | AUXILIARIES or (
        first in PREPOSITIONS and len(words) > 1 and words[1].low in english.WH
    )


def _with_front(found: Statements, front: Pieces) -> Statements:
    return replace(
        found,
        frames=tuple(replace(frame, after=(*frame.after, *front)) for frame in found.frames),
        confirmed=tuple((*words, *front) for words in found.confirmed),
        denied=tuple((*words, *front) for words in found.denied),
    )


# Questions for yes or no, and phrases.


def _yes_no(verb: Piece, rest: Pieces) -> Statements | None:
    confirmed, denied = list[Pieces](), list[Pieces]()
    if verb.low in DO:
        for cut in verb_places(rest):
            subject, left = rest[:cut], rest[cut + 1 :]
            confirmed.append((*subject, inflected(verb.low, rest[cut]), *left))
            denied.append((*subject, verb, *own("not"), rest[cut], *left))
    else:
        for cut in subject_ends(rest):
            confirmed.append((*rest[:cut], verb, *rest[cut:]))
            denied.append((*rest[:cut], verb, *own("not"), *rest[cut:]))
    yes = (tuple(word for word in words if word.low != "ever") for words in confirmed)
    return Statements((), "judged", (), tuple(yes), tuple(denied))


def _phrase(words: Pieces) -> Statements | None:
    """A question without a verb: "capital of Norway"."""
    names = [word.name for word in words]
    about = any(names) or any(word.low in ("of", "for") for word in words)
    if words[0].low in PREPOSITIONS or all(names) or not about:
        return None
    article, frames = article_of(words), list[Frame]()
    for phrase in (words, _joined(words)):
        for at in answer_spots(phrase):
            frames += [Frame((*article, *phrase[:at], *own(verb)), phrase[at:], asks=False) for verb in BE]
    return Statements((), "phrase", tuple(dict.fromkeys(frames)))


def _joined(words: Pieces) -> Pieces:
    """The phrase with the prepositions that were left out: "price of bread 2022", "proofing time Styrian Rye"."""
    found: list[Piece] = []
    for at, word in enumerate(words):
        before = words[at - 1] if at else None
        if before is not None and word.name and before.low not in PREPOSITIONS | english.DETERMINERS:
            is_year = word.text.isdigit() and len(word.text) == 4
            if is_year or (before.low and before.text != ","):
                found += own("in" if is_year else "of")
        found.append(word)
    return tuple(found)
