"""How a question's query is made at a layer: from the hidden state where its answer starts, the question's vector, and
the fact that the layer before has read.

first layer   Q = S [E e_q ; W_s e_q + b_s + W_q norm(h)],  W_s = R at the start
later layers  Q = (1 - g) Q_prev + g [S W_hop v_prev ; relation block of the above],  g: the hop gate
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from kblampp.encoding.projections import Projections
from kblampp.model.answer_kinds import HOP_WEIGHT, AskedKinds
from kblampp.model.inputs import Knowledge
from kblampp.model.onward import FEATURES, hop_features

START_LOGIT = 10.0
"""Meaning score, about, of a perfectly matching entity block (and relation block) before training: two matching blocks
outweigh thousands of facts that match in one, so the untrained query finds facts and training starts from there."""

RELATION_START = 2.0
"""Weight of a query's relation block at the start: with `START_LOGIT` the inverse of `tune.temperature`, at which the
cosines of relations were tuned."""

HOP_CUTS = (-1.0, 0.0)
"""Logits above which a first and a second hop are taken outside training.  Most questions need no hop, and one too many
loses what was found; chosen on the base `unseen` (docs/log.md)."""

LEAST_BETTER = -0.5
"""In nats, how well the kind of a fact that a question spells has to fit beside that of the fact read."""

FEATURE_MIDDLE = 0.5
"""Of what a hop gate looks at."""

GATE_NOISE = 0.5
"""Share of the noise that the gates read: what is left of a question is shorter than the whole."""

GATE_SCALE = 5.0
"""Makes logits of a gate's output, so that a rate that suits the other weights suits its own: AdamW moves any weight by
about its rate a step, and a gate has far to go, from -1 to some +-5."""


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
        nn.init.constant_(self.out.bias, -1.0 / GATE_SCALE)  # rather closed: a wrong hop loses what was found

    def forward(self, question: Tensor) -> Tensor:
        """Logits (...) of the gates of questions (..., d_sentence)."""
        features = question * math.sqrt(question.shape[-1])  # the entries of unit vectors are too small for an MLP
        logit: Tensor = GATE_SCALE * self.out(torch.tanh(self.inner(features)))
        return logit.squeeze(-1)


class _Held(nn.Module):
    """A linear map that never learns; saved with what does."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(d_out, d_in), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(d_out), requires_grad=False)

    def forward(self, vectors: Tensor) -> Tensor:
        return nn.functional.linear(vectors, self.weight, self.bias)


class Previous(Protocol):
    """What the injected layer before asked and read: its `Selection`."""

    @property
    def query(self) -> Tensor:
        """(batch, 1, d_k)."""

    @property
    def rest(self) -> Tensor:
        """What the facts read before it leave of the question, (batch, 1, d_sentence)."""

    @property
    def ids(self) -> Tensor:
        """Facts, (batch, 1, n); -1 for none."""

    @property
    def inverse(self) -> Tensor:
        """Which of them are read from the tail, (batch, 1, n)."""

    @property
    def alpha(self) -> Tensor:
        """Their weights, (batch, 1, n)."""

    @property
    def key(self) -> Tensor:
        """Of the facts that it read, weighed, (batch, 1, d_k)."""

    @property
    def value(self) -> Tensor:
        """Theirs, weighed, (batch, 1, d_v)."""


class KBQuery(nn.Module):
    """Makes a question's query from the hidden state, the question, and the fact of the layer before.

    Names are matched by the projection that made the keys, which never learns, so that those never met are matched as
    well as those of the training base.  The map of relations learns, held to its start (`query_pull`): what is learned
    by heart of the training base's relations misleads about others (docs/log.md).  A later layer takes the entity from
    the fact before.

    Args:
        d_hidden: Width of the hidden state.
        d_sentence: Width of the sentence vectors.
        d_k: Width of the keys.
        d_ent: Width of the entity block, the first of both key and value.
        d_rel: Width of the relation block, what is left of a key.
        hops: Whether there is a layer before from whose fact it can go on.
    """

    def __init__(self, d_hidden: int, d_sentence: int, d_k: int, d_ent: int, d_rel: int, *, hops: bool) -> None:
        super().__init__()
        self.d_ent = d_ent
        self.blocks = (slice(None, d_ent), slice(d_ent, None))  # of a key
        self.scale = START_LOGIT * math.sqrt(d_k)
        self.hops = hops
        self.from_hidden = nn.Linear(d_hidden, d_rel, bias=False)
        self.from_question = nn.Linear(d_sentence, d_rel)
        self.names = _Held(d_sentence, d_ent)
        nn.init.zeros_(self.from_hidden.weight)
        if hops:
            self.from_value = nn.Linear(d_ent, d_ent, bias=False)
            self.hop_gate = QuestionGate(d_sentence)
            self.onward = nn.Linear(len(FEATURES), 1)
            nn.init.zeros_(self.onward.weight)
            nn.init.zeros_(self.onward.bias)

    @torch.no_grad()
    def start_from(self, projections: Projections, questions: Tensor) -> None:
        """Starts as the projections: W_hop the identity, so that the logits of a block reach about `START_LOGIT`.

        The weights stay near one and `scale` makes the logits: a rate that suits the other weights suits these.

        Args:
            projections: The maps that made the keys.
            questions: Sentence vectors of training questions, (n, d_sentence): on them the names have mean norm
                one, the relations `RELATION_START`.
        """
        if self.hops:
            self.from_value.weight.copy_(torch.eye(self.d_ent))
        for name, own, share in (("entity", self.names, 1.0), ("relation", self.from_question, RELATION_START)):
            linear = projections.of_question(name)
            weight, bias = torch.from_numpy(linear.weight), torch.from_numpy(linear.bias)
            norm = (questions @ weight.T + bias).norm(dim=-1).mean()
            own.weight.copy_(share * weight / norm)
            own.bias.copy_(share * bias / norm)

    def forward(
        self,
        hidden: Tensor,
        question: Tensor,
        previous: Previous | None,
        knowledge: Knowledge,
        due: Tensor,
        depth: int,
        kinds: AskedKinds | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, one a question.

        A question whose hops are done keeps the query of the layer before: in the third layer a two-hop question must
        not hop again.  With hops switched off every layer asks what the first has asked.

        Args:
            hidden: Normalised hidden states where the answers start, (batch, 1, d_hidden).
            question: Sentence vectors, (batch, d_sentence).
            previous: Of the injected layer before; None in the first.
            knowledge: Its switches; in training, the rows whose hidden state is not read, and the question's noise.
            due: Logits that a hop is due here, as the question by itself says, (batch,).
            depth: How many layers have selected before.
            kinds: Of which kinds the answers have to be; None where that does not count.

        Returns:
            Queries (batch, 1, d_k), what the facts read so far leave of the question (batch, 1, d_sentence), and
            logits of the hop gates (batch, 1): minus infinity where there is no hop and, outside training, infinity
            where there is one.
        """
        closed = hidden.new_full(hidden.shape[:2], -torch.inf)
        if previous is not None and not knowledge.options.hop:
            return previous.query, previous.rest, closed
        training = knowledge.training
        noise = None if training is None else training.question_noise
        noisy = question if noise is None else question + noise
        own = self.from_question(noisy)[:, None]
        if knowledge.options.hidden_query:
            from_hidden = self.from_hidden(hidden)
            if training is not None and training.read_hidden is not None:
                from_hidden = from_hidden * training.read_hidden[:, None, None]
            own = own + from_hidden
        wanted, own = own[:, 0], self.scale * own
        if previous is None:
            return torch.cat([self.scale * self.names(question)[:, None], own], dim=-1), question[:, None], closed
        rest = self.unanswered(previous.rest, previous.key)
        ahead, best = self._ahead(wanted, previous, knowledge)
        logit = due[:, None] + self.hop_gate(rest if noise is None else rest + GATE_NOISE * noise[:, None])
        logit = logit + GATE_SCALE * self.onward(ahead - FEATURE_MIDDLE)
        better, read = torch.zeros_like(logit), previous.alpha.sum(-1)
        if kinds is not None:  # "Where was the mayor born?" is not answered by the mayor
            better = _better_kind(kinds, best)
            logit = logit + HOP_WEIGHT * read * better  # nor does a hop help where no fact was found to go on from
        if training is None:  # a question hops or does not: half a hop would ask half for another relation
            due_here = logit > HOP_CUTS[min(depth, len(HOP_CUTS)) - 1]
            if knowledge.options.names:
                spelled = _says_onward(knowledge, best)[:, None]
                due_here |= spelled & (better > LEAST_BETTER) & (read > 0.5) & (depth == 1)
                due_here &= ~_nothing_left(knowledge, best)[:, None]
            due_here &= ahead[:, -1:] > 0
            logit = torch.where(due_here, torch.inf, -torch.inf)
        hop = logit.sigmoid()[..., None]
        name = self.scale * self.from_value(previous.value[..., : self.d_ent])
        onward = torch.cat([name, own], dim=-1)
        return (1 - hop) * previous.query + hop * onward, rest, logit

    def _ahead(
        self, wanted: Tensor, previous: Previous, knowledge: Knowledge
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """What the facts about the entity that the layer before has read say to a hop (`onward.FEATURES`); then the
        fact that it has read, whether from its tail, and the one that a hop would read, each (batch,)."""
        base = knowledge.base
        best = previous.alpha[:, 0].argmax(-1, keepdim=True)
        read = previous.ids[:, 0].gather(-1, best).squeeze(-1), previous.inverse[:, 0].gather(-1, best).squeeze(-1)
        keys, grams = base.tensors.keys, knowledge.questions.grams
        features, onward = hop_features(base.by_head, base.names, keys, wanted, grams, read, knowledge.withheld)
        return features, (*read, onward)

    @torch.no_grad()
    def unanswered(self, question: Tensor, key: Tensor) -> Tensor:
        """A question without the directions in which a fact's head and relation match it: what is left to be answered.

        Whether that asks for another hop shows in few directions once the name is gone, so that unseen names do not
        matter (docs/log.md).  No gradient flows: else the query would learn to hide from the gate what it asks for.

        Args:
            question: (batch, 1, d_sentence).
            key: The fact's, (batch, 1, d_k); a block shorter than one, as of facts weighed little, takes less away.
        """
        for block, rows in zip(self.blocks, (self.names.weight, self.from_question.weight), strict=False):
            part = key[..., block]
            matched = nn.functional.normalize(part @ rows, dim=-1)
            strength = (question * matched).sum(-1, keepdim=True) * part.norm(dim=-1, keepdim=True)
            question = question - strength * matched
        return question


def _nothing_left(knowledge: Knowledge, facts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Whether the fact that was read says all that a question asks for, (batch,): "the composer in residence" asks
    for no residence."""
    read, inverse, _ = facts
    names, fact = knowledge.base.names, read.clamp(min=0)
    return names.nothing_left(names.read_from(fact, inverse), names.relations[fact], knowledge.questions.in_order) & (
        read >= 0
    )


def _says_onward(knowledge: Knowledge, facts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Whether a question spells the relation of the fact that a hop would read, beside that of the fact that was read,
    and does not know its answer, (batch,): "Which country is Holm from by birth?" asks for that of his birthplace."""
    names, asked = knowledge.base.names, knowledge.questions
    read, inverse, onward = facts
    fact, ahead = read.clamp(min=0), onward.clamp(min=0)
    by = names.read_from(fact, inverse)
    known = torch.stack([names.relations[fact], names.read_from(fact, ~inverse)], dim=1)
    spelled = names.asks_for_both(by, known, names.relations[ahead], asked.in_order)
    unknown = names.coverage(names.tails[ahead][:, None], asked.grams)[:, 0] < 1
    return spelled & unknown & (read >= 0) & (onward >= 0)


def _better_kind(kinds: AskedKinds, facts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """How much better the kind of what a hop would read fits than that of what was read, (batch, 1), 0 where either
    is none."""
    read, inverse, onward = facts
    better = kinds.fit(onward, torch.zeros_like(inverse)) - kinds.fit(read, inverse)
    return better.masked_fill((read < 0) | (onward < 0), 0)[:, None]
