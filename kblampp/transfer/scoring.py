"""How answers about an unseen base are scored: by kind of question, by group of kinds, and whether they are whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kblampp.data.facts import KINDS, UNANSWERABLE, FiveTuple, Question
from kblampp.data.windows import MONTHS
from kblampp.evaluation.metrics import accepted, auroc, bootstrap_stderr, is_abstention, is_correct, normalize_answer
from kblampp.evaluation.table import rounded
from kblampp.model.answers import SEPARATOR

_DATE = re.compile(rf"[0-9]{{1,4}}(?:-[0-9]{{2}}){{0,2}}|(?:(?:[0-9]{{1,2}} )?(?:{'|'.join(MONTHS)}) )?[0-9]{{1,4}}")
_OWN_WORD = re.compile(r"yes|no|-?[0-9]+(?:[.,][0-9]+)*", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What was said to one question.

    Attributes:
        base: Name of the base.
        question: The question.
        said: The answer of each system.
        broken: Which systems said something that is no field of the base, nor anything else that an answer may be.
        null: The model's abstention score.
    """

    base: str
    question: Question
    said: Mapping[str, str]
    broken: frozenset[str]
    null: float | None

    def right(self, system: str) -> bool:
        """Whether a system's answer counts as right."""
        return is_right(self.question, self.said[system])

    def refused(self, system: str) -> bool:
        """Whether a system said that the base does not tell."""
        return is_abstention(self.said[system])

    def to_row(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "base": self.base,
            "kind": self.question.kind,
            "question": self.question.question,
            "gold": self.question.answer,
            **self.said,
            "right": [system for system in self.said if self.right(system)],
            "null": None if self.null is None else round(self.null, 5),
        }


@dataclass(frozen=True)
class Group:
    """Kinds of question whose answers are counted together.

    Attributes:
        kinds: The kinds.
        hit: Whether the answer of a system counts.
    """

    kinds: tuple[str, ...]
    hit: Callable[[Answer, str], bool] = Answer.right


GROUPS: Mapping[str, Group] = {
    "facts": Group(("tail", "temporal", "current")),
    "steps": Group(("first_last", "before_after", "when", "inverse", "two_hop")),
    "sets": Group(("yes_no", "list", "count")),
    "unanswerable_refused": Group((UNANSWERABLE,), Answer.refused),
    "answerable_not_refused": Group(
        tuple(kind for kind in KINDS if kind != UNANSWERABLE), lambda answer, system: not answer.refused(system)
    ),
}
"""The columns of the table: what a fact says, what takes a step more, what rests on several facts, and refusals."""


def is_right(question: Question, text: str) -> bool:
    """Exact match with the answer or an alias, after `normalize_answer`; a list may name its items in any order."""
    if question.kind == "list":
        return any(_items(text) == _items(answer) for answer in accepted(question))
    return bool(is_correct(question, text))


def names_accepted(question: Question, text: str) -> bool:
    """Whether a text is right, or names several of the accepted answers and nothing else.

    TimeQA accepts each of those who held an office together; a model that names them all is not wrong.
    """
    every = {normalize_answer(answer) for answer in accepted(question)}
    return is_right(question, text) or (bool(every) and _items(text) <= every)


def holds_answer(question: Question, text: str) -> bool:
    """Whether the right answer, or each item of it, stands in a text, word by word after `normalize_answer`.

    More than `is_right` gives to who answers in a sentence; also to who names other things beside.
    """
    words = f" {normalize_answer(text)} "
    wanted = (answer.split(SEPARATOR) for answer in accepted(question))
    return is_right(question, text) or any(
        all(f" {normalize_answer(item)} " in words for item in items) for items in wanted
    )


def _items(text: str) -> set[str]:
    return {normalize_answer(item) for item in text.split(SEPARATOR)}


def names_of(facts: Sequence[FiveTuple]) -> frozenset[str]:
    """The heads and tails of a base, as an answer may be one of them."""
    return frozenset(entity.name.strip() for fact in facts for entity in (fact.head, fact.tail))


def is_broken(text: str, names: frozenset[str]) -> bool:
    """Whether an answer is none: no name of the base letter by letter, date, number, yes, no, refusal, or list of them.

    Args:
        text: The answer.
        names: `names_of` the base.
    """
    if text in names:
        return False
    return not all(
        item in names or is_abstention(item) or _DATE.fullmatch(item) or _OWN_WORD.fullmatch(item)
        for item in text.split(SEPARATOR)
    )


def score(answers: Sequence[Answer], *, bootstrap_samples: int, seed: int) -> dict[str, dict[str, Any]]:
    """The figures of each system: of `all` questions, of the `groups` and `kinds` that were asked, and the rest.

    The rest is what share `names_accepted`, which is `all` or more, how many answers are `broken`, and the model's
    `auroc`.

    Args:
        answers: Of one base, or of several together; at least one.
        bootstrap_samples: Of the standard error.
        seed: Of the bootstrap.
    """
    kinds = {kind: Group((kind,)) for kind in KINDS}
    table: dict[str, dict[str, Any]] = {}
    for system in answers[0].said:
        counted = {
            part: {
                name: _share([group.hit(answer, system) for answer in asked], bootstrap_samples, seed)
                for name, group in groups.items()
                if (asked := [answer for answer in answers if answer.question.kind in group.kinds])
            }
            for part, groups in (("groups", GROUPS), ("kinds", kinds))
        }
        table[system] = {
            "n": len(answers),
            "all": _share([answer.right(system) for answer in answers], bootstrap_samples, seed),
            "names_accepted": _share(
                [names_accepted(answer.question, answer.said[system]) for answer in answers], bootstrap_samples, seed
            ),
            **counted,
            "broken": sum(system in answer.broken for answer in answers),
        }
    scores = [answer.null for answer in answers if answer.null is not None]
    if len(scores) == len(answers):
        unanswerable = [answer.question.kind == UNANSWERABLE for answer in answers]
        table["model"] |= rounded({"auroc": auroc(scores, unanswerable)})
    return table


def _share(hits: Sequence[bool], samples: int, seed: int) -> dict[str, Any]:
    right = sum(hits)
    return rounded(
        {"n": len(hits), "right": right, "share": right / len(hits), "stderr": bootstrap_stderr(hits, samples, seed)}
    )
