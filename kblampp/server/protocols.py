"""What the server needs of a base and of a model that answers from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kblampp.data.facts import FiveTuple


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is asked.

    Attributes:
        question: the text.
        today: day of asking, a day number; None is the day that it is.
        known_at: call or UTC time of the base to answer from; None is the base as it is.
        top: how many facts a layer of the reply names.
    """

    question: str
    today: int | None = None
    known_at: int | str | None = None
    top: int = 5


class Version(Protocol):
    """One state of one fact; times are UTC."""

    @property
    def fact(self) -> int: ...
    @property
    def content(self) -> FiveTuple: ...
    @property
    def call(self) -> int: ...
    @property
    def written(self) -> str: ...
    @property
    def retired(self) -> str | None: ...


class Call(Protocol):
    """One change of a base."""

    @property
    def id(self) -> int: ...
    @property
    def at(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def note(self) -> str: ...
    @property
    def facts(self) -> int: ...
    @property
    def undone_by(self) -> int | None: ...


class Base(Protocol):
    """A knowledge base; its methods raise DataError or StoreError and may be called from any thread."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    def add(self, facts: Sequence[FiveTuple], /, *, what: str = "add", note: str = "") -> list[int]: ...
    def change(self, fact: int, content: FiveTuple, /, *, note: str = "") -> Call: ...
    def end(self, fact: int, last: str, /, *, note: str = "") -> Call: ...
    def delete(self, facts: Sequence[int], /, *, note: str = "") -> Call: ...
    def undo(self, call: int | None = None) -> Call: ...
    def facts(
        self,
        *,
        search: str = "",
        held_on: int | None = None,
        known_at: int | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Sequence[Version]: ...
    def count(self, *, search: str = "", held_on: int | None = None, known_at: int | str | None = None) -> int: ...
    def fact(self, fact: int, /) -> Version: ...
    def history(self, fact: int, /) -> Sequence[Version]: ...
    def log(self, limit: int | None = None) -> Sequence[Call]: ...


class Reply(Protocol):
    """What a model answered; `to_json` is the reply of the HTTP interface."""

    @property
    def answer(self) -> str: ...
    @property
    def refused(self) -> bool: ...
    def to_json(self) -> Mapping[str, Any]: ...


BaseT = TypeVar("BaseT", bound=Base, contravariant=True)


class AskingModel(Protocol[BaseT]):
    """A model that answers from a base; only one thread calls it."""

    @property
    def name(self) -> str: ...
    def ask(self, base: BaseT, questions: Sequence[Asked], /) -> Sequence[Reply]: ...
    def count_tokens(self, text: str, /) -> int: ...
