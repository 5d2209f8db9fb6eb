"""The JSON that clients get, as /openapi.json shows it; responses are not checked by it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ErrorBody(BaseModel):
    """Why a request was refused, in one sentence."""

    error: str


class FactOut(BaseModel):
    """A fact in one of its states."""

    id: int = Field(examples=[3])
    head: str = Field(examples=["Harrowgate Museum"])
    relation: str = Field(examples=["director"])
    tail: str = Field(examples=["Odile Brennan"])
    context: str
    start: str = Field(examples=["1994"])
    end: str = Field(examples=["2003"])
    written: str = Field(examples=["2026-11-28T12:30:00.123456Z"])
    retired: str | None
    call: int


class FactsOut(BaseModel):
    """A page of facts."""

    total: int
    facts: list[FactOut]


class AddedOut(BaseModel):
    """The facts added; `call` is null if all were there already."""

    facts: list[FactOut]
    call: int | None


class ChangedOut(BaseModel):
    """The fact as it is now, and the call that made it so."""

    fact: FactOut
    call: int


class CallOut(BaseModel):
    """The call that did it."""

    call: int


class HistoryOut(BaseModel):
    """All states of a fact, oldest first."""

    versions: list[FactOut]


class LogEntry(BaseModel):
    """One call."""

    id: int
    at: str
    what: str = Field(examples=["add"])
    note: str
    facts: int
    undone_by: int | None


class LogOut(BaseModel):
    """Calls, newest first."""

    calls: list[LogEntry]


class ReplyOut(BaseModel):
    """An answer with its evidence."""

    model_config = ConfigDict(extra="allow")
    question: str
    answer: str = Field(examples=["Odile Brennan"])
    refused: bool
    own_words: bool
    parts: list[dict[str, Any]]
    time: dict[str, str | None] | None
    problem: str | None
    null: float | None
    facts: list[dict[str, Any]]
    layers: list[list[dict[str, Any]]]
    today: str
    version: int
    style: str = Field(examples=["short"])
    sentence: dict[str, Any] | None


class RepliesOut(BaseModel):
    """The answers, in the order of the questions."""

    replies: list[ReplyOut]


class HealthOut(BaseModel):
    """That the server lives, and what it serves."""

    status: str = Field(examples=["ok"])
    base: str = Field(examples=["my"])
    facts: int
    version: int
    model: str
    writable: bool


def problems_doc(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What /openapi.json says of the refusals with these statuses."""
    return {status: {"model": ErrorBody, "description": "one sentence"} for status in (*statuses, 422)}
