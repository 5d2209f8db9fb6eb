"""Questions of many requests reach the model together, and nobody is harmed by a neighbour."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.asking.asked import Asked
from kblampp.server.batching import Answered, Batcher
from kblampp.server.problems import Busy, Invalid, TimedOut
from tests.unit.server.fakes import FakeBase, FakeModel, in_a_loop

Outcome = list[Answered] | BaseException


def batcher_of(model: FakeModel, **limits: Any) -> Batcher:
    return Batcher(FakeBase(), model, **{"batch_size": 8, "max_queue": 64, "timeout_s": 20.0, **limits})


def texts(answers: Outcome) -> list[str]:
    assert isinstance(answers, list), answers
    return [answer.reply.answer for answer in answers]


@asynccontextmanager
async def held(model: FakeModel, batcher: Batcher) -> AsyncIterator[asyncio.Task[Any]]:
    """The model is busy with a first question until the block ends."""
    model.gate = threading.Event()
    first = asyncio.ensure_future(batcher.ask([Asked("first")]))
    while not model.entered.is_set():
        await asyncio.sleep(0.001)
    try:
        yield first
    finally:
        model.gate.set()


async def gathered(batcher: Batcher, requests: Sequence[Sequence[str]]) -> list[asyncio.Task[Any]]:
    """The requests, all of whose questions wait."""
    tasks = [asyncio.ensure_future(batcher.ask([Asked(text) for text in request])) for request in requests]
    while batcher.waiting < sum(len(request) for request in requests):
        await asyncio.sleep(0.001)
    return tasks


def test_what_waits_while_the_model_runs_is_asked_at_once_and_each_gets_its_own_answer() -> None:
    async def work() -> None:
        model = FakeModel()
        batcher = batcher_of(model)
        async with held(model, batcher):
            tasks = await gathered(batcher, [[f"question {number}"] for number in range(20)])
        answers = await asyncio.gather(*tasks)
        assert [texts(answer) for answer in answers] == [[f"question {number}"[::-1]] for number in range(20)]
        assert [len(batch) for batch in model.batches] == [1, 8, 8, 4]
        assert [asked.question for batch in model.batches[1:] for asked in batch] == [
            f"question {n}" for n in range(20)
        ]
        batcher.close()

    in_a_loop(work)


def test_one_thread_alone_asks_the_model() -> None:
    async def work() -> None:
        model = FakeModel()
        batcher = batcher_of(model)
        for _ in range(3):
            await asyncio.gather(*(batcher.ask([Asked(str(number))]) for number in range(9)))
        assert len(model.threads) == 1
        assert threading.get_ident() not in model.threads
        batcher.close()

    in_a_loop(work)


@given(
    requests=st.lists(
        st.lists(st.sampled_from(["who", "when", "where is it", "<poison>", "<defect>"]), min_size=1, max_size=4),
        min_size=1,
        max_size=8,
    ),
    size=st.integers(1, 9),
)
@settings(deadline=None, max_examples=40)
def test_a_question_that_fails_harms_its_own_request_alone(requests: list[list[str]], size: int) -> None:
    async def work() -> None:
        model = FakeModel()
        batcher = batcher_of(model, batch_size=size)
        async with held(model, batcher) as first:
            tasks = await gathered(batcher, requests)
        outcomes: list[Outcome] = await asyncio.gather(*tasks, return_exceptions=True)
        for request, outcome in zip(requests, outcomes, strict=True):
            bad = [(number, text) for number, text in enumerate(request, start=1) if text.startswith("<")]
            if not bad:
                assert texts(outcome) == [text[::-1] for text in request]
            elif bad[0][1] == "<poison>":
                assert isinstance(outcome, Invalid)
                assert len(request) == 1 or f"question {bad[0][0]}" in str(outcome)
            else:
                assert isinstance(outcome, ZeroDivisionError)
        assert texts(await first) == ["tsrif"]
        batcher.close()

    in_a_loop(work)


def test_one_bad_question_costs_few_further_calls_of_the_model() -> None:
    async def work() -> None:
        model = FakeModel()
        batcher = batcher_of(model, batch_size=32)
        async with held(model, batcher):
            tasks = await gathered(batcher, [["good"]] * 13 + [["<poison>"]] + [["good"]] * 18)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(outcome, list) for outcome in outcomes) == 31
        assert model.calls <= 1 + 1 + 2 * 5  # the first, the batch, two halves at each of its five levels
        batcher.close()

    in_a_loop(work)


def test_a_full_queue_refuses_a_request_as_a_whole_and_takes_the_next_that_fits() -> None:
    async def work() -> None:
        model = FakeModel()
        batcher = batcher_of(model, max_queue=4)
        async with held(model, batcher):
            tasks = await gathered(batcher, [["a", "b", "c"]])
            with pytest.raises(Busy, match="3 questions wait") as refused:
                await batcher.ask([Asked("d"), Asked("e")])
            assert refused.value.headers["Retry-After"]
            tasks += await gathered_one_more(batcher)
        assert [texts(answers) for answers in await asyncio.gather(*tasks)] == [["a", "b", "c"], ["d"]]
        batcher.close()

    async def gathered_one_more(batcher: Batcher) -> list[asyncio.Task[Any]]:
        task = asyncio.ensure_future(batcher.ask([Asked("d")]))
        while batcher.waiting < 4:
            await asyncio.sleep(0.001)
        return [task]

    in_a_loop(work)


def test_what_takes_too_long_is_given_up_and_is_no_longer_asked() -> None:
    async def work() -> None:
        model = FakeModel()
        batcher = batcher_of(model, timeout_s=0.05)
        async with held(model, batcher) as first:
            with pytest.raises(TimedOut, match=r"0\.05 seconds"):
                await batcher.ask([Asked("late"), Asked("later")])
            assert batcher.waiting == 0
            with pytest.raises(TimedOut):
                await first
        assert texts(await batcher.ask([Asked("next")])) == ["txen"]
        assert [[asked.question for asked in batch] for batch in model.batches] == [["first"], ["next"]]
        batcher.close()

    in_a_loop(work)


def test_a_client_that_goes_leaves_its_place_in_the_queue() -> None:
    async def work() -> None:
        model = FakeModel()
        batcher = batcher_of(model, max_queue=2)
        async with held(model, batcher):
            (gone,) = await gathered(batcher, [["a", "b"]])
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert batcher.waiting == 0
            tasks = await gathered(batcher, [["c", "d"]])
        assert texts((await asyncio.gather(*tasks))[0]) == ["c", "d"]
        assert all(asked.question not in "ab" for batch in model.batches for asked in batch)
        batcher.close()

    in_a_loop(work)


def test_stopping_ends_what_has_begun_and_refuses_what_waits_and_what_comes() -> None:
    async def work() -> None:
        model = FakeModel()
        batcher = batcher_of(model)
        async with held(model, batcher) as first:
            tasks = await gathered(batcher, [["a"], ["b"]])
            closing = threading.Thread(target=batcher.close)
            closing.start()
            while closing.is_alive() and not batcher._stopping:
                await asyncio.sleep(0.001)
            with pytest.raises(Busy, match="stops"):
                await batcher.ask([Asked("too late")])
        outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
        closing.join()
        assert texts(outcomes[0]) == ["tsrif"]
        assert all(isinstance(outcome, Busy) for outcome in outcomes[1:])
        with pytest.raises(Busy):
            await batcher.ask([Asked("after")])
        batcher.start()
        assert texts(await batcher.ask([Asked("again")])) == ["niaga"]
        batcher.close()

    in_a_loop(work)


def test_a_model_that_answers_too_few_is_a_defect_and_no_answer_goes_astray() -> None:
    class Lazy(FakeModel):
        def ask(self, base: Any, questions: Sequence[Asked], /) -> Any:
            return super().ask(base, questions)[:1]

    async def work() -> None:
        model = Lazy()
        batcher = batcher_of(model)
        async with held(model, batcher):
            tasks = await gathered(batcher, [["a"], ["b"], ["c"]])
        assert [texts(answers) for answers in await asyncio.gather(*tasks)] == [["a"], ["b"], ["c"]]
        batcher.close()

    in_a_loop(work)


def test_tokens_are_counted_where_they_are_asked_for_by_the_thread_of_the_model() -> None:
    async def work() -> None:
        batcher = batcher_of(FakeModel())
        (counted,) = await batcher.ask([Asked("who is it")], counted=True)
        (plain,) = await batcher.ask([Asked("who is it")])
        assert (counted.question_tokens, counted.answer_tokens) == (3, 3)
        assert (plain.question_tokens, plain.answer_tokens) == (0, 0)
        batcher.close()

    in_a_loop(work)
