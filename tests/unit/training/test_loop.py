"""Training follows its schedule, and a run that was killed ends as one that was not."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kblampp.core.errors import CheckpointError, DataError, TrainingError
from kblampp.data.windows import day
from kblampp.model.batches import TrainingBatches
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import SelectorOptions
from kblampp.training.loop import LATER_PULL, Schedule, forward, train
from kblampp.training.losses import Counts, LossWeights, compute_losses
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES

ALWAYS_STILL = re.compile(r"[.]yes[.]|raw_past$")
"""No question here wants yes or no, and every question about a row in time names one."""
SCHEDULE = Schedule(
    max_steps=7,
    grad_accumulation=1,
    lr=1e-2,
    query_lr=1e-3,
    query_pull=0.5,
    weight_decay=0.01,
    warmup_steps=2,
    min_lr_ratio=0.1,
    clip_grad_norm=1e3,
    log_every=2,
    checkpoint_every=3,
)
WEIGHTS = LossWeights(*[0.5] * 6, path_margin=1.0)
PARTS = ("answer", "select", "form", "words", "time", "hop", "path")
KEY = "k" * 64
AS_OF = day("1995-06-01")
"""A day on which people have employers and residences: what holding today counts is learned too."""


class Killed(Exception):
    """Stands in for a signal."""


class FakeLive:
    """Keeps what is logged, a dictionary a step; the step itself is in it as "step"."""

    def __init__(self) -> None:
        self.step = 0
        self.rows: list[dict[str, float]] = [{}]

    def log_metric(self, name: str, val: float) -> None:
        assert name not in self.rows[-1]
        self.rows[-1][name] = val

    def make_summary(self) -> None:
        self.rows[-1]["step"] = self.step
        self.rows.append({})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.fixture
def model(world: TinyWorld) -> KBInjectedModel:
    return fresh_model(world)


def fresh_model(world: TinyWorld) -> KBInjectedModel:
    return world.model(FAMILIES["llama"](), trained=False, layers=(1, 2))


def batches_of(world: TinyWorld, rows: Sequence[int] | None = None, **options: Any) -> TrainingBatches:
    return world.batches(rows, **{"retrieved_negatives": 3, **options})


def run(
    world: TinyWorld,
    model: KBInjectedModel,
    checkpoint: Path,
    schedule: Schedule = SCHEDULE,
    *,
    batches: TrainingBatches | None = None,
    key: str = KEY,
    after_step: Callable[[int], None] | None = None,
) -> list[dict[str, float]]:
    """Trains and returns what was logged."""
    live = FakeLive()
    train(
        model,
        world.base,
        batches or batches_of(world),
        schedule,
        WEIGHTS,
        options=SelectorOptions(top_k=16, as_of=AS_OF),
        live=live,
        checkpoint=checkpoint,
        key=key,
        after_step=after_step,
    )
    assert live.rows.pop() == {}
    return live.rows


def kill_after(step: int) -> Callable[[int], None]:
    def after_step(done: int) -> None:
        if done == step:
            raise Killed

    return after_step


def weights_of(model: KBInjectedModel) -> dict[str, Tensor]:
    """All that is added and learns: the maps of names are held, and biases are set afterwards."""
    held = (".query.names.", ".null_by_group", "kinds.")
    added = model.added_parameters().items()
    return {name: p.detach().clone() for name, p in added if not any(part in name for part in held)}


def of_query(name: str) -> bool:
    return ".query.from_" in name


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    different = [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)]
    assert not different


@pytest.fixture(scope="module")
def uninterrupted(world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Any]:
    """Weights and log of a whole run."""
    model = fresh_model(world)
    rows = run(world, model, tmp_path_factory.mktemp("whole") / "state.pt")
    return weights_of(model), rows


def test_the_learning_rate_warms_up_and_decays_to_its_end() -> None:
    schedule = replace(SCHEDULE, max_steps=13, warmup_steps=3, min_lr_ratio=0.2)
    factors = [schedule.factor(step) for step in range(13)]
    assert factors[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert factors[8] == pytest.approx(0.6)  # halfway down the cosine
    assert all(later < earlier for earlier, later in itertools.pairwise(factors[3:]))
    assert schedule.factor(13) == schedule.factor(99) == pytest.approx(0.2)
    assert factors[12] == pytest.approx(0.2, abs=0.03)


def test_edge_cases_of_the_schedule() -> None:
    assert replace(SCHEDULE, warmup_steps=0).factor(0) == 1.0
    only_warmup = replace(SCHEDULE, max_steps=4, warmup_steps=10)
    assert [only_warmup.factor(step) for step in range(4)] == pytest.approx([1 / 11, 2 / 11, 3 / 11, 4 / 11])
    assert replace(SCHEDULE, max_steps=3, warmup_steps=3).factor(3) == 1.0
    constant = replace(SCHEDULE, min_lr_ratio=1.0, warmup_steps=0)
    assert {constant.factor(step) for step in range(9)} == {1.0}


def test_logged_rates_are_the_schedules_and_every_figure_is_there(
    uninterrupted: tuple[dict[str, Tensor], list[dict[str, float]]],
) -> None:
    _, rows = uninterrupted
    logged_at = [2, 4, 6, 7]  # every second step and the last
    assert [row["train/lr"] for row in rows] == pytest.approx(
        [SCHEDULE.lr * SCHEDULE.factor(step - 1) for step in logged_at], rel=1e-5
    )
    names = {"loss", *(f"{part}_loss" for part in PARTS), "form_accuracy", "hit_rate"}
    assert all(row.keys() == {"step", *(f"train/{name}" for name in (*names, "lr", "grad_norm"))} for row in rows)
    assert [row["step"] for row in rows] == logged_at
    for row in rows:
        parts = [row[f"train/{name}_loss"] for name in PARTS]
        assert row["train/loss"] == pytest.approx(parts[0] + 0.5 * sum(parts[1:]), rel=1e-4)


def test_training_changes_the_added_weights_only_and_lowers_the_loss(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path
) -> None:
    backbone = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    before = weights_of(model)
    rows = run(world, model, tmp_path / "state.pt", replace(SCHEDULE, max_steps=24, log_every=6))
    assert_same(model.backbone.state_dict(), backbone)
    after = weights_of(model)
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    stayed = {name for name in before if torch.equal(before[name], after[name])}
    assert not {name for name in stayed if not ALWAYS_STILL.search(name)}
    assert rows[-1]["train/loss"] < 0.8 * rows[0]["train/loss"]


def test_a_frozen_part_stays_and_is_not_in_the_checkpoint(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path
) -> None:
    model.copy_gate.requires_grad_(False)
    before = weights_of(model)
    with pytest.raises(Killed):
        run(world, model, tmp_path / "state.pt", after_step=kill_after(2))
    saved = torch.load(tmp_path / "state.pt", weights_only=True)["weights"]
    assert saved.keys() == {name for name in before if not name.startswith("copy_gate.")}
    after = weights_of(model)
    assert torch.equal(after["copy_gate.weight"], before["copy_gate.weight"])
    assert not torch.equal(after["fusions.0.out.weight"], before["fusions.0.out.weight"])


def test_queries_learn_at_their_own_rate(world: TinyWorld, model: KBInjectedModel, tmp_path: Path) -> None:
    before = weights_of(model)
    run(world, model, tmp_path / "state.pt", replace(SCHEDULE, query_lr=0.0, max_steps=3))
    after = weights_of(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    others = {name for name in before if not of_query(name)}
    assert changed <= others
    assert not {name for name in others - changed if not ALWAYS_STILL.search(name)}


def test_only_matrices_outside_the_queries_decay(world: TinyWorld, tmp_path: Path) -> None:
    start = weights_of(fresh_model(world))
    ends = []
    for decay in (0.0, 0.5):
        model = fresh_model(world)
        schedule = replace(SCHEDULE, max_steps=1, warmup_steps=0, weight_decay=decay)
        run(world, model, tmp_path / f"{decay}.pt", schedule)
        ends.append(weights_of(model))
    for name, first in start.items():
        decays = first.dim() == 2 and not of_query(name)
        expected = ends[0][name] - SCHEDULE.lr * 0.5 * first if decays else ends[0][name]
        torch.testing.assert_close(ends[1][name], expected, atol=1e-6, rtol=1e-5)


def test_the_backbone_learns_at_its_own_rate_and_does_not_decay(world: TinyWorld, tmp_path: Path) -> None:
    ends = []
    for decay in (0.0, 0.5):
        model = fresh_model(world)
        last = model.backbone.get_submodule("model.layers.3").requires_grad_(True)
        before = {name: parameter.detach().clone() for name, parameter in last.named_parameters()}
        schedule = replace(SCHEDULE, max_steps=1, warmup_steps=0, weight_decay=decay, backbone_lr=1e-4)
        run(world, model, tmp_path / f"{decay}.pt", schedule)
        ends.append({name: parameter.detach() for name, parameter in last.named_parameters()})
        moved = {name: (ends[-1][name] - first).abs().max() for name, first in before.items()}
        assert all(0 < step < 1.1e-4 for step in moved.values())  # Adam's first step is the rate
    assert_same(ends[1], ends[0])


@pytest.mark.parametrize("last", [2, 4, 5], ids=["at a checkpoint", "after it", "at the second"])
def test_a_killed_run_resumes_to_the_same_weights_and_log(
    world: TinyWorld,
    tmp_path: Path,
    uninterrupted: tuple[dict[str, Tensor], list[dict[str, float]]],
    last: int,
) -> None:
    checkpoint = tmp_path / "run" / "state.pt"
    with pytest.raises(Killed):
        run(world, fresh_model(world), checkpoint, after_step=kill_after(last))
    assert checkpoint.is_file()
    steps: list[int] = []
    model = fresh_model(world)
    rows = run(world, model, checkpoint, after_step=steps.append)
    assert steps == list(range(3 if last < 5 else 6, 7))
    assert_same(weights_of(model), uninterrupted[0])
    assert rows == uninterrupted[1]
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_a_run_that_has_ended_is_not_trained_again(
    world: TinyWorld, tmp_path: Path, uninterrupted: tuple[dict[str, Tensor], list[dict[str, float]]]
) -> None:
    """What comes after the loop may fail, as calibration or the disk: its last step is kept as well."""
    run(world, fresh_model(world), tmp_path / "state.pt")
    steps: list[int] = []
    model = fresh_model(world)
    assert run(world, model, tmp_path / "state.pt", after_step=steps.append) == uninterrupted[1]
    assert not steps
    assert_same(weights_of(model), uninterrupted[0])


def test_a_run_killed_twice_still_ends_the_same(
    world: TinyWorld, tmp_path: Path, uninterrupted: tuple[dict[str, Tensor], list[dict[str, float]]]
) -> None:
    for last in (3, 6):
        with pytest.raises(Killed):
            run(world, fresh_model(world), tmp_path / "state.pt", after_step=kill_after(last))
    model = fresh_model(world)
    assert run(world, model, tmp_path / "state.pt") == uninterrupted[1]
    assert_same(weights_of(model), uninterrupted[0])


def test_a_run_killed_before_its_first_checkpoint_leaves_nothing(world: TinyWorld, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(world, fresh_model(world), tmp_path / "state.pt", after_step=kill_after(1))
    assert list(tmp_path.iterdir()) == []


def test_another_seed_is_another_run(
    world: TinyWorld,
    model: KBInjectedModel,
    tmp_path: Path,
    uninterrupted: tuple[dict[str, Tensor], list[dict[str, float]]],
) -> None:
    assert run(world, model, tmp_path / "state.pt", batches=batches_of(world, seed=6)) != uninterrupted[1]


def test_the_checkpoint_of_another_run_is_ignored(
    world: TinyWorld, tmp_path: Path, uninterrupted: tuple[dict[str, Tensor], list[dict[str, float]]]
) -> None:
    with pytest.raises(Killed):
        run(world, fresh_model(world), tmp_path / "state.pt", key="another", after_step=kill_after(4))
    steps: list[int] = []
    model = fresh_model(world)
    rows = run(world, model, tmp_path / "state.pt", after_step=steps.append)
    assert steps == list(range(7))
    assert rows == uninterrupted[1]
    assert_same(weights_of(model), uninterrupted[0])


@pytest.fixture(scope="module")
def saved_checkpoint(world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("killed") / "state.pt"
    with pytest.raises(Killed):
        run(world, fresh_model(world), path, after_step=kill_after(2))
    return path.read_bytes()


def not_a_checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save([1, 2, 3], buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:2],
        lambda data: b"",
        lambda data: b"not a checkpoint at all\n" * 20,
        lambda data: not_a_checkpoint(),
    ],
    ids=["half", "all but one byte", "two bytes", "empty", "text", "a list"],
)
def test_a_damaged_checkpoint_is_named_and_nothing_is_trained(
    world: TinyWorld,
    model: KBInjectedModel,
    tmp_path: Path,
    saved_checkpoint: bytes,
    damage: Callable[[bytes], bytes],
) -> None:
    checkpoint = tmp_path / "state.pt"
    checkpoint.write_bytes(damage(saved_checkpoint))
    before = weights_of(model)
    with pytest.raises(CheckpointError, match=r"state\.pt.*delete it") as caught:
        run(world, model, checkpoint)
    assert len(str(caught.value).splitlines()) == 1
    assert_same(weights_of(model), before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stops_the_run_with_the_last_good_weights(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path, value: float
) -> None:
    good: list[dict[str, Tensor]] = []

    def spoil(step: int) -> None:
        good.append(weights_of(model))
        if step == 3:
            model.fusions[0].out.weight.register_hook(lambda gradient: torch.full_like(gradient, value))

    with pytest.raises(TrainingError, match=r"gradient of step 4 is not finite .*learning rates"):
        run(world, model, tmp_path / "state.pt", after_step=spoil)
    assert_same(weights_of(model), good[3])
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 3  # the checkpoint from before stays


def test_two_half_batches_are_about_one(world: TinyWorld, tmp_path: Path) -> None:
    """Eight temporal questions whose answers have equally many tokens, so that means over halves are means."""
    rows = [row for row in world.rows_of("temporal") if len(world.questions[row].answer) == 8][:8]
    assert len(rows) == 8
    start = weights_of(fresh_model(world))
    ends, logs = [], []
    for parts in (1, 2):
        batches = batches_of(world, rows, batch_size=8 // parts, drop_question_vector=0.0, in_batch_negatives=0)
        model = fresh_model(world)
        schedule = replace(SCHEDULE, grad_accumulation=parts, max_steps=4, log_every=1)
        logs.append(run(world, model, tmp_path / f"{parts}.pt", schedule, batches=batches))
        ends.append(weights_of(model))
    for whole, halves in zip(*logs, strict=True):
        assert halves == pytest.approx(whole, rel=1e-3, abs=1e-5)
    for name, first in start.items():
        moved, apart = (ends[0][name] - first).abs().mean(), (ends[1][name] - ends[0][name]).abs().mean()
        assert apart <= 0.02 * moved, name


@pytest.mark.parametrize("parts", [2, 3])
def test_the_parts_of_a_batch_add_up_to_it(world: TinyWorld, parts: int) -> None:
    """Losses, figures and gradients, of a batch of all types with dropped vectors that cannot be shared equally."""
    model = world.model(FAMILIES["llama"](), layers=(1, 2))
    whole = batches_of(world, batch_size=41, drop_question_vector=0.3, question_noise=0.2).batch(0)
    assert len(set(whole.hops.tolist())) > 2
    options, counts = SelectorOptions(top_k=16, as_of=AS_OF), Counts.of(whole)

    def of(places: range) -> tuple[dict[str, float], dict[str, Tensor]]:
        batch = whole.part(places)
        model.zero_grad()
        output = forward(model, world.base, batch, options, None, all_logits=True)
        losses = compute_losses(output, batch, world.base, path_margin=1.0, counts=counts)
        losses.total(WEIGHTS).backward()
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        return losses.figures(), grads

    figures, gradients = of(range(41))
    shares = [of(range(place, 41, parts)) for place in range(parts)]
    for name, value in figures.items():
        assert sum(share[name] for share, _ in shares) == pytest.approx(value, rel=1e-5, abs=1e-7), name
    for name, gradient in gradients.items():
        total = sum(share.get(name, torch.zeros(())) for _, share in shares)
        torch.testing.assert_close(total, gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()) + 1e-9)


def test_a_question_that_names_a_fact_twice_is_refused(world: TinyWorld) -> None:
    """Its second place among the candidates would be masked, and its loss infinite."""
    question = next(question for question in world.questions if question.type == "multi-hop")
    doubled = replace(question, supporting_facts=(question.supporting_facts[0],) * 2)
    with pytest.raises(DataError, match=rf"{question.qid}.*twice"):
        TrainingBatches(
            [doubled],
            world.vectors[:1],
            world.tokenizer,
            batch_size=1,
            drop_question_vector=0.0,
            in_batch_negatives=0,
            retrieved_negatives=0,
            seed=0,
        )


def test_a_gate_that_is_not_finite_stops_the_run_with_the_same_error(
    world: TinyWorld, model: KBInjectedModel, tmp_path: Path
) -> None:
    with torch.no_grad():
        model.selectors[1].query.hop_gate.out.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"gradient of step 0 is not finite"):
        run(world, model, tmp_path / "state.pt", batches=batches_of(world, retrieved_negatives=0))


def test_question_noise_reaches_the_gates(world: TinyWorld, tmp_path: Path) -> None:
    """Two steps: a gate's output starts at zero, so that its inner weights learn from the second on."""
    gates = []
    for noise in (0.0, 0.3):
        model, schedule = fresh_model(world), replace(SCHEDULE, max_steps=2, warmup_steps=1)
        run(world, model, tmp_path / f"{noise}.pt", schedule, batches=batches_of(world, question_noise=noise))
        gates.append(model.selectors[1].query.hop_gate.inner.weight.detach().clone())
    assert not torch.equal(*gates)


PULLED = {
    "selectors.0.query.from_question.weight": 1.0,
    "selectors.1.query.from_question.weight": LATER_PULL,
}
"""The maps of relations, each with its share of the pull."""


def test_the_pull_is_the_gradient_of_the_squared_distance_from_the_start_relative_to_its_own_square(
    world: TinyWorld, tmp_path: Path
) -> None:
    """Of one step from maps that have been moved after the start: what the pull adds, by differentiating its loss."""
    gradients: list[dict[str, Tensor]] = []
    clip = torch.nn.utils.clip_grad_norm_
    starts = {name: dict(fresh_model(world).named_parameters())[name].detach() for name in PULLED}
    for strength in (0.0, 0.7):
        model, schedule = fresh_model(world), replace(SCHEDULE, query_pull=strength, query_lr=0.0, max_steps=2)
        own = dict(model.named_parameters())
        seen: dict[str, Tensor] = {}

        def move(step: int, own: dict[str, Any] = own) -> None:
            with torch.no_grad():
                for place, name in enumerate(PULLED):
                    shift = torch.randn(own[name].shape, generator=torch.Generator().manual_seed(place))
                    own[name].add_(0.01 * shift)

        def keep(parameters: Any, norm: float, seen: dict[str, Tensor] = seen, own: dict[str, Any] = own) -> Any:
            seen.update({name: own[name].grad.clone() for name in own if own[name].grad is not None})
            return clip(parameters, norm)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.utils, "clip_grad_norm_", keep)
            run(world, model, tmp_path / f"{strength}.pt", replace(schedule, lr=0.0), after_step=move)
        gradients.append(seen)
    free, held = gradients
    for place, (name, share) in enumerate(PULLED.items()):
        shift = torch.randn(starts[name].shape, generator=torch.Generator().manual_seed(place))
        moved = (starts[name] + 0.01 * shift).requires_grad_()
        (0.7 * share * (moved - starts[name]).square().sum() / starts[name].square().sum()).backward()
        assert moved.grad is not None
        torch.testing.assert_close(held[name] - free[name], moved.grad, atol=1e-5, rtol=1e-3)
    others = {name for name in free if name not in PULLED}
    assert all(torch.equal(free[name], held[name]) for name in others)


def test_a_strong_pull_keeps_the_maps_near_their_start(world: TinyWorld, tmp_path: Path) -> None:
    """Ten steps with and without: nothing else is held, and later layers less."""
    start = weights_of(fresh_model(world))
    gone: list[dict[str, float]] = []
    for strength in (0.0, 1e4):
        model = fresh_model(world)
        run(world, model, tmp_path / f"{strength}.pt", replace(SCHEDULE, query_pull=strength, max_steps=10))
        after = weights_of(model)
        gone.append({name: float((after[name] - start[name]).norm()) for name in start})
    for name in PULLED:
        assert gone[1][name] < (0.5 if name.startswith("selectors.0.") else 0.75) * gone[0][name]


def test_a_resumed_run_is_pulled_to_where_the_whole_run_started(world: TinyWorld, tmp_path: Path) -> None:
    """Not to where it was killed: with a strong pull the two ends lie apart."""
    schedule = replace(SCHEDULE, query_pull=100.0, query_lr=1e-2)
    whole = fresh_model(world)
    rows = run(world, whole, tmp_path / "whole.pt", schedule)
    with pytest.raises(Killed):
        run(world, fresh_model(world), tmp_path / "state.pt", schedule, after_step=kill_after(4))
    resumed = fresh_model(world)
    assert run(world, resumed, tmp_path / "state.pt", schedule) == rows
    assert_same(weights_of(resumed), weights_of(whole))
