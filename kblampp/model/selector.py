"""Which facts a token reads, and how much of each (docs/architecture.md, section 2).

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

from kblampp.encoding.projections import Projections
from kblampp.model.ego_graph import EgoGraphReadout, leave_out, mixture
from kblampp.model.inputs import Knowledge, KnowledgeBase, SelectorOptions, TrainingCandidates
from kblampp.model.query import START_LOGIT, KBQuery
from kblampp.model.scores import ContextScorer, NullScorer, TimeScorer, disjoint

NO_SCORE = -30.0
"""Stands for the score of a fact where there is none, as far as the null fact looks at it."""


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
        value: The mixture of the facts' values, (batch, seq, d_v).
        hop_logit: Of the hop gate, (batch, seq); minus infinity where there is no hop, as in the first layer.
        rest: What the facts read so far, this layer's included, leave of the question, (batch, seq, d_sentence); the
            question itself where no later layer asks for it.
    """

    query: Tensor
    ids: Tensor
    alpha: Tensor
    null: Tensor
    scores: Tensor
    parts: ScoreParts
    value: Tensor
    hop_logit: Tensor
    rest: Tensor

    @property
    def hop(self) -> Tensor:
        """Hop gate, (batch, seq), 0 to 1; exactly zero in the first layer."""
        return self.hop_logit.sigmoid()


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
        last: Whether no later layer goes on from its fact.
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
        last: bool = False,
        ego_graph: bool = False,
        ego_radius: int = 1,
        ego_degree: int = 8,
    ) -> None:
        super().__init__()
        self.last = last
        self.query = KBQuery(d_hidden, d_sentence, d_k, d_ent, hops=hops)
        self.context = ContextScorer(d_hidden, d_sentence, d_ctx, d_context_score)
        self.time = TimeScorer()
        self.null = NullScorer()
        self.null_value = nn.Parameter(torch.zeros(d_v))
        self.graph = EgoGraphReadout(d_sentence, d_k, d_v, d_ent, ego_radius, ego_degree) if ego_graph else None

    def start_from(self, projections: Projections, questions: Tensor) -> None:
        """Starts query, context score and graph readout as the projections; see `KBQuery.start_from`."""
        self.query.start_from(projections, questions)
        context = projections.context
        self.context.start_from(torch.from_numpy(context.weight), torch.from_numpy(context.bias))
        if self.graph is not None:
            relation, d_rel = self.query.from_question, projections.d_rel  # its last rows in every layer
            self.graph.start_from(START_LOGIT * relation.weight[-d_rel:], START_LOGIT * relation.bias[-d_rel:])

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
        query, hop_logit = self.query(hidden, questions, previous, knowledge)
        if knowledge.training is None:
            ids = _search(base, query, max(options.top_k, options.over_fetch), knowledge.withheld)
        else:
            ids = _training_ids(base, query, knowledge.training)
        parts = self._parts(hidden, query, questions, knowledge, ids)
        score = parts.total(options).masked_fill(ids < 0, -math.inf)
        null = self._null(query, knowledge, ids, parts, score)
        if knowledge.training is None:
            best = _top(knowledge, ids, score)
            ids, score = ids.gather(-1, best), score.gather(-1, best)
            parts = ScoreParts(*(part.gather(-1, best) for part in parts))
        rest = previous.rest if previous is not None else questions[:, None].expand(-1, hidden.shape[1], -1)
        selection = self._weigh(query, hop_logit, rest, knowledge, ids, parts, score, null)
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

    def _null(self, query: Tensor, knowledge: Knowledge, ids: Tensor, parts: ScoreParts, score: Tensor) -> Tensor:
        """Score of the null fact, (batch, seq): its odds (`NullScorer`) against all candidates together.

        At any temperature its weight among them is the logistic of its log-odds.
        """
        best = score.topk(min(2, score.shape[-1]), dim=-1)
        values = nn.functional.pad(best.values.clamp(min=NO_SCORE), (0, 2 - best.values.shape[-1]), value=NO_SCORE)
        place = best.indices[..., :1]
        key = knowledge.base.tensors.keys[ids.expand_as(score).gather(-1, place).squeeze(-1).clamp(min=0)]
        cosines = [
            nn.functional.cosine_similarity(query[..., block], key[..., block], dim=-1) for block in self.query.blocks
        ]
        context, time = (part.gather(-1, place).squeeze(-1) for part in (parts.context, parts.time))
        options = knowledge.options
        odds: Tensor = self.null(*cosines, options.gamma * context, options.eta * time, values[..., 0] - values[..., 1])
        warmth = options.temperature
        return warmth * (odds + (score / warmth).logsumexp(-1).clamp(min=NO_SCORE))

    def _weigh(
        self,
        query: Tensor,
        hop_logit: Tensor,
        rest: Tensor,
        knowledge: Knowledge,
        ids: Tensor,
        parts: ScoreParts,
        score: Tensor,
        null: Tensor,
    ) -> Selection:
        options = knowledge.options
        if not options.null_fact:
            null = torch.full_like(null, -math.inf)
        scores = torch.cat([score, null[..., None]], dim=-1)
        weights = torch.softmax(scores / options.temperature, dim=-1)
        alpha, null_weight = weights[..., :-1], weights[..., -1]
        tensors, safe = knowledge.base.tensors, ids.clamp(min=0)
        value = mixture(alpha, tensors.values[safe]) + null_weight[..., None] * self.null_value
        if options.hop and not self.last:
            rest = self.query.unanswered(rest, mixture(alpha.detach(), tensors.keys[safe]))
        return Selection(query, ids, alpha, null_weight, scores, parts, value, hop_logit, rest)


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
