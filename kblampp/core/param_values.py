"""What a parameter may be: the types of values, each of which is its own check, and the base of the sections."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from kblampp.core.errors import ParamsError

T = TypeVar("T")


def _as_tuple(value: Any) -> Any:
    if isinstance(value, list) and value and not any(item in value[:place] for place, item in enumerate(value)):
        return tuple(value)
    raise ValueError("a list of one or more distinct items")


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("a text that is not blank")
    return value


def _calendar_day(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("expected a day as YYYY-MM-DD") from None


Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
PositiveOrZero = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, AfterValidator(_not_blank)]
IsoDay = Annotated[str, AfterValidator(_calendar_day)]
Distinct = Annotated[tuple[T, ...], BeforeValidator(_as_tuple)]


class Section(BaseModel):
    """Base of every section; of a stage's parameters, those that the stage did not declare are not there."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
    _place: str = PrivateAttr(default="")

    if not TYPE_CHECKING:  # for mypy, attributes are the fields and nothing else

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise ParamsError(
                    f"{self._place}{name} is read, but not declared: add it to `params` of this stage in dvc.yaml"
                )
            return super().__getattr__(name)
