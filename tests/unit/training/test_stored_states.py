"""Training with stored hidden states is training without them, and the layers below are not run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import PreTrainedModel

from kblampp.backbone.decoder_layers import find_decoder_layers
from kblampp.core.cache import CACHE_VARIABLE
from kblampp.core.files import MANIFEST
from kblampp.model.batches import TrainingBatch, TrainingBatches
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import SelectorOptions
from kblampp.model.lora import change_backbone
from kblampp.training import stored_states as module
from kblampp.training.loop import forward, train
from kblampp.training.losses import compute_losses
from kblampp.training.stored_states import StoredStates, states_folder, stored_states
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES, MORE_FAMILIES
from tests.unit.training.test_loop import AS_OF, KEY, SCHEDULE, WEIGHTS, FakeLive

FIRST = 1
OPTIONS = SelectorOptions(top_k=0, as_of=AS_OF)
BUILDERS = {**FAMILIES, "gemma2": MORE_FAMILIES["gemma2"]}
"""Gemma 2's layers are of two kinds, and its logits are capped."""

Result = tuple[float, dict[str, Tensor]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.fixture
def model(world: TinyWorld) -> KBInjectedModel:
    return world.model(FAMILIES["llama"](), layers=(FIRST, 2))


def batches_of(world: TinyWorld, **options: Any) -> TrainingBatches:
    return world.batches(**{"batch_size": len(world.questions), **options})


def store(model: KBInjectedModel, batches: TrainingBatches, folder: Path, **options: Any) -> StoredStates | None:
    settings = {"limit": 1.0, "batch_size": 8, "folder": folder, **options}
    name = settings.pop("backbone_fingerprint", "f" * 64)
    return stored_states(model, batches.sequences(), name, **settings)


def stored(model: KBInjectedModel, batches: TrainingBatches, folder: Path, **options: Any) -> StoredStates:
    states = store(model, batches, folder, **options)
    assert states is not None
    return states


def gradients(
    world: TinyWorld, model: KBInjectedModel, batch: TrainingBatch, states: StoredStates | None, *, all_logits: bool
) -> Result:
    """The loss of a batch, and its gradient by every added parameter that has one."""
    model.zero_grad()
    output = forward(model, world.base, batch, OPTIONS, states, all_logits=all_logits)
    loss = compute_losses(output, batch, world.base, path_margin=1.0).total(WEIGHTS)
    loss.backward()
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    found = {name: p.grad.clone() for name, p in model.added_parameters().items() if p.grad is not None}
    assert len(found) > 20
    return float(loss.detach()), found


def forms(model: KBInjectedModel) -> list[dict[str, Any]]:
    """What every module of the backbone has of its own, hooks included."""
    return [
        {name: dict(value) if isinstance(value, dict) else value for name, value in vars(part).items()}
        for part in model.backbone.modules()
    ]


@pytest.mark.parametrize("family", BUILDERS)
def test_in_batches_of_the_same_shape_loss_and_gradients_are_the_same_bits(
    family: str, world: TinyWorld, tmp_path: Path
) -> None:
    model, batches = world.model(BUILDERS[family](), layers=(FIRST, 2)), batches_of(world)
    batch = batches.batch(0)
    assert (batch.attention_mask == 0).any(), "some rows are padded"
    states = stored(model, batches, tmp_path, batch_size=len(world.questions))
    expected = gradients(world, model, batch, None, all_logits=True)
    found = gradients(world, model, batch, states, all_logits=True)
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    assert not [name for name, gradient in expected[1].items() if not torch.equal(found[1][name], gradient)]


@pytest.mark.parametrize("family", BUILDERS)
def test_in_other_batches_and_with_the_answers_logits_alone_they_are_the_same_but_for_rounding(
    family: str, world: TinyWorld, tmp_path: Path
) -> None:
    model, batches = world.model(BUILDERS[family](), layers=(FIRST, 2)), batches_of(world, batch_size=5)
    states = stored(model, batches, tmp_path, batch_size=3)
    for step in range(3):
        batch = batches.batch(step)
        expected = gradients(world, model, batch, None, all_logits=True)
        found = gradients(world, model, batch, states, all_logits=False)
        assert_close(found[0], expected[0], rtol=1e-5, atol=1e-6)
        for name, gradient in expected[1].items():
            largest = float(gradient.abs().max())
            assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-5 * max(largest, 1e-3), msg=name)


def test_gradient_checkpointing_goes_with_them(world: TinyWorld, model: KBInjectedModel, tmp_path: Path) -> None:
    batches = batches_of(world)
    batch, states = batches.batch(0), stored(model, batches, tmp_path)
    before = forms(model)
    expected = gradients(world, model, batch, states, all_logits=False)
    with model.recomputing():
        found = gradients(world, model, batch, states, all_logits=False)
    assert_close(found, expected)
    assert forms(model) == before


def test_a_whole_training_ends_with_the_same_weights_but_for_rounding(world: TinyWorld, tmp_path: Path) -> None:
    ends = []
    for kept in (False, True):
        model, batches = world.model(FAMILIES["llama"](), trained=False, layers=(FIRST, 2)), batches_of(world)
        states = stored(model, batches, tmp_path / "states") if kept else None
        schedule, checkpoint = replace(SCHEDULE, max_steps=4, lr=1e-3), tmp_path / str(kept) / "state.pt"
        live = FakeLive()
        train(
            model,
            world.base,
            batches,
            schedule,
            WEIGHTS,
            options=OPTIONS,
            live=live,
            checkpoint=checkpoint,
            key=KEY,
            states=states,
        )
        ends.append(([row["train/loss"] for row in live.rows[:-1]], model.added_parameters()))
    (plain_losses, plain), (losses, weights) = ends
    assert losses == pytest.approx(plain_losses, rel=1e-4)
    for name, weight in plain.items():  # Adam makes a whole step of a gradient that is rounding alone
        assert (weights[name] - weight).abs().mean() < 1e-4, name


@pytest.mark.parametrize("family", ["llama", "falcon"])
def test_the_layers_below_are_not_run(family: str, world: TinyWorld, tmp_path: Path) -> None:
    model, batches = world.model(FAMILIES[family](), layers=(FIRST, 2)), batches_of(world)
    states, batch = stored(model, batches, tmp_path), batches.batch(0)
    ran: list[int] = []
    for number, layer in enumerate(find_decoder_layers(model.backbone)):
        for part in layer.children():
            part.register_forward_pre_hook(lambda _module, _args, number=number: ran.append(number))
    gradients(world, model, batch, states, all_logits=False)
    assert set(ran) == {2, 3}
    gradients(world, model, batch, None, all_logits=False)
    assert set(ran) == {0, 1, 2, 3}


@pytest.mark.parametrize("raises", [False, True])
def test_the_backbone_is_afterwards_as_it_was(
    raises: bool, world: TinyWorld, model: KBInjectedModel, tmp_path: Path
) -> None:
    batches = batches_of(world)
    batch, layers = batches.batch(0), find_decoder_layers(model.backbone)
    own = layers[0].forward
    layers[0].forward = lambda *args, **kwargs: own(*args, **kwargs)  # as accelerate does
    before, former, logits = list(model.backbone.modules()), forms(model), model(batch.input_ids).logits
    states = stored(model, batches, tmp_path)

    def fail(_module: Any, _args: Any) -> None:
        raise KeyboardInterrupt

    handle = layers[3].register_forward_pre_hook(fail) if raises else None
    with pytest.raises(KeyboardInterrupt) if raises else nullcontext():
        gradients(world, model, batch, states, all_logits=False)
    if handle is not None:
        handle.remove()
    assert all(now is then for now, then in zip(model.backbone.modules(), before, strict=True))
    for now, then in zip(forms(model), former, strict=True):
        assert now.keys() == then.keys()
        assert all(now[name] is then[name] or now[name] == then[name] for name in now)
    assert torch.equal(model(batch.input_ids).logits, logits)


@pytest.mark.parametrize("family", BUILDERS)
def test_the_logits_at_some_places_are_those_of_all_there(family: str, world: TinyWorld) -> None:
    model, batch = world.model(BUILDERS[family](), layers=(FIRST, 2)), batches_of(world).batch(0)
    places = batch.writing
    some, everywhere = model(batch.input_ids, logits_at=places).logits, model(batch.input_ids).logits
    assert_close(some, everywhere[places], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept_bit_for_bit(dtype: torch.dtype, world: TinyWorld, tmp_path: Path) -> None:
    model, batches = world.model(FAMILIES["llama"]().to(dtype), layers=(FIRST, 2)), batches_of(world)  # type: ignore[arg-type]
    batch = batches.batch(0)
    states = stored(model, batches, tmp_path, batch_size=len(world.questions)).of(batch)
    seen: list[Tensor] = []
    handle = find_decoder_layers(model.backbone)[FIRST].register_forward_hook(lambda *args: seen.append(args[2]))
    model(batch.input_ids, batch.attention_mask)
    handle.remove()
    real = batch.attention_mask.bool()
    assert states.dtype == dtype
    assert torch.equal(states[real], seen[0][real])
    assert not states[~real].any()


def test_a_second_run_reads_what_the_first_has_written(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_of(world)
    first = stored(model, batches, tmp_path)
    monkeypatch.setattr(module, "_fill", None)
    second = stored(model, batches, tmp_path)
    assert second.folder == first.folder
    assert torch.equal(second.of(batches.batch(1)), first.of(batches.batch(1)))


def test_another_backbone_layer_type_batch_or_token_is_another_store(world: TinyWorld, tmp_path: Path) -> None:
    def folder(backbone: PreTrainedModel, batches: TrainingBatches, layers: Any = (FIRST, 2), **options: Any) -> Path:
        return stored(world.model(backbone, layers=layers), batches, tmp_path, **options).folder

    batches, llama = batches_of(world), FAMILIES["llama"]
    changed = llama()
    with torch.no_grad():
        find_decoder_layers(changed)[0].mlp.up_proj.weight[0, 0] += 1  # type: ignore[index, operator, union-attr]
    folders = [
        folder(llama(), batches),
        folder(llama(), batches, backbone_fingerprint="e" * 64),
        folder(changed, batches),
        folder(llama(), batches, layers=(2,)),
        folder(llama().to(torch.bfloat16), batches),  # type: ignore[arg-type]
        folder(llama(), batches, batch_size=9),
        folder(llama(), batches_of(world, rows=range(9))),
    ]
    assert len(set(folders)) == len(folders)
    assert folder(llama(), batches_of(world, seed=9), layers=(FIRST, 3)) == folders[0]


def truncated(folder: Path) -> None:
    os.truncate(folder / "states.bin", 1000)


def flipped(folder: Path) -> None:
    data = bytearray((folder / "states.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "states.bin").write_bytes(data)


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def of_another_kind(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**manifest, "kind": "store"}), encoding="utf-8")


@pytest.mark.parametrize("damage", [truncated, flipped, without_manifest, of_another_kind])
def test_a_damaged_store_is_made_again(
    damage: Callable[[Path], None],
    world: TinyWorld,
    model: KBInjectedModel,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batches = batches_of(world)
    states = stored(model, batches, tmp_path)
    folder, expected = states.folder, states.of(batches.batch(0))
    del states  # Windows does not let a mapped file be changed
    damage(folder)
    again = stored(model, batches, tmp_path)
    assert "made anew" in caplog.text
    assert again.folder == folder
    assert torch.equal(again.of(batches.batch(0)), expected)


def test_a_run_killed_while_storing_leaves_nothing_that_is_read(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, fill = batches_of(world), module._fill

    def half(*args: Any) -> None:
        fill(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_fill", half)
        with pytest.raises(KeyboardInterrupt):
            store(model, batches, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    (tmp_path / ".0123.abcd.tmp").mkdir()  # of a run that could not even tidy up
    (tmp_path / ".0123.abcd.tmp" / "states.bin").write_bytes(b"half")
    folder = stored(model, batches, tmp_path).folder
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]


def test_what_does_not_fit_is_not_stored_and_the_log_names_the_parameter(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert store(model, batches_of(world), tmp_path, limit=1e-5) is None
    assert len(caplog.records) == 1
    assert "trainA.cache_states_gb" in caplog.text
    assert not list(tmp_path.iterdir())


def test_zero_is_off_and_runs_nothing(world: TinyWorld, model: KBInjectedModel, tmp_path: Path) -> None:
    model.backbone.register_forward_pre_hook(lambda *_: pytest.fail("it ran"))
    assert store(model, batches_of(world), tmp_path, limit=0) is None
    assert not list(tmp_path.iterdir())


def test_the_stores_used_longest_ago_make_room(world: TinyWorld, model: KBInjectedModel, tmp_path: Path) -> None:
    batches = batches_of(world)
    first, second = (stored(model, batches, tmp_path, backbone_fingerprint=name).folder for name in "ab")
    size = (first / "states.bin").stat().st_size
    os.utime(second / MANIFEST, (1, 1))
    os.utime(first / MANIFEST, (0, 0))
    assert stored(model, batches, tmp_path, backbone_fingerprint="a").folder == first  # used now
    third = stored(model, batches, tmp_path, backbone_fingerprint="c", limit=2.5 * size / module.GIB).folder
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {first, third}


def test_a_folder_that_cannot_be_written_is_reported_and_training_goes_on(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "states").write_text("a file", encoding="utf-8")
    assert store(model, batches_of(world), tmp_path / "states") is None
    assert "cannot be stored" in caplog.text


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"rank": 2}, False),
        ({"rank": 0, "unfreeze_top": 2}, True),
        ({"rank": 0, "unfreeze_top": 3}, False),
        ({"rank": 2, "unfreeze_top": 2}, False),
    ],
)
def test_nothing_is_stored_where_something_at_or_below_the_layer_learns(
    changes: dict[str, Any], kept: bool, world: TinyWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model = world.model(FAMILIES["llama"](), layers=(FIRST, 2))
    change_backbone(model, alpha=4.0, **changes)
    assert (store(model, batches_of(world), tmp_path) is not None) == kept
    assert ("learns" in caplog.text) != kept


def test_nothing_is_stored_while_dropout_is_on(world: TinyWorld, model: KBInjectedModel, tmp_path: Path) -> None:
    model.backbone.train()
    assert store(model, batches_of(world), tmp_path) is None


def test_rows_are_the_questions_of_the_batch(world: TinyWorld) -> None:
    batches = batches_of(world, batch_size=7)
    sequences = batches.sequences()
    for step in (0, 3, 9):
        batch = batches.batch(step)
        rows = [ids[mask.bool()].tolist() for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)]
        assert rows == [sequences[row] for row in batch.rows.tolist()]


def test_with_the_cache_off_they_lie_beside_the_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    assert states_folder(tmp_path / "run").parent == tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    assert states_folder(tmp_path / "run").parent == tmp_path / "run"


def test_the_file_is_flat_and_in_the_order_of_the_questions(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path
) -> None:
    batches = batches_of(world)
    folder = stored(model, batches, tmp_path).folder
    flat = np.fromfile(folder / "states.bin", dtype=np.float32).reshape(-1, 32)
    sequences = batches.sequences()
    assert len(flat) == sum(map(len, sequences))
    start = sum(map(len, sequences[:4]))
    alone = module._hidden(
        module._run(model, find_decoder_layers(model.backbone)[FIRST], [sequences[4]])
    )  # by itself, without padding
    assert_close(torch.from_numpy(flat[start : start + len(sequences[4])]), alone[0], rtol=1e-4, atol=1e-5)
