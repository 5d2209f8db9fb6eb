"""A question as pieces: names as one piece each, every other word alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kblampp.model.answers import Source
from kblampp.sentences.english import ARTICLES, AUXILIARIES, DETERMINERS, PREPOSITIONS, WH, word_set
from kblampp.sentences.pieces import Piece, Pieces

_END = re.compile(r"(?:[?!\s]|(?<=[^\W_]{3})\.)+$")
_JOINS = word_set("& de van der den von zu da di del della du la le al el bin y i")
"""Small words that may stand inside a name between two capitalised ones."""
_QUOTES = '"\u201c\u201d'
_TITLES = frozenset(("CEO", "CFO", "COO", "CTO", "CIO", "PM", "HQ"))
"""Common nouns in capital letters."""
_YEAR = re.compile(r"[12][0-9]{3}s?")
_SHORT = re.compile(rf"({'|'.join(sorted(WH))})['\u2019]s", re.IGNORECASE)
_POSSESSIVE = re.compile(r"(?:['\u2019]s|(?<=s)['\u2019])")
_OPENERS = WH | AUXILIARIES | PREPOSITIONS | DETERMINERS | ARTICLES


def pieces_of(question: str, names: Mapping[str, Source]) -> Pieces:
    """The words of a question without what ends it.

    A name of the base that the question writes in other letters ("old gertrud") is one copied from its fact.

    Args:
        question: The question.
        names: Names that it may mention, as the base writes them, and where each was copied from.
    """
    text = _END.sub("", " ".join(question.split()))
    found: list[Piece] = []
    known = _pattern(names)
    at = 0
    for match in known.finditer(text) if known else ():
        found += _words(text[at : match.start()], first=at == 0)
        found.append(_known(match, names))
        at = match.end()
    return tuple(found + _words(text[at:], first=at == 0))


def _pattern(names: Mapping[str, Source]) -> re.Pattern[str] | None:
    """Finds names that look like names: "cook" may be any word of a question."""
    looked_for = sorted((name for name in names if " " in name or name.lower() != name), key=len, reverse=True)
    if not looked_for:
        return None
    either = "|".join(re.escape(name) for name in looked_for)
    around = rf"(?P<opens>[{_QUOTES}]?)(?P<name>{either})(?P<closes>[{_QUOTES}]?(?:{_POSSESSIVE.pattern})?)"
    return re.compile(rf"(?<![\w-]){around}(?![\w-]|\.\d)", re.IGNORECASE)


def _known(match: re.Match[str], names: Mapping[str, Source]) -> Piece:
    written = match["name"]
    if written in names:
        return Piece(match[0], "question", name=True)
    name = next(name for name in names if name.lower() == written.lower())
    return Piece(match["opens"] + name + match["closes"], "fact", (names[name],), name=True)


def _words(text: str, *, first: bool) -> list[Piece]:
    """The words of a stretch without known names; capitalised ones that stand together are one name."""
    found: list[Piece] = []
    words = text.split()
    at = 0
    while at < len(words):
        stop = _run(words, at, opens=first and at == 0)
        written = " ".join(words[at:stop] or words[at : at + 1])
        word, comma = written.rstrip(",;:"), written.endswith((",", ";", ":"))
        if short := _SHORT.fullmatch(word):
            found += [Piece(short[1], "question"), Piece("is")]
        elif word:
            name = stop > at or any(letter.isdigit() for letter in word)
            found.append(Piece(word if name else _small(word, opens=first and at == 0), "question", name=name))
        if comma:
            found.append(Piece(",", "question"))
        at = max(stop, at + 1)
    return found


def _small(word: str, *, opens: bool) -> str:
    """The word that opens a question without its capital letter."""
    return word[:1].lower() + word[1:] if opens else word


def _run(words: Sequence[str], at: int, *, opens: bool) -> int:
    """Where the name or quotation ends that starts at a word; there, if none does."""
    if words[at][0] in _QUOTES:
        ends = [place for place in range(at, len(words)) if words[place].rstrip(",;:")[-1:] in _QUOTES]
        return ends[0] + 1 if ends and len(words[at]) > 1 else at
    if not _capital(words[at]) or (opens and _is_opener(words, at)):
        return at
    stop = at + 1
    while stop < len(words) and not words[stop - 1].endswith((",", ";", ":")):
        if _POSSESSIVE.search(words[stop - 1][-2:]):
            break
        if _capital(words[stop]) and not (_YEAR.fullmatch(words[stop]) and not words[at][0].isdigit()):
            stop += 1
        elif words[stop] in _JOINS and stop + 1 < len(words) and _capital(words[stop + 1]):
            stop += 2
        else:
            break
    return stop


def _capital(word: str) -> bool:
    return word not in _TITLES and any(letter.isupper() or letter.isdigit() for letter in word)


def _is_opener(words: Sequence[str], at: int) -> bool:
    """Whether the capital letter of a first word is that of the question, not of a name."""
    word = words[at].rstrip(",")
    if word.lower() in _OPENERS or _SHORT.fullmatch(word):
        return True
    alone = at + 1 == len(words) or not _capital(words[at + 1])
    return alone and word[1:].islower() and not _POSSESSIVE.search(word[-2:])
