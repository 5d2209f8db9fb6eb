"""A base and a model in memory, as far as the server sees them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fastapi.testclient import TestClient

from kblampp.asking.asked import Asked
from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import Window, year_window
from kblampp.server.app import create_app
from kblampp.server.settings import Settings
from kblampp.tables.dates import read_bound

OWN = "http://127.0.0.1:8000"
T = TypeVar("T")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class FakeVersion:
    fact: int
    content: FiveTuple
    call: int
    written: str
    retired: str | None = None


@dataclass(frozen=True)
class FakeCall:
    id: int
    at: str
    what: str
    note: str
    facts: int
    undone_by: int | None = None


def fact(
    head: str = "Harrowgate Museum", tail: str = "Odile Brennan", first: int = 1994, last: int = 2003
) -> FiveTuple:
    """A director's years."""
    window = Window(year_window(first).start, year_window(last).end, "custom", "year", "year")
    return FiveTuple(
        Entity("Q1", head, "museum"),
        Relation("P1", "director"),
        Entity("Q2", tail, "person"),
        Context("wiki", "Page"),
        window,
    )


class FakeBase:
    """Keeps each state of the base whole, so that undoing is going back; `overlaps` counts writes at the same time."""

    def __init__(self, *facts: FiveTuple) -> None:
        self.name = "my"
        self.calls = [FakeCall(1, _at(1), "init", "", 0)]
        self.states: list[dict[int, FakeVersion]] = [{}, {}]
        self.versions: list[FakeVersion] = []
        self.writing = threading.Lock()
        self.overlaps = 0
        self.failure: Exception | None = None
        self._next = 1
        if facts:
            self.add(facts)

    @property
    def version(self) -> int:
        return self.calls[-1].id

    def add(self, facts: Sequence[FiveTuple], /, *, what: str = "add", note: str = "") -> list[int]:
        with self._write() as now:
            ids = []
            for content in facts:
                known = next((number for number, version in now.items() if version.content == content), None)
                if known is None:
                    known, self._next = self._next, self._next + 1
                    self._state(now, known, content)
                ids.append(known)
            if now != self.states[-1]:
                self._done(now, what, note)
            return ids

    def change(
        self, fact: int, content: FiveTuple | Callable[[FiveTuple], FiveTuple], /, *, note: str = ""
    ) -> FakeCall:
        with self._write() as now:
            content = content(self.fact(fact).content) if callable(content) else content
            if self.fact(fact).content == content:
                raise DataError(f"fact {fact} says so already: nothing was changed")
            self._state(now, fact, content)
            return self._done(now, "change", note)

    def end(self, fact: int, last: str, /, *, note: str = "") -> FakeCall:
        with self._write() as now:
            content, bound = self.fact(fact).content, read_bound(last, end=True)
            window = replace(content.window, end=bound.day, end_unit=bound.unit, source="custom")
            self._state(now, fact, replace(content, window=window))
            return self._done(now, "end", note)

    def delete(self, facts: Sequence[int], /, *, note: str = "") -> FakeCall:
        with self._write() as now:
            for number in facts:
                self.fact(number)
                del now[number]
            return self._done(now, "delete", note)

    def undo(self, call: int | None = None) -> FakeCall:
        with self._write() as now:
            last = self.calls[-1]
            if last.what in ("init", "undo") or call not in (None, last.id):
                raise DataError(f"call {call} cannot be undone: there is nothing to undo")
            now.clear()
            now.update(self.states[-2])
            done = self._done(now, "undo", "")
            self.calls[-2] = replace(last, undone_by=done.id)
            return done

    def facts(
        self,
        *,
        search: str = "",
        held_on: int | None = None,
        known_at: int | str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[FakeVersion]:
        self._fail()
        found = []
        for version in self.states[self._known(known_at)].values():
            content, window = version.content, version.content.window
            text = (
                f"{content.head.name} {content.relation.name} {content.tail.name} {content.context.sent_span}".lower()
            )
            held = held_on is None or ((window.start or 0) <= held_on < (window.end or 10**9))
            if held and all(word in text for word in search.lower().split()):
                found.append(version)
        return found[offset:][:limit]

    def count(self, *, search: str = "", held_on: int | None = None, known_at: int | str | None = None) -> int:
        return len(self.facts(search=search, held_on=held_on, known_at=known_at))

    def fact(self, fact: int, /) -> FakeVersion:
        if fact not in self.states[-1]:
            raise DataError(f"the base has no fact {fact}: `kblampp facts` shows the ids")
        return self.states[-1][fact]

    def history(self, fact: int, /) -> list[FakeVersion]:
        found = [version for version in self.versions if version.fact == fact]
        if not found:
            raise DataError(f"the base has no fact {fact}: `kblampp facts` shows the ids")
        return found

    def log(self, limit: int | None = None) -> list[FakeCall]:
        return self.calls[::-1][:limit]

    def _known(self, moment: int | str | None) -> int:
        if isinstance(moment, int) and moment > self.version:
            raise DataError(f"the base has no call {moment}: its log goes from 1 to {self.version}")
        return moment if isinstance(moment, int) else self.version

    def _state(self, now: dict[int, FakeVersion], number: int, content: FiveTuple) -> None:
        now[number] = FakeVersion(number, content, self.version + 1, _at(self.version + 1))
        self.versions.append(now[number])

    def _done(self, now: dict[int, FakeVersion], what: str, note: str) -> FakeCall:
        call = FakeCall(self.version + 1, _at(self.version + 1), what, note, 1)
        self.calls.append(call)
        self.states.append(now)
        return call

    @contextmanager
    def _write(self) -> Iterator[dict[int, FakeVersion]]:
        self._fail()
        free = self.writing.acquire(blocking=False)
        self.overlaps += not free
        try:
            yield dict(self.states[-1])
        finally:
            if free:
                self.writing.release()

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def _at(call: int) -> str:
    return f"2026-11-28T12:30:00.{call:06d}Z"


@dataclass(frozen=True)
class FakeReply:
    asked: Asked
    answer: str
    refused: bool
    version: int

    @property
    def text(self) -> str:
        return f"It is {self.answer}." if self.asked.style == "sentence" else self.answer

    def to_json(self) -> dict[str, Any]:
        return {
            "question": self.asked.question,
            "answer": self.answer,
            "style": self.asked.style or "short",
            "sentence": None,
            "refused": self.refused,
            "own_words": False,
            "parts": [] if self.refused else [{"text": self.answer, "sources": []}],
            "time": None,
            "problem": None,
            "null": 0.5,
            "facts": [],
            "layers": [[]],
            "today": "2026-11-28",
            "version": self.version,
        }


@dataclass
class FakeModel:
    """Answers a question with itself in reverse; questions with marks fail or are refused.

    `gate`, where there is one, holds the model until it is set; `entered` says that the model was asked.
    """

    name: str = "fake"
    batches: list[list[Asked]] = field(default_factory=list)
    gate: threading.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)
    threads: set[int] = field(default_factory=set)

    def ask(self, base: Any, questions: Sequence[Asked], /) -> list[FakeReply]:
        self.batches.append(list(questions))
        self.threads.add(threading.get_ident())
        self.entered.set()
        if self.gate is not None and not self.gate.wait(20):
            raise RuntimeError("the test never opened the gate")
        for asked in questions:
            if "<poison>" in asked.question:
                raise DataError("the question cannot be read: ask another one")
            if "<defect>" in asked.question:
                raise ZeroDivisionError("secret of the inside")
        return [self._reply(base, asked) for asked in questions]

    def count_tokens(self, text: str, /) -> int:
        return len(text.split())

    @property
    def calls(self) -> int:
        return len(self.batches)

    @staticmethod
    def _reply(base: Any, asked: Asked) -> FakeReply:
        refused = "<unknown>" in asked.question
        return FakeReply(asked, "" if refused else asked.question[::-1], refused, base.version)


def in_a_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs asynchronous work in a thread of its own: a browser, once started, keeps a loop in that of the tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


def client_of(
    base: FakeBase | None = None, model: FakeModel | None = None, *, host: str = OWN, **settings: Any
) -> TestClient:
    """A client of a server that may be written to, unless the settings say otherwise; enter it to use one loop."""
    chosen = Settings(**{"writable": True, **settings})
    return TestClient(create_app(base or FakeBase(fact()), model or FakeModel(), chosen), base_url=host)
