"""How a token's query is made: from its hidden state, the question, and the fact that the layer before has read.

first layer   Q = S (W_s e_q + b_s + W_q norm(h)),  W_s = [E ; R] at the start
later layers  Q = (1 - g) Q_prev + g [S W_hop v_prev ; relation block of the above],  g: the hop gate
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from kblampp.encoding.projections import Projections
from kblampp.model.inputs import Knowledge

START_LOGIT = 10.0
"""Meaning score, about, of a perfectly matching entity block (and relation block) before training: two matching blocks
outweigh thousands of facts that match in one, so the untrained query finds facts and training starts from there."""

GATE_SCALE = 5.0
"""Makes logits of a gate's output, so that a rate that suits the other weights suits its own."""


class QuestionGate(nn.Module):
    """A gate that is read from what of a question no fact has answered yet.

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
        """Logits (...) of the gates of questions (..., d_sentence)."""
        features = question * math.sqrt(question.shape[-1])  # the entries of unit vectors are too small for an MLP
        logit: Tensor = GATE_SCALE * self.out(torch.tanh(self.inner(features)))
        return logit.squeeze(-1)


class Previous(Protocol):
    """What the injected layer before asked and read: its `Selection`."""

    @property
    def query(self) -> Tensor:
        """(batch, seq, d_k)."""

    @property
    def value(self) -> Tensor:
        """Of the facts that it read, weighed, (batch, seq, d_v)."""

    @property
    def rest(self) -> Tensor:
        """What they leave of the question, (batch, seq, d_sentence)."""


class KBQuery(nn.Module):
    """Makes a token's query from its hidden state, the question, and the fact of the layer before.

    The first layer asks with both blocks of a key.  A later one takes the entity from the fact before, so it owns the
    relation block alone.

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
        self.hops = hops
        width = d_k - d_ent if hops else d_k
        self.from_hidden = nn.Linear(d_hidden, width, bias=False)
        self.from_question = nn.Linear(d_sentence, width)
        nn.init.zeros_(self.from_hidden.weight)
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
        for linear in (projections.relation,) if self.hops else (projections.entity, projections.relation):
            weight, bias = torch.from_numpy(linear.weight), torch.from_numpy(linear.bias)
            norm = (questions @ weight.T + bias).norm(dim=-1).mean()
            blocks.append((weight / norm, bias / norm))
        self.from_question.weight.copy_(torch.cat([weight for weight, _ in blocks]))
        self.from_question.bias.copy_(torch.cat([bias for _, bias in blocks]))
        if self.hops:
            self.from_value.weight.copy_(torch.eye(self.d_ent))

    def forward(
        self, hidden: Tensor, question: Tensor, previous: Previous | None, knowledge: Knowledge
    ) -> tuple[Tensor, Tensor]:
        """Queries of all tokens.

        A question whose hops are done keeps the query of the layer before: in the third layer a two-hop question must
        not hop again.  With hops switched off every layer asks what the first has asked.

        Args:
            hidden: Normalised hidden states, (batch, seq, d_hidden).
            question: Sentence vectors, (batch, d_sentence).
            previous: Of the injected layer before; None in the first.
            knowledge: Its switches; in training, the rows whose hidden state is not read and the gates' noise.

        Returns:
            Queries (batch, seq, d_k), and logits of the hop gates (batch, seq), minus infinity where there is no hop.
        """
        closed = hidden.new_full(hidden.shape[:2], -torch.inf)
        if previous is not None and not knowledge.options.hop:
            return previous.query, closed
        training = knowledge.training
        own = self.from_question(question)[:, None].expand(-1, hidden.shape[1], -1)
        if knowledge.options.hidden_query:
            from_hidden = self.from_hidden(hidden)
            if training is not None and training.read_hidden is not None:
                from_hidden = from_hidden * training.read_hidden[:, None, None]
            own = own + from_hidden
        own = self.scale * own
        if previous is None:
            return own, closed
        noise = None if training is None else training.gate_noise
        logit = self.hop_gate(previous.rest if noise is None else previous.rest + noise[:, None])
        hop = logit.sigmoid()[..., None]
        onward = torch.cat([self.scale * self.from_value(previous.value[..., : self.d_ent]), own], dim=-1)
        return (1 - hop) * previous.query + hop * onward, logit

    @torch.no_grad()
    def unanswered(self, question: Tensor, key: Tensor) -> Tensor:
        """A question without the directions in which the fact that this layer read matches it: what is left to answer.

        Whether that asks for another hop shows in few directions once the name is gone, so that unseen names do not
        matter (docs/log.md).  A later layer takes the relation away alone: the question does not name its entity.  No
        gradient flows: else the query would learn to hide from the gate what it asks for.

        Args:
            question: (batch, seq, d_sentence).
            key: The fact's, (batch, seq, d_k); a block shorter than one, as of facts weighed little, takes less away.
        """
        weight, d_rel = self.from_question.weight, key.shape[-1] - self.d_ent
        relation = (key[..., self.blocks[1]], weight[-d_rel:])
        for part, rows in [relation] if self.hops else [(key[..., self.blocks[0]], weight[:-d_rel]), relation]:
            matched = nn.functional.normalize(part @ rows, dim=-1)
            strength = (question * matched).sum(-1, keepdim=True) * part.norm(dim=-1, keepdim=True)
            question = question - strength * matched
        return question
