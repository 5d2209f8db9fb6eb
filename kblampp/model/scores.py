"""The context, time and name parts of a fact's score, and how well the best fits; the selector adds the meaning."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kblampp.data.facts import FORMS, MODES
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.model.question_reader import LOGIT_SCALE, Reading

DAYS_PER_YEAR = 365.25
NAMING_FORMS, NAMING_MODES = ("start", "end", "yes_no"), ("before", "after")
"""Forms whose questions also name the fact's other end, and modes whose questions name a neighbour's."""

FIT = ("head", "asked", "name", "other_name", "label", "context", "time", "lead", "passed", "yes_no", "choice", "way")
"""What is looked at of the best candidate (`FitScorer`): cosines of the query's blocks with its key's, the shares of
its names and of its relation's label that the question spells, its weighted context score and that of its window (its
place in a row says nothing of whether there is an answer), its lead over the best that is none of its row, by how much
another fits better but for the time, how surely the question wants yes or no, the logarithm of how many relations its
entity has: among many, one is near to whatever is asked; and whether it is read from its tail, where phrases lie
farther from what they mean."""
FIT_MIDDLE = (0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 0.5)
FIT_SCALE = (10.0, 10.0, 4.0, 4.0, 2.0, 2.0, 0.5, 0.25, 0.25, 4.0, 1.0, 2.0)
"""Bring them to a spread of about one."""
NULL_SCALE = 5.0
"""Makes log-odds of the output, so that a rate that suits the other weights suits its own (`query.GATE_SCALE`)."""


class ContextScorer(nn.Module):
    """phi(h_j, e_q, c_i): whether the fact's evidence sentence is about what the token, and the question, ask.

    Token and fact are mapped to the same `d_feature` features, multiplied, and read by a small MLP.  The question's map
    starts as the facts' own (the sentence encoder puts both in one space), the output at zero, so that an untrained
    score is silent.

    Args:
        d_hidden: Width of the backbone's hidden state.
        d_sentence: Width of the sentence vectors.
        d_ctx: Width of the stored context vectors.
        d_feature: Number of features.
    """

    def __init__(self, d_hidden: int, d_sentence: int, d_ctx: int, d_feature: int) -> None:
        super().__init__()
        self.from_hidden = nn.Linear(d_hidden, d_feature, bias=False)
        self.from_question = nn.Linear(d_sentence, d_feature)
        self.from_context = nn.Linear(d_ctx, d_feature, bias=False)
        self.mix = nn.Linear(d_feature, d_feature)
        self.out = nn.Linear(d_feature, 1, bias=False)
        self.share = 1.0
        nn.init.normal_(self.from_hidden.weight, std=0.02)
        nn.init.orthogonal_(self.from_context.weight)
        nn.init.zeros_(self.out.weight)

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Makes the question's map the context projection, then `from_context`.

        Args:
            weight: Of the context projection, (d_ctx, d_sentence).
            bias: (d_ctx,).
        """
        self.from_question.weight.copy_(self.from_context.weight @ weight)
        self.from_question.bias.copy_(self.from_context.weight @ bias)

    def forward(self, hidden: Tensor, question: Tensor, context: Tensor) -> Tensor:
        """Scores each candidate for each token.

        Args:
            hidden: Normalised hidden states, (batch, seq, d_hidden).
            question: Sentence vectors, (batch, d_sentence); zero where there is none.
            context: Context vectors of the candidates, (batch, seq or 1, n, d_ctx).

        Returns:
            (batch, seq, n).
        """
        token = self.from_hidden(hidden) + self.from_question(question)[:, None]
        features = token[:, :, None] * self.from_context(context)
        scores: Tensor = self.out(nn.functional.gelu(self.mix(features))).squeeze(-1)
        return self.share * scores


class NameScorer(nn.Module):
    """How a fact's names, letter by letter, and the way it is read fit a question.

    A question for a tail names the head, an inverse one the tail; one about a named holder ("when did Oskar Lie …",
    "was Oskar Lie …") names both, and one for a neighbour ("before Oskar Lie") a name that is not the answer's.  How
    much each counts is learned, one weight a form and mode.  `label` is the weight of the relation's own words, which
    say what is asked where a sentence encoder does not know them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.tensor(4.0))
        self.other_by_form = nn.Parameter(torch.tensor([6.0 if form in NAMING_FORMS else -3.0 for form in FORMS]))
        self.other_by_mode = nn.Parameter(torch.tensor([-4.0 if mode in NAMING_MODES else 0.0 for mode in MODES]))
        self.neighbour = nn.Parameter(torch.tensor(8.0))
        self.label = nn.Parameter(torch.tensor(1.0))

    def forward(self, reading: Reading, own: Tensor, other: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Scores candidates.

        Args:
            reading: What the questions ask for.
            own: How much of the name that a candidate is found by the question mentions, (batch, n) from 0 to 1.
            other: Of the name at its other end.
            before: Of the name at the other end of the fact before it in time; 0 where there is none.
            after: Of the fact after it.

        Returns:
            (batch, n).
        """
        weight = reading.form.exp() @ self.other_by_form + reading.mode.exp() @ self.other_by_mode
        beside = reading.mode_of("before")[:, None] * after + reading.mode_of("after")[:, None] * before
        scores: Tensor = self.own * own + weight[:, None] * other + self.neighbour * beside
        return scores


class FormScorer(nn.Module):
    """What a question wants of a fact, now that it is known which: it does not ask for a name that it mentions itself,
    and of a fact that is one of several it wants them all.

    Question and fact together say it where the wording alone cannot: "When was it launched?" asks for a start, or for
    the tail of a fact "launch year".
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_fact = nn.Linear(5, len(FORMS), bias=False)
        nn.init.zeros_(self.from_fact.weight)

    def forward(
        self, reading: Reading, other: Tensor, several: Tensor, timed: Tensor, shared: Tensor, number: Tensor
    ) -> Tensor:
        """Log-probabilities of `FORMS`, (batch, n, forms).

        Args:
            reading: What the questions ask for.
            other: How much of the name at the fact's other end the question mentions, (batch, n) from 0 to 1.
            several: Whether no time tells the fact from others of the row, (batch, n) of 0 and 1.
            timed: Whether its window has a start or an end, (batch, n) of 0 and 1.
            shared: How much of the time asked for another fact of the row takes, (batch, n) from 0 to 1.
            number: Whether the name at its other end begins with a number, (batch, n) of 0 and 1: "How many staff …?"
                wants it and does not count it.
        """
        logits = LOGIT_SCALE * self.from_fact(torch.stack([other, several, timed, shared, number], dim=-1))
        scores: Tensor = (reading.form[:, None] + logits).log_softmax(-1)
        return scores


class TimeScorer(nn.Module):
    """g_time(tau_q, tau_i): how well a fact's half-open window fits the question's, in learned units of score.

    `overlap * (1 + share of the question's window that the fact covers) / 2` for facts that overlap it, else
    `-distance * (d + one year) / (d + one year + scale)` with d the days between the windows: a step at the boundary,
    then smooth.  Zero where either window is unknown: what is not known is better than what does not fit, and worse
    than what does.

    "Now" is a window of one day.  Of a row the first (or last) gets half of what `raw_order` has learned and the others
    lose as much; so does, of a time that is open on one side, the holder next to its edge ("before 2015": the latest of
    those before).  Where no time is asked for, who holds no longer loses to who came after, and to nobody else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raw_order = nn.Parameter(torch.tensor(6.0))
        self.raw_past = nn.Parameter(torch.tensor(2.0))
        self.raw_overlap = nn.Parameter(torch.tensor(4.0))
        self.raw_distance = nn.Parameter(torch.tensor(8.0))
        self.log_scale = nn.Parameter(torch.tensor(5 * DAYS_PER_YEAR).log())

    def forward(self, question: Tensor, horizon: tuple[int, int], tau_min: Tensor, tau_max: Tensor) -> Tensor:
        """Scores windows.

        Args:
            question: Question windows, (batch, 2) int64 days with the sentinels of `windows`.
            horizon: First day, and the day after the last, of the knowledge base; open question ends are clipped to it.
            tau_min: Starts of the candidates' windows, (batch, seq or 1, n) int64 with sentinels.
            tau_max: Their ends.

        Returns:
            (batch, seq or 1, n) float32.
        """
        start, end = clip_to_horizon(question, horizon)
        start, end = start[:, None, None], end[:, None, None]
        overlap = (torch.minimum(end, tau_max) - torch.maximum(start, tau_min)).clamp(min=0)
        gap = torch.maximum(tau_min - end, start - tau_max).clamp(min=0).float() + DAYS_PER_YEAR
        share = overlap.float() / (end - start).clamp(min=1).float()  # an unknown window has no length
        near = nn.functional.softplus(self.raw_overlap) * (1 + share) / 2
        far = nn.functional.softplus(self.raw_distance) * gap / (gap + self.log_scale.exp())
        score = torch.where(overlap > 0, near, -far)
        known = (tau_min != UNKNOWN_DAY) & is_known(question)[:, None, None]
        return torch.where(known, score, torch.zeros_like(score))

    def order(self, reading: Reading, windows: Tensor, row: RowPlace, as_of: int) -> Tensor:
        """What a fact's place in its row counts.

        Args:
            reading: What the questions ask for.
            windows: The questions' windows, (batch, 2).
            row: The candidates' places, each (batch, n).
            as_of: The day of asking: who asks for no time means it rather than another.

        Returns:
            (batch, n); zero for facts without a known window.
        """
        unit = nn.functional.softplus(self.raw_order)
        start, end = windows[:, :1], windows[:, 1:]
        before, after = (start == OPEN_START) & (end != OPEN_END), (end == OPEN_END) & (start != OPEN_START)
        inside = (row.start < end) & (row.end > start)
        latest = before & inside & ~(row.next_start < end)
        begins = (row.start >= start) | row.last  # who came before and has nobody after is the one there is
        earliest = after & inside & begins & ~(row.previous_start >= start)
        edge = torch.where(before | after, (latest | earliest).float() - 0.5, 0.0)
        first = reading.mode_of("first")[:, None] * (row.first.float() - 0.5)
        last = reading.mode_of("last")[:, None] * (row.last.float() - 0.5)
        single = reading.form_of("value")[:, None]  # a list since 2010 holds all of them
        past = (row.end <= as_of) & ~row.last & ~is_known(windows)[:, None]
        gone = nn.functional.softplus(self.raw_past) * reading.mode_of("any")[:, None] * single * past
        return (unit * (first + last + single * edge) - gone) * row.timed


class RowPlace(NamedTuple):
    """Where facts stand in their rows in time (`FactOrder`), each (batch, n).

    Attributes:
        first, last: Whether nothing comes before, or after.
        timed: Whether its window is known.
        start, end: Its window, int64 days with sentinels.
        previous_start: Start of the one before, OPEN_START where there is none.
        next_start: Start of the one after, OPEN_END where there is none.
    """

    first: Tensor
    last: Tensor
    timed: Tensor
    start: Tensor
    end: Tensor
    previous_start: Tensor
    next_start: Tensor


class FitScorer(nn.Module):
    """Log-odds read from how the best candidate fits the question (`FIT`): that no fact answers it, or that it is so.

    An unknown head shows in its names and the head's block of the key, a missing relation in the relation's, a wrong
    time in the time score.  Their sum hides which: with unseen names all sums are lower, as where an answer is missing
    (docs/log.md).

    Args:
        d_inner: Hidden width.
    """

    def __init__(self, d_inner: int = 16) -> None:
        super().__init__()
        self.inner = nn.Linear(len(FIT_SCALE), d_inner)
        self.out = nn.Linear(d_inner, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, -1.0 / NULL_SCALE)  # rather no: else nothing is read, or learned from

    def forward(self, fit: Tensor) -> Tensor:
        """Log-odds (...) of what is looked at, (..., len(FIT))."""
        features = (fit - fit.new_tensor(FIT_MIDDLE)) * fit.new_tensor(FIT_SCALE)
        odds: Tensor = self.out(nn.functional.gelu(self.inner(features))).squeeze(-1)
        return NULL_SCALE * odds


def is_known(windows: Tensor) -> Tensor:
    """Which windows (..., 2) are known."""
    return windows[..., 0] != UNKNOWN_DAY


def clip_to_horizon(windows: Tensor, horizon: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Start and end of windows (..., 2) with open ends moved to the horizon; never empty."""
    start, end = windows[..., 0], windows[..., 1]
    start = torch.where(start == OPEN_START, torch.clamp(end - 1, max=horizon[0]), start)
    end = torch.where(end == OPEN_END, torch.clamp(start + 1, min=horizon[1]), end)
    return start, end


def share_taken(question: Tensor, horizon: tuple[int, int], tau_min: Tensor, tau_max: Tensor) -> Tensor:
    """How much of the questions' windows facts take, (batch, n) from 0 to 1; 0 where either is unknown.

    Args:
        question: (batch, 2) int64 days with sentinels.
        horizon: As of `clip_to_horizon`.
        tau_min: Starts of the facts' windows, (batch, n).
        tau_max: Their ends.
    """
    start, end = (bound[:, None] for bound in clip_to_horizon(question, horizon))
    taken = (torch.minimum(end, tau_max) - torch.maximum(start, tau_min)).clamp(min=0).float()
    known = (tau_min != UNKNOWN_DAY) & is_known(question)[:, None]
    return (taken / (end - start).clamp(min=1)).masked_fill(~known, 0.0)


def disjoint(question: Tensor, tau_min: Tensor, tau_max: Tensor) -> Tensor:
    """Which facts surely do not hold in the question's window: both windows known and without a common day.

    Args:
        question: (batch, 2) int64 days with sentinels.
        tau_min: (batch, seq or 1, n) int64.
        tau_max: The same shape.

    Returns:
        Boolean, the shape of `tau_min`.
    """
    start, end = question[:, 0, None, None], question[:, 1, None, None]
    apart = (tau_max <= start) | (end <= tau_min)
    return apart & (tau_min != UNKNOWN_DAY) & is_known(question)[:, None, None]
