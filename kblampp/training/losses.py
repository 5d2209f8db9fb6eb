"""What training minimises: the answer's cross-entropy, and what each layer should have selected."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kblampp.model.batches import IGNORED, TrainingBatch
from kblampp.model.injection import KBOutput
from kblampp.model.inputs import KnowledgeBase
from kblampp.model.scores import disjoint, is_known
from kblampp.model.selector import Selection


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses beside the answer's, and the margin of the path loss; see `trainA` in params.yaml."""

    lambda_select: float
    lambda_time: float
    lambda_hop: float
    lambda_path: float
    path_margin: float


@dataclass(frozen=True)
class Losses:
    """The parts of the loss, each a scalar tensor, and what is logged beside them.

    Attributes:
        answer: Cross-entropy of the answer's tokens and EOS, copies included.
        select: KL of the layers' alpha to the fact they should select (to the null fact where there is none).
        time: Mass on facts outside the question's window.
        hop: Cross-entropy of the hop gates of the later layers, open where a further hop is due, on answerable
            questions whose vector was not dropped: without it a gate can only learn how often hops are due.
        path: Hinge on the margin of the gold facts of multi-hop questions over the best other fact.
        token_accuracy: Share of the answers' tokens that are the most probable.
        hit_rate: Share of the answer positions whose last layer weighs the right fact most.
    """

    answer: Tensor
    select: Tensor
    time: Tensor
    hop: Tensor
    path: Tensor
    token_accuracy: float
    hit_rate: float

    def total(self, weights: LossWeights) -> Tensor:
        """The weighted sum."""
        return (
            self.answer
            + weights.lambda_select * self.select
            + weights.lambda_time * self.time
            + weights.lambda_hop * self.hop
            + weights.lambda_path * self.path
        )

    def figures(self) -> dict[str, float]:
        """Everything as plain numbers for the log."""
        tensors = {"answer": self.answer, "select": self.select, "time": self.time, "hop": self.hop, "path": self.path}
        plain = {f"{name}_loss": float(value.detach()) for name, value in tensors.items()}
        return {**plain, "token_accuracy": self.token_accuracy, "hit_rate": self.hit_rate}


def compute_losses(output: KBOutput, batch: TrainingBatch, base: KnowledgeBase, *, path_margin: float) -> Losses:
    """The losses of one batch.

    Args:
        output: Of the forward pass with this batch's candidates.
        batch: The batch.
        base: The knowledge base that was read.
        path_margin: Score by which a gold fact should lead.
    """
    targets = batch.labels[:, 1:]
    rows, columns = (targets != IGNORED).nonzero(as_tuple=True)
    labels = targets[rows, columns]
    logits = output.logits[rows, columns].float()
    answer = torch.nn.functional.cross_entropy(logits, labels)
    selections = [] if output.state is None else [s for _, s in sorted(output.state.selections.items())]
    selects, hops, paths = [], [], []
    hit_rate = 0.0
    for depth, selection in enumerate(selections):
        scores = selection.scores[rows, columns]
        wanted = _wanted(batch, depth, scores.shape[-1])[rows]
        selects.append((scores.logsumexp(-1) - scores.masked_fill(~wanted, -torch.inf).logsumexp(-1)).mean())
        if depth and output.state is not None and output.state.knowledge.options.hop:
            due, counts = batch.hops[rows] > depth, (batch.hops[rows] > 0) & batch.has_vector[rows]
            hops.append(_hop_loss(selection.hop_logit[rows, columns], due, counts))
        paths.append(_margin_loss(scores, wanted, batch.hops[rows] > 1, path_margin))
        hit_rate = float(wanted.gather(-1, scores.argmax(-1, keepdim=True)).float().mean())
    zero = logits.new_zeros(())
    return Losses(
        answer=answer,
        select=torch.stack(selects).mean() if selects else zero,
        time=torch.stack([_mass_outside(s, batch, base, rows, columns) for s in selections]).mean()
        if selections
        else zero,
        hop=torch.stack(hops).mean() if hops else zero,
        path=torch.stack(paths).mean() if paths else zero,
        token_accuracy=float((logits.argmax(-1) == labels).float().mean()),
        hit_rate=hit_rate,
    )


def _wanted(batch: TrainingBatch, depth: int, n: int) -> Tensor:
    """Which columns layer `depth` should select from, (batch, n): the fact of hop min(depth, hops - 1), any of a single
    hop's alternatives, or the null column of a question without hops."""
    column = torch.arange(n, device=batch.hops.device)
    first = (batch.hops - 1).clamp(max=depth)[:, None]
    gold = (column >= first) & (column < first + batch.alternatives[:, None])
    return torch.where(batch.hops[:, None] > 0, gold, column == n - 1)


def _hop_loss(logit: Tensor, due: Tensor, counts: Tensor) -> Tensor:
    """Whether a layer should go on: from its gates' logits, whether a hop is due, and which rows count, all (n,).

    From logits, so that a gate that is wrong and sure still gets a gradient.
    """
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, due.float(), reduction="none")
    return (loss * counts).sum() / counts.sum().clamp(min=1)


def _margin_loss(scores: Tensor, wanted: Tensor, chosen: Tensor, margin: float) -> Tensor:
    gold = scores.masked_fill(~wanted, -torch.inf).amax(-1)
    best = scores.masked_fill(wanted, -torch.inf).amax(-1)
    hinge = (margin - (gold - best)).clamp(min=0)
    return (hinge * chosen).sum() / chosen.sum().clamp(min=1)


def _mass_outside(
    selection: Selection, batch: TrainingBatch, base: KnowledgeBase, rows: Tensor, columns: Tensor
) -> Tensor:
    """Mean alpha on facts that do not hold in the question's window, among questions that have one."""
    windows = batch.questions.windows
    ids = selection.ids.clamp(min=0)
    apart = disjoint(windows, base.tensors.tau_min[ids], base.tensors.tau_max[ids])[rows, 0]
    mass = (selection.alpha[rows, columns] * apart).sum(-1)
    timed = is_known(windows)[rows]
    return (mass * timed).sum() / timed.sum().clamp(min=1)
