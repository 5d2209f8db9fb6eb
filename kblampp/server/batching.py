"""One thread asks the model; whatever waits when it is free is answered at once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from kblampp.asking.asked import Asked
from kblampp.core.errors import DataError
from kblampp.server.problems import Busy, Invalid, TimedOut
from kblampp.server.protocols import AskingModel, Base, Reply

logger = logging.getLogger(__name__)
_STOP_WAIT_S = 10.0
"""How long stopping waits for the model to come to an end with what it has begun."""


@dataclass(frozen=True)
class Answered:
    """A reply and, where they were asked for, the tokens of question and answer (else 0)."""

    reply: Reply
    question_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, eq=False)
class _Job:
    asked: Asked
    counted: bool
    answer: Future[Answered] = field(default_factory=Future)


class Batcher:
    """Owns the model: requests put questions into a queue, a thread takes all that wait and asks them together.

    While the model runs, further questions gather, so batches grow with the load and nothing waits for company.
    """

    def __init__(
        self,
        base: Base,
        model: AskingModel[Any],
        *,
        batch_size: int,
        max_queue: int,
        timeout_s: float,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Makes a batcher; its thread starts with the first question.

        Args:
            base: what the model answers from.
            model: it is asked by this batcher's thread alone.
            batch_size: most questions that the model gets at once.
            max_queue: most questions that wait.
            timeout_s: seconds until questions are given up.
            on_batch: is told the size of each batch, in the batcher's thread.
        """
        self._base, self._model = base, model
        self._batch_size, self._max_queue, self._timeout_s = batch_size, max_queue, timeout_s
        self._on_batch = on_batch
        self._queue: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """How many questions wait, without those that the model answers now."""
        return len(self._queue)

    async def ask(self, questions: Sequence[Asked], *, counted: bool = False) -> list[Answered]:
        """Answers questions, in their order.

        Args:
            questions: at least one.
            counted: whether tokens are counted too.

        Raises:
            Busy: if so many do not fit into the queue, or the server stops.
            TimedOut: if they are not answered in time.
            Invalid: if the model refuses one of them; others' questions are answered all the same.
        """
        jobs = [_Job(asked, counted) for asked in questions]
        self._put(jobs)
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await asyncio.gather(*(asyncio.wrap_future(job.answer) for job in jobs), return_exceptions=True)
        except TimeoutError:
            raise TimedOut(f"no answer within {self._timeout_s:g} seconds: ask fewer questions, or later") from None
        finally:
            self._drop(jobs)
        answers = []
        for number, answer in enumerate(found, start=1):
            if isinstance(answer, DataError):
                raise Invalid(f"question {number}: {answer}" if len(jobs) > 1 else str(answer)) from None
            if isinstance(answer, BaseException):
                raise answer
            answers.append(answer)
        return answers

    def start(self) -> None:
        """Starts the thread, if it does not run."""
        with self._changed:
            self._start()

    def close(self) -> None:
        """Refuses what waits and what comes, and waits for what the model has begun."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(_STOP_WAIT_S)
            if thread.is_alive():
                logger.warning("the model was still busy after %g s and is left alone", _STOP_WAIT_S)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._stopping = False
            self._thread = threading.Thread(target=self._work, name="kblampp-asking", daemon=True)
            self._thread.start()

    def _put(self, jobs: Sequence[_Job]) -> None:
        with self._changed:
            if self._stopping and self._thread is not None:
                raise _stopped()
            if len(self._queue) + len(jobs) > self._max_queue:
                raise Busy(f"{len(self._queue)} questions wait already: ask again in a second")
            self._start()
            self._queue.extend(jobs)
            self._changed.notify_all()

    def _drop(self, jobs: Sequence[_Job]) -> None:
        """Takes out of the queue what nobody waits for any more."""
        left = {job for job in jobs if job.answer.cancel() and job.answer.cancelled()}
        if left:
            with self._changed:
                kept = [job for job in self._queue if job not in left]
                self._queue.clear()
                self._queue.extend(kept)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stopping)
                if self._stopping:
                    refused = list(self._queue)
                    self._queue.clear()
                    break
                taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_size))]
            self._answer([job for job in taken if job.answer.set_running_or_notify_cancel()])
        for job in refused:
            if job.answer.set_running_or_notify_cancel():
                job.answer.set_exception(_stopped())

    def _answer(self, jobs: Sequence[_Job]) -> None:
        """Asks the model; a batch that fails is asked again in halves, so that it refuses the one at fault alone."""
        if not jobs:
            return
        try:
            answers = self._ask(jobs)
        except Exception as error:  # whatever it is, it must reach the one who waits, and the thread must go on
            if len(jobs) == 1:
                jobs[0].answer.set_exception(error)
                return
            half = len(jobs) // 2
            self._answer(jobs[:half])
            self._answer(jobs[half:])
        else:
            for job, answer in zip(jobs, answers, strict=True):
                job.answer.set_result(answer)

    def _ask(self, jobs: Sequence[_Job]) -> list[Answered]:
        replies = self._model.ask(self._base, [job.asked for job in jobs])
        if len(replies) != len(jobs):
            raise RuntimeError(f"the model gave {len(replies)} replies to {len(jobs)} questions")
        self._on_batch(len(jobs))
        return [
            Answered(reply, self._model.count_tokens(job.asked.question), self._model.count_tokens(reply.text))
            if job.counted
            else Answered(reply)
            for job, reply in zip(jobs, replies, strict=True)
        ]


def _stopped() -> Busy:
    return Busy("the server stops: ask again when it is back")
