"""What the routes of one server share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from kblampp.asking.asked import Asked
from kblampp.data.windows import day
from kblampp.server.batching import Answered, Batcher
from kblampp.server.bodies import AskOptions
from kblampp.server.metrics import Metrics
from kblampp.server.problems import Busy, Forbidden, Gone, Invalid, TimedOut
from kblampp.server.protocols import AskingModel, Base
from kblampp.server.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


class Writer:
    """Runs writes one after another, each in a thread of the pool."""

    def __init__(self, *, max_queue: int, timeout_s: float) -> None:
        self._lock = asyncio.Lock()
        self._waiting, self._max_queue, self._timeout_s = 0, max_queue, timeout_s

    async def run(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a write when its turn has come.

        Raises:
            Busy: if too many wait.
            TimedOut: if its turn does not come in time; nothing is written then.
        """
        if self._waiting >= self._max_queue:
            raise Busy(f"{self._waiting} changes wait already: send yours again in a second")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._lock.acquire()
        except TimeoutError:
            raise TimedOut(f"no turn to write within {self._timeout_s:g} seconds: nothing was changed") from None
        finally:
            self._waiting -= 1
        try:
            return await run_in_threadpool(write, *args, **kwargs)
        finally:
            self._lock.release()


@dataclass(frozen=True)
class State:
    """A base, the model that answers from it, and what stands between them and the clients."""

    base: Base
    model: AskingModel[Any]
    settings: Settings
    batcher: Batcher
    writer: Writer
    metrics: Metrics

    async def ask(
        self, request: Request, questions: Sequence[str], options: AskOptions, *, counted: bool = False
    ) -> list[Answered]:
        """Answers questions of a client, unless it goes away meanwhile.

        Raises:
            Invalid: if they are too many or too long.
            Gone: if the client has gone; what it asked no longer waits then.
        """
        if len(questions) > self.settings.max_batch:
            raise Invalid(f"{len(questions)} questions in one request: expected at most {self.settings.max_batch}")
        for number, question in enumerate(questions, start=1):
            if len(question) > self.settings.max_question:
                which = f"question {number}" if len(questions) > 1 else "the question"
                raise Invalid(
                    f"{which} has {len(question)} characters: expected at most {self.settings.max_question}",
                    code="string_above_max_length",
                )
        today = None if options.today is None else day(options.today)
        asked = [Asked(question, today, options.known_at, options.top, options.style) for question in questions]
        answers = await _unless_gone(request, self.batcher.ask(asked, counted=counted))
        self.metrics.questions.inc(len(answers))
        self.metrics.refusals.inc(sum(answer.reply.refused for answer in answers))
        return answers

    def require_writable(self) -> None:
        """Raises Forbidden if the base is served for reading alone."""
        if not self.settings.writable:
            raise Forbidden("the base is served for reading alone: start the server so that it may be changed")


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The work's result; the work is cancelled when the client goes away."""
    answering = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise Gone("the client has gone")
        return answering.result()
    finally:
        leaving.cancel()
        answering.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
