"""The JSON that clients send: what their requests are checked by."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)

from kblampp.base.editing import read_moment
from kblampp.core.errors import DataError
from kblampp.core.params import AnswerStyle
from kblampp.data.windows import day

MAX_ID = 1 << 53
"""Largest whole number that every client's JSON carries unchanged."""
MAX_NAME, MAX_CONTEXT, MAX_SEARCH = 5_000, 20_000, 500
_LINES = "\t\n\r"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_INSTANT = re.compile(
    rf"{_DAY}([T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?(Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?"
)


def clean(text: str, *, lines: bool) -> str:
    """The text without white space around it.

    Raises:
        ValueError: It holds a control character (`lines` lets tabs and ends of lines pass) or a lone surrogate.
    """
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and not (lines and character in _LINES):
            raise ValueError(f"the text holds the control character U+{ord(character):04X}: leave it out")
    return text.strip()


def clean_name(text: str) -> str:
    """A name of one line that is not blank."""
    if not (text := clean(text, lines=False)):
        raise ValueError("the text is blank: expected a name")
    return text


def clean_question(text: str) -> str:
    """A question that is not blank."""
    if not (text := clean(text, lines=True)):
        raise ValueError("the text is blank: expected a question")
    return text


def clean_lines(text: str) -> str:
    """A text of any lines, or none."""
    return clean(text, lines=True)


def clean_line(text: str) -> str:
    """A text of one line, or none."""
    return clean(text, lines=False)


def read_day(text: str) -> int:
    """The number of a day such as "2012-05-01"; DataError, which is a ValueError, for what is none."""
    return day(text)


def read_known_at(value: object) -> int | str:
    """A call's number, or a time as UTC; text of digits alone, as in an address, is a number, and a day means its end.

    Raises:
        ValueError: It is neither.
    """
    expected = (
        f"expected a call's number from 0 to 2^53 or a time such as 2026-11-20T00:00:00Z, found {str(value)[:80]!r}"
    )
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,16}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ID:
        return value
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError(expected)
    try:
        return read_moment(value)
    except DataError:
        raise ValueError(expected) from None


Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(clean_name)]
ContextText = Annotated[str, StringConstraints(max_length=MAX_CONTEXT), AfterValidator(clean_lines)]
DateText = Annotated[str, StringConstraints(max_length=60), AfterValidator(clean_line)]
SearchText = Annotated[str, StringConstraints(max_length=MAX_SEARCH), AfterValidator(clean_lines)]
DayText = Annotated[str, StringConstraints(max_length=11), AfterValidator(lambda text: (day(text), text)[1])]
KnownAt = Annotated[
    int | str,
    BeforeValidator(read_known_at),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_ID}, {"type": "string", "maxLength": 40}]}
    ),
]
QuestionText = Annotated[str, StringConstraints(min_length=1), AfterValidator(clean_question)]


class Strict(BaseModel):
    """A body of which every field is known and of the right type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class AskOptions(Strict):
    """How questions are asked."""

    today: DayText | None = Field(default=None, description="day of asking, what “now” means", examples=["2012-05-01"])
    known_at: KnownAt | None = Field(
        default=None,
        description="answer from what the base said after this call, or at this time (UTC)",
        examples=[3, "2026-11-20T00:00:00Z"],
    )
    top: int = Field(default=5, ge=1, le=100, description="how many facts of a layer the reply names")
    style: AnswerStyle | None = Field(
        default=None, description="short, or sentence: one around the short answer; without, as params.yaml says"
    )


class AskBody(AskOptions):
    """One question, or several."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": "Who was the director of the Harrowgate Museum in 2001?"},
                {"questions": ["Who directs the Harrowgate Museum now?"], "today": "2012-05-01", "top": 3},
            ]
        }
    )
    question: QuestionText | None = None
    questions: list[QuestionText] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.question is None) == (self.questions is None):
            raise ValueError('expected either "question" with a text or "questions" with a list of texts')
        return self


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class FactBody(Strict):
    """A fact to add."""

    head: Name = Field(examples=["Harrowgate Museum"])
    relation: Name = Field(examples=["director"])
    tail: Name = Field(examples=["Odile Brennan"])
    context: ContextText = Field(default="", description="the sentence that states it", examples=[""])
    start: DateText = Field(
        default="", description="when it began; empty: open or unknown", examples=["1994", "1994-05-02"]
    )
    end: DateText = Field(
        default="", description="its last year, month or day, which counts", examples=["2003", "2003-06"]
    )


class FactsBody(Strict):
    """Facts to add."""

    facts: list[FactBody] = Field(min_length=1, max_length=10_000)


def _form_of(body: object) -> str:
    return "several facts" if isinstance(body, dict) and "facts" in body else "one fact"


AddBody = Annotated[
    Annotated[FactBody, Tag("one fact")] | Annotated[FactsBody, Tag("several facts")], Discriminator(_form_of)
]
FORMS = ("one fact", "several facts")
"""What pydantic calls the forms of AddBody where it says which field is wrong."""


class ChangeBody(Strict):
    """What to change of a fact; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"minProperties": 1, "examples": [{"tail": "Odile Brennan", "end": "2003"}]}
    )
    head: Name = Field(default="", json_schema_extra=_without_default)
    relation: Name = Field(default="", json_schema_extra=_without_default)
    tail: Name = Field(default="", json_schema_extra=_without_default)
    context: ContextText = Field(default="", json_schema_extra=_without_default)
    start: DateText = Field(default="", json_schema_extra=_without_default)
    end: DateText = Field(default="", json_schema_extra=_without_default)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("expected at least one of head, relation, tail, context, start and end")
        return self

    def given(self) -> dict[str, str]:
        """The fields that the client sent."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class EndBody(Strict):
    """The last year, month or day on which a fact held."""

    end: Annotated[str, StringConstraints(min_length=1, max_length=60), AfterValidator(clean_line)] = Field(
        examples=["2013", "2013-05", "2013-05-02"]
    )


class UndoBody(Strict):
    """The call to undo; without it the last one."""

    call: Id | None = Field(default=None, examples=[7])


class FactIdBody(Strict):
    """Which fact is meant."""

    id: Id


class Query(BaseModel):
    """Parameters of an address, of which every one is known; all of them are text there."""

    model_config = ConfigDict(extra="forbid")


class SearchQuery(Query):
    """Which facts are looked for."""

    search: SearchText = Field(default="", description="words that must all stand in the fact")
    held_on: DayText | None = Field(default=None, description="a day on which it held", examples=["2012-01-01"])
    known_at: KnownAt | None = Field(default=None, description="what the base said after this call, or then (UTC)")
    limit: int = Field(default=100, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=MAX_ID)


class LogQuery(Query):
    """How far back the log is told."""

    limit: int = Field(default=50, ge=1, le=1000)
