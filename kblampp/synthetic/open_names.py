"""Names and values of the open worlds: pools of `open_names.json`, and made-up words spliced from them.

Every fourth entry of a pool is held out by hash for the part `unseen`; an entry of `train` has no word of those, so the
two parts share no name word (`name_words`), only the fixed words of patterns such as "Royal" and "University of".
"""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from kblampp.core.errors import DataError
from kblampp.data.windows import MONTHS
from kblampp.synthetic.open_schema import Part, open_data
from kblampp.synthetic.schema import hash_of

MADE_UP = 1 / 3
"""Share of the names' words that are spliced from two others."""
COMMON = frozenset(("ANIMAL", "PLANT", "DISH", "PROFESSION", "MATERIAL", "GENRE", "INSTRUMENT", "SPORT", "COLOR"))
"""Types whose names are plain words, which nobody makes up."""
SHARED = COMMON | {"LANGUAGE", "COUNTRY", "REGION", "RIVER", "MOUNTAIN", "PHRASE"}
"""Types of which many bases name the same few: as tails, their names may come again in any dossier."""
_SPLICED = frozenset(("given", "family", "word", "brand", "city", "names"))
_POOL_OF = {"city": "CITY", "country": "COUNTRY", "region": "REGION", "river": "RIVER"}
_SMALL = frozenset(
    ("with", "from", "under", "what", "where", "into", "over", "that", "this", "when", "after", "before")
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_FIELD = re.compile(r"\{(\w+)\}")


def name_words(text: str) -> set[str]:
    """The words of a name that only one part may use: four letters or more, no small or fixed word, in lower case."""
    return {word.casefold() for word in _WORD.findall(text)} - _SMALL - fixed_words()


@cache
def fixed_words() -> frozenset[str]:
    """Words that the patterns of names spell out."""
    patterns = (pattern for pools in open_data("open_names.json").values() for pattern in pools.get("patterns", ()))
    return frozenset(word.casefold() for pattern in patterns for word in _WORD.findall(_FIELD.sub(" ", pattern)))


def is_held_out_name(text: str) -> bool:
    """Whether a pool entry or made-up word is kept for the part `unseen`: one in four, by hash."""
    return hash_of("open name:" + text.casefold()) % 4 == 0


@cache
def _held_out_words() -> frozenset[str]:
    """The words of the entries that are held out."""
    every: dict[str, dict[str, list[str]]] = open_data("open_names.json")
    entries = [
        entry for pools in every.values() for pool, rows in pools.items() if pool != "patterns" for entry in rows
    ]
    return frozenset(word for entry in entries if is_held_out_name(entry) for word in name_words(entry))


@cache
def pools_of(part: Part) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Type -> pool -> its entries that a part may use; `patterns` are for both."""
    every: dict[str, dict[str, list[str]]] = open_data("open_names.json")
    entries = [
        entry for pools in every.values() for pool, rows in pools.items() if pool != "patterns" for entry in rows
    ]
    held = {word for entry in entries if is_held_out_name(entry) for word in name_words(entry)}

    def fits(entry: str) -> bool:
        if part == "unseen":
            return is_held_out_name(entry)
        return not is_held_out_name(entry) and not name_words(entry) & held

    return {
        kind: {
            pool: tuple(entry for entry in rows if pool == "patterns" or fits(entry)) for pool, rows in pools.items()
        }
        for kind, pools in every.items()
    }


class OpenNames:
    """Draws names of the open worlds.

    Args:
        rng: Source of randomness.
        part: Which part of the pools.
        taken: Names not to be drawn as new ones; drawn names are added.
    """

    def __init__(self, rng: random.Random, part: Part, taken: set[str]) -> None:
        self._rng, self._part, self._taken = rng, part, taken
        self._pools = pools_of(part)

    @property
    def kinds(self) -> frozenset[str]:
        """The types that have names."""
        return frozenset(self._pools)

    def draw(self, kind: str) -> str:
        """A new name of the type.

        Raises:
            DataError: The pools hold no further name.
        """
        for attempt in range(1000):
            name = self._name(kind, made_up=MADE_UP if kind not in COMMON and attempt < 50 else float(attempt >= 50))
            if name not in self._taken:
                self._taken.add(name)
                return name
        raise DataError(
            f"generate: the pools of the part {self._part} give no further {kind} name; ask for fewer facts in "
            "params.yaml, section generate"
        )

    def draw_shared(self, kind: str) -> str:
        """A name of one of the types SHARED; it may have been drawn before."""
        return self._rng.choice(self._pools[kind]["names"])

    def _name(self, kind: str, made_up: float) -> str:
        pools, rng = self._pools[kind], self._rng
        if kind == "PERSON":
            middle = f" {rng.choice('ABCDEFGHJKLMNPRSTW')}." if rng.random() < 0.05 else ""
            return f"{self._entry('PERSON', 'given', made_up)}{middle} {self._entry('PERSON', 'family', made_up)}"
        if "patterns" not in pools:
            return self._entry(kind, "names", made_up)
        return _FIELD.sub(lambda field: self._field(kind, field[1], made_up), rng.choice(pools["patterns"]))

    def _field(self, kind: str, field: str, made_up: float) -> str:
        if field in self._pools[kind]:
            return self._entry(kind, field, made_up)
        if field in ("family", "given"):
            return self._entry("PERSON", field, made_up)
        if field in _POOL_OF:
            return self._entry(_POOL_OF[field], "names", made_up)
        if field == "code":
            return code(self._rng)
        if field == "year":
            return str(self._rng.randint(1900, 2026))
        number = self._rng.choice(
            (self._rng.randint(4, 20), self._rng.randint(100, 999), 10 * self._rng.randint(3, 90))
        )
        return str(number if number % 100 not in (1, 2, 3) and number % 10 not in (1, 2, 3) else number // 10 * 10)

    def _entry(self, kind: str, pool: str, made_up: float) -> str:
        entries = self._pools[kind][pool]
        entry = self._rng.choice(entries)
        if pool not in _SPLICED or self._rng.random() >= made_up:
            return entry
        words = entry.split(" ")
        places = [place for place, word in enumerate(words) if name_words(word)]
        if not places:
            return entry
        place = self._rng.choice(places)
        words[place] = self._splice(entries, words[place])
        return " ".join(words)

    def _splice(self, entries: Sequence[str], word: str) -> str:
        """A word put together of two of the pool; in titles half of the time one of another title."""
        for _ in range(100):
            first, last = (self._rng.choice(self._rng.choice(entries).split(" ")) for _ in range(2))
            if " " in "".join(entries[:9]) and self._rng.random() < 0.5:
                made = first
            else:
                made = first[: self._rng.randint(2, 4)] + last[self._rng.randint(1, 4) :].lower()
                held_out = is_held_out_name(made) or made.casefold() in _held_out_words()
                if held_out != (self._part == "unseen"):
                    continue
            if made.isalpha() and name_words(made):
                return made[0].upper() + made[1:] if word[0].isupper() else made.lower()
        return word


def code(rng: random.Random) -> str:
    """A code such as "KX-204", "B7" or "4410C"."""
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTVXZ") for _ in range(rng.randint(1, 3)))
    number = str(rng.randint(2, 9) if rng.random() < 0.2 else rng.randint(10, 9999))
    return rng.choice((f"{letters}-{number}", f"{letters}{number}", f"{number}{letters[0]}", f"{letters} {number}"))


_UNITS: dict[str, tuple[tuple[tuple[str, ...], float, float], ...]] = {
    "LENGTH": (
        (("metres", "m", "meters"), 2, 900),
        (("km", "kilometres"), 2, 3000),
        (("cm", "centimetres"), 5, 250),
        (("mm",), 4, 900),
        (("ft", "feet"), 5, 2000),
        (("miles",), 2, 900),
    ),
    "MASS": ((("kg", "kilograms"), 1, 900), (("tonnes", "t"), 1, 9000), (("g", "grams"), 2, 900), (("lb",), 2, 900)),
    "DURATION": (
        (("minutes", "min"), 2, 240),
        (("years",), 2, 99),
        (("days",), 2, 300),
        (("hours", "h"), 2, 90),
        (("months",), 2, 60),
    ),
    "SPEED": ((("km/h",), 20, 900), (("knots", "kn"), 5, 40), (("mph",), 10, 400), (("m/s",), 2, 90)),
    "AREA": (
        (("m²", "square metres"), 20, 90000),
        (("km²", "square kilometres"), 1, 90000),
        (("ha", "hectares"), 1, 9000),
    ),
    "TEMPERATURE": ((("°C", "degrees Celsius"), -60, 1800), (("K",), 10, 3000), (("°F",), -40, 900)),
    "POWER": (
        (("kW", "kilowatts"), 1, 9000),
        (("MW", "megawatts"), 1, 1200),
        (("hp", "horsepower"), 20, 3000),
        (("W",), 5, 900),
    ),
    "VOLUME": ((("litres", "l"), 1, 900), (("m³", "cubic metres"), 5, 90000), (("ml",), 5, 900)),
}
_CURRENCIES = ("€", "$", "£", "CHF ", "¥")
_CURRENCY_WORDS = ("euros", "dollars", "pounds", "crowns", "EUR", "USD", "GBP", "SEK")
_SIZES = {
    "P908": (3, 18),
    "P1082": (200, 3_000_000),
    "P1083": (40, 90_000),
    "P1087": (1200, 2850),
    "P1088": (1, 10),
    "P1093": (200, 200_000),
    "P1098": (900, 90_000_000),
    "P1101": (1, 80),
    "P1103": (2, 24),
    "P1104": (48, 1400),
    "P1110": (80, 200_000),
    "P1128": (3, 90_000),
    "P1339": (2, 900),
    "P1342": (5, 700),
    "P1350": (4, 700),
    "P1352": (1, 200),
    "P1356": (0, 40),
    "P1618": (1, 99),
    "P1641": (20, 65_000),
    "P1872": (1, 15),
    "P1971": (1, 12),
    "P2196": (40, 40_000),
    "P2656": (1, 211),
    "P2899": (3, 21),
    "P3001": (55, 70),
}
"""Relation id -> the smallest and greatest number that it may have."""
VALUE_TYPES = frozenset((*_UNITS, "NUMBER", "YEAR", "DATE", "MONEY", "PERCENT", "VERSION", "CODE"))


def value_maker(rng: random.Random, kind: str, relation_id: str) -> Callable[[], str]:
    """Makes a maker of values of one relation, alike in unit, size and notation, as they are in one table."""
    if kind in _UNITS:
        units, low, high = rng.choice(_UNITS[kind])
        unit, top, digits = rng.choice(units), rng.uniform(low + (high - low) / 50, high), rng.choice((0, 0, 1, 2))
        return lambda: f"{_number(max(low, rng.uniform(0.5, 1) * top), digits if top < 100 else 0)} {unit}"
    if kind == "MONEY":
        return _money_maker(rng)
    if kind == "VERSION":
        return _version_maker(rng)
    if kind == "DATE":
        style = rng.randrange(3)
        return lambda: _date(rng, style)
    if kind == "YEAR":
        return lambda: str(rng.randint(1850, 2025))
    if kind == "PERCENT":
        unit, digits = rng.choice(("%", "%", " %", " per cent")), rng.choice((0, 1))
        return lambda: f"{_number(rng.uniform(1, 99), digits)}{unit}"
    if kind == "CODE":
        return lambda: code(rng)
    low, high = _SIZES[relation_id]
    if high > 1_000_000 and rng.random() < 0.3:
        return lambda: f"{_number(rng.uniform(1, 80), 1)} million"
    top = high if high < 1000 else low * (high / low) ** rng.random()  # of a town or of a city
    return lambda: _number(rng.uniform(low if high < 1000 else top / 2, top), 0)


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def _money_maker(rng: random.Random) -> Callable[[], str]:
    sign, word, style = rng.choice(_CURRENCIES), rng.choice(_CURRENCY_WORDS), rng.randrange(4)
    top = rng.choice((40, 900, 20_000, 900_000))
    scale = rng.choice(("million", "billion"))
    if style == 0:
        return lambda: f"{sign}{_number(rng.uniform(1, 99), 1)} {scale}"
    if style == 1:
        return lambda: f"{_number(rng.uniform(top / 4, top), 0)} {word}"
    return lambda: f"{sign}{_number(rng.uniform(top / 4, top), 2 if top < 900 else 0)}"


def _version_maker(rng: random.Random) -> Callable[[], str]:
    numbers = [rng.randint(0, 9), rng.randint(0, 12), rng.randint(0, 20)][: rng.choice((2, 3, 3))]
    prefix = "v" if rng.random() < 0.2 else ""

    def make() -> str:
        place = rng.randrange(len(numbers))
        numbers[place:] = [numbers[place] + rng.randint(1, 2)] + [0] * (len(numbers) - place - 1)
        return prefix + ".".join(map(str, numbers))

    return make


def _date(rng: random.Random, style: int) -> str:
    date = datetime.date(1900, 1, 1) + datetime.timedelta(days=rng.randrange(45_000))
    month = MONTHS[date.month - 1]
    return (f"{date.day} {month} {date.year}", date.isoformat(), f"{month} {date.day}, {date.year}")[style]
