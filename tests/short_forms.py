"""Which names a text means by a word of them or by a spelling: word by word and letter by letter.

Nothing of the package is used but its forms of address.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator

from kblampp.data.forms_of_address import FORMS_OF_ADDRESS


def words_of(text: str) -> list[str]:
    """Runs of letters and digits; a point or comma between two digits is part of a number."""
    text = unicodedata.normalize("NFC", text)
    around = zip(" " + text, text, text[1:] + " ", strict=False)
    return "".join(
        letter if letter.isalnum() or (letter in ".," and before.isdecimal() and after.isdecimal()) else " "
        for before, letter, after in around
    ).split()


def plain(word: str) -> str:
    """In lower case and without accents."""
    parts = unicodedata.normalize("NFKD", word.casefold())
    found = "".join(letter for letter in parts if not unicodedata.combining(letter))
    for letter, others in zip("łøđðħŧıþæœ", ("l", "o", "d", "d", "h", "t", "i", "th", "ae", "oe"), strict=True):
        found = found.replace(letter, others)
    return found


def one_edit(one: str, other: str) -> bool:
    """Whether a letter left out, added or changed, or two swapped, makes one of the other."""
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return (len(one) <= 1 and len(other) <= 1) or (len(one) == 2 and one == other[::-1])


def short_form(name: str, names: Collection[str], question: str) -> float:
    """How surely a question means a name among others by one word.

    Args:
        name: One of the names.
        names: All of them.
        question: Without words that name a time, and in a script with spaces.
    """
    asked = words_of(question)
    capitals = any(word.lower() != word for word in asked[1:]) and any(word.upper() != word for word in asked[1:])
    return max(_sureness(name, names, asked, capitals), default=0.0)


def other_number(name: str, question: str, untimed: str) -> bool:
    """Whether a number beside a word of the name makes it another's that lacks one of the name's numbers.

    Args:
        name: The name.
        question: The question.
        untimed: Without words that name a time.
    """
    own, asked = list(map(plain, words_of(name))), words_of(question)
    lacks = [word for word in own if _has_digit(word) and word not in map(plain, asked)]
    for at, word in enumerate(asked):
        beside = {plain(asked[by]) for by in (at - 1, at + 1) if 0 <= by < len(asked)}
        after_name = at > 1 and asked[at - 1][0].isupper() and len(asked[at - 1]) > 2
        names = _has_digit(word) and (word in words_of(untimed) or after_name)
        if names and lacks and plain(word) not in own and beside & set(own):
            return True
    return False


def spells(name: str, other: str) -> bool:
    """Whether a name has all words of another."""
    return {plain(word) for word in words_of(other)} <= {plain(word) for word in words_of(name)}


def only_in_longer(name: str, names: Collection[str], question: str) -> bool:
    """Whether a question has no more of a name's words than one of the longer names has that it spells.

    Args:
        name: The name.
        names: Others that the question contains.
        question: The question.
    """
    own, asked = (list(map(plain, words_of(text))) for text in (name, question))
    longer = (words for words in (list(map(plain, words_of(other))) for other in names) if len(words) > len(own))
    spelled = (words for words in longer if set(own) <= set(words) <= set(asked))
    return any(asked.count(word) <= words.count(word) for words in spelled for word in own)


def nothing_left(name: str, label: str, untimed: str, fillers: Collection[str]) -> bool:
    """Whether a question has each word of a label, once, and beside these only words of the name and fillers.

    Args:
        name: By which the fact is found.
        label: Its relation's.
        untimed: The question without words that name a time.
        fillers: Words that ask for nothing; a label's may stand there more often.
    """
    own, of_label, asked = (list(map(plain, words_of(text))) for text in (name, label, untimed))
    whole = bool(of_label) and all(asked.count(word) == 1 or (word in fillers and word in asked) for word in of_label)
    return whole and set(asked) <= {*own, *of_label, *fillers}


def asks_for_both(name: str, known: Collection[str], label: str, untimed: str, idle: Collection[str]) -> bool:
    """Whether a question has each word of a label, one of them not in what is known, and another word beside them.

    Args:
        name: By which the fact that was read is found.
        known: Its label and its other name.
        label: Of the fact ahead.
        untimed: The question without words that name a time.
        idle: Words that ask for nothing.
    """
    own, of_label, asked = ({plain(word) for word in words_of(text)} for text in (name, label, untimed))
    asks = of_label - {*idle}
    said = {plain(word) for text in known for word in words_of(text)}
    fresh = asked - {*idle} - own
    return bool(asks) and asks <= asked and bool((fresh & asks) - said) and bool(fresh - asks)


def _sureness(name: str, names: Collection[str], asked: list[str], capitals: bool) -> Iterator[float]:
    own = words_of(name)
    parts = {plain(word) for word in own} | {plain(word[0]) for word in own if not _has_digit(word)}
    stranger = [
        plain(word) not in parts and (_has_digit(word) or (capitals and at > 0 and _is_name(word)))
        for at, word in enumerate(asked)
    ]
    for word in own:
        bearers = [other for other in set(names) if plain(word) in map(plain, words_of(other))]
        if len(word) < 3 or word[0].islower() or word.isdigit():
            continue
        for at, said in enumerate(asked):
            written_as_name = not capitals or not said[0].islower() or _has_digit(said)
            if plain(said) == plain(word) and written_as_name and not any(stranger[max(0, at - 1) : at + 2]):
                yield 1 / len(bearers)


def _is_name(word: str) -> bool:
    return word[0].isupper() and plain(word) not in FORMS_OF_ADDRESS


def _has_digit(word: str) -> bool:
    return any(letter.isdigit() for letter in word)
