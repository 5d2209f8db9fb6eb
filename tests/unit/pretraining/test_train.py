"""A pre-training run that was killed ends as an uninterrupted one, in a folder that transformers loads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from kblampp.backbone.load import load_backbone
from kblampp.core.errors import BackboneError
from kblampp.pretraining import train as pretraining
from kblampp.pretraining.examples import EOS, IGNORED, PAD, Batch, ExampleMaker, Recipe, train_tokenizer
from kblampp.pretraining.train import (
    build_model,
    losses_of,
    make_optimizers,
    pretrain,
    rate_factor,
    read_phases,
    save_backbone,
)
from tests.tiny_recipe import TINY


class Kill(BaseException):
    """Stands for a signal."""


@pytest.fixture(autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    pretrain(TINY, folder / "model", folder / "run" / "state.pt", checkpoint_every=100)
    assert not (folder / "run" / "state.pt").exists()
    return contents(folder / "model")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_losses_are_the_models_own_on_each_kind_of_row() -> None:
    tokenizer = train_tokenizer(TINY)
    batch = ExampleMaker(TINY, tokenizer).batch(TINY.steps - 1)
    model = build_model(TINY, tokenizer)
    losses = losses_of(model, batch)
    asked, repeated = batch.counts
    bounds = (0, asked, asked + repeated, len(batch.ids))
    for kind, (first, last) in enumerate(pairwise(bounds)):
        own = model(input_ids=batch.ids[first:last], labels=batch.labels[first:last]).loss
        torch.testing.assert_close(losses[kind], own)
    early = ExampleMaker(TINY, tokenizer).batch(0)
    assert losses_of(model, early)[2] == 0  # no closed-book rows yet


@pytest.mark.parametrize("together", [1, 2, 1000])
def test_losses_and_gradients_do_not_depend_on_how_many_rows_are_run_together(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = train_tokenizer(TINY)
    batch, model = ExampleMaker(TINY, tokenizer).batch(TINY.steps - 1), build_model(TINY, tokenizer)

    def losses_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        losses = losses_of(model, batch)
        losses.sum().backward()
        return losses.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    expected = losses_and_gradient()
    monkeypatch.setattr("kblampp.pretraining.train.ROWS_TOGETHER", together)
    for found, usual in zip(losses_and_gradient(), expected, strict=True):
        torch.testing.assert_close(found, usual, atol=1e-5, rtol=1e-4)


def test_kinds_without_rows_or_labels_have_no_loss() -> None:
    tokenizer = train_tokenizer(TINY)
    batch, model = ExampleMaker(TINY, tokenizer).batch(TINY.steps - 1), build_model(TINY, tokenizer)
    whole, asked = losses_of(model, batch), batch.counts[0]
    kept = Batch(batch.ids[:asked], batch.labels[:asked], (asked, 0))
    torch.testing.assert_close(losses_of(model, kept), whole * torch.tensor([1.0, 0.0, 0.0]))
    labels = batch.labels.clone()
    labels[:asked] = IGNORED
    silent = Batch(batch.ids, labels, batch.counts)
    torch.testing.assert_close(losses_of(model, silent), whole * torch.tensor([0.0, 1.0, 1.0]))


def test_the_rate_rises_stays_and_falls_to_zero_in_straight_lines() -> None:
    recipe = Recipe(steps=100, warmup_steps=10, cooldown_step=60)
    factors = [rate_factor(recipe, step) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10:61] == [1.0] * 51
    assert [a - b for a, b in pairwise(factors[60:])] == pytest.approx([1 / 40] * 40)
    assert factors[100] == 0


@given(
    warmup=st.integers(1, 30),
    cooldown=st.integers(30, 60),
    length=st.integers(0, 50),
    longer=st.integers(0, 50),
)
def test_until_the_cool_down_the_rate_does_not_depend_on_the_length_of_the_run(
    warmup: int, cooldown: int, length: int, longer: int
) -> None:
    recipe = Recipe(steps=cooldown + length, warmup_steps=warmup, cooldown_step=cooldown)
    other = replace(recipe, steps=recipe.steps + longer, cooldown_step=cooldown + min(length, longer))
    for step in range(cooldown):
        assert rate_factor(recipe, step) == rate_factor(other, step)
    assert all(0 <= rate_factor(recipe, step) <= 1 for step in range(recipe.steps + 1))


def test_each_weight_belongs_to_one_optimizer_and_only_the_layers_matrices_to_muon() -> None:
    model = build_model(TINY, train_tokenizer(TINY))
    muon, adamw = make_optimizers(TINY, model)
    held = [[id(p) for group in optimizer.param_groups for p in group["params"]] for optimizer in (muon, adamw)]
    assert sorted(held[0] + held[1]) == sorted(map(id, model.parameters()))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all(".layers." in names[number] and "norm" not in names[number] for number in held[0])
    assert all(".layers." not in names[number] or "norm" in names[number] for number in held[1])
    assert [optimizer.param_groups[0]["lr"] for optimizer in (muon, adamw)] == [TINY.matrix_lr, TINY.lr]


def kill_at(patch: pytest.MonkeyPatch, name: str, call: int) -> None:
    """Lets a function of the module raise at one of its calls."""
    genuine, calls = getattr(pretraining, name), []

    def function(*args: object) -> object:
        calls.append(args)
        if len(calls) == call:
            raise Kill
        return genuine(*args)

    patch.setattr(pretraining, name, function)


def kill_inside_checkpoint(patch: pytest.MonkeyPatch) -> None:
    def half_written(_state: object, path: Path) -> None:
        path.write_bytes(b"half a checkpoi")
        raise Kill

    patch.setattr(torch, "save", half_written)


@pytest.mark.parametrize(
    ("kill", "left"),
    [
        (lambda patch: kill_at(patch, "losses_of", 2), 6),  # before any checkpoint
        (lambda patch: kill_at(patch, "losses_of", 5), 3),  # in step 4, a step after the checkpoint at 3
        (lambda patch: kill_at(patch, "save_backbone", 1), 3),  # after the checkpoint, in the snapshot beside it
        (lambda patch: kill_at(patch, "save_backbone", 3), 0),  # at the very end
        (kill_inside_checkpoint, 6),
    ],
    ids=["early", "late", "in snapshot", "at end", "in checkpoint"],
)
def test_a_killed_run_ends_bit_for_bit_as_an_uninterrupted_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: dict[str, bytes],
    kill: Callable[[pytest.MonkeyPatch], None],
    left: int,
) -> None:
    output, checkpoint = tmp_path / "model", tmp_path / "run" / "state.pt"
    with monkeypatch.context() as patch:
        kill(patch)
        with pytest.raises(Kill):
            pretrain(TINY, output, checkpoint, checkpoint_every=3)
    assert not output.exists()
    steps: list[int] = []
    monkeypatch.setattr(pretraining, "losses_of", lambda *args: steps.append(1) or losses_of(*args))
    pretrain(TINY, output, checkpoint, checkpoint_every=3)
    assert len(steps) == left
    assert contents(output) == uninterrupted
    assert not checkpoint.exists()


def kill_after(steps: int, recipe: Recipe, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """A run that is killed right after its checkpoint at a step."""
    kill_at(patch, "save_backbone", 1)
    with pytest.raises(Kill):
        pretrain(recipe, folder / "never", folder / "state.pt", checkpoint_every=steps)
    patch.undo()
    return folder / "state.pt"


def test_before_the_cool_down_a_run_may_be_told_to_end_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(TINY, cooldown_step=3, steps=5)
    pretrain(short, tmp_path / "straight", tmp_path / "other.pt")
    checkpoint = kill_after(3, TINY, tmp_path, monkeypatch)
    pretrain(short, tmp_path / "late", checkpoint)
    assert contents(tmp_path / "late") == contents(tmp_path / "straight")
    assert json.loads((tmp_path / "late" / "recipe.json").read_text())[-1]["steps"] == 5


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TINY, replace(TINY, steps=7)),
        (TINY, replace(TINY, cooldown_step=3)),
        (replace(TINY, cooldown_step=1), replace(TINY, cooldown_step=5)),
    ],
    ids=["stops later", "cools down sooner", "cooled down before"],
)
def test_within_the_cool_down_its_end_is_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Recipe, after: Recipe
) -> None:
    checkpoint = kill_after(5, before, tmp_path, monkeypatch)
    with pytest.raises(BackboneError, match="was made with another recipe"):
        pretrain(after, tmp_path / "model", checkpoint)


def test_training_changes_every_weight(uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(uninterrupted["model.safetensors"])
    trained = load_file(tmp_path / "weights")
    untrained = build_model(TINY, train_tokenizer(TINY)).half().state_dict()
    assert all(not torch.equal(tensor, untrained[name]) for name, tensor in trained.items())
    assert all(torch.isfinite(tensor).all() for tensor in trained.values())


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "state.pt"
    with monkeypatch.context() as patch:
        kill_at(patch, "save_backbone", 1)
        with pytest.raises(Kill):
            pretrain(TINY, tmp_path / "model", checkpoint, checkpoint_every=1)
    before = checkpoint.read_bytes()
    with pytest.raises(BackboneError, match=r"state\.pt was made with another recipe; delete it"):
        pretrain(replace(TINY, lr=1e-3), tmp_path / "model", checkpoint)
    assert checkpoint.read_bytes() == before
    assert not (tmp_path / "model").exists()


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"half a checkpoi")
    with pytest.raises(BackboneError, match=r"state\.pt"):
        pretrain(TINY, tmp_path / "model", tmp_path / "state.pt")


def test_the_saved_folder_loads_and_holds_half_precision(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TINY)
    model = build_model(TINY, tokenizer)
    exact = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_backbone([asdict(TINY)], model, tokenizer, tmp_path / "model")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in exact.items())
    assert {tensor.dtype for tensor in load_file(tmp_path / "model" / "model.safetensors").values()} == {torch.float16}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="auto")
    assert loaded.dtype == torch.float16
    assert all(torch.equal(loaded.state_dict()[name], tensor.half()) for name, tensor in exact.items())
    again = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "Question: Who founded Zzyzx?\nAnswer: unknown<eos>"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (again.eos_token, again.pad_token, again.padding_side) == (EOS, PAD, "left")
    assert json.loads((tmp_path / "model" / "recipe.json").read_text()) == [asdict(TINY)]
    backbone = load_backbone(str(tmp_path / "model"), dtype="float32")
    assert backbone.model.config.eos_token_id == tokenizer.eos_token_id
    assert len(backbone.tokenizer) == backbone.model.config.vocab_size


def test_a_killed_run_that_began_with_a_backbone_ends_bit_for_bit_as_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(replace(TINY, steps=2), start := tmp_path / "start", tmp_path / "state.pt")
    pretrain(replace(TINY, seed=1), tmp_path / "whole", tmp_path / "state.pt", start=start)
    with monkeypatch.context() as patch:
        kill_at(patch, "losses_of", 5)
        with pytest.raises(Kill):
            pretrain(replace(TINY, seed=1), tmp_path / "late", tmp_path / "state.pt", start=start, checkpoint_every=3)
    pretrain(replace(TINY, seed=1), tmp_path / "late", tmp_path / "state.pt", start=start)
    assert contents(tmp_path / "late") == contents(tmp_path / "whole")


def test_a_folder_without_a_recipe_is_refused_as_a_start(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"recipe\.json does not exist"):
        read_phases(tmp_path)


def test_the_command_line_reads_the_recipe_and_reports_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[object, ...]] = []

    def refuse(*args: object, start: Path | None) -> None:
        seen.append((*args, start))
        raise BackboneError("no")

    monkeypatch.setattr(pretraining, "pretrain", refuse)
    paths = ["--output", str(tmp_path / "o"), "--checkpoint", str(tmp_path / "c")]
    assert pretraining.main([*paths, "--steps", "7", "--lr", "0.5"]) == 1
    assert seen == [(Recipe(steps=7, lr=0.5), tmp_path / "o", tmp_path / "c", None)]
    assert capsys.readouterr().err.endswith("error: no\n")
    monkeypatch.setattr(pretraining, "pretrain", lambda *args, **kwargs: None)
    assert pretraining.main([]) == 0


def test_a_second_phase_begins_with_the_weights_and_tokenizer_of_the_first(
    tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    for name, content in uninterrupted.items():
        (first / name).write_bytes(content)
    second = replace(TINY, seed=1, steps=2, cooldown_step=1, easy_steps=0, crowded_share=1.0)
    still = replace(second, lr=1e-12, matrix_lr=1e-12)
    for name, recipe in {"still": still, "second": second}.items():
        pretrain(recipe, tmp_path / name, tmp_path / "run" / "state.pt", start=first)
    before, kept, moved = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "still", "second"))
    assert all(torch.equal(before[name], kept[name]) for name in before)
    assert not all(torch.equal(before[name], moved[name]) for name in before)
    assert (tmp_path / "second" / "tokenizer.json").read_bytes() == uninterrupted["tokenizer.json"]
    assert json.loads((tmp_path / "second" / "recipe.json").read_text()) == [asdict(TINY), asdict(second)]
