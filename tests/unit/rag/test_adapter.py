"""Trained RAG is put into the backbone that it learnt in, and taken out again without a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kblampp.core.errors import CheckpointError
from kblampp.model.lora import change_backbone
from kblampp.rag.adapter import load_rag, save_rag
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES

IDS = torch.arange(2, 40)[None]
FIELDS = {"style": "examples + fields", "facts": 4, "steps": 7, "seconds": 12.5}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def trained(world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensor]:
    """What was saved, and the logits that the model had."""
    folder = tmp_path_factory.mktemp("store") / "rag"
    model = world.model(FAMILIES["llama"]())
    torch.manual_seed(1)
    change_backbone(model, rank=2, alpha=4.0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.copy_(torch.randn_like(parameter).mul(0.1).half())  # as they are saved
    save_rag(folder, model, world.backbone(model.backbone), FIELDS)
    return folder, logits(model.backbone)


@torch.no_grad()
def logits(model: Callable[..., object]) -> Tensor:
    found: Tensor = model(input_ids=IDS).logits  # type: ignore[attr-defined]
    return found


def test_it_answers_as_it_was_trained_and_the_backbone_is_bare_before_and_after(
    world: TinyWorld, trained: tuple[Path, Tensor]
) -> None:
    folder, expected = trained
    backbone = world.backbone(FAMILIES["llama"]())
    bare, names = logits(backbone.model), [name for name, _ in backbone.model.named_modules()]
    adapter = load_rag(folder, backbone)
    assert (str(adapter.style), adapter.facts, adapter.steps, adapter.seconds) == ("examples + fields", 4, 7, 12.5)
    for _ in range(2):
        assert torch.equal(logits(backbone.model), bare)
        with adapter.attached():
            assert torch.equal(logits(backbone.model), expected)
            assert not torch.equal(expected, bare)
            assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert torch.equal(logits(backbone.model), bare)
    assert [name for name, _ in backbone.model.named_modules()] == names
    assert not hasattr(backbone.model, "peft_config")


def test_a_model_with_hooks_reads_through_it(world: TinyWorld, trained: tuple[Path, Tensor]) -> None:
    folder, expected = trained
    model = world.model(FAMILIES["llama"]())
    with load_rag(folder, world.backbone(model.backbone)).attached(), torch.no_grad():
        assert torch.equal(model(IDS).logits, expected)


def test_it_goes_out_when_what_is_done_with_it_fails(world: TinyWorld, trained: tuple[Path, Tensor]) -> None:
    backbone = world.backbone(FAMILIES["llama"]())
    adapter = load_rag(trained[0], backbone)
    with pytest.raises(ZeroDivisionError), adapter.attached():
        raise ZeroDivisionError
    assert not hasattr(backbone.model, "peft_config")
    with adapter.attached(), pytest.raises(CheckpointError, match="holds LoRA already"), adapter.attached():
        pass


def test_another_backbone_is_refused(world: TinyWorld, trained: tuple[Path, Tensor]) -> None:
    with pytest.raises(CheckpointError, match=r"was trained in backbone ffff.*expected eeee.*train_rag"):
        load_rag(trained[0], world.backbone(FAMILIES["llama"](), fingerprint="e" * 64))
    other = world.backbone(FAMILIES["gpt2"]())
    before = logits(other.model)
    with pytest.raises(CheckpointError, match=r"cannot be loaded.*train_rag"):
        load_rag(trained[0], other)
    assert torch.equal(logits(other.model), before)
    assert not hasattr(other.model, "peft_config")


def test_what_is_missing_or_damaged_is_named(world: TinyWorld, trained: tuple[Path, Tensor], tmp_path: Path) -> None:
    backbone = world.backbone(FAMILIES["llama"]())
    with pytest.raises(CheckpointError, match=r"manifest.json does not exist.*train_rag"):
        load_rag(tmp_path / "none", backbone)
    manifest = json.loads((trained[0] / "manifest.json").read_text(encoding="utf-8"))
    for changes in ({"style": "colour"}, {"facts": None}, {"backbone": "tiny"}, {"kind": "adapter"}):
        folder = tmp_path / next(iter(changes))
        copy(trained[0], folder)
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}), encoding="utf-8")
        with pytest.raises(CheckpointError, match=f"{folder.name}.*train_rag"):
            load_rag(folder, backbone)
    folder = tmp_path / "weights"
    copy(trained[0], folder)
    weights = folder / "lora" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"adapter_model.safetensors.*train_rag"):
        load_rag(folder, backbone)


def copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
