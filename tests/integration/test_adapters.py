"""What was trained is saved alone, comes back as it was, and is refused by what it was not trained against."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kblampp.backbone.load import Backbone
from kblampp.core.errors import CheckpointError, KBLaMError, StoreError
from kblampp.core.files import MANIFEST, write_manifest
from kblampp.encoding.linear_maps import LinearMap
from kblampp.encoding.projections import Projections
from kblampp.model.checkpoint import KIND, WEIGHTS, load_adapter, save_adapter
from kblampp.model.injection import KBInjectedModel, of_hidden
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES

ROWS = (0, 9, 12, 40)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.fixture(scope="module")
def trained(world: TinyWorld) -> KBInjectedModel:
    return world.model(FAMILIES["llama"](), layers=(1, 3))


@pytest.fixture
def fresh(world: TinyWorld) -> Backbone:
    return world.backbone(FAMILIES["llama"]())


@pytest.fixture
def folder(tmp_path: Path, world: TinyWorld, trained: KBInjectedModel) -> Path:
    save_adapter(tmp_path / "trainA", trained, world.backbone(trained.backbone), world.projections)
    return tmp_path / "trainA"


def rewrite(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edits the manifest by hand."""
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def replace_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Edits the weights as a program would: the manifest fits them."""
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)
    remanifest(folder)


def remanifest(folder: Path) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, KIND, {k: v for k, v in fields.items() if k not in ("kind", "version", "files")})


def test_weights_come_back_rounded_to_half_precision(
    folder: Path, world: TinyWorld, trained: KBInjectedModel, fresh: Backbone
) -> None:
    loaded = load_adapter(folder, fresh, world.projections)
    before, after = trained.added_parameters(), loaded.added_parameters()
    assert before.keys() == after.keys()
    for name, parameter in before.items():
        assert torch.equal(after[name], parameter.half().float()), name
        assert after[name].dtype == torch.float32
    assert loaded.layers == trained.layers == (1, 3)
    assert loaded.config == trained.config
    assert loaded.context_share == 1.0  # as of adapters whose manifest does not say
    assert not loaded.training


def test_saving_what_was_loaded_writes_the_same_bytes(
    tmp_path: Path, folder: Path, world: TinyWorld, fresh: Backbone
) -> None:
    save_adapter(tmp_path / "again", load_adapter(folder, fresh, world.projections), fresh, world.projections)
    for name in (WEIGHTS, MANIFEST):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_the_loaded_model_answers_as_the_saved_one(
    folder: Path, world: TinyWorld, trained: KBInjectedModel, fresh: Backbone
) -> None:
    ids, mask = world.prompts(ROWS)
    loaded = load_adapter(folder, fresh, world.projections)
    rounded = world.model(FAMILIES["llama"](), layers=(1, 3))
    rounded.load_added({name: p.half().float() for name, p in trained.added_parameters().items()}, "memory")
    with torch.no_grad():
        start = torch.full((len(ROWS),), ids.shape[1])
        outputs = [m(ids, mask, knowledge=world.ask(ROWS), answer_start=start).logits for m in (loaded, rounded)]
        plain = FAMILIES["llama"]()(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], plain)


def test_the_folder_holds_no_backbone_weights(folder: Path, trained: KBInjectedModel) -> None:
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, MANIFEST}
    tensors = load_file(folder / WEIGHTS)
    assert tensors.keys() == trained.added_parameters().keys()
    assert not tensors.keys() & trained.backbone.state_dict().keys()
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_an_adapter_of_another_backbone_is_refused(folder: Path, world: TinyWorld, fresh: Backbone) -> None:
    with pytest.raises(CheckpointError, match=r"trained with backbone ffff.*, expected eeee.*dvc repro trainA"):
        load_adapter(folder, replace(fresh, fingerprint="e" * 64), world.projections)


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_an_adapter_moves_into_another_backbone_and_is_silent_there(
    folder: Path, world: TinyWorld, trained: KBInjectedModel, family: str
) -> None:
    """It selects by what does not depend on the hidden state, and leaves the words of the backbone as they are."""
    other = replace(world.backbone(FAMILIES[family]()), fingerprint="e" * 64)
    moved = load_adapter(folder, other, world.projections, into=((0, 2), None))
    assert moved.layers == (0, 2)
    for name, weight in trained.added_parameters().items():
        if not of_hidden(name):
            assert torch.equal(moved.added_parameters()[name], weight.half().float()), name
    ids, mask = world.prompts(ROWS)
    start = torch.full((len(ROWS),), ids.shape[1])
    with torch.no_grad():
        said = moved(ids, mask, knowledge=world.ask(ROWS), answer_start=start)
        plain = FAMILIES[family]()(input_ids=ids, attention_mask=mask).logits
        rounded = load_adapter(folder, world.backbone(FAMILIES["llama"]()), world.projections)
        rounded.silence_hidden()
        same = rounded(ids, mask, knowledge=world.ask(ROWS), answer_start=start)
    torch.testing.assert_close(said.logits, plain, atol=1e-5, rtol=1e-5)
    assert said.state is not None
    assert same.state is not None
    layers, wanted = said.state.selections, same.state.selections
    assert len(layers) == 2
    assert layers.keys() == wanted.keys()
    for layer, selection in wanted.items():
        assert torch.equal(layers[layer].ids, selection.ids)
        torch.testing.assert_close(layers[layer].alpha, selection.alpha, atol=1e-5, rtol=1e-4)


def test_an_adapter_moves_only_where_there_are_as_many_layers(folder: Path, world: TinyWorld, fresh: Backbone) -> None:
    other = replace(fresh, fingerprint="e" * 64)
    with pytest.raises(CheckpointError, match=r"has modules for 2 layers, and injection.layers are 1 of .*: name 2"):
        load_adapter(folder, other, world.projections, into=((2,), None))
    assert not any(module._forward_hooks for module in other.model.modules())


def test_an_adapter_of_other_projections_is_refused(folder: Path, world: TinyWorld, fresh: Backbone) -> None:
    entity = LinearMap(world.projections.entity.weight * 2, world.projections.entity.bias)
    other: Projections = replace(world.projections, entity=entity)
    with pytest.raises(CheckpointError, match=f"expected {other.fingerprint[:12]}"):
        load_adapter(folder, fresh, other)
    assert not any(module._forward_hooks for module in fresh.model.modules())


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_truncated_weights_are_named(folder: Path, world: TinyWorld, fresh: Backbone, keep: int) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:keep])
    with pytest.raises(StoreError, match=rf"{WEIGHTS} has \d+ bytes, expected {len(data)}; run `dvc repro trainA`"):
        load_adapter(folder, fresh, world.projections)
    remanifest(folder)  # as if it had been cut while it was written
    with pytest.raises(CheckpointError, match=rf"{WEIGHTS} cannot be read .*dvc repro trainA"):
        load_adapter(folder, fresh, world.projections)


def test_a_changed_byte_is_noticed(folder: Path, world: TinyWorld, fresh: Backbone) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(StoreError, match=rf"{WEIGHTS} has sha256"):
        load_adapter(folder, fresh, world.projections)


def test_a_missing_folder_names_the_stage(tmp_path: Path, world: TinyWorld, fresh: Backbone) -> None:
    with pytest.raises(StoreError, match="dvc repro trainA"):
        load_adapter(tmp_path / "nowhere", fresh, world.projections)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("copy_gate.weight"), r"missing \['copy_gate.weight'\]"),
        (lambda t: t.update(stranger=torch.zeros(1)), r"unknown \['stranger'\]"),
        (lambda t: t.update({"copy_gate.bias": torch.zeros(2)}), r"copy_gate.bias has shape \(2,\), expected \(1,\)"),
    ],
)
def test_weights_that_do_not_fit_the_model_are_refused(
    folder: Path, world: TinyWorld, fresh: Backbone, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    replace_weights(folder, edit)
    with pytest.raises(CheckpointError, match=message):
        load_adapter(folder, fresh, world.projections)


def test_a_refused_adapter_leaves_no_hooks(folder: Path, world: TinyWorld, fresh: Backbone) -> None:
    replace_weights(folder, lambda tensors: tensors.pop("copy_gate.weight"))
    with pytest.raises(CheckpointError):
        load_adapter(folder, fresh, world.projections)
    assert not any(module._forward_hooks for module in fresh.model.modules())


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m.pop("backbone"),
        lambda m: m.pop("projection_fingerprint"),
        lambda m: m.pop("model"),
        lambda m: m["model"].pop("d_fusion"),
        lambda m: m["model"].update(layers=None),
        lambda m: m["model"].update(layers=[99]),
    ],
)
def test_a_manifest_that_lacks_something_is_refused(
    folder: Path, world: TinyWorld, fresh: Backbone, edit: Callable[[dict[str, Any]], object]
) -> None:
    rewrite(folder, edit)
    with pytest.raises(KBLaMError):
        load_adapter(folder, fresh, world.projections)
