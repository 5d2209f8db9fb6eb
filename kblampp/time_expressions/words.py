"""Times that are written in words: "the nineties", "the twentieth century", "nineteen ninety-five", "the turn of the
millennium".

Here are their patterns, and what their words count; `grammar` puts them between the other units of the calendar.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {"a": 1, "oh": 0, "hundred": 100, "thousand": 1000}
_VALUES |= {word: value for value, word in enumerate(_UNITS + _TEENS, start=1)}
_VALUES |= {word: 10 * value for value, word in enumerate(_TENS, start=2)}
_UNIT, _TEEN, _TEN = "|".join(_UNITS), "|".join(_TEENS), "|".join(_TENS)
_BELOW_100 = rf"(?:(?:{_TEN})(?:[ -](?:{_UNIT}))?|{_TEEN}|{_UNIT})"
NUMBER = rf"(?:(?:a|{_UNIT}) (?:hundred|thousand)(?: and {_BELOW_100})?|{_BELOW_100}|a)"
"""A number in words, in lower case."""

_DECADES = {"noughties": 0, "naughties": 0, "aughts": 0, "aughties": 0, "tens": 10, "teens": 10}
_DECADES |= {word[:-1] + "ies": _VALUES[word] for word in _TENS}
_BY_NAME = "|".join(word for word in _DECADES if word not in ("tens", "teens"))
_HUNDREDS = rf"(?:{_TEEN}|twenty)"
# Tens and teens are also numbers and people: only "the tens" and "the late teens" are years.
_AFTER_THE = r"(?:(?<=\bthe )|(?<=\bearly )|(?<=\blate )|(?<=\bmid[ -]))"
# "the roaring forties" are winds.
_NO_WINDS = r"(?<!roaring )(?<!furious )(?<!screaming )(?<!shrieking )"
_DECADE = (
    rf"(?:(?P<hundreds>{_HUNDREDS})[ -](?P<full>{_BY_NAME}|tens|teens)|(?P<roaring>(?:roaring|golden) )twenties"
    rf"|{_NO_WINDS}(?:swinging )?(?P<by_name>{_BY_NAME})|{_AFTER_THE}(?P<people>tens|teens)(?! of\b))(?:'(?!\w))?"
)
_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty-first",
]
_ROMAN = {"i": 1, "v": 5, "x": 10}
_ROMAN_NUMERAL = re.compile(r"(?=[ivx])x{0,3}(?:ix|iv|v?i{0,3})")
_ORDINAL = "|".join(_ORDINALS)
_NTH = (
    rf"(?:(?P<ordinal>{_ORDINAL}|twenty first)|(?P<roman>[ivx]{{1,6}})(?:th)?|(?P<digits>[0-9]{{1,2}})(?:st|nd|rd|th))"
)
AGE_NUMBER = rf"(?:{_ORDINAL}|twenty first|[ivx]{{1,6}}(?:th)?|[0-9]{{1,2}}(?:st|nd|rd|th))"
"""What says which century it is."""

_DAYS = [*_ORDINALS[:20], *(f"twenty-{word}" for word in _ORDINALS[:9]), "thirtieth", "thirty-first"]
DAY = rf"(?:(?:twenty|thirty)[ -](?:{'|'.join(_ORDINALS[:9])})|thirtieth|{'|'.join(_ORDINALS[:20])})"
"""A day of a month in words."""

_FROM_13 = rf"(?:{'|'.join(_TEENS[3:])}|twenty)"  # "ten fifteen" is a time of the day
_UNTIL_12 = r"(?:ten|eleven|twelve)[ -](?=sixty|seventy|eighty|ninety)"
_YEAR = (
    rf"(?:{_UNTIL_12}|{_FROM_13}[ -])(?:(?:oh|o)[ -](?:{_UNIT})|(?:{_TEN})(?:[ -](?:{_UNIT}))?|{_TEEN})"
    rf"(?![\w-]| (?:{_TEN}|{_TEEN})\b)"
)
_ROUND_YEAR = rf"(?:{_FROM_13} hundred(?: and {_BELOW_100})?|two thousand(?:(?: and)? {_BELOW_100})?)"
SPOKEN_YEAR = rf"(?:{_YEAR}|{_ROUND_YEAR})"
"""A year in words."""


def year(end: str) -> str:
    """The pattern of a year in words behind a month or what names a part; `end` is what a clause ends with."""
    return rf"(?P<year_words>{_YEAR}|{_ROUND_YEAR}(?={end}| (?:to|and|until|till|through) ))"


def patterns(part: str, bc: str, end: str) -> tuple[str, ...]:
    """The patterns of times in words; "vague" names no certain days.

    Args:
        part: What names a part of the unit that follows.
        bc: What stands behind a year before Christ.
        end: What a clause ends with.
    """
    return (
        rf"turn of the {_NTH}[ -](?P<turn>century)",
        r"turn of (?:the )?(?:(?P<back>last|previous|this|current|new) )?(?P<turn>century|millennium)",
        r"(?P<vague>turn of (?:the )?(?:last |this )?"
        rf"(?:(?:year|decade)(?: [0-9]{{4}}s?)?|month|season|[0-9]{{4}}s?|{_BY_NAME}))",
        rf"(?<=\bthe )(?P<turn>millennium)(?={end})",
        rf"{part}{_NTH}[ -](?P<ages>century|millennium){bc}",
        rf"{part}{_NTH}[ -](?P<ages>century|millennium)",
        rf"(?P<hundreds>{_HUNDREDS}|[12][0-9])[ -](?P<all>hundreds)",
        rf"{part}(?:(?P<by_name>{_BY_NAME}|tens|teens)|'?(?P<decade>[0-9]{{1,3}}0) ?'?s) of (?:the )?"
        rf"(?:{_NTH}|(?P<which>last|previous|this|present|current))[ -](?P<within>century)(?:{bc})?",
        rf"{part}{_DECADE}",
        rf"{part}{year(end)}",
    )


START = (
    rf"turn of |{DAY} |[ivx]{{1,6}}(?:th)?[ -](?:century|millennium|to|and|or|through|until|till)"
    rf"|(?:{_ORDINAL}|twenty first)[ -](?:century|millennium)|(?:{_ORDINAL}),"
    rf"|(?<=the )millennium|roaring |golden |swinging |{_HUNDREDS}[ -]|two thousand|(?:{_BY_NAME}|tens|teens)\b"
)
"""What a time in words begins with."""

OWNED = re.compile(
    r"(?:\b(?:his|her|their|its|my|your|our|whose)|'s|s') (?:(?:early|mid|late|very|first half of)[ -])*$"
    r"|\b(?:under|over)[ -]$"
)
"""What stands before a decade that is an age: "her late twenties", "the under-twenties"."""


def count(words: str) -> int:
    """What a number in words or digits counts."""
    if words.isdecimal():
        return int(words)
    total = 0
    for word in re.split(r"[ -]", words):
        if word == "and":
            continue
        value = _VALUES[word]
        total = total * value if value in (100, 1000) else total + value
    return total


def is_number(words: str) -> bool:
    """Whether words count something; "the" is one of what follows."""
    return words == "the" or re.fullmatch(NUMBER, words) is not None


def decade(short: int, year: int) -> tuple[int, int | None]:
    """The first year of the decade that is named without its century, and that of another one that may be meant.

    It has begun by the day of asking.  The twenties are of this century or the last while they run; the noughties are
    named so for the first time.

    Args:
        short: 90 for the nineties.
        year: Of the day of asking.
    """
    first = year // 100 * 100 + short
    if first > year:
        return first - 100, None
    return (first - 100, first) if short and year < first + 10 else (first, None)


def spell_out(fields: dict[str, str], year: int) -> None:
    """Gives the fields of a time in words the digits of a written one: "decade", "century" or "y".

    Args:
        fields: The groups of a match of `patterns` that hold something; is changed.
        year: Of the day of asking.
    """
    if not fields.get("d", "1")[0].isdigit():
        fields["d"] = str(_DAYS.index(fields["d"].replace(" ", "-")) + 1)
    if "within" in fields:
        _spell_out_decade(fields, year)
    elif "all" in fields:
        first = 100 * count(fields["hundreds"])
        fields["either"] = f"the years {first} to {first + 9} or {first} to {first + 99}: write both"
        fields["decade"] = str(first)
    elif "full" in fields:
        fields["decade"] = str(100 * count(fields["hundreds"]) + _DECADES[fields["full"]])
    elif "roaring" in fields:
        fields["decade"] = "1920"
    elif name := fields.get("by_name") or fields.get("people"):
        fields["decade"] = f"{_DECADES[name]:02}"
    elif "year_words" in fields:
        fields["y"] = str(_year(fields["year_words"]))
    elif "turn" in fields:
        fields["y"] = str(_turn(fields, year))
    elif "ages" in fields:
        fields[fields["ages"]] = str(_nth(fields))


def _spell_out_decade(fields: dict[str, str], year: int) -> None:
    """ "the forties of the 19th century", "the twenties of the last century"."""
    back = fields.get("which") in ("last", "previous")
    number = (year - 1) // 100 + 1 - back if "which" in fields else _nth(fields)
    named = fields.pop("decade", "")
    short = int(named) if named else _DECADES[fields["by_name"]]
    if number < 1:
        fields["century"] = "0"
        return
    first = 100 * (number - 1)
    if len(named) > 2 and short // 100 * 100 != first:
        fields["either"] = "one of two times, as that century has no such decade: write one of them"
    fields["decade"] = f"{first + short % 100:04}"


def _nth(fields: Mapping[str, str]) -> int:
    """The number of a century; 0, which none has, for letters that are no Roman numeral."""
    if "digits" in fields:
        return int(fields["digits"])
    if "roman" in fields:
        if not _ROMAN_NUMERAL.fullmatch(fields["roman"]):
            return 0
        values = [_ROMAN[letter] for letter in fields["roman"]]
        return sum(-one if one < after else one for one, after in itertools.pairwise([*values, 0]))
    return _ORDINALS.index(fields["ordinal"].replace(" ", "-")) + 1


def _turn(fields: Mapping[str, str], year: int) -> int:
    """The year at the turn: people say it of the one whose digits change, 1900 and 2000.

    Of a century or millennium without a number it is the last one before the day of asking, or one that is near.
    """
    if fields.keys() & {"ordinal", "digits", "roman"}:
        return 100 * (_nth(fields) - 1)
    length, near = (1000, 100) if fields["turn"] == "millennium" else (100, 10)
    turn = (year + near) // length * length
    return turn - length if fields.get("back") in ("last", "previous") else turn


def _year(words: str) -> int:
    """ "nineteen ninety-five", "twenty oh-five", "nineteen hundred", "two thousand and five"."""
    if "hundred" in words or "thousand" in words:
        return count(words)
    hundreds, *rest = re.split(r"[ -]", words)
    return 100 * _VALUES[hundreds] + sum(_VALUES.get(word, 0) for word in rest)
