"""Edits by kind of question: what becomes right, told by another solver, and that trials do not disturb each other."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from kblampp.data.facts import KINDS, FiveTuple, Question
from kblampp.encoding.projections import fit_projections
from kblampp.evaluation.questions import with_times
from kblampp.evidence.edits import Editor
from kblampp.evidence.measures import Explained
from kblampp.evidence.programs import concerns, edited_kind, right_answer
from kblampp.evidence.trials import EDITS, Trial, make_trials, share_bases, try_edits
from kblampp.model.inputs import EncodedBase, EncodedQuestions
from kblampp.model.predictor import Prediction, Predictor
from kblampp.synthetic.open_questions import OpenQuestionWriter
from kblampp.synthetic.open_worlds import make_open_base
from tests.kb import ENCODERS, WIDTHS
from tests.open_solver import OpenSolver
from tests.unit.evidence.test_measures import make_trace

NEW_KINDS = {"first_last", "before_after", "when", "inverse", "yes_no", "list", "count"}


@cache
def made() -> tuple[list[FiveTuple], list[Question]]:
    """A small open base and questions of every kind; read-only."""
    taken: set[str] = set()
    base = make_open_base(400, seed=1, part="unseen", taken=taken)
    writer = OpenQuestionWriter(base, random.Random(1), dataset="d", split="unseen", taken=taken, seen=set())
    return list(base.facts), writer.write(8)


def solved(facts: list[FiveTuple], question: Question) -> str:
    """The answer of the solver, which knows nothing of the package; "no" is also what no fact says."""
    found = OpenSolver([fact.to_row() for fact in facts]).solve(question.program or {})
    return found[0] if found else "no" if question.form == "yes_no" else "unknown"


@cache
def explained() -> Explained:
    """Every question answered right; the facts weighed are those that it rests on and eight others."""
    facts, questions = made()
    rng = random.Random(0)
    said = [
        Prediction(q.answer or "unknown", ((*q.supporting_facts, *rng.sample(range(len(facts)), 8), -1),))
        for q in questions
    ]
    encoded = with_times(questions, np.zeros((len(questions), 64), dtype=np.float32))
    return Explained(encoded, said, [make_trace([[0]])] * len(questions))


@cache
def trials() -> list[Trial]:
    return make_trials(made()[0], explained(), seed=0)


def after(changes: Any) -> list[FiveTuple]:
    return [new for number, fact in enumerate(made()[0]) if (new := changes.get(number, fact)) is not None]


def test_before_an_edit_the_right_answer_is_the_questions_own() -> None:
    facts, questions = made()
    known = [question for question in questions if edited_kind(question)]
    assert {edited_kind(question) for question in known} == {"tail", "temporal", "current"} | NEW_KINDS
    for question in known:
        assert right_answer(question, [fact for fact in facts if concerns(question, fact)]) == question.answer


def test_kinds_are_those_of_the_data() -> None:
    assert {edited_kind(question) for question in made()[1]} - {None} <= set(KINDS)
    left_out = [question for question in made()[1] if edited_kind(question) is None]
    assert {question.type for question in left_out} == {"multi-hop", "unanswerable"}
    assert edited_kind(replace(made()[1][0], program=None)) is None


@pytest.mark.parametrize("edit", EDITS)
def test_another_solver_finds_the_answer_due_after_an_edit(edit: str) -> None:
    chosen = [trial for trial in trials() if trial.edit == edit]
    for trial in chosen:
        question = explained().questions[trial.place]
        assert trial.due == solved(after(trial.change), question), (trial, question)
        assert (trial.due == question.answer) == trial.control
        support = set(question.supporting_facts)
        assert support.isdisjoint(trial.change) if trial.control else support >= trial.change.keys()
    assert len({trial.control for trial in chosen}) == 2


def due(edit: str, kind: str) -> list[tuple[Question, Trial]]:
    pairs = [(explained().questions[t.place], t) for t in trials() if t.edit == edit and not t.control]
    found = [(question, trial) for question, trial in pairs if edited_kind(question) == kind]
    assert found
    return found


def test_without_a_fact_a_list_lacks_it_and_a_count_is_one_less() -> None:
    for question, trial in due("delete", "list"):
        kept = {made()[0][number].tail.name for number in set(question.supporting_facts) - trial.change.keys()}
        left = [name for name in question.answer.split("; ") if name in kept]
        assert sorted(trial.due.split("; ")) == (sorted(left) or ["unknown"])  # who held it twice may move
    for question, trial in due("delete", "count"):
        assert trial.due == (str(int(question.answer) - 1) if question.answer != "1" else "unknown")


def test_without_its_fact_yes_becomes_no_and_with_the_tail_named_no_becomes_yes() -> None:
    assert {(question.answer, trial.due) for question, trial in due("delete", "yes_no")} == {("yes", "no")}
    assert {(question.answer, trial.due) for question, trial in due("tail", "yes_no")} == {("yes", "no"), ("no", "yes")}


def test_a_closed_window_gives_its_new_bound() -> None:
    for _, trial in due("window", "when"):
        (new,) = trial.change.values()
        assert new is not None
        assert new.window.start is not None
        assert trial.due == new.window.to_row()["start"][:4]  # type: ignore[index]


def test_without_the_first_the_next_one_is_and_without_the_fact_there_is_no_time() -> None:
    assert all(trial.due not in ("unknown", question.answer) for question, trial in due("delete", "first_last"))
    assert {trial.due for _, trial in due("delete", "when")} == {"unknown"}


def test_only_right_answers_are_tried() -> None:
    wrong = [replace(said, text="nobody at all") for said in explained().predictions]
    assert make_trials(made()[0], replace(explained(), predictions=wrong), seed=0) == []


def test_trials_of_one_round_do_not_disturb_each_other() -> None:
    rounds = share_bases(trials())
    assert sorted(map(id, trials())) == sorted(id(trial) for round_ in rounds for trial in round_.trials)
    assert len(rounds) < len(trials()) / 5
    for round_ in rounds:
        together = OpenSolver([fact.to_row() for fact in after(round_.change)])
        for trial in round_.trials:
            question = explained().questions[trial.place]
            found = together.solve(question.program or {})
            assert (found[0] if found else "no" if question.form == "yes_no" else "unknown") == trial.due


class Solving:
    """Answers from the base that it is asked about, or always as at first."""

    def __init__(self, *, stubborn: bool) -> None:
        self.stubborn = stubborn

    def predict(self, base: EncodedBase, encoded: EncodedQuestions, label: str) -> list[Prediction]:
        if self.stubborn:
            return [Prediction(question.answer) for question in encoded.questions]
        solver = OpenSolver([fact.to_row() for fact in base.store.facts])
        found = [(q, solver.solve(q.program or {})) for q in encoded.questions]
        return [Prediction(f[0] if f else "no" if q.form == "yes_no" else "unknown") for q, f in found]


@pytest.mark.parametrize("stubborn", [False, True])
def test_who_reads_the_base_follows_every_edit_and_who_does_not_follows_none(stubborn: bool, tmp_path: Path) -> None:
    facts = made()[0]
    projections = fit_projections(facts, ENCODERS, **WIDTHS)
    editor = Editor(ENCODERS, projections, "float16", {"factory": "Flat"})
    some = explained().part(range(0, len(explained().predictions), 2))
    predictor = cast(Predictor, Solving(stubborn=stubborn))
    rows = try_edits(predictor, editor, facts, some, samples=10, seed=0)
    assert set(rows) == {"tail", "temporal", "current", "answerable"} | NEW_KINDS
    for row in rows.values():
        assert row["em"] == 1.0
        for edit in EDITS:
            if f"{edit}_n" in row:
                assert row[f"{edit}_follow"] == 1.0 - stubborn
                assert row[f"{edit}_old"] == float(stubborn)
                assert row[f"{edit}_random"] == 0.0
    assert rows["answerable"]["delete_n"] == sum(row.get("delete_n", 0) for row in rows.values()) / 2
