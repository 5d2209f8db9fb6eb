"""An answer of the kind that is asked for fits, one of another kind does not; what nobody fitted counts nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kblampp.data.facts import FORMS, MODES, MOST_HOPS
from kblampp.model.answer_kinds import KINDS, LEAST, AnswerKinds
from kblampp.model.mentions import WORD_BUCKETS
from kblampp.model.question_reader import Reading
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES

PROBABILITIES = st.lists(st.floats(0.01, 1), min_size=len(KINDS), max_size=len(KINDS))


def logits(*weights: float) -> Tensor:
    rows = torch.tensor(weights, dtype=torch.float64)
    return (rows / rows.sum()).log()


@settings(deadline=None, max_examples=100)
@given(PROBABILITIES, PROBABILITIES, PROBABILITIES)
def test_the_score_is_the_formula_of_the_page(question: list[float], fact: list[float], prior: list[float]) -> None:
    kinds = AnswerKinds(4, 3, 2, 8).double()
    kinds.prior.copy_(logits(*prior).exp())
    expected = 0.0
    for place in range(len(KINDS)):
        share = [row[place] / sum(row) for row in (question, fact, prior)]
        of_question, of_fact = ((1 - LEAST) * part + LEAST * share[2] for part in share[:2])
        expected += of_question * of_fact / share[2]
    found = kinds.score(logits(*question), logits(*fact))
    assert float(found) == pytest.approx(math.log(expected), abs=1e-6)


def test_a_fact_of_the_kind_asked_for_gains_and_others_lose_but_not_all() -> None:
    kinds, sure = AnswerKinds(4, 3, 2, 8), 100 * torch.eye(len(KINDS))
    scores = torch.stack([kinds.score(row, sure) for row in sure])
    assert bool((scores.diagonal() > 0).all())
    apart = scores[~torch.eye(len(KINDS), dtype=torch.bool)]
    assert bool((apart < 0).all())
    assert bool((apart > -5).all())  # never quite sure


def test_who_knows_nothing_says_nothing() -> None:
    kinds, unknown = AnswerKinds(4, 3, 2, 8), torch.zeros(len(KINDS))
    assert kinds.score(unknown, 100 * torch.eye(len(KINDS))).abs().max() < 1e-6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


def reading(form: str, rows: int) -> Reading:
    forms = torch.full((rows, len(FORMS)), -200.0)
    forms[:, FORMS.index(form)] = 0.0
    modes = torch.zeros(rows, len(MODES)).log_softmax(-1)
    return Reading(torch.zeros(rows), forms.log_softmax(-1), modes, torch.zeros(rows, MOST_HOPS - 1))


def made_up(world: TinyWorld) -> AnswerKinds:
    """Classifiers with no weight at zero."""
    torch.manual_seed(0)
    p = world.projections
    kinds = AnswerKinds(p.d_question, p.d_ent, p.d_rel, WORD_BUCKETS)
    for parameter in kinds.parameters():
        if parameter is not kinds.prior:
            torch.nn.init.normal_(parameter)
    return kinds


@pytest.mark.parametrize("inverse", [False, True])
def test_a_fact_fits_by_the_end_that_it_answers_with(world: TinyWorld, inverse: bool) -> None:
    kinds, d_ent, questions = made_up(world), world.projections.d_ent, world.ask([0, 1]).questions
    asked = kinds.asked(questions, reading("value", 2), world.base)
    facts = torch.tensor([[3, 0, -1], [5, -1, 2]])
    found = asked.fit(facts, torch.full_like(facts, inverse, dtype=torch.bool))
    wanted, heads = kinds.wanted(questions.vectors, questions.words), {fact.head.name for fact in world.facts}
    for row in range(2):
        for column, number in enumerate(facts[row].tolist()):
            if number < 0:
                assert found[row, column] == 0
                continue
            key, value = (part[number] for part in (world.base.tensors.keys, world.base.tensors.values))
            name = world.facts[number].head.name if inverse else world.facts[number].tail.name
            label = torch.zeros_like(key[d_ent:]) if inverse else key[d_ent:]
            flags = torch.tensor(name[0].isdigit()), torch.tensor(name in heads)
            given_logits = kinds.given((key if inverse else value)[:d_ent], label, *flags)
            assert float(found[row, column]) == pytest.approx(float(kinds.score(wanted[row], given_logits)), abs=1e-5)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("value", "list")])
def test_what_asks_for_no_name_asks_for_no_kind(world: TinyWorld, form: str) -> None:
    asked = made_up(world).asked(world.ask([0]).questions, reading(form, 1), world.base)
    facts = torch.tensor([[0, 1]])
    assert asked.fit(facts, torch.zeros_like(facts, dtype=torch.bool)).abs().max() < 1e-6


def test_until_they_are_fitted_and_when_switched_off_they_change_nothing(world: TinyWorld) -> None:
    model = world.model(FAMILIES["llama"]())
    rows = list(range(len(world.questions)))
    ids, mask = world.prompts(rows)

    def nulls(**options: bool) -> Tensor:
        state = model(ids, mask, knowledge=world.ask(rows, **options)).state
        return state.selections[max(state.selections)].null

    assert not model.kinds.fitted
    before = nulls()
    fitted = made_up(world)
    for own, parameter in zip(model.kinds.parameters(), fitted.parameters(), strict=True):
        own.copy_(parameter)
    assert model.kinds.fitted
    assert torch.equal(nulls(answer_kinds=False), before)
    assert not torch.equal(nulls(), before)


def test_saved_and_loaded_they_are_the_same(world: TinyWorld, tmp_path: Path) -> None:
    from kblampp.model.checkpoint import load_adapter, save_adapter

    model = world.model(FAMILIES["llama"]())
    torch.nn.init.normal_(model.kinds.of_fact.weight)
    backbone = world.backbone(model.backbone)
    save_adapter(tmp_path / "adapter", model, backbone, world.projections)
    model.detach()
    again = load_adapter(tmp_path / "adapter", backbone, world.projections)
    assert torch.allclose(again.kinds.of_fact.weight, model.kinds.of_fact.weight, atol=1e-3)
