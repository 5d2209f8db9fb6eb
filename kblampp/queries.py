"""How a token's query is made: from its hidden state, the question, and the fact that the layer before has read."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kblampp.knowledge import Knowledge
from kblampp.projections import Projections

START_LOGIT = 10.0
"""Meaning score, about, of a perfectly matching entity block (and relation block) before training."""


class QuestionGate(nn.Module):
    """A gate between 0 and 1 that is read from the question alone: how many hops it has is a property of the question.

    Args:
        d_sentence: Width of the sentence vectors.
        d_gate: Hidden width.
    """

    def __init__(self, d_sentence: int, d_gate: int = 32) -> None:
        super().__init__()
        self.inner = nn.Linear(d_sentence, d_gate)
        self.out = nn.Linear(d_gate, 1)
        # Small: directions that no training question has, as those of unseen names, then say nothing.
        nn.init.normal_(self.inner.weight, std=0.002)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, -1.0)

    def forward(self, question: Tensor) -> Tensor:
        """Gates (batch, 1) of questions (batch, d_sentence)."""
        features = question * math.sqrt(question.shape[-1])  # the entries of unit vectors are too small for an MLP
        return torch.sigmoid(self.out(torch.tanh(self.inner(features))))


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
        self.scale = START_LOGIT * math.sqrt(d_k)
        self.from_hidden = nn.Linear(d_hidden, d_k, bias=False)
        self.from_question = nn.Linear(d_sentence, d_k)
        nn.init.zeros_(self.from_hidden.weight)
        self.hops = hops
        if hops:
            self.from_value = nn.Linear(d_ent, d_ent, bias=False)
            self.hop_gate = QuestionGate(d_sentence)
            self.stay_gate = QuestionGate(d_sentence)

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
        self, hidden: Tensor, question: Tensor, previous: tuple[Tensor, Tensor] | None, knowledge: Knowledge
    ) -> tuple[Tensor, Tensor]:
        """Queries of all tokens.

        A question whose hops are done keeps the query of the layer before (`stay_gate`): in the third layer a two-hop
        question must not hop again.

        Args:
            hidden: Normalised hidden states, (batch, seq, d_hidden).
            question: Sentence vectors, (batch, d_sentence).
            previous: Queries (batch, seq, d_k) and mixtures (batch, seq, d_v) of the injected layer before.
            knowledge: Its switches; in training, the rows whose hidden state is not read.

        Returns:
            Queries (batch, seq, d_k) and the hop gate (batch,).
        """
        query = self.from_question(question)[:, None].expand(-1, hidden.shape[1], -1)
        if knowledge.options.hidden_query:
            from_hidden = self.from_hidden(hidden)
            if knowledge.training is not None and knowledge.training.read_hidden is not None:
                from_hidden = from_hidden * knowledge.training.read_hidden[:, None, None]
            query = query + from_hidden
        query = self.scale * query
        if previous is None or not knowledge.options.hop:
            return query, question.new_zeros(len(question))
        hop, stay = self.hop_gate(question)[:, None], self.stay_gate(question)[:, None]
        onward = self.scale * self.from_value(previous[1][..., : self.d_ent])
        entity = (1 - hop) * query[..., : self.d_ent] + hop * onward
        query = (1 - stay) * torch.cat([entity, query[..., self.d_ent :]], dim=-1) + stay * previous[0]
        return query, hop[:, 0, 0]
