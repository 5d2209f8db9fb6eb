"""A model that reads the facts around the selected ones: silent at the start, exact in decoding, saved and loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kblampp.model.checkpoint import load_adapter, save_adapter
from kblampp.model.decoding import tokenized
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import Knowledge, SelectorOptions
from kblampp.training.losses import LossWeights, compute_losses
from tests.kb import TinyWorld, make_world
from tests.tiny import EOS_ID, FAMILIES, PAD_ID

ROWS = (0, 9, 12, 40)
EGO = {"ego_graph": True, "ego_radius": 2, "ego_degree": 3}
GREEDY = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": PAD_ID, "eos_token_id": EOS_ID}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.fixture(scope="module")
def model(world: TinyWorld) -> KBInjectedModel:
    return world.model(FAMILIES["llama"](), **EGO)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def test_before_training_the_logits_are_those_without_it_bit_for_bit(world: TinyWorld) -> None:
    """The other weights are random, so that knowledge has an effect, and copying takes part."""
    plain, ego = world.model(FAMILIES["llama"]()), world.model(FAMILIES["llama"](), **EGO)
    for name, parameter in ego.added_parameters().items():
        if name in plain.added_parameters():
            parameter.copy_(plain.added_parameters()[name])
        elif name.endswith("graph.out.weight"):
            parameter.zero_()
    ids, mask = world.prompts(ROWS)
    start = torch.full((len(ROWS),), ids.shape[1] - 3)
    logits = [each(ids, mask, knowledge=world.ask(ROWS), answer_start=start).logits for each in (plain, ego)]
    assert torch.equal(*logits)
    ego.selectors[0].graph.out.weight.fill_(0.1)
    assert not torch.equal(ego(ids, mask, knowledge=world.ask(ROWS), answer_start=start).logits, logits[0])


def test_untrained_the_model_is_the_backbone_bit_for_bit(world: TinyWorld) -> None:
    untrained = world.model(FAMILIES["llama"](), trained=False, **EGO)
    ids, mask = world.prompts(ROWS)
    logits = untrained(ids, mask, knowledge=world.ask(ROWS)).logits
    assert torch.equal(logits, FAMILIES["llama"]()(input_ids=ids, attention_mask=mask).logits)


def test_it_is_part_of_every_layer_until_it_is_switched_off(world: TinyWorld, model: KBInjectedModel) -> None:
    ids, mask = world.prompts(ROWS)
    on, off = (model(ids, mask, knowledge=world.ask(ROWS, ego_graph=flag)) for flag in (True, False))
    assert (on.logits - off.logits).abs().max() > 1e-2
    assert on.state is not None
    assert off.state is not None
    for place in range(3):
        assert not torch.allclose(on.state.selections[place].value, off.state.selections[place].value, atol=1e-2)


@pytest.mark.parametrize("copy_head", [True, False])
def test_cached_decoding_equals_the_full_forward(world: TinyWorld, model: KBInjectedModel, copy_head: bool) -> None:
    ids, mask = world.prompts(ROWS)
    knowledge = world.ask(ROWS, copy_head=copy_head)
    options = {**GREEDY, "return_dict_in_generate": True, "output_scores": True}
    cached, uncached = (
        model.generate(ids, mask, tokenizer=world.tokenizer, knowledge=knowledge, use_cache=use, **options)[0]
        for use in (True, False)
    )
    assert torch.equal(cached.sequences, uncached.sequences)
    for place, row in enumerate(ROWS):
        prompt, _ = world.prompts([row])
        answer = cached.sequences[place, ids.shape[1] :]
        if EOS_ID in answer.tolist():
            answer = answer[: answer.tolist().index(EOS_ID) + 1]
        start = prompt.shape[1]
        whole = torch.cat([prompt, answer[None]], dim=1)
        asked = world.ask([row], copy_head=copy_head)
        full = model(whole, knowledge=asked, answer_start=torch.tensor([start]))
        chosen = None if full.state.own_words()[0] > 0.5 else full.state.answers()[0][0]
        assert copy_head or chosen is None
        if chosen is None:  # own words
            steps = torch.stack(cached.scores)[: len(answer), place].float().log_softmax(-1)
            expected = full.logits[0, start - 1 : -1].float().log_softmax(-1)
            torch.testing.assert_close(steps, expected, atol=1e-4, rtol=1e-4)
        else:
            (((tokens, _),),) = tokenized([[chosen]], world.tokenizer)
            assert answer.tolist() == list(tokens[: len(answer)])


def test_its_weights_get_gradients_in_training(world: TinyWorld, model: KBInjectedModel) -> None:
    batch = world.batches(batch_size=6, retrieved_negatives=4).batch(0)
    knowledge = Knowledge(world.base, batch.questions, SelectorOptions(top_k=0), batch.weighed)
    with torch.enable_grad():
        output = model(batch.input_ids, batch.attention_mask, knowledge=knowledge, answer_start=batch.answer_start)
        weights = LossWeights(*[1.0] * 7)
        compute_losses(output, batch, world.base, path_margin=1.0).total(weights).backward()
    around = {name: p.grad for name, p in model.added_parameters().items() if ".graph." in name}
    assert len(around) == 3 * 4
    for name, gradient in around.items():
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        assert gradient.any(), name
    model.zero_grad()


@pytest.mark.parametrize("options", [{}, EGO], ids=["", "ego graph"])
def test_beams_over_withheld_facts_are_those_of_a_base_without_them(
    world: TinyWorld, tmp_path: Path, options: dict[str, Any]
) -> None:
    model, row = world.model(FAMILIES["llama"](), **options), world.rows_of("temporal")[2]
    ids, mask = world.prompts([row])
    everything = world.ask([row], over_fetch=6)
    state = model(ids, mask, knowledge=everything).state
    assert state is not None
    withheld = state.selections[2].ids[0, -1, :3].tolist()  # the best of the layer that is copied from
    base, _ = world.without(withheld, tmp_path)
    assert base.store.horizon == world.base.store.horizon
    left_out = replace(everything, withheld=torch.tensor([withheld]))
    beams = {
        **GREEDY,
        "num_beams": 3,
        "num_return_sequences": 3,
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    found, expected, before = (
        model.generate(ids, mask, tokenizer=world.tokenizer, knowledge=knowledge, **beams)[0]
        for knowledge in (left_out, replace(everything, base=base), everything)
    )
    assert torch.equal(found.sequences, expected.sequences)
    torch.testing.assert_close(found.sequences_scores, expected.sequences_scores, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found.sequences_scores, before.sequences_scores, atol=1e-3)


def test_it_is_saved_and_loaded_with_the_adapter(world: TinyWorld, model: KBInjectedModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "trainA", model, world.backbone(model.backbone), world.projections)
    loaded = load_adapter(tmp_path / "trainA", world.backbone(FAMILIES["llama"]()), world.projections)
    assert loaded.config == model.config
    assert {name: loaded.config[name] for name in EGO} == EGO
    selector = loaded.selectors[0]
    assert (selector.graph.radius, selector.graph.degree) == (2, 3)
    for name, parameter in model.added_parameters().items():
        assert torch.equal(loaded.added_parameters()[name], parameter.half().float()), name
