"""Names that nobody in an open base has: new ones, and such as differ from one of the base's in a word or number."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kblampp.data.facts import Entity
from kblampp.synthetic.open_names import OpenNames, name_words
from kblampp.synthetic.spellings import Spellings


class UnknownNames:
    """Makes names that nobody has.

    Args:
        rng: Source of randomness.
        names: New names.
        types: Name -> type, of all names of the base; those made are added.
        spellings: Of the names of the base.
        taken: Names not to be drawn as new ones; those made are added.
    """

    def __init__(
        self, rng: random.Random, names: OpenNames, types: dict[str, str], spellings: Spellings, taken: set[str]
    ) -> None:
        self._rng, self._names, self._types, self._spellings, self._taken = rng, names, types, spellings, taken

    def has_names(self, kind: str) -> bool:
        """Whether entities of the type have names."""
        return kind in self._names.kinds

    def draw(self, kind: str, known: Sequence[Entity]) -> str | None:
        """A new name or, half of the time, that of a known entity with a word or number changed; None if it fails."""
        name: str | None = self._names.draw(kind)
        if self._rng.random() < 0.5:
            name = self._changed(self._rng.choice(known).name, kind) if known else None
        return self._kept(name, kind)

    def near(self, name: str, kind: str) -> str | None:
        """The name with a word or number changed; None if it fails, or somebody is called so."""
        changed = self._changed(name, kind)
        return None if changed in self._types else self._kept(changed, kind)

    def _kept(self, name: str | None, kind: str) -> str | None:
        if name is None or self._spellings.is_part_of_another(name):
            return None
        self._taken.add(name)
        self._types[name] = kind
        return name

    def _changed(self, name: str, kind: str) -> str | None:
        """The name with one of its words, or the digits of one, changed; None if it is one word."""
        words, new = name.split(" "), [word for word in self._names.draw(kind).split(" ") if name_words(word)]
        places = [n for n, word in enumerate(words) if name_words(word) or any(c.isdigit() for c in word)]
        place = self._rng.choice(places) if places else 0
        if any(c.isdigit() for c in words[place]):
            words[place] = "".join(str(self._rng.randint(1, 9)) if c.isdigit() else c for c in words[place])
        elif len(words) > 1 and new:
            word = self._rng.choice(new)
            words[place] = word if words[place][0].isupper() == word[0].isupper() else word.swapcase()
        else:
            return None
        changed = " ".join(words)
        return None if changed == name else changed
