"""An answer of the kind that is asked for fits, one of another kind does not; what nobody fitted counts nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kblampp.data.facts import FORMS, MODES, MOST_HOPS
from kblampp.model.answer_kinds import KINDS, LEAST, AnswerKinds
from kblampp.model.question_reader import Reading
from kblampp.model.text_hashes import WORD_BUCKETS
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
@pytest.mark.parametrize("number", [0, 3, 30, 60, 70, -1])
def test_a_fact_fits_by_the_end_that_it_answers_with(world: TinyWorld, inverse: bool, number: int) -> None:
    kinds, d_ent, knowledge = made_up(world), world.projections.d_ent, world.ask([0, 1])
    found = kinds.asked(knowledge, reading("value", 2)).fit(torch.tensor([number] * 2), torch.tensor([inverse] * 2))
    if number < 0:
        assert found.tolist() == [0, 0]
        return
    key, value = (part[number] for part in (world.base.tensors.keys, world.base.tensors.values))
    name = world.facts[number].head.name if inverse else world.facts[number].tail.name
    label = torch.zeros_like(key[d_ent:]) if inverse else key[d_ent:]
    flags = torch.tensor(name[0].isdigit()), torch.tensor(name in {fact.head.name for fact in world.facts})
    given_logits = kinds.given((key if inverse else value)[:d_ent], label, *flags)
    wanted = kinds.wanted(knowledge.questions.vectors, knowledge.questions.words)
    assert found.tolist() == pytest.approx(kinds.score(wanted, given_logits).tolist(), abs=1e-5)


def test_an_entity_whose_facts_are_all_withheld_is_none(world: TinyWorld, tmp_path: Path) -> None:
    """As if they were deleted: the kind of a name hangs on whether the base has facts about it."""
    kinds, knowledge = made_up(world), world.ask([0, 1])
    number = next(place for place, fact in enumerate(world.facts) if fact.relation.name == "founder")
    gone = [place for place, fact in enumerate(world.facts) if fact.head.name == world.facts[number].tail.name]
    hidden = replace(knowledge, withheld=torch.tensor([gone, [-1] * len(gone)]))
    facts, inverse = torch.tensor([number] * 2), torch.tensor([False] * 2)
    plain, without = (kinds.asked(each, reading("value", 2)).fit(facts, inverse) for each in (knowledge, hidden))
    assert without[1] == plain[1]
    assert without[0] != plain[0]
    base, kept = world.without(gone, tmp_path)
    deleted = kinds.asked(replace(knowledge, base=base), reading("value", 2))
    there = torch.tensor([kept.index(number)] * 2)
    assert float(deleted.fit(there, inverse)[0]) == pytest.approx(float(without[0]), abs=1e-3)


def test_what_no_name_can_be_hears_of_withheld_facts_too(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds, knowledge, seen = made_up(world), world.ask([0, 1]), []
    given_of = kinds.given

    def watched(*answers: Tensor) -> Tensor:
        seen.append(answers[-1])
        return given_of(*answers)

    monkeypatch.setattr(kinds, "given", watched)
    number = next(place for place, fact in enumerate(world.facts) if fact.relation.name == "founder")
    name = world.facts[number].tail.name
    other = next(place for place, fact in enumerate(world.facts) if fact.tail.name != name)
    gone = [place for place, fact in enumerate(world.facts) if fact.head.name == name]
    hidden = replace(knowledge, withheld=torch.tensor([gone, [-1] * len(gone)]))
    facts = torch.tensor([[number, other]] * 2)
    kinds.asked(hidden, reading("value", 2)).no_name(facts, torch.zeros_like(facts, dtype=torch.bool))
    (has_facts,) = seen
    withheld, there = has_facts.view(2, 2).tolist()
    assert (withheld[0], there[0]) == (False, True)
    assert withheld[1] == there[1]


def test_without_the_question_vector_the_words_alone_say_what_is_wanted(world: TinyWorld) -> None:
    kinds, facts, inverse = made_up(world), torch.tensor([0]), torch.tensor([False])
    found = kinds.asked(world.ask([0], question_vector=False), reading("value", 1))
    words = world.ask([0]).questions.words
    assert torch.equal(found.wanted, kinds.wanted(torch.zeros_like(world.ask([0]).questions.vectors), words))
    assert not torch.equal(
        found.fit(facts, inverse), kinds.asked(world.ask([0]), reading("value", 1)).fit(facts, inverse)
    )


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("value", "list")])
def test_what_asks_for_no_name_asks_for_no_kind(world: TinyWorld, form: str) -> None:
    asked = made_up(world).asked(world.ask([0, 1]), reading(form, 2))
    facts = torch.tensor([0, 1])
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
