"""Whether a name may say when something is."""

from __future__ import annotations

import re

from kblampp.data.windows import MONTHS

_WORD = re.compile(r"[^\W\d_]+")
_CALENDAR = (
    "monday tuesday wednesday thursday friday saturday sunday weekday weekdays weekend weekends spring summer autumn "
    "fall winter morning noon midday afternoon evening night midnight dawn dusk christmas easter pentecost ramadan eid "
    "passover hanukkah diwali year advent lent always never daily weekly monthly yearly annually today yesterday "
    "tomorrow century"
)
_WORDS = frozenset((*(month.casefold() for month in MONTHS), *_CALENDAR.split()))


def may_be_a_time(name: str) -> bool:
    """Whether a name says a time: it has a digit, of any script, or a word of the calendar ("every Monday")."""
    return any(letter.isdigit() for letter in name) or any(word in _WORDS for word in _WORD.findall(name.casefold()))
