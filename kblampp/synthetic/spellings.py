"""How people write the names of a base: shortened, with a form of address, with a letter wrong."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from kblampp.data.forms_of_address import FORMS_OF_ADDRESS
from kblampp.synthetic.open_names import name_words

ADDRESSED = 0.4
"""Share of the shortened persons who get a form of address."""
_ABBREVIATED = frozenset(("mr", "mrs", "ms", "dr", "prof", "st", "rev"))
_ADDRESSES = tuple(sorted(FORMS_OF_ADDRESS - {"ceo", "cto", "cfo"}))
_PROPER = re.compile(r"[^\W\d_]{3,}")


class Spellings:
    """Writes names so that nobody takes them for others.

    Args:
        rng: Source of randomness.
        names: All names from which they must be told.
    """

    def __init__(self, rng: random.Random, names: Iterable[str]) -> None:
        self._rng = rng
        self._names = set(names)
        self._users: dict[str, set[str]] = defaultdict(set)
        for name in sorted(self._names):
            for form in _forms(name):
                self._users[form].add(name)
        self._bearers = Counter(
            word for name in self._names for word in {word.casefold() for word in _PROPER.findall(name)}
        )

    def is_part_of_another(self, name: str) -> bool:
        """Whether one of the names contains this one."""
        return any(name in other for other in self._names)

    def shortened(self, name: str, kind: str) -> str | None:
        """A part of a name that is nobody else's: "Lie" or "Mr. Lie" for the person Oskar Lie; None if there is none.

        Other names lose their last word, or all but that: "Kvitnes" for "Kvitnes Lighthouse".
        """
        words = name.split(" ")
        if len(words) < 2:
            return None
        if kind == "PERSON":
            part = words[-1] if self._rng.random() < 0.8 else words[0]
        else:
            part = " ".join(words[:-1]) if self._rng.random() < 0.7 else words[-1]
        part = part.rstrip(",")
        alone = any(self._bearers[word] == (name in self._names) for word in _words(part))
        if not alone or not self._is_proper(part.split(" ")[-1]):
            return None
        if kind == "PERSON" and part == words[-1] and self._rng.random() < ADDRESSED:
            address = self._rng.choice(_ADDRESSES)
            return f"{address.capitalize()}{'.' if address in _ABBREVIATED else ''} {part}"
        return part

    def mistyped(self, name: str) -> str | None:
        """The name with one letter of a word of six or more left out, doubled, swapped or wrong.

        None if it has no such word, or if another name is near it or near what would be typed.
        """
        words = name.split(" ")
        places = [n for n, word in enumerate(words) if len(word) >= 6 and word.isalpha()]
        if not places:
            return None
        place = self._rng.choice(places)
        word, at = words[place], self._rng.randint(1, len(words[place]) - 2)
        words[place] = self._rng.choice(
            (
                word[:at] + word[at + 1 :],
                word[:at] + word[at] + word[at:],
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                word[:at] + self._rng.choice("aeiounrstl") + word[at + 1 :],
            )
        )
        typed = " ".join(words)
        near = any(self._users.get(form, set()) - {name} for form in _forms(name) | _forms(typed))
        return None if near else typed

    def _is_proper(self, word: str) -> bool:
        return word[:1].isupper() and bool(name_words(word))


def _words(name: str) -> list[str]:
    """The words of a name that can stand for it, in lower case."""
    return [word.casefold() for word in _PROPER.findall(name) if word[0].isupper()]


def _forms(name: str) -> set[str]:
    """What two names that differ by about a letter have in common: the name, and each with a letter left out."""
    low = name.casefold()
    return {low, *(low[:at] + low[at + 1 :] for at in range(len(low)))}
