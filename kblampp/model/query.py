"""How a token's query is made: from its hidden state, the question, and the fact that the layer before has read."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kblampp.encoding.projections import Projections
from kblampp.model.inputs import Knowledge

START_LOGIT = 10.0
"""Meaning score, about, of a perfectly matching entity block (and relation block) before training."""

GATE_SCALE = 5.0
"""Makes logits of a gate's output, so that a rate that suits the other weights suits its own."""


class QuestionGate(nn.Module):
    """A gate between 0 and 1 that is read from what of a question no fact has answered yet.

    Args:
        d_sentence: Width of the sentence vectors.
        d_gate: Hidden width.
    """

    def __init__(self, d_sentence: int, d_gate: int = 32) -> None:
        super().__init__()
        self.inner = nn.Linear(d_sentence, d_gate)
        self.out = nn.Linear(d_gate, 1)
        nn.init.normal_(self.inner.weight, std=0.02)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, -1.0 / GATE_SCALE)

    def forward(self, question: Tensor) -> Tensor:
        """Gates (..., 1) of questions (..., d_sentence)."""
        features = question * math.sqrt(question.shape[-1])  # the entries of unit vectors are too small for an MLP
        return torch.sigmoid(GATE_SCALE * self.out(torch.tanh(self.inner(features))))


class Before(NamedTuple):
    """What the injected layer before asked and read.

    Attributes:
        query: Its query, (batch, seq, d_k).
        rest: What was left of the question, (batch, seq, d_sentence).
        key, value: Of the facts that it read, weighed, (batch, seq, d_k) and (batch, seq, d_v).
    """

    query: Tensor
    rest: Tensor
    key: Tensor
    value: Tensor


class KBQuery(nn.Module):
    """Makes a token's query from its hidden state, the question, and the fact of the layer before.

    Args:
        d_hidden: Width of the hidden state.
        d_sentence: Width of the sentence vectors.
        d_k: Width of the keys.
        d_ent: Width of the entity block, the first of both key and value.
        hops: Whether there is a layer before from whose fact it can go on.
    """

    def __init__(self, d_hidden: int, d_sentence: int, d_k: int, d_ent: int, *, hops: bool) -> None:
        super().__init__()
        self.d_ent = d_ent
        self.blocks = (slice(None, d_ent), slice(d_ent, None))  # of a key: entity and relation
        self.scale = START_LOGIT * math.sqrt(d_k)
        self.from_hidden = nn.Linear(d_hidden, d_k, bias=False)
        self.from_question = nn.Linear(d_sentence, d_k)
        nn.init.zeros_(self.from_hidden.weight)
        self.hops = hops
        if hops:
            self.from_value = nn.Linear(d_ent, d_ent, bias=False)
            self.hop_gate = QuestionGate(d_sentence)

    @torch.no_grad()
    def start_from(self, projections: Projections, questions: Tensor) -> None:
        """Starts as the projections: W_s = [E ; R], W_hop the identity, so that logits reach about `START_LOGIT`.

        The weights stay near one and `scale` makes the logits: a rate that suits the other weights suits these.

        Args:
            projections: The maps that made the keys.
            questions: Sentence vectors of training questions, (n, d_sentence): each block gets unit norm on them.
        """
        blocks = []
        for linear in (projections.entity, projections.relation):
            weight, bias = torch.from_numpy(linear.weight), torch.from_numpy(linear.bias)
            norm = (questions @ weight.T + bias).norm(dim=-1).mean()
            blocks.append((weight / norm, bias / norm))
        self.from_question.weight.copy_(torch.cat([weight for weight, _ in blocks]))
        self.from_question.bias.copy_(torch.cat([bias for _, bias in blocks]))
        if self.hops:
            self.from_value.weight.copy_(torch.eye(self.d_ent))

    def forward(
        self, hidden: Tensor, question: Tensor, before: Before | None, knowledge: Knowledge
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of all tokens.

        A question whose hops are done keeps the query of the layer before: in the third layer a two-hop question must
        not hop again.

        Args:
            hidden: Normalised hidden states, (batch, seq, d_hidden).
            question: Sentence vectors, (batch, d_sentence).
            before: What the injected layer before asked and read; None in the first.
            knowledge: Its switches; in training, the rows whose hidden state is not read and the gates' noise.

        Returns:
            Queries (batch, seq, d_k), what is left of the question (batch, seq, d_sentence), hop gates (batch, seq).
        """
        training = knowledge.training
        query = self.from_question(question)[:, None].expand(-1, hidden.shape[1], -1)
        if knowledge.options.hidden_query:
            from_hidden = self.from_hidden(hidden)
            if training is not None and training.read_hidden is not None:
                from_hidden = from_hidden * training.read_hidden[:, None, None]
            query = query + from_hidden
        query = self.scale * query
        if before is None or not knowledge.options.hop:
            rest = question[:, None].expand(-1, hidden.shape[1], -1)
            return query, rest, query.new_zeros(query.shape[:2])
        rest = self.unanswered(before.rest, before.key)
        noise = None if training is None else training.gate_noise
        hop = self.hop_gate(rest if noise is None else rest + noise[:, None])
        onward = self.scale * self.from_value(before.value[..., : self.d_ent])
        onward = torch.cat([onward, query[..., self.d_ent :]], dim=-1)
        return (1 - hop) * before.query + hop * onward, rest, hop[..., 0]

    @torch.no_grad()
    def unanswered(self, question: Tensor, key: Tensor) -> Tensor:
        """A question without the directions in which a fact's head and relation match it: what is still to be answered.

        Whether that asks for another hop shows in few directions once the name is gone, so that unseen names do not
        matter (docs/log.md).

        Args:
            question: (batch, seq, d_sentence).
            key: The fact's, (batch, seq, d_k); a block shorter than one, as of facts weighed little, takes less away.
        """
        for block in self.blocks:
            part = key[..., block]
            matched = nn.functional.normalize(part @ self.from_question.weight[block], dim=-1)
            strength = (question * matched).sum(-1, keepdim=True) * part.norm(dim=-1, keepdim=True)
            question = question - strength * matched
        return question
