"""One training loop: accumulation, warm-up and decay, clipping, checkpoints, and resuming with the same result.

Several processes (`core.processes`) share each batch, row by row, and sum gradients and figures before each step, so
that all of them take the step that one would take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from kblampp.core import processes
from kblampp.core.errors import TrainingError
from kblampp.core.files import fingerprint
from kblampp.core.progress import progress_bar
from kblampp.core.run_state import resume_state, save_state
from kblampp.model.batches import TrainingBatch, TrainingBatches
from kblampp.model.injection import KBInjectedModel, KBOutput
from kblampp.model.inputs import EncodedBase, Knowledge, SelectorOptions
from kblampp.training.losses import Counts, LossWeights, compute_losses
from kblampp.training.stored_states import StoredStates


class MetricLog(Protocol):
    """The part of `dvclive.Live` that the loop uses."""

    step: int

    def log_metric(self, name: str, val: float) -> None:
        """Logs one figure of the current step."""

    def make_summary(self) -> None:
        """Writes the latest figures."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; see `trainA` in params.yaml for the meaning of each.

    Attributes:
        max_steps: Optimizer steps.
        grad_accumulation: Batches a step.
        lr: Peak learning rate of the added modules.
        query_lr: Peak learning rate of the queries, which start as the projections.
        query_pull: How strongly the queries' maps of the question are held to their start: the weight of the squared
            distance from it, relative to its own square.
        backbone_lr: Peak learning rate of what learns inside the backbone (Stage B).
        weight_decay: Of the matrices outside queries and backbone.
        warmup_steps: Steps of linear warm-up.
        min_lr_ratio: Where the cosine decay ends, as a share of the peak.
        clip_grad_norm: Largest norm of the gradient.
        log_every: Steps a logged figure averages over.
        checkpoint_every: Steps between checkpoints.
    """

    max_steps: int
    grad_accumulation: int
    lr: float
    query_lr: float
    query_pull: float
    weight_decay: float
    warmup_steps: int
    min_lr_ratio: float
    clip_grad_norm: float
    log_every: int
    checkpoint_every: int
    backbone_lr: float = 0.0

    def factor(self, step: int) -> float:
        """Learning rate of a step as a share of the peak."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / max(1, self.max_steps - self.warmup_steps)
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def train(
    model: KBInjectedModel,
    base: EncodedBase,
    batches: TrainingBatches,
    schedule: Schedule,
    weights: LossWeights,
    *,
    options: SelectorOptions,
    live: MetricLog,
    checkpoint: Path,
    key: str,
    states: StoredStates | None = None,
    after_step: Callable[[int], None] | None = None,
) -> None:
    """Trains the added weights in place; a killed run goes on from `checkpoint` and ends as an uninterrupted one.

    Args:
        model: The model; only parameters that require a gradient learn.
        base: The training knowledge base.
        batches: The training split.
        schedule: How long and how fast.
        weights: Of the losses.
        options: Whether to copy and to hop.  Training weighs gold, retrieved and in-batch facts whatever `top_k` says,
            so that the params of `selector` belong to evaluation.
        live: Where figures are logged, every `log_every` steps.
        checkpoint: File for the state of the run, also of its end: the caller deletes it once the result is saved.
        key: Identifies parameters and inputs; a checkpoint with another key is of another run and is ignored.
        states: Hidden states of these batches' questions, in the place of the layers that compute them.
        after_step: Called after each step with its number; for tests.

    Raises:
        CheckpointError: The checkpoint is damaged.
        TrainingError: A gradient is not finite, or another process has ended or has begun otherwise.
    """
    optimizer = torch.optim.AdamW(_groups(model, schedule), betas=(0.9, 0.98))
    pull = _Pull(model, schedule.query_pull)  # to the start of the run, whether or not it goes on from a checkpoint
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    history = resume_state(checkpoint, key, _History.of, learning, optimizer) or _History()
    processes.check_alike("its step and weights are", f"{history.step}, {_digest(model)}")
    for step, figures in history.rows:
        _log(live, step, figures)
    with progress_bar(initial=history.step, total=schedule.max_steps, desc="training") as progress:
        for step in range(history.step, schedule.max_steps):
            for part in range(schedule.grad_accumulation):
                batch = batches.batch(step * schedule.grad_accumulation + part)
                history.add(_backward(model, base, batch, weights, options, schedule.grad_accumulation, states))
            if processes.count() > 1:
                _add_up(model, history.open[-schedule.grad_accumulation :])
            pull.add_gradients()
            norm = _update(model, optimizer, schedule, step)
            history.step = step + 1
            if history.step % schedule.log_every == 0 or history.step == schedule.max_steps:
                figures = history.close({"lr": schedule.lr * schedule.factor(step), "grad_norm": norm})
                _log(live, history.step, figures)
                progress.set_postfix(loss=f"{figures['loss']:.3f}", hits=f"{figures['hit_rate']:.3f}", refresh=False)
            due = history.step % schedule.checkpoint_every == 0 or history.step == schedule.max_steps
            if due and not processes.place():  # all have the same
                save_state(checkpoint, key, history.state(), learning, optimizer)
            progress.update()
            if after_step is not None:
                after_step(step)


def _backward(
    model: KBInjectedModel,
    base: EncodedBase,
    batch: TrainingBatch,
    weights: LossWeights,
    options: SelectorOptions,
    accumulation: int,
    states: StoredStates | None,
) -> dict[str, float]:
    counts = Counts.of(batch)
    if processes.count() > 1:
        batch = batch.part(range(processes.place(), counts.rows, processes.count()))
    batch = batch.to(base.device)
    output = forward(model, base, batch, options, states, all_logits=states is None)
    losses = compute_losses(output, batch, base, path_margin=weights.path_margin, counts=counts)
    loss = losses.total(weights)
    (loss / accumulation).backward()  # type: ignore[no-untyped-call]
    return {"loss": float(loss.detach()), **losses.figures()}


def forward(
    model: KBInjectedModel,
    base: EncodedBase,
    batch: TrainingBatch,
    options: SelectorOptions,
    states: StoredStates | None,
    *,
    all_logits: bool,
) -> KBOutput:
    """The forward pass of a training step.

    Args:
        model, base, options, states: See `train`.
        batch: On the base's device.
        all_logits: Whether the logits of all tokens are computed, or those at `batch.writing` alone.
    """
    with nullcontext() if states is None else states.standing_in(batch):
        output: KBOutput = model(
            batch.input_ids,
            batch.attention_mask,
            knowledge=Knowledge(base, batch.questions, options, batch.weighed),
            answer_start=batch.answer_start,
            logits_at=None if all_logits else batch.writing,
        )
    return output


def _add_up(model: KBInjectedModel, figures: Sequence[dict[str, float]]) -> None:
    """Makes gradients and figures, in place, those of all processes together; both are parts of sums."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    there = torch.tensor([float(parameter.grad is not None) for parameter in learning])
    rows = [torch.zeros_like(each) if each.grad is None else each.grad for each in learning]
    total = torch.cat([*(row.flatten().float().cpu() for row in rows), there])
    processes.add_up(total)
    *summed, there = torch.split(total, [*map(torch.Tensor.numel, learning), len(learning)])
    for parameter, gradient, somewhere in zip(learning, summed, there.tolist(), strict=True):
        if somewhere:  # where no process has one there is none to step along, not even one of zeros
            parameter.grad = gradient.view_as(parameter).to(parameter)
    said = torch.tensor([list(row.values()) for row in figures], dtype=torch.float64)
    processes.add_up(said)
    for row, values in zip(figures, said.tolist(), strict=True):
        row.update(zip(row, values, strict=True))


def _digest(model: KBInjectedModel) -> str:
    """Short hash of what learns; of one process nobody asks."""
    if processes.count() == 1:
        return ""
    learning = [p.detach().float().cpu().numpy().tobytes() for p in model.parameters() if p.requires_grad]
    return fingerprint(*learning)[:12]


def _update(model: KBInjectedModel, optimizer: torch.optim.Optimizer, schedule: Schedule, step: int) -> float:
    """One optimizer step at the rate of `step`; the norm of the gradient before clipping."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * schedule.factor(step)
    norm = nn.utils.clip_grad_norm_(model.parameters(), schedule.clip_grad_norm)
    if not torch.isfinite(norm):
        raise TrainingError(
            f"the gradient of step {step} is not finite ({float(norm)}), so the weights would be lost; "
            "lower the learning rates, or use backbone.dtype float32"
        )
    optimizer.step()
    optimizer.zero_grad()
    return float(norm)


def _groups(model: KBInjectedModel, schedule: Schedule) -> list[dict[str, Any]]:
    """Parameter groups: rates by part; decay only for matrices that start neither as projections nor pre-trained."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            inside, query = name.startswith("backbone."), ".query.from_" in name
            rate = schedule.backbone_lr if inside else schedule.query_lr if query else schedule.lr
            decay = 0.0 if inside or query or parameter.dim() < 2 else schedule.weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "peak_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


LATER_PULL = 0.25
"""Of the pull of the first layer's map, how much holds those of later ones, which also learn to look past the relation
that a question names first."""


class _Pull:
    """Holds the maps of relations to where they start.

    Source: Xuhong et al. 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks" (L2-SP).
    """

    def __init__(self, model: KBInjectedModel, weight: float) -> None:
        self._maps = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and name.endswith(".query.from_question.weight"):
                start = parameter.detach().clone()
                share = 1.0 if name.startswith("selectors.0.") else LATER_PULL
                self._maps.append((parameter, start, 2 * share * weight / max(float(start.square().sum()), 1e-12)))

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Adds the gradient of the squared distance to those of the losses."""
        for parameter, start, strength in self._maps:
            if parameter.grad is not None:
                parameter.grad.add_(parameter - start, alpha=strength)


@dataclass
class _History:
    """Figures since the last log, and all that were logged; part of the checkpoint."""

    step: int = 0
    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    open: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> _History:
        """That of a checkpoint."""
        return cls(state["step"], state["rows"], state["open"])

    def state(self) -> dict[str, Any]:
        """As the checkpoint has it."""
        return {"step": self.step, "rows": self.rows, "open": self.open}

    def add(self, figures: dict[str, float]) -> None:
        self.open.append(figures)

    def close(self, more: Mapping[str, float]) -> dict[str, float]:
        """Means since the last log, rounded so that they stay readable in git."""
        means = {name: sum(row[name] for row in self.open) / len(self.open) for name in self.open[0]}
        figures = {name: float(f"{value:.6g}") for name, value in {**means, **more}.items()}
        self.open = []
        self.rows.append((self.step, figures))
        return figures


def _log(live: MetricLog, step: int, figures: Mapping[str, float]) -> None:
    live.step = step
    for name, value in figures.items():
        live.log_metric(f"train/{name}", value)
    live.make_summary()
