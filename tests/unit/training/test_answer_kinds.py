"""The classifiers learn the types of the training base, from it alone, and leave everything else as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from kblampp.data.facts import FiveTuple, Question
from kblampp.model.answer_kinds import KINDS, AnswerKinds
from kblampp.model.text_hashes import WORD_BUCKETS, question_words
from kblampp.synthetic.open_schema import OPEN_BY_ID
from kblampp.training import answer_kinds
from kblampp.training.answer_kinds import KIND_OF, fit_answer_kinds
from tests.kb import TinyWorld, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


class Typed:
    """A tiny world's base whose entities have types, as its relations give them."""

    def __init__(self, world: TinyWorld, types: Mapping[str, tuple[str, str]]) -> None:
        self._base, self._vectors, self.store = world.base, world.vectors, self
        self.facts = [self._typed(fact, *types.get(fact.relation.name, (None, None))) for fact in world.facts]

    @staticmethod
    def _typed(fact: FiveTuple, head: str | None, tail: str | None) -> FiveTuple:
        return replace(fact, head=replace(fact.head, type=head), tail=replace(fact.tail, type=tail))

    def question_vectors(self, split: str) -> Any:
        assert split == "train"
        return self._vectors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


def made(world: TinyWorld) -> AnswerKinds:
    torch.manual_seed(1)
    p = world.projections
    return AnswerKinds(p.d_question, p.d_ent, p.d_rel, WORD_BUCKETS)


TYPES = {
    "mayor": ("CITY", "PERSON"),
    "founder": ("CITY", "PERSON"),
    "twin town": ("CITY", "CITY"),
    "place of birth": ("PERSON", "CITY"),
    "residence": ("PERSON", "CITY"),
    "employer": ("PERSON", "COMPANY"),
}


def fitted(world: TinyWorld, questions: list[Question], monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> AnswerKinds:
    monkeypatch.setattr(answer_kinds, "STEPS", 150)
    kinds = made(world)
    assert fit_answer_kinds(kinds, Typed(world, TYPES), "train", questions, seed)  # type: ignore[arg-type]
    return kinds


def test_they_learn_the_kinds_of_names_and_of_what_questions_want(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = fitted(world, world.questions, monkeypatch)
    d_ent, tensors, heads = world.projections.d_ent, world.base.tensors, {fact.head.name for fact in world.facts}
    right = []
    for number, fact in enumerate(world.facts):
        wanted = KIND_OF[TYPES[fact.relation.name][1]]
        flags = torch.tensor(fact.tail.name[0].isdigit()), torch.tensor(fact.tail.name in heads)
        found = kinds.given(tensors.values[number][:d_ent], tensors.keys[number][d_ent:], *flags)
        right.append(KINDS[int(found.argmax())] == wanted)
    assert np.mean(right) > 0.9
    logits = kinds.wanted(torch.from_numpy(world.vectors), question_words([q.question for q in world.questions]))
    for question, row in zip(world.questions, logits, strict=True):
        if question.hops and question.form == "value" and not question.inverse:
            fact = world.facts[question.hops[-1][0]]
            assert KINDS[int(row.argmax())] == KIND_OF[TYPES[fact.relation.name][1]]


def test_the_same_seed_gives_the_same_classifiers(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    once, again, other = (fitted(world, world.questions, monkeypatch, seed) for seed in (4, 4, 5))
    weights = [torch.cat([p.flatten() for p in kinds.parameters()]) for kinds in (once, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not any(parameter.requires_grad for parameter in once.parameters())
    assert float(once.prior.sum()) == pytest.approx(1, abs=1e-5)
    scores = once.score(50 * torch.eye(len(KINDS)), 50 * torch.eye(len(KINDS)))
    assert bool(scores.isfinite().all())  # also of kinds that this base lacks


@pytest.mark.parametrize("without", ["types", "questions"])
def test_without_types_or_questions_nothing_is_learned(world: TinyWorld, without: str) -> None:
    kinds = made(world)
    types = {} if without == "types" else TYPES
    questions = world.questions if without == "types" else []
    assert not fit_answer_kinds(kinds, Typed(world, types), "train", questions, 0)  # type: ignore[arg-type]
    assert not kinds.fitted


def test_every_type_that_has_a_kind_is_one_of_the_package() -> None:
    known = {part for relation in OPEN_BY_ID.values() for part in (relation.head, relation.tail)} | {"ORG"}
    assert set(KIND_OF) <= known
    assert set(KIND_OF.values()) == set(KINDS) - {"other"}
