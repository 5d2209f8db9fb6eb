"""What training minimises: cross-entropies of the answer, of what is asked, and of what each layer should select."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kblampp.core.errors import DataError
from kblampp.data.facts import FORMS
from kblampp.model.answers import confirming
from kblampp.model.batches import TrainingBatch
from kblampp.model.injection import CallState, KBOutput
from kblampp.model.inputs import EncodedBase
from kblampp.model.question_reader import Reading
from kblampp.model.scores import disjoint, is_known
from kblampp.model.selector import Selection

YES_NO = FORMS.index("yes_no")
TINY = 1e-12
EDGE = 1e-6
"""float32 tells one from one less this, and not from one less `TINY`."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses beside the answer's, and the margin of the path loss; see `trainA` in params.yaml."""

    lambda_select: float
    lambda_form: float
    lambda_words: float
    lambda_time: float
    lambda_hop: float
    lambda_path: float
    path_margin: float


@dataclass(frozen=True)
class Counts:
    """What the means of a batch are over.  They depend on the batch alone, so that of a part of it the losses are sums
    over the part by the counts of the whole, and those of all parts add up to its means.

    Attributes:
        rows: Questions.
        tokens: That write answers.
        asked: Questions whose vector was not dropped.
        timed: Questions with a window.
        hopping: Answerable questions whose vector was not dropped.
        multi_hop: Questions of several hops.
    """

    rows: int
    tokens: int
    asked: int
    timed: int
    hopping: int
    multi_hop: int

    @classmethod
    def of(cls, batch: TrainingBatch) -> Counts:
        """Those of a batch."""
        counted = (
            batch.has_vector,
            is_known(batch.questions.windows),
            (batch.hops > 0) & batch.has_vector,
            batch.hops > 1,
        )
        return cls(len(batch.rows), len(batch.writing[0]), *(max(1, int(rows.sum())) for rows in counted))


@dataclass(frozen=True)
class Losses:
    """The parts of the loss, each a scalar tensor, and what is logged beside them.

    Attributes:
        answer: Cross-entropy of the answer as a whole: from the facts, or in own words.
        form: Cross-entropy of what the question asks for: form, mode and direction, and yes or no.
        words: Cross-entropy of the answer's tokens and EOS in the language model's own words.
        select: KL of the layers' alpha to the fact they should select (to the null fact where there is none).
        time: Mass on facts outside the question's window.
        hop: Cross-entropy of the hop gates of the later layers, open where a further hop is due, on answerable
            questions whose vector was not dropped: without it a gate can only learn how often hops are due.
        path: Hinge on the margin of the gold facts of multi-hop questions over the best other fact.
        form_accuracy: Share of the questions whose form, mode and direction are all read rightly.
        hit_rate: Share of the questions whose last layer weighs the right fact most.
    """

    answer: Tensor
    form: Tensor
    words: Tensor
    select: Tensor
    time: Tensor
    hop: Tensor
    path: Tensor
    form_accuracy: float
    hit_rate: float

    def total(self, weights: LossWeights) -> Tensor:
        """The weighted sum."""
        return (
            self.answer
            + weights.lambda_select * self.select
            + weights.lambda_form * self.form
            + weights.lambda_words * self.words
            + weights.lambda_time * self.time
            + weights.lambda_hop * self.hop
            + weights.lambda_path * self.path
        )

    def figures(self) -> dict[str, float]:
        """Everything as plain numbers for the log."""
        names = ("answer", "form", "words", "select", "time", "hop", "path")
        plain = {f"{name}_loss": float(getattr(self, name).detach()) for name in names}
        return {**plain, "form_accuracy": self.form_accuracy, "hit_rate": self.hit_rate}


def compute_losses(
    output: KBOutput, batch: TrainingBatch, base: EncodedBase, *, path_margin: float, counts: Counts | None = None
) -> Losses:
    """The losses of one batch, or of a part of one.

    Args:
        output: Of the forward pass with this batch's candidates; its logits may be those at `batch.writing` alone.
        batch: The batch.
        base: The knowledge base that was read.
        path_margin: Score by which a gold fact should lead.
        counts: Of the batch that this is a part of; None where it is the whole.

    Raises:
        DataError: The forward pass read no knowledge.
    """
    state = output.state
    if state is None:
        raise DataError("the losses need a forward pass that read knowledge; call the model with `knowledge`")
    counts = counts or Counts.of(batch)
    reading, _ = state.read()
    rows, columns = batch.writing
    logits = output.logits if output.logits.dim() == 2 else output.logits[rows, columns]
    tokens = F.cross_entropy(logits.float(), batch.labels[rows, columns + 1], reduction="none")
    spoken = torch.zeros(len(batch.labels), device=tokens.device).index_add(0, rows, -tokens)
    selections = [selection for _, selection in sorted(state.selections.items())]
    selects, hops, paths = [], [], []
    for depth, selection in enumerate(selections):
        scores = selection.scores[:, 0]
        wanted = _wanted(batch, depth, scores.shape[-1])
        missed = scores.logsumexp(-1) - scores.masked_fill(~wanted, -torch.inf).logsumexp(-1)
        selects.append(missed.sum() / counts.rows)
        if depth and state.knowledge.options.hop:
            hops.append(_hop_loss(selection.hop_logit[:, 0], batch, depth, counts))
        paths.append(_margin_loss(scores, wanted, batch.hops > 1, path_margin) / counts.multi_hop)
    zero = tokens.new_zeros(())
    hit = wanted.gather(-1, scores.argmax(-1, keepdim=True)).float().sum() / counts.rows
    return Losses(
        answer=_answer_loss(state, batch, base, wanted, spoken) / counts.rows,
        form=_form_loss(reading, batch, selections[-1]) / counts.asked,
        words=tokens.sum() / counts.tokens,
        select=torch.stack(selects).mean(),
        time=torch.stack([_mass_outside(each, batch, base) / counts.timed for each in selections]).mean(),
        hop=torch.stack(hops).mean() if hops else zero,
        path=torch.stack(paths).mean(),
        form_accuracy=float(_forms_right(reading, batch) / counts.rows),
        hit_rate=float(hit),
    )


def _answer_loss(state: CallState, batch: TrainingBatch, base: EncodedBase, wanted: Tensor, said: Tensor) -> Tensor:
    """Sum of -log of the answers' probabilities (`model.answers`): from facts or, with `said` its log, own words."""
    reading, gate = state.read()
    last = state.selections[max(state.selections)]
    alpha, null = last.alpha[:, 0], last.null[:, 0]
    forms = last.forms.exp()
    wants_no_name = reading.form_of("yes_no")
    asked = forms.gather(-1, batch.forms[:, None, None].expand(-1, forms.shape[1], 1)).squeeze(-1)
    copied = torch.where(batch.hops > 0, (alpha * asked * wanted[:, :-1]).sum(-1), null * (1 - wants_no_name))
    confirmed = (alpha * forms[..., YES_NO]).sum(-1) + null * wants_no_name
    _, share = confirming(base, last, reading, batch.questions.windows, state.knowledge.options.as_of)
    yes, no = last.yes[:, 0].sigmoid(), (-last.yes[:, 0]).sigmoid()
    so = torch.where(batch.so, yes * share, no + yes * (1 - share))
    copied = torch.where(batch.forms == YES_NO, confirmed * so, copied).clamp(min=TINY).log()
    if not state.knowledge.options.copy_head:
        return -said.sum()
    gate = gate.clamp(EDGE, 1 - EDGE)
    return -torch.logaddexp(gate.log() + copied, torch.log1p(-gate) + said).sum()


def _form_loss(reading: Reading, batch: TrainingBatch, last: Selection) -> Tensor:
    asked = batch.has_vector.float()
    form = F.nll_loss(reading.form, batch.forms, reduction="none")
    mode = F.nll_loss(reading.mode, batch.modes, reduction="none")
    way = F.binary_cross_entropy_with_logits(reading.inverse, batch.inverse.float(), reduction="none")
    so = F.binary_cross_entropy_with_logits(last.yes[:, 0], batch.so.float(), reduction="none")
    total = form + mode + way + so * (batch.forms == YES_NO)
    return (total * asked).sum()


def _forms_right(reading: Reading, batch: TrainingBatch) -> Tensor:
    right = (reading.form.argmax(-1) == batch.forms) & (reading.mode.argmax(-1) == batch.modes)
    return (right & ((reading.inverse > 0) == batch.inverse)).float().sum()


def _wanted(batch: TrainingBatch, depth: int, n: int) -> Tensor:
    """Which columns layer `depth` should select from, (batch, n): the fact of hop min(depth, hops - 1), any of a single
    hop's alternatives, or the null column of a question without hops.

    What a "no" denies may stand in no fact at all; then every column does.
    """
    column = torch.arange(n, device=batch.hops.device)
    first = (batch.hops - 1).clamp(max=depth)[:, None]
    gold = (column >= first) & (column < first + batch.alternatives[:, None])
    free = ((batch.hops == 0) & (batch.forms == YES_NO))[:, None]
    return torch.where(batch.hops[:, None] > 0, gold, (column == n - 1) | free)


def _hop_loss(logit: Tensor, batch: TrainingBatch, depth: int, counts: Counts) -> Tensor:
    """Whether layer `depth` should go on, from its gates' logits, (batch,).

    From logits, so that a gate that is wrong and sure still gets a gradient.
    """
    loss = F.binary_cross_entropy_with_logits(logit, (batch.hops > depth).float(), reduction="none")
    return (loss * ((batch.hops > 0) & batch.has_vector)).sum() / counts.hopping


def _margin_loss(scores: Tensor, wanted: Tensor, chosen: Tensor, margin: float) -> Tensor:
    gold = scores.masked_fill(~wanted, -torch.inf).amax(-1)
    best = scores.masked_fill(wanted, -torch.inf).amax(-1)
    hinge = torch.where(chosen, (margin - (gold - best)).clamp(min=0), 0.0)
    return hinge.sum()


def _mass_outside(selection: Selection, batch: TrainingBatch, base: EncodedBase) -> Tensor:
    """Sum of alpha on facts that do not hold in the question's window, over questions that have one."""
    windows, ids = batch.questions.windows, selection.ids.clamp(min=0)
    apart = disjoint(windows, base.tensors.tau_min[ids], base.tensors.tau_max[ids])[:, 0]
    mass = (selection.alpha[:, 0] * apart).sum(-1)
    timed = is_known(windows)
    return (mass * timed).sum()
