"""A question as it is put to a living base."""

from __future__ import annotations

from dataclasses import dataclass

from kblampp.core.params import AnswerStyle


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a living base.

    Attributes:
        question: The question.
        today: The day of asking, which "now" means, as a day number; None for today.
        known_at: Which state of the base is asked, a call's id or a moment; None for the present one.
        top: Most facts of a layer that the reply names.
        style: Whether a sentence is written around the short answer; None for what params.yaml says.
    """

    question: str
    today: int | None = None
    known_at: int | str | None = None
    top: int = 5
    style: AnswerStyle | None = None
