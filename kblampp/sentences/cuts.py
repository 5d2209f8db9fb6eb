"""Where a question may be cut: where its subject may end, its verb stand, and the answer go.

Often only the sense tells, so that several places are found.
"""

from __future__ import annotations

from collections.abc import Sequence

from kblampp.sentences import english
from kblampp.sentences.english import AUXILIARIES, NOW, PREPOSITIONS
from kblampp.sentences.pieces import Piece

_MOST = 4
"""Places at which a sentence may be cut that are tried."""
RELATIVE = frozenset(("that", "who", "which", "whom", "and"))
"""Words that begin what is said of a subject, and "and"."""
ADVERBS = english.word_set("ever first also still already last itself himself herself both always")
"""Words that may stand between a subject and its verb."""
_NEVER_LEFT = frozenset(("before", "after", "since", "until", "up"))


def dangling_at(words: Sequence[Piece]) -> int | None:
    """The place of a preposition that has nothing behind it; the answer belongs there."""
    for at, word in enumerate(words):
        following = words[at + 1].low if at + 1 < len(words) else None
        waits = word.low in PREPOSITIONS - _NEVER_LEFT and (word.low != "of" or following is None)
        if waits and (following is None or following in PREPOSITIONS | (NOW - {"first", "last"})):
            return at
    return None


def answer_spots(words: Sequence[Piece], *, first: int = 1) -> list[int]:
    """Where the answer may stand among the words after a verb: at their end, or before what says when and where."""
    inner = [
        at
        for at, word in enumerate(words)
        if at >= first
        and (at == 0 or word.low in PREPOSITIONS - {"of"} or word.low in NOW)
        and not (at and (words[at - 1].low in english.NEARNESS | english.DETERMINERS or words[at - 1].owns))
        and not (word.low == "to" and any(letter.isdigit() for letter in words[at - 1].text))
        and not (at and dangling_at(words[at : at + 2]) == 0)
    ]
    return sorted(dict.fromkeys((*inner[:_MOST], len(words))))


def participles_at(words: Sequence[Piece]) -> list[int]:
    """Where "born", "coaching" or "released" ends the subject; not inside of what is said of the subject."""
    found = [
        at
        for at, word in enumerate(words)
        if at
        and english.is_participle(word.low)
        and words[at - 1].low not in RELATIVE | english.DETERMINERS | english.PRONOUNS
        and not words[at - 1].owns
    ]
    return found[:1] if words[0].name and not words[0].owns else found[:_MOST]


def subject_ends(words: Sequence[Piece]) -> list[int]:
    """Where the subject of a yes-or-no question may end."""
    if len(words) < 2:
        return [len(words)]
    if is_subject(words) or words[0].low in english.PRONOUNS:
        return [1]
    bound = PREPOSITIONS | english.DETERMINERS | RELATIVE
    found = [
        at
        for at in range(1, len(words))
        if words[at - 1].low not in bound and not words[at - 1].owns and words[at].low != "of" and words[at].text != ","
    ]
    sure = [at for at in found if english.is_participle(words[at].low)]
    after_name = [at for at in found if words[at - 1].name]
    return (sure or after_name or found)[:_MOST]


def verb_places(words: Sequence[Piece]) -> list[int]:
    """Where the verb of a question with "did" may stand."""
    first = words[0]
    if (first.name and not first.owns) or first.low in english.PRONOUNS:
        at = 1
        while at < len(words) - 1 and words[at].low in ADVERBS:
            at += 1
        if at < len(words) and english.is_plain(words[at].low) and words[at].low not in PREPOSITIONS | {"and"}:
            return [at]
    bound = english.DETERMINERS | PREPOSITIONS | RELATIVE
    found = [
        at
        for at in range(1, len(words))
        if english.is_plain(words[at].low)
        and words[at].low not in bound | NOW | AUXILIARIES - {"have", "do"}
        and words[at - 1].low not in bound
    ]
    return ([at for at in found if english.is_verb(words[at].low)] or found)[:_MOST]


def is_subject(words: Sequence[Piece]) -> bool:
    """Whether the first word, a name, is a subject by itself."""
    alone = len(words) < 2 or words[1].low not in ("and", "of")
    return words[0].name and not words[0].owns and alone
