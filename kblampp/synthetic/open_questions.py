"""Questions about an open base in many words, each with exactly one answer or, by construction, none.

`KINDS` are the kinds of questions, and the functions that make one.  What is asked stands in `open_draft`, what there
is to ask about in `open_subjects`, the words in `question_words`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from kblampp.core.errors import DataError
from kblampp.data.facts import Question
from kblampp.synthetic.fact_questions import (
    ask_after,
    ask_after_time,
    ask_before,
    ask_before_time,
    ask_began,
    ask_current,
    ask_ended,
    ask_first,
    ask_inverse,
    ask_last,
    ask_tail,
    ask_temporal,
)
from kblampp.synthetic.hop_questions import ask_three_hop, ask_two_hop
from kblampp.synthetic.list_questions import ask_count, ask_list
from kblampp.synthetic.open_draft import Draft
from kblampp.synthetic.open_subjects import Subjects
from kblampp.synthetic.open_worlds import OpenBase
from kblampp.synthetic.question_words import as_typed
from kblampp.synthetic.unanswerable_questions import ask_unanswerable
from kblampp.synthetic.yes_no_questions import ask_yes_no

ATTEMPTS = 400
"""Draws a question wanted, on average, after which the base counts as too small."""
KINDS: dict[str, Callable[[Subjects], Draft | None]] = {
    "tail": ask_tail,
    "temporal": ask_temporal,
    "current": ask_current,
    "first": ask_first,
    "last": ask_last,
    "before": ask_before,
    "after": ask_after,
    "before_time": ask_before_time,
    "after_time": ask_after_time,
    "began": ask_began,
    "ended": ask_ended,
    "inverse": ask_inverse,
    "yes_no": ask_yes_no,
    "list": ask_list,
    "count": ask_count,
    "two_hop": ask_two_hop,
    "three_hop": ask_three_hop,
    "unanswerable": ask_unanswerable,
}
"""The kinds of questions; each function draws one, or None if the draw gives none."""


class OpenQuestionWriter:
    """Writes the questions of one split about an open base.

    Args:
        base: The knowledge base asked about.
        rng: Source of randomness.
        dataset: Name that stands in each row and in the question ids.
        split: Name of the split, part of the question ids.
        taken: Names of the base and of others, none of which is used for an unknown head; those used are added.
        seen: Question texts of all splits; none is written twice.
        first_fact: Id of the base's first fact in its file.
        first_question: Number of the first question in its split.
    """

    def __init__(
        self,
        base: OpenBase,
        rng: random.Random,
        *,
        dataset: str,
        split: str,
        taken: set[str],
        seen: set[str],
        first_fact: int = 0,
        first_question: int = 0,
    ) -> None:
        self._subjects = Subjects(base, rng, taken=taken, number=first_question)
        self._dataset, self._split, self._seen, self._first_fact = dataset, split, seen, first_fact

    def write(self, per_kind: int) -> list[Question]:
        """Writes `per_kind` questions of each kind.

        Raises:
            DataError: The base is too small for so many different questions.
        """
        questions: list[Question] = []
        for kind, ask in KINDS.items():
            made = 0
            for _ in range(ATTEMPTS * per_kind):
                if made == per_kind:
                    break
                draft = ask(self._subjects)
                question = None if draft is None else self._numbered(draft)
                if question is not None:
                    questions.append(question)
                    made += 1
            if made < per_kind:
                raise DataError(
                    f"generate: the open base of {self._dataset} {self._split} gives only {made} of the {per_kind} "
                    f"questions of the kind {kind} asked for; ask for fewer questions or more facts in params.yaml, "
                    "section generate"
                )
        return questions

    def _numbered(self, draft: Draft) -> Question | None:
        """The question as it is typed, with its number; None if there is one of these words."""
        text = as_typed(draft, self._subjects)
        if text in self._seen:
            return None
        self._seen.add(text)
        number = self._subjects.number
        self._subjects.number += 1
        return Question(
            qid=f"{self._dataset}_{self._split}_{number:05d}",
            dataset=self._dataset,
            question=text,
            answer=draft.answer,
            aliases=draft.aliases,
            type=draft.type,
            supporting_facts=tuple(fact + self._first_fact for fact in draft.path),
            question_time=draft.time,
            reason=draft.reason,
            program=draft.program,
        )
