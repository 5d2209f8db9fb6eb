"""Which facts a token reads, and how much of each (design section 4).

    Q_j   = W_q norm(h_j) + W_s e_q, its entity block = (1-g) itself + g W_hop v_prev
    s_ij  = Q_j.K_i/sqrt(d_k) + gamma phi(h_j, e_q, c_i) + eta g_time(tau_q, tau_i)
    alpha = softmax(s / T) over the top k and the null fact,  v_j = sum_i alpha_ij V_i (+ z_j of the ego graph)

Selection depends on the token alone, never on its neighbours, so that cached decoding equals the full forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kblampp.graph import EgoGraphReadout, leave_out, mixture
from kblampp.knowledge import Knowledge, KnowledgeBase, SelectorOptions, TrainingCandidates
from kblampp.projections import Projections
from kblampp.scorers import ContextScorer, TimeScorer, disjoint

START_LOGIT = 10.0
"""Meaning score, about, of a perfectly matching entity block (and relation block) before training."""


class ScoreParts(NamedTuple):
    """The parts of the candidates' scores, each (batch, seq, n) and unweighted."""

    meaning: Tensor
    context: Tensor
    time: Tensor

    def total(self, options: SelectorOptions) -> Tensor:
        """meaning + gamma context + eta time."""
        return self.meaning + options.gamma * self.context + options.eta * self.time


@dataclass(frozen=True)
class Selection:
    """What one layer selected for each token.

    Attributes:
        query: (batch, seq, d_k).
        ids: Facts, (batch, seq or 1, n), best first when searched for; -1 where there is none.
        alpha: Weights of the facts, (batch, seq, n).
        null: Weight of the null fact, (batch, seq): the abstention score.
        scores: Scores before the softmax, null last, (batch, seq, n + 1).
        parts: What the scores are the weighted sum of.
        value: The mixture, (batch, seq, d_v).
        hop: Hop gate, (batch,); zero in the first layer.
    """

    query: Tensor
    ids: Tensor
    alpha: Tensor
    null: Tensor
    scores: Tensor
    parts: ScoreParts
    value: Tensor
    hop: Tensor


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
        self, hidden: Tensor, question: Tensor, previous: Selection | None, knowledge: Knowledge
    ) -> tuple[Tensor, Tensor]:
        """Queries of all tokens.

        A question whose hops are done keeps the query of the layer before (`stay_gate`): in the third layer a two-hop
        question must not hop again.

        Args:
            hidden: Normalised hidden states, (batch, seq, d_hidden).
            question: Sentence vectors, (batch, d_sentence).
            previous: Selection of the injected layer before.
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
        onward = self.scale * self.from_value(previous.value[..., : self.d_ent])
        entity = (1 - hop) * query[..., : self.d_ent] + hop * onward
        query = (1 - stay) * torch.cat([entity, query[..., self.d_ent :]], dim=-1) + stay * previous.query
        return query, hop[:, 0, 0]


class KBSelector(nn.Module):
    """Selects facts for each token at one layer.

    Args:
        d_hidden: Width of the hidden state.
        d_sentence: Width of the sentence vectors.
        d_k: Width of the keys.
        d_v: Width of the values.
        d_ctx: Width of the context vectors.
        d_ent: Width of the entity block.
        d_context_score: Features of the context score.
        hops: Whether it can go on from the fact of a layer before; the first layer cannot.
        ego_graph: Whether it also reads the facts around the selected ones (`graph.EgoGraphReadout`).
        ego_radius, ego_degree: How many facts away, and how many out of each entity.
    """

    def __init__(
        self,
        *,
        d_hidden: int,
        d_sentence: int,
        d_k: int,
        d_v: int,
        d_ctx: int,
        d_ent: int,
        d_context_score: int,
        hops: bool,
        ego_graph: bool = False,
        ego_radius: int = 1,
        ego_degree: int = 8,
    ) -> None:
        super().__init__()
        self.query = KBQuery(d_hidden, d_sentence, d_k, d_ent, hops=hops)
        self.context = ContextScorer(d_hidden, d_sentence, d_ctx, d_context_score)
        self.time = TimeScorer()
        self.null_key = nn.Parameter(torch.zeros(d_k))
        self.null_bias = nn.Parameter(torch.zeros(()))
        self.null_value = nn.Parameter(torch.zeros(d_v))
        self.graph = EgoGraphReadout(d_sentence, d_k, d_v, d_ent, ego_radius, ego_degree) if ego_graph else None

    def start_from(self, projections: Projections, questions: Tensor) -> None:
        """Starts query, context score and graph readout as the projections; see `KBQuery.start_from`."""
        self.query.start_from(projections, questions)
        context = projections.context
        self.context.start_from(torch.from_numpy(context.weight), torch.from_numpy(context.bias))
        if self.graph is not None:
            query, d_ent = self.query.from_question, self.query.d_ent
            self.graph.start_from(START_LOGIT * query.weight[d_ent:], START_LOGIT * query.bias[d_ent:])

    def forward(self, hidden: Tensor, knowledge: Knowledge, previous: Selection | None) -> Selection:
        """Selects facts.

        Args:
            hidden: Normalised hidden states, (batch, seq, d_hidden) float32.
            knowledge: The base, the questions and the options of the call.
            previous: Selection of the injected layer before.
        """
        options, base = knowledge.options, knowledge.base
        questions = knowledge.questions.vectors
        if not options.question_vector:
            questions = torch.zeros_like(questions)
        query, hop = self.query(hidden, questions, previous, knowledge)
        if knowledge.training is None:
            ids = _search(base, query, max(options.top_k, options.over_fetch), knowledge.withheld)
        else:
            ids = _training_ids(base, query, knowledge.training)
        parts = self._parts(hidden, query, questions, knowledge, ids)
        score = parts.total(options).masked_fill(ids < 0, -math.inf)
        if knowledge.training is None:
            best = _top(knowledge, ids, score)
            ids, score = ids.gather(-1, best), score.gather(-1, best)
            parts = ScoreParts(*(part.gather(-1, best) for part in parts))
        selection = self._weigh(query, hop, knowledge, ids, parts, score)
        if self.graph is None or not options.ego_graph:
            return selection
        added = self.graph(base.graph, questions, knowledge.questions.windows, ids, selection.alpha, knowledge.withheld)
        return replace(selection, value=selection.value + added)

    def _parts(self, hidden: Tensor, query: Tensor, questions: Tensor, knowledge: Knowledge, ids: Tensor) -> ScoreParts:
        tensors, safe = knowledge.base.tensors, ids.clamp(min=0)
        keys = tensors.keys[safe]
        if keys.shape[1] == 1:
            meaning = query @ keys[:, 0].transpose(1, 2)
        else:
            meaning = (query[:, :, None] @ keys.transpose(2, 3)).squeeze(2)
        context = self.context(hidden, questions, tensors.ctx[safe])
        windows = knowledge.questions.windows
        time = self.time(windows, knowledge.base.store.horizon, tensors.tau_min[safe], tensors.tau_max[safe])
        return ScoreParts(meaning / math.sqrt(query.shape[-1]), context, time.expand_as(context))

    def _weigh(
        self, query: Tensor, hop: Tensor, knowledge: Knowledge, ids: Tensor, parts: ScoreParts, score: Tensor
    ) -> Selection:
        options = knowledge.options
        null = query @ self.null_key / math.sqrt(query.shape[-1]) + self.null_bias
        if not options.null_fact:
            null = torch.full_like(null, -math.inf)
        scores = torch.cat([score, null[..., None]], dim=-1)
        weights = torch.softmax(scores / options.temperature, dim=-1)
        alpha, null_weight = weights[..., :-1], weights[..., -1]
        value = mixture(alpha, knowledge.base.tensors.values[ids.clamp(min=0)])
        value = value + null_weight[..., None] * self.null_value
        return Selection(query, ids, alpha, null_weight, scores, parts, value, hop)


def _top(knowledge: Knowledge, ids: Tensor, score: Tensor) -> Tensor:
    """Columns of the `top_k` best candidates; those outside a known question window give way unless eta is 0."""
    options, tensors = knowledge.options, knowledge.base.tensors
    order = score.argsort(dim=-1, descending=True, stable=True)  # equal scores keep the index's order
    if options.eta > 0:
        safe = ids.clamp(min=0)
        late = disjoint(knowledge.questions.windows, tensors.tau_min[safe], tensors.tau_max[safe]) | (ids < 0)
        order = order.gather(-1, late.gather(-1, order).byte().argsort(dim=-1, stable=True))
    return order[..., : options.top_k]


def _search(base: KnowledgeBase, query: Tensor, k: int, withheld: Tensor | None = None) -> Tensor:
    """Ids of the k nearest keys of each query that are not withheld from its row (batch, m), (batch, seq, k).

    -1 stands where there are no more.  No gradient flows through the search.
    """
    fetched = min(base.store.n, k + (0 if withheld is None else withheld.shape[1]))
    flat = query.detach().reshape(-1, query.shape[-1]).float().cpu().numpy()
    _, found = base.index.search(flat, fetched)
    ids = torch.from_numpy(found).to(query.device).reshape(*query.shape[:-1], fetched)
    return ids if withheld is None else leave_out(ids, withheld[:, None], k)


def _training_ids(base: KnowledgeBase, query: Tensor, training: TrainingCandidates) -> Tensor:
    """Given and retrieved candidates, (batch, 1, n), each fact once a row; -1 where one would stand twice."""
    ids = training.ids
    if training.retrieved:
        probe = query[torch.arange(len(query), device=query.device), training.probe]
        ids = torch.cat([ids, _search(base, probe[:, None], training.retrieved)[:, 0]], dim=1)
    same = ids[:, :, None] == ids[:, None, :]
    earlier = torch.ones_like(same[0]).tril(-1)
    return ids.masked_fill((same & earlier).any(-1), -1)[:, None]
