"""Questions keep their own vector and window, whatever part is taken; a selection that cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError, ParamsError
from kblampp.data.facts import Question
from kblampp.data.windows import UNKNOWN, Window, window_bounds, year_window
from kblampp.model.inputs import EncodedQuestions, SelectorOptions
from kblampp.model.text_hashes import question_grams

N = 9


def window_of(number: int) -> Window | None:
    return year_window(2000 + number) if number % 3 else None


def encoded() -> EncodedQuestions:
    """Question i has the vector (i, i) and, unless 3 divides i, the window of the year 2000 + i."""
    questions = [Question(f"q{i}", "test", f"Who led it in {2000 + i}?", "Ada", (), "temporal", (i,)) for i in range(N)]
    vectors = np.repeat(np.arange(N, dtype=np.float32)[:, None], 2, axis=1)
    return EncodedQuestions(questions, vectors, tuple(map(window_of, range(N))))


@given(st.lists(st.integers(0, N - 1)))
def test_a_part_keeps_question_vector_and_window_together(places: list[int]) -> None:
    part = encoded().part(places)
    assert len(part) == len(places)
    assert [question.qid for question in part.questions] == [f"q{place}" for place in places]
    assert part.vectors.shape == (len(places), 2)
    assert part.vectors[:, 1].tolist() == places
    assert list(part.windows) == [window_of(place) for place in places]


@given(st.lists(st.integers(0, N - 1), min_size=1), st.data())
def test_a_part_of_a_part_is_a_part(places: list[int], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.integers(0, len(places) - 1)))
    twice, once = encoded().part(places).part(again), encoded().part([places[place] for place in again])
    assert twice.questions == once.questions
    assert twice.windows == once.windows
    assert np.array_equal(twice.vectors, once.vectors)


@given(st.lists(st.integers(0, N - 1), min_size=1))
def test_a_batch_has_the_bounds_of_the_windows(places: list[int]) -> None:
    batch = encoded().part(places).batch()
    low, high = window_bounds([window_of(place) or UNKNOWN for place in places])
    assert batch.windows.tolist() == [list(pair) for pair in zip(low.tolist(), high.tolist(), strict=True)]
    assert batch.vectors[:, 0].tolist() == places
    texts = [encoded().questions[place].question for place in places]
    assert batch.grams.equal(question_grams(texts))


@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=5), st.integers(1, 3))
def test_beams_of_a_question_are_rows_with_its_vector_window_and_words(places: list[int], beams: int) -> None:
    once = encoded().part(places).batch()
    repeated, rows = once.expand(beams * len(places)), [row for row in range(len(places)) for _ in range(beams)]
    expected = once.part(rows)
    for name in ("vectors", "windows", "grams"):
        assert getattr(repeated, name).equal(getattr(expected, name))


def test_a_question_without_vector_or_window_is_refused() -> None:
    whole = encoded()
    with pytest.raises(DataError, match=rf"{N} questions.*{N - 1} sentence vectors.*give each question one"):
        EncodedQuestions(whole.questions, whole.vectors[1:], whole.windows)
    with pytest.raises(DataError, match=rf"{N} questions.*{N - 1} windows"):
        EncodedQuestions(whole.questions, whole.vectors, whole.windows[1:])


def test_as_many_facts_as_there_are_can_be_weighed_and_no_more() -> None:
    for top_k in (0, 1, 12):
        SelectorOptions(top_k=top_k).check(12, "town")
    with pytest.raises(ParamsError, match=r"top_k is 13.*town has 12 facts.*set selector\.top_k to at most 12"):
        SelectorOptions(top_k=13).check(12, "town")


def test_evidence_needs_a_fact() -> None:
    SelectorOptions(top_k=1).check(12, "town", least=1)
    with pytest.raises(ParamsError, match=r"selector\.top_k is 0.*set selector\.top_k to at least 1"):
        SelectorOptions(top_k=0).check(12, "town", least=1)
