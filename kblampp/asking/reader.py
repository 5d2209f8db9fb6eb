"""Puts questions to a trained model: reads the time that each names, encodes it, and asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kblampp.asking.replies import Reply, make_reply
from kblampp.data.facts import UNANSWERABLE, Question
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.growing import Readable
from kblampp.model.inputs import EncodedBase, EncodedQuestions, SelectorOptions
from kblampp.model.predictor import Predictor
from kblampp.time_expressions.parse import TimeReading, read_time


@dataclass(frozen=True)
class Reader:
    """A trained model and the encoders of what it is asked.

    Attributes:
        predictor: The trained model.
        encoders: Of the questions.
    """

    predictor: Predictor
    encoders: Encoders

    def ask(
        self,
        base: EncodedBase,
        questions: Sequence[str],
        *,
        top: int,
        today: int,
        ids: Readable | None = None,
        version: int | None = None,
    ) -> list[Reply]:
        """Answers questions; of a base smaller than `top_k` as many candidates are weighed as it has facts.

        Args:
            base: What is read.
            questions: The questions, (n,).
            top: Most facts of a layer that a reply shows.
            today: The day of asking.
            ids: What its facts are called, by their rows; None for their rows.
            version: Of the base.
        """
        times, encoded = self.encode(questions, today)
        predictions = replace(self.predictor, options=self.options(base, today)).predict(base, encoded)
        names = np.arange(base.store.n) if ids is None else ids
        return [
            make_reply(question, time, said, base.store.facts, names, top=top, today=today, version=version)
            for question, time, said in zip(questions, times, predictions, strict=True)
        ]

    def options(self, base: EncodedBase, today: int) -> SelectorOptions:
        """How facts of a base are selected: at most as many as it has."""
        options = self.predictor.options
        return replace(options, top_k=min(options.top_k, base.store.n), as_of=today)

    def encode(self, questions: Sequence[str], today: int) -> tuple[list[TimeReading], EncodedQuestions]:
        """The times that questions name, and the questions as a model reads them."""
        typed = [Question(f"asked_{i}", "asked", text, "", (), UNANSWERABLE, ()) for i, text in enumerate(questions)]
        times = [read_time(question, today) for question in questions]
        vectors = self.encoders.embed_questions([time.rest for time in times]).astype(np.float32)
        return times, EncodedQuestions(typed, vectors, tuple(time.window for time in times))
