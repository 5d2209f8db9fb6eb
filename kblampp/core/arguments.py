"""What a program passes where a text, a date or a number is expected: taken where its meaning is certain, else told."""

from __future__ import annotations

import datetime
import math
import numbers

from kblampp.core.errors import DataError

DateLike = str | int | float | datetime.date
"""A year as a number, a day as the calendar's, or either as a text."""


def text_of(value: object, what: str, such_as: str) -> str:
    """A text that a program passes.

    Args:
        value: What it passes.
        what: What it is to be, as the error begins: "a question".
        such_as: An example.

    Raises:
        DataError: It is no text.
    """
    if isinstance(value, str):
        return value
    raise DataError(f"{what} is {_shown(value)}: expected a text such as {such_as!r}")


def name_of(value: object, what: str) -> str:
    """A name that a program passes; a number is the text that Python writes for it.

    Raises:
        DataError: It is neither, or no finite number.
    """
    if (number := _number_text(value)) is not None:
        return number
    if isinstance(value, str):
        return value
    raise DataError(f"{what} is {_shown(value)}: expected a text or a number, such as 'Odile Brennan' or 42")


def date_text(value: object, what: str) -> str:
    """A date that a program passes, as text; None is none.

    Raises:
        DataError: It is no text, number or date.
    """
    if value is None:
        return ""
    if isinstance(value, datetime.date):
        return value.isoformat()[: len("2009-03-02")]
    if (number := _number_text(value)) is not None:
        return number
    if isinstance(value, str):
        return value
    raise DataError(f"{what} is {_shown(value)}: expected a year such as 2009, or a text such as '2009-03-02'")


def _number_text(value: object) -> str | None:
    """What Python writes for a finite number; None for what is none, as True and False, or is beyond every float."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        return str(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        text = "too long a number"
    return f"{text[:60]}{'…' if len(text) > 60 else ''} ({type(value).__name__})"
