"""Facts are edited one question at a time, by its kind, and its answer must become what the edited base says.

Each trial edits the facts that a question rests on so that another answer is right, or, as its control, another fact of
those that the model weighed so that the same answer stays right.  Trials that do not touch each other's facts share one
edited base, which is encoded and searched again with no training.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kblampp.data.facts import KINDS, FiveTuple, Question
from kblampp.data.windows import year_window
from kblampp.evaluation.metrics import exact_match, is_correct
from kblampp.evidence.edits import Editor, Tails, inner_years, with_tail
from kblampp.evidence.measures import Explained, Rows, mean_rows, merge
from kblampp.evidence.programs import concerns, edited_kind, right_answer
from kblampp.model.answers import NO
from kblampp.model.predictor import Predictor

TRIAL_SPLIT = "unseen"
"""The split whose questions are of every kind, and whose programs say what is right after an edit."""
Change = Mapping[int, FiveTuple | None]
"""Number of a fact -> what it becomes; None where it is deleted."""
Key = tuple[str, str | None, str]
"""What a question can ask about: a head and a relation, or a tail and a relation."""
GROUPS: Mapping[str, Callable[[Question], bool]] = {
    **{kind: lambda question, kind=kind: edited_kind(question) == kind for kind in KINDS},  # type: ignore[misc]
    "answerable": lambda question: edited_kind(question) is not None,
}


@dataclass(frozen=True)
class Trial:
    """One edit and what should come of it.

    Attributes:
        place: Which question it is about.
        edit: Key of the edit in `EDITS`.
        control: Whether another fact than those that the question rests on is edited.
        change: What is edited.
        due: The right answer afterwards; of a control the same as before.
        asked: What the question asks about.
        edited: What can be asked about the edited facts, before and after.
    """

    place: int
    edit: str
    control: bool
    change: Change
    due: str
    asked: Key
    edited: frozenset[Key]


class Edits:
    """The ways to edit some facts of a base, each in an order drawn for one question."""

    def __init__(self, facts: Sequence[FiveTuple]) -> None:
        self._facts, self._tails = facts, Tails(facts)
        self._entities = {entity.name: entity for fact in facts for entity in (fact.head, fact.tail)}
        self._days = [day for fact in facts for day in (fact.window.start, fact.window.end) if day is not None]

    def delete(self, question: Question, numbers: Sequence[int], rng: random.Random) -> Iterator[Change]:
        """Each fact alone, then all of them: an answer may stand in several."""
        yield from ({number: None} for number in numbers)
        yield dict.fromkeys(numbers)

    def tail(self, question: Question, numbers: Sequence[int], rng: random.Random) -> Iterator[Change]:
        """Another tail for one of them; where "no" was right it is the one that the question names."""
        for number in numbers:
            named = self._entities.get((question.program or {})["tail"]) if question.answer == NO else None
            tail = named or self._tails.draw(self._facts[number], rng)
            if tail is not None and tail.name != self._facts[number].head.name:
                yield {number: with_tail(self._facts[number], tail)}

    def window(self, question: Question, numbers: Sequence[int], rng: random.Random) -> Iterator[Change]:
        """The window of one of them closes to a year inside it, any of them; its sentence stays."""
        for number in numbers:
            window = self._facts[number].window
            years = inner_years(window, (), self._days)
            for year in rng.sample(years, len(years)):
                yield {number: replace(self._facts[number], window=year_window(year, window.source))}


EDITS: Mapping[str, Callable[[Edits, Question, Sequence[int], random.Random], Iterator[Change]]] = {
    "delete": Edits.delete,
    "tail": Edits.tail,
    "window": Edits.window,
}


def make_trials(facts: Sequence[FiveTuple], explained: Explained, seed: int) -> list[Trial]:
    """For each right answer and each edit a trial and its control, where there are both.

    Args:
        facts: The base.
        explained: The questions with answers.
        seed: Of the choice of facts, tails and years, with each question's id.
    """
    edits, trials = Edits(facts), list[Trial]()
    for place, (question, said) in enumerate(zip(explained.questions, explained.predictions, strict=True)):
        if edited_kind(question) is None or not is_correct(question, said.text):
            continue
        row = {number for number, fact in enumerate(facts) if concerns(question, fact)}
        now, support = right_answer(question, [facts[number] for number in sorted(row)]), question.supporting_facts
        others = sorted({number for number in said.ranked[-1] if number >= 0} - set(support))
        for name, edit in EDITS.items():
            pair = []
            for control, numbers in ((False, support), (True, others)):
                rng = random.Random(f"{name}/{seed}/{question.qid}/{control}")
                for change in edit(edits, question, rng.sample(numbers, len(numbers)), rng):
                    due = right_answer(question, _after(facts, question, row, change))
                    if due is not None and (due == now) == control:
                        pair.append(Trial(place, name, control, change, due, _asked(question), _keys(facts, change)))
                        break
            trials += pair if len(pair) == 2 else []
    return trials


def _after(facts: Sequence[FiveTuple], question: Question, row: set[int], change: Change) -> list[FiveTuple]:
    """The facts that a question concerns, `row` before a change, after it."""
    found = ((number, change.get(number, facts[number])) for number in sorted(row | change.keys()))
    return [fact for _, fact in found if fact is not None and concerns(question, fact)]


def _asked(question: Question) -> Key:
    program = question.program or {}
    end = "tail" if question.inverse else "head"
    return end, program["relations"][0], program[end]


def _keys(facts: Sequence[FiveTuple], change: Change) -> frozenset[Key]:
    touched = [fact for number, new in change.items() for fact in (facts[number], new) if fact is not None]
    ends = [(end, fact.relation.id, getattr(fact, end).name) for fact in touched for end in ("head", "tail")]
    return frozenset(ends)


@dataclass
class Round:
    """Trials that share one edited base: no question asks about what another trial edits."""

    trials: list[Trial] = field(default_factory=list)
    change: dict[int, FiveTuple | None] = field(default_factory=dict)
    asked: set[Key] = field(default_factory=set)
    edited: set[Key] = field(default_factory=set)

    def takes(self, trial: Trial) -> bool:
        """Whether neither the trial nor those that are there would disturb the other."""
        apart = self.change.keys().isdisjoint(trial.change) and self.asked.isdisjoint(trial.edited)
        return apart and trial.asked not in self.edited

    def add(self, trial: Trial) -> None:
        """Adds a trial that it takes."""
        self.trials.append(trial)
        self.change.update(trial.change)
        self.asked.add(trial.asked)
        self.edited |= trial.edited


def share_bases(trials: Sequence[Trial]) -> list[Round]:
    """The trials in few rounds, each in the first that takes it."""
    rounds: list[Round] = []
    for trial in trials:
        home = next((round_ for round_ in rounds if round_.takes(trial)), None)
        if home is None:
            home = Round()
            rounds.append(home)
        home.add(trial)
    return rounds


def try_edits(
    predictor: Predictor,
    editor: Editor,
    facts: Sequence[FiveTuple],
    explained: Explained,
    *,
    samples: int,
    seed: int,
) -> Rows:
    """How right answers follow their facts, by kind of question: `{kind: {figure: value}}`.

    Returns:
        For each edit `<edit>_follow`, the share that became what the edited base says, `<edit>_old`, the share that
        stayed as it was, `<edit>_random`, the share that changed when another fact was edited, each with its error, and
        `<edit>_n`; `n` and `em` of all questions.
    """
    how: dict[str, Any] = {"samples": samples, "seed": seed, "groups": GROUPS}
    rows = mean_rows(explained.questions, {"em": explained.correct}, n="n", **how)
    rounds = share_bases(make_trials(facts, explained, seed))
    outcomes: dict[str, dict[int, float]] = defaultdict(dict)
    for number, round_ in enumerate(rounds, start=1):
        edited = [new for place, fact in enumerate(facts) if (new := round_.change.get(place, fact)) is not None]
        places = [trial.place for trial in round_.trials]
        with editor.base(edited, []) as base:
            label = f"edited base {number} of {len(rounds)}"
            answers = predictor.predict(base, explained.encoded.part(places), label)
        for trial, answer in zip(round_.trials, answers, strict=True):
            kept = exact_match(answer.text, [explained.texts[trial.place]])
            if trial.control:
                outcomes[f"{trial.edit}_random"][trial.place] = 1 - kept
            else:
                outcomes[f"{trial.edit}_follow"][trial.place] = exact_match(answer.text, [trial.due])
                outcomes[f"{trial.edit}_old"][trial.place] = kept
    for name in EDITS:
        places = sorted(outcomes[f"{name}_follow"])
        figures = {
            f"{name}_{ending}": [outcomes[f"{name}_{ending}"][place] for place in places]
            for ending in ("follow", "old", "random")
        }
        merge(rows, mean_rows([explained.questions[place] for place in places], figures, n=f"{name}_n", **how))
    return rows
