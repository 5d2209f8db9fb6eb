"""Questions as a user puts them: the time that they ask about is read from their words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kblampp.data.facts import Question
from kblampp.model.inputs import EncodedQuestions
from kblampp.time_expressions.parse import parse_question_time


def with_times(
    questions: Sequence[Question], vectors: npt.NDArray[np.float32], as_of: int | None = None
) -> EncodedQuestions:
    """Questions, (n,), with their sentence vectors, (n, d_sentence), and the windows that their words name.

    The one place where a question's words are parsed for asking.  The data's own `question_time` is not looked at: who
    asks a question gives no window with it.

    Args:
        questions: What is asked.
        vectors: Their sentence vectors.
        as_of: Day of asking, from which "last year" is told; None for today.

    Raises:
        DataError: There is not one vector for each question.
    """
    windows = tuple(parse_question_time(question.question, as_of) for question in questions)
    return EncodedQuestions(questions, vectors, windows)
