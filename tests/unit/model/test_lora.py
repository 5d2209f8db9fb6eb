"""Changes inside a backbone: in place, saved alone, switched off and taken out without a trace."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kblampp.backbone.load import Backbone
from kblampp.core.errors import BackboneError, CheckpointError, StoreError
from kblampp.core.files import MANIFEST, write_manifest
from kblampp.model.checkpoint import KIND, load_trained, save_adapter
from kblampp.model.injection import KBInjectedModel
from kblampp.model.lora import LAYERS, LORA, backbone_unchanged, change_backbone, unload
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES
from tests.tiny import LAYERS as N_LAYERS

SOME = ["llama", "gpt2", "gpt_neox", "falcon"]
ROWS = (0, 9, 12)
CHANGES: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4, "alpha": 8.0},
    "layers": {"rank": 0, "alpha": 8.0, "unfreeze_top": 2},
    "both": {"rank": 4, "alpha": 8.0, "unfreeze_top": 1},
}
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@torch.no_grad()
def learnt(model: KBInjectedModel, **changes: Any) -> KBInjectedModel:
    """Changes a model's backbone and stands in for training: everything in it that learns moves a little."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        change_backbone(model, **changes)
        for parameter in model.backbone.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    return model


@torch.no_grad()
def logits(model: nn.Module, world: TinyWorld) -> Tensor:
    ids, mask = world.prompts(ROWS)
    found: Tensor = model(input_ids=ids, attention_mask=mask).logits
    return found


def lora_layers(model: nn.Module) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def learning(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.fixture
def saved(tmp_path: Path, world: TinyWorld) -> Path:
    """A trainB folder of a Llama with both kinds of change."""
    model = learnt(world.model(FAMILIES["llama"]()), **CHANGES["both"])
    save_adapter(tmp_path / "trainB", model, world.backbone(model.backbone), world.projections)
    return tmp_path / "trainB"


@pytest.fixture
def fresh(world: TinyWorld) -> Backbone:
    return world.backbone(FAMILIES["llama"]())


@pytest.mark.parametrize(("family", "kind"), [(f, k) for f in SOME for k in ("lora", "both")] + [("llama", "layers")])
def test_untrained_changes_change_nothing_and_trained_ones_can_be_switched_off_and_taken_out(
    world: TinyWorld, family: str, kind: str
) -> None:
    changes = CHANGES[kind]
    plain = FAMILIES[family]()
    expected = logits(plain, world)
    tree = [(name, type(module)) for name, module in plain.named_modules()]
    model = world.model(FAMILIES[family]())
    change_backbone(model, **changes)
    assert torch.equal(logits(model, world), expected)
    unload(model)
    model.attach()
    learnt(model, **changes)
    on = logits(model, world)
    assert not torch.allclose(on, expected, atol=1e-3)
    before = learning(model)
    with backbone_unchanged(model):
        assert torch.equal(logits(model, world), expected)
    assert torch.equal(logits(model, world), on)
    assert learning(model) == before
    unload(model)
    assert torch.equal(logits(model.backbone, world), expected)
    assert [(name, type(module)) for name, module in model.backbone.named_modules()] == tree
    assert not any(module._forward_hooks for module in model.backbone.modules())
    assert all(torch.equal(a, b) for a, b in zip(model.backbone.parameters(), plain.parameters(), strict=True))


def test_an_unchanged_backbone_can_be_switched_off_too(world: TinyWorld) -> None:
    model = world.model(FAMILIES["llama"]())
    expected = logits(model, world)
    with backbone_unchanged(model):
        assert torch.equal(logits(model, world), expected)


def test_changes_come_back_after_an_error(world: TinyWorld) -> None:
    model = learnt(world.model(FAMILIES["llama"]()), **CHANGES["both"])
    on = logits(model, world)
    with pytest.raises(KeyError), backbone_unchanged(model):
        raise KeyError
    assert torch.equal(logits(model, world), on)


@pytest.mark.parametrize("family", SOME)
def test_auto_finds_every_linear_layer_of_the_decoder_layers_and_nothing_else(world: TinyWorld, family: str) -> None:
    model = world.model(FAMILIES[family]())
    inside = {id(module) for layer in model._decoder[0] for module in layer.modules()}
    linear = {
        name
        for name, module in model.backbone.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) in inside
    }
    layers = list(model._decoder[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        change_backbone(model, rank=2, alpha=2.0)
    assert lora_layers(model.backbone).keys() == linear
    assert len(linear) >= 4 * N_LAYERS
    assert all(a is b for a, b in zip(layers, model._decoder[0], strict=True))  # they carry the hooks
    added = {f"backbone.{name}.lora_{part}.default.weight" for name in linear for part in "AB"}
    held = (".query.names.", ".null_by_group", "kinds.")
    own = {name for name in model.added_parameters() if not any(part in name for part in held)}
    assert learning(model) == added | own


def test_named_targets_and_unfrozen_layers_are_what_learns(world: TinyWorld) -> None:
    model = world.model(FAMILIES["llama"]())
    change_backbone(model, rank=2, alpha=2.0, targets=("q_proj", "mlp.up_proj"), unfreeze_top=1)
    names = {f"model.layers.{n}.{name}" for n in range(N_LAYERS - 1) for name in ("self_attn.q_proj", "mlp.up_proj")}
    assert lora_layers(model.backbone).keys() == names
    full = {name for name in learning(model.backbone) if ".lora_" not in name}
    last = FAMILIES["llama"]().get_submodule(f"model.layers.{N_LAYERS - 1}")
    assert len(full) == len(list(last.parameters()))
    assert all(name.startswith(f"model.layers.{N_LAYERS - 1}.") for name in full)


def test_all_layers_can_be_unfrozen(world: TinyWorld) -> None:
    model = learnt(world.model(FAMILIES["gpt2"]()), rank=4, alpha=4.0, unfreeze_top=N_LAYERS)
    assert not lora_layers(model)
    with backbone_unchanged(model):
        assert torch.equal(logits(model, world), logits(FAMILIES["gpt2"](), world))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rank": 2, "targets": ("q_proj", "query")}, r"lora_targets names query, .*self_attn\.q_proj.*or auto"),
        ({"rank": 2, "targets": ("lm_head",)}, "lora_targets names lm_head"),
        ({"rank": 2, "targets": ("proj",)}, "lora_targets names proj"),
        ({"rank": 0, "unfreeze_top": 5}, "unfreeze_top is 5, but the backbone has 4 decoder layers"),
    ],
)
def test_what_does_not_exist_is_refused_and_the_backbone_stays(
    world: TinyWorld, changes: dict[str, Any], says: str
) -> None:
    model = world.model(FAMILIES["llama"]())
    tree = [name for name, _ in model.named_modules()]
    with pytest.raises(BackboneError, match=says):
        change_backbone(model, alpha=1.0, **changes)
    assert [name for name, _ in model.named_modules()] == tree


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_generation_and_reading_work_with_lora_on(world: TinyWorld, family: str) -> None:
    model = learnt(world.model(FAMILIES[family]()), **CHANGES["lora"])
    ids, mask = world.prompts(ROWS)
    options: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False}
    answers = [
        model.generate(ids, mask, tokenizer=world.tokenizer, knowledge=knowledge, use_cache=cache, **options)[0]
        for knowledge in (None, world.ask(ROWS))
        for cache in (True, False)
    ]
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[2], answers[3])
    with backbone_unchanged(model):
        off, _ = model.generate(ids, mask, tokenizer=world.tokenizer, **options)
    assert torch.equal(off, FAMILIES[family]().generate(input_ids=ids, attention_mask=mask, **options))


@pytest.mark.parametrize(("family", "kind"), [("llama", "lora"), ("gpt2", "both"), ("gpt_neox", "layers")])
def test_a_saved_model_comes_back_frozen_and_rounded_and_saves_the_same_bytes(
    world: TinyWorld, tmp_path: Path, family: str, kind: str
) -> None:
    model = learnt(world.model(FAMILIES[family]()), **CHANGES[kind])
    save_adapter(tmp_path / "trainB", model, world.backbone(model.backbone), world.projections)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loaded = load_trained(tmp_path / "trainB", world.backbone(FAMILIES[family]()), world.projections)
    assert not learning(loaded.backbone)
    assert not any(module.training for module in loaded.modules())
    torch.testing.assert_close(logits(loaded, world), logits(model, world), atol=0.05, rtol=0.05)
    expected = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = dict(loaded.named_parameters())
    assert all(torch.equal(found[name], parameter.half().float()) for name, parameter in expected.items())
    with backbone_unchanged(loaded):
        assert torch.equal(logits(loaded, world), logits(FAMILIES[family](), world))
    assert not learning(loaded.backbone)
    save_adapter(tmp_path / "again", loaded, world.backbone(loaded.backbone), world.projections)
    assert contents(tmp_path / "again") == contents(tmp_path / "trainB")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_peft_alone_loads_the_lora_folder(world: TinyWorld, tmp_path: Path, family: str) -> None:
    model = learnt(world.model(FAMILIES[family]()), **CHANGES["lora"])
    save_adapter(tmp_path / "trainB", model, world.backbone(model.backbone), world.projections)
    ours = load_trained(tmp_path / "trainB", world.backbone(FAMILIES[family]()), world.projections)
    alone = PeftModel.from_pretrained(FAMILIES[family](), str(tmp_path / "trainB" / LORA))
    assert torch.equal(logits(alone, world), logits(ours, world))


def test_the_folders_hold_half_precision_and_no_path(world: TinyWorld, tmp_path: Path) -> None:
    model = learnt(world.model(FAMILIES["llama"]()), **CHANGES["both"])
    backbone = replace(world.backbone(model.backbone), name=str(tmp_path))
    save_adapter(tmp_path / "trainB", model, backbone, world.projections)
    names = {"kblampp.safetensors", MANIFEST, LAYERS, f"{LORA}/{WEIGHTS}", f"{LORA}/adapter_config.json"}
    assert contents(tmp_path / "trainB").keys() == names
    for name in (LAYERS, f"{LORA}/{WEIGHTS}"):
        tensors = load_file(tmp_path / "trainB" / name)
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    text = (tmp_path / "trainB" / LORA / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == tmp_path.name
    assert str(tmp_path) not in text
    assert json.loads((tmp_path / "trainB" / MANIFEST).read_text())["backbone_changes"] == [LORA, LAYERS]
    assert str(tmp_path) not in "".join(load_file(tmp_path / "trainB" / LAYERS))


def test_a_model_without_changes_is_saved_and_loaded_as_before(
    world: TinyWorld, tmp_path: Path, fresh: Backbone
) -> None:
    model = world.model(FAMILIES["llama"]())
    save_adapter(tmp_path / "trainA", model, world.backbone(model.backbone), world.projections)
    assert "backbone_changes" not in json.loads((tmp_path / "trainA" / MANIFEST).read_text())
    loaded = load_trained(tmp_path / "trainA", fresh, world.projections)
    assert torch.equal(logits(loaded, world), logits(model, world))


def test_one_backbone_serves_one_trained_model_after_the_other(
    world: TinyWorld, tmp_path: Path, saved: Path, fresh: Backbone
) -> None:
    model = world.model(FAMILIES["llama"]())
    save_adapter(tmp_path / "trainA", model, world.backbone(model.backbone), world.projections)
    outputs = []
    for stage in ("trainA", "trainB", "trainA"):
        loaded = load_trained(tmp_path / stage, fresh, world.projections)
        ids, mask = world.prompts(ROWS)
        with torch.no_grad():
            outputs.append(loaded(ids, mask, knowledge=world.ask(ROWS)).logits)
        unload(loaded)
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])
    assert torch.equal(logits(fresh.model, world), logits(FAMILIES["llama"](), world))


def test_changes_of_another_backbone_are_refused(world: TinyWorld, saved: Path, fresh: Backbone) -> None:
    with pytest.raises(CheckpointError, match=r"trained with backbone ffff.*, expected eeee.*dvc repro trainB"):
        load_trained(saved, replace(fresh, fingerprint="e" * 64), world.projections)


@pytest.mark.parametrize("name", [f"{LORA}/{WEIGHTS}", f"{LORA}/adapter_config.json", LAYERS])
def test_a_damaged_file_is_named_and_the_backbone_left_alone(
    world: TinyWorld, saved: Path, fresh: Backbone, name: str
) -> None:
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match=rf"{name} has \d+ bytes, expected {len(data)}; run `dvc repro trainB`"):
        load_trained(saved, fresh, world.projections)
    remanifest(saved)  # as if it had been cut while it was written
    refuses(saved, fresh, world, rf"{name} cannot be loaded .*run `dvc repro trainB`")


def remanifest(folder: Path) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, KIND, {key: fields[key] for key in fields if key not in ("kind", "version", "files")})


def refuses(folder: Path, backbone: Backbone, world: TinyWorld, says: str) -> None:
    with pytest.raises(CheckpointError, match=says) as caught:
        load_trained(folder, backbone, world.projections)
    assert len(str(caught.value).splitlines()) == 1
    assert torch.equal(logits(backbone.model, world), logits(FAMILIES["llama"](), world))
    assert not any(module._forward_hooks for module in backbone.model.modules())
    assert not lora_layers(backbone.model)


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.pop(next(iter(tensors))),
        lambda tensors: tensors.update(stranger=torch.zeros(1)),
        lambda tensors: tensors.update({next(iter(tensors)): torch.zeros(3, 3)}),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_lora_weights_that_do_not_fit_are_refused(
    world: TinyWorld, saved: Path, fresh: Backbone, edit: Callable[[dict[str, Tensor]], object]
) -> None:
    tensors = load_file(saved / LORA / WEIGHTS)
    edit(tensors)
    save_file(tensors, saved / LORA / WEIGHTS)
    remanifest(saved)
    refuses(saved, fresh, world, rf"{LORA}/{WEIGHTS} cannot be loaded .*dvc repro trainB")


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.update(stranger=torch.zeros(1)),
        lambda tensors: tensors.update({next(iter(tensors)): torch.zeros(3, 3)}),
    ],
    ids=["unknown", "shape"],
)
def test_layers_that_do_not_fit_are_refused(
    world: TinyWorld, saved: Path, fresh: Backbone, edit: Callable[[dict[str, Tensor]], object]
) -> None:
    tensors = load_file(saved / LAYERS)
    edit(tensors)
    save_file(tensors, saved / LAYERS)
    remanifest(saved)
    refuses(saved, fresh, world, rf"{LAYERS} cannot be loaded .*dvc repro trainB")


def test_a_missing_file_is_named(world: TinyWorld, saved: Path, fresh: Backbone) -> None:
    shutil.rmtree(saved / LORA)
    with pytest.raises(StoreError, match=rf"{LORA}/.* missing.*dvc repro trainB"):
        load_trained(saved, fresh, world.projections)


def test_lora_learns_in_float32_in_a_backbone_of_half_the_precision(world: TinyWorld) -> None:
    half: PreTrainedModel = FAMILIES["llama"]().to(torch.bfloat16)  # type: ignore[arg-type]
    model = world.model(half)
    change_backbone(model, rank=2, alpha=2.0)
    assert {p.dtype for p in model.backbone.parameters() if p.requires_grad} == {torch.float32}
    logits(model, world).sum()
