"""Any decoder: knowledge enters, every cache writes the same, and gradients reach all that learns.

Of every family; what else holds is tried on fewer of them, in `test_injection.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kblampp.backbone.load import load_backbone
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import Knowledge, SelectorOptions
from kblampp.model.lora import change_backbone
from kblampp.training.losses import LossWeights, compute_losses
from tests.kb import TinyWorld, make_world
from tests.tiny import EOS_ID, FAMILIES, LAYERS, MORE_FAMILIES, PAD_ID, WINDOW, tiny_tokenizer

EVERY = FAMILIES | MORE_FAMILIES
ROWS = (0, 9, 12, 40)
GREEDY: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": PAD_ID, "eos_token_id": EOS_ID}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


def written(model: KBInjectedModel, world: TinyWorld, rows: Any = ROWS, *, own: bool = False, **options: Any) -> Tensor:
    """Answers to some questions without the prompts, in own words or not."""
    ids, mask = world.prompts(rows)
    knowledge = world.ask(rows, copy_head=not own)
    return model.generate(ids, mask, tokenizer=world.tokenizer, knowledge=knowledge, **GREEDY, **options)[0][
        :, ids.shape[1] :
    ]


def test_a_dozen_families_and_more_with_and_without_tied_embeddings() -> None:
    tied = {family: build().config.tie_word_embeddings for family, build in EVERY.items()}
    assert len(EVERY) >= 18
    assert set(EVERY) >= {"qwen3", "gemma3_text", "phi", "olmo2", "smollm3", "granite"}
    assert min(sum(tied.values()), len(tied) - sum(tied.values())) >= 6


@pytest.mark.parametrize("family", MORE_FAMILIES)
@torch.no_grad()
def test_knowledge_off_is_the_backbone_bit_for_bit_and_on_it_enters(world: TinyWorld, family: str) -> None:
    ids, mask = world.prompts(ROWS)
    plain = EVERY[family]()(input_ids=ids, attention_mask=mask).logits
    model = world.model(EVERY[family]())
    assert torch.equal(model(ids, mask).logits, plain)
    assert (model(ids, mask, knowledge=world.ask(ROWS)).logits - plain).abs().max() > 1e-3


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("family", EVERY)
def test_no_cache_a_growing_one_and_a_static_one_write_the_same(world: TinyWorld, family: str, own: bool) -> None:
    model = world.model(EVERY[family]())
    growing = written(model, world, own=own)
    assert torch.equal(written(model, world, own=own, use_cache=False), growing)
    assert torch.equal(written(model, world, own=own, cache_implementation="static"), growing)


@pytest.mark.parametrize("family", MORE_FAMILIES)
def test_an_answer_does_not_depend_on_the_prompts_beside_it(world: TinyWorld, family: str) -> None:
    model = world.model(EVERY[family]())
    together = written(model, world, own=True)
    for place in (0, 1):
        alone = written(model, world, [ROWS[place]], own=True)[0]
        ends = (alone == EOS_ID).nonzero()
        length = int(ends[0]) + 1 if len(ends) else len(alone)
        assert torch.equal(together[place, :length], alone[:length])


def test_sliding_windows_are_shorter_than_the_prompts(world: TinyWorld) -> None:
    """Else nothing above would have tried them: what lies far behind the window changes nothing there."""
    ids, _ = world.prompts(ROWS[:1])
    assert ids.shape[1] > 2 * WINDOW
    model = EVERY["mistral"](num_hidden_layers=1)
    with torch.no_grad():
        before = model(ids).logits[0, -1]
        ids[0, : -WINDOW - 1] = 2
        assert torch.allclose(model(ids).logits[0, -1], before, atol=1e-5)


def learns(model: KBInjectedModel, world: TinyWorld, *, recompute: bool) -> tuple[float, dict[str, Tensor]]:
    """Loss of a training batch, and the gradients of all that learns."""
    batch = world.batches(batch_size=6).batch(0)
    knowledge = Knowledge(world.base, batch.questions, SelectorOptions(top_k=0), batch.weighed)
    model.zero_grad()
    with model.recomputing(recompute):
        output = model(batch.input_ids, batch.attention_mask, knowledge=knowledge, answer_start=batch.answer_start)
        loss = compute_losses(output, batch, world.base, path_margin=1.0).total(LossWeights(*[1.0] * 7))
        loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", EVERY)
def test_gradient_checkpointing_changes_neither_loss_nor_gradients_and_selects_once(
    world: TinyWorld, family: str
) -> None:
    model = world.model(EVERY[family]())
    change_backbone(model, rank=2, alpha=2.0, unfreeze_top=1)
    runs = [count_runs(selector) for selector in model.selectors]
    inside = count_runs(next(m for m in model._decoder[0][-1].modules() if "Norm" in type(m).__name__))
    loss, expected = learns(model, world, recompute=False)
    assert ([len(run) for run in runs], len(inside)) == ([1, 1, 1], 1)
    again, found = learns(model, world, recompute=True)
    assert [len(run) for run in runs] == [2, 2, 2]
    assert len(inside) == 3, "the layer was to be computed again for the gradients"
    assert again == pytest.approx(loss, rel=1e-6)
    assert found.keys() == expected.keys()
    assert sum(".lora_" in name for name in found) >= 2 * 2 * (LAYERS - 1)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)
    assert all("forward" not in layer.__dict__ for layer in model._decoder[0])


def count_runs(module: torch.nn.Module) -> list[None]:
    """A list that grows by one with each run of the module."""
    runs: list[None] = []
    module.register_forward_hook(lambda *_: runs.append(None))
    return runs


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "gemma", "gpt_neox", "opt"])
@torch.no_grad()
def test_tied_and_untied_embeddings_are_read_from_files(
    world: TinyWorld, tmp_path: Path, family: str, tied: bool
) -> None:
    plain = EVERY[family](tie_word_embeddings=tied)
    head: Any = plain.get_output_embeddings()
    embeddings: Any = plain.get_input_embeddings()
    assert (head.weight is embeddings.weight) is tied
    plain.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    ids, mask = world.prompts(ROWS)
    model = world.model(load_backbone(str(tmp_path)).model)
    assert torch.equal(model(ids, mask).logits, plain(input_ids=ids, attention_mask=mask).logits)


def test_a_prompt_of_a_chat_template_reads_too_and_needs_no_pad_token(world: TinyWorld, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    EVERY["qwen3"]().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path))
    model = world.model(backbone.model)
    chats = [[{"role": "user", "content": world.questions[row].question}] for row in ROWS]
    template: Callable[..., Any] = backbone.tokenizer.apply_chat_template
    prompt = template(chats, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True)
    ids, mask = prompt["input_ids"], prompt["attention_mask"]
    assert backbone.tokenizer.decode(ids[0]).endswith("<assistant>")
    answers, state = model.generate(ids, mask, tokenizer=backbone.tokenizer, knowledge=world.ask(ROWS), **GREEDY)
    assert state is not None
    assert answers.shape[1] > ids.shape[1]
    for place, row in enumerate(ROWS):
        one = [part[place : place + 1, mask[place].argmax() :] for part in (ids, mask)]
        _, alone = model.generate(*one, tokenizer=backbone.tokenizer, knowledge=world.ask([row]), **GREEDY)
        assert alone is not None
        assert alone.answers()[0][0].text == state.answers()[place][0].text


def test_a_compiled_backbone_reads_the_same(world: TinyWorld) -> None:
    """The tracing alone, which is where hooks could be lost; the machine needs no compiler."""
    model = world.model(FAMILIES["llama"]())
    ids, mask = world.prompts(ROWS)

    def outputs() -> list[Tensor]:
        calls = (None, world.ask(ROWS), world.ask([1, *ROWS[1:]]), None)
        return [model(ids, mask, knowledge=knowledge).logits for knowledge in calls]

    with torch.no_grad():
        expected = outputs()
        model.backbone.compile(backend="eager")
        found = outputs()
    torch.compiler.reset()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])
