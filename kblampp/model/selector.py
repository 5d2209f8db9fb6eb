"""Which facts a question reads at a layer, and how much of each (docs/architecture.md, section 2): after `query.py`.

    s_i   = Q.K_i/sqrt(d_k) + gamma phi(h, e_q, c_i) + eta g_time(tau_q, tau_i) + g_name(q, i)
    alpha = softmax(s / T) over the top k and the null fact,  v = sum_i alpha_i V_i (+ z of the ego graph)

h is the hidden state where the answer starts.  A question selects once a layer and every token reads the same mixture,
so that an answer rests on one choice and cached decoding equals the full forward.  A candidate is a fact read from its
head or, by its inverse key, from its tail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kblampp.encoding.projections import Projections
from kblampp.model.answer_kinds import NO_NAME, NULL_WEIGHT, AskedKinds
from kblampp.model.candidates import REFUSAL_GROUPS, Candidates, facts_of
from kblampp.model.ego_graph import EgoGraphReadout, leave_out, mixture
from kblampp.model.inputs import EncodedBase, Knowledge, SelectorOptions, TrainingCandidates
from kblampp.model.mentions import each_once
from kblampp.model.query import START_LOGIT, KBQuery
from kblampp.model.question_reader import Reading
from kblampp.model.scores import (
    ContextScorer,
    FitScorer,
    FormScorer,
    NameScorer,
    TimeScorer,
    disjoint,
)

LEAST = 1e-2
"""A fact read the other way than the question seems to ask is never less probable than this: names may know better."""
NEVER = 1e-6
"""Nearly so improbable is a hop from tail to head."""
SURELY_NOT = -4.0
"""Log-odds that something is so by a fact about somebody else."""
TINY = 1e-12
"""Keeps a division from one by zero."""
NO_SCORE = -30.0
"""Stands for the score of a fact where there is none, as far as the null fact looks at it."""


class ScoreParts(NamedTuple):
    """The parts of the candidates' scores, each (batch, 1, n) and unweighted.

    Attributes:
        meaning: Q.K / sqrt(d_k).
        context: phi.
        time: g_time, with what a place in a row in time counts.
        name: g_name: names letter by letter, and the way the fact is read.
    """

    meaning: Tensor
    context: Tensor
    time: Tensor
    name: Tensor

    def total(self, options: SelectorOptions) -> Tensor:
        """meaning + gamma context + eta time + name."""
        return self.meaning + options.gamma * self.context + options.eta * self.time + self.name


@dataclass(frozen=True)
class Selection:
    """What one layer selected for each question.

    Attributes:
        query: (batch, 1, d_k).
        rest: What facts read by the layers before leave of the question, (batch, 1, d_sentence).
        ids: Facts, (batch, 1, n), best first when searched for; -1 where there is none.
        inverse: Which of them are read from the tail, (batch, 1, n); a fact can stand twice, once each way.
        alpha: Weights of the facts, (batch, 1, n).
        null: Weight of the null fact, (batch, 1): the abstention score.
        scores: Scores before the softmax, null last, (batch, 1, n + 1).
        parts: What the scores are the weighted sum of.
        key: The mixture of the facts' keys, (batch, 1, d_k), without gradient; empty where no later layer reads it.
        value: That of their values, (batch, 1, d_v).
        best: The fact that fits best whatever its time, (batch, 1); -1 where there is none.
        group: How it is read, (batch, 1): a place in `REFUSAL_GROUPS`.
        yes: Log-odds that what the question says is so by that fact, (batch, 1); of use where it wants yes or no;
            zero before the last layer.
        forms: Log-probabilities of `FORMS` if a fact is the one that answers, (batch, n, forms); before the last layer
            (batch, 1, forms), the question's own.
        hop_logit: Of the hop gate, (batch, 1); minus infinity where there is no hop, as in the first layer.
        hopped: How surely this layer or one before has hopped, (batch, 1).
        left: Facts from which this layer or those before went on, (batch, layers before); -1 for none.
        left_by: How surely they did, of the shape of `left`.
    """

    query: Tensor
    rest: Tensor
    ids: Tensor
    inverse: Tensor
    alpha: Tensor
    null: Tensor
    scores: Tensor
    parts: ScoreParts
    key: Tensor
    value: Tensor
    best: Tensor
    group: Tensor
    yes: Tensor
    forms: Tensor
    hop_logit: Tensor
    hopped: Tensor
    left: Tensor
    left_by: Tensor

    @property
    def hop(self) -> Tensor:
        """Hop gate, (batch, 1), 0 to 1; exactly zero in the first layer."""
        return self.hop_logit.sigmoid()


class KBSelector(nn.Module):
    """Selects facts for each question at one layer.

    Args:
        d_hidden: Width of the hidden state.
        d_sentence: Width of the sentence vectors.
        d_k: Width of the keys.
        d_v: Width of the values.
        d_ctx: Width of the context vectors.
        d_ent: Width of the entity block.
        d_rel: Width of the relation block of a key.
        d_context_score: Features of the context score.
        hops: Whether it goes on from the fact of a layer before; the first layer cannot.
        last: Whether no later layer goes on from its fact.
        ego_graph: Whether it also reads the facts around the selected ones (`EgoGraphReadout`).
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
        d_rel: int,
        d_context_score: int,
        hops: bool,
        last: bool = False,
        ego_graph: bool = False,
        ego_radius: int = 1,
        ego_degree: int = 8,
    ) -> None:
        super().__init__()
        self.last = last
        self.query = KBQuery(d_hidden, d_sentence, d_k, d_ent, d_rel, hops=hops)
        self.context = ContextScorer(d_hidden, d_sentence, d_ctx, d_context_score)
        self.time = TimeScorer()
        self.name = NameScorer()
        self.null = FitScorer()
        self.null_by_group = nn.Parameter(torch.zeros(len(REFUSAL_GROUPS)), requires_grad=False)  # set by calibration
        self.yes = FitScorer() if last else None
        self.form = FormScorer() if last else None
        self.null_value = nn.Parameter(torch.zeros(d_v))
        self.graph = (
            EgoGraphReadout(d_sentence, d_ent + d_rel, d_v, d_ent, ego_radius, ego_degree) if ego_graph else None
        )

    def start_from(self, projections: Projections, questions: Tensor) -> None:
        """Starts query, context score and graph readout as the projections; see `KBQuery.start_from`."""
        self.query.start_from(projections, questions)
        context = projections.of_question("context")
        self.context.start_from(torch.from_numpy(context.weight), torch.from_numpy(context.bias))
        if self.graph is not None:
            relation = self.query.from_question
            self.graph.start_from(START_LOGIT * relation.weight, START_LOGIT * relation.bias)

    def forward(
        self,
        hidden: Tensor,
        knowledge: Knowledge,
        previous: Selection | None,
        reading: Reading,
        depth: int = 0,
        kinds: AskedKinds | None = None,
    ) -> Selection:
        """Selects facts.

        Args:
            hidden: Normalised hidden states where the answers start, (batch, 1, d_hidden) float32.
            knowledge: The base, the questions and the options of the call.
            previous: Selection of the injected layer before.
            reading: What the questions ask for.
            depth: How many layers have selected before.
            kinds: Of which kinds their answers have to be; None where that does not count.
        """
        options, base = knowledge.options, knowledge.base
        questions = knowledge.questions.vectors
        if not options.question_vector:
            questions = torch.zeros_like(questions)
        due = _due(reading, depth)
        query, rest, hop_logit = self.query(hidden, questions, previous, knowledge, due, depth, kinds)
        if knowledge.training is None:
            rows = _search(base, query, max(options.top_k, options.over_fetch), knowledge.withheld)
        else:
            rows = _training_rows(base, query, knowledge.training)
        found = Candidates.at(base, rows, knowledge)
        hopped = hop_logit.sigmoid()
        if previous is not None:  # one that has hopped asks for the same as before, and of no name that it mentions
            hopped = 1 - (1 - hopped) * (1 - previous.hopped)
        left, left_by = _left(hop_logit, previous)
        anchor = _anchor(reading, found) if knowledge.training is None else torch.zeros_like(found.own)
        parts, order = self._parts(hidden, query, questions, knowledge, found, anchor, reading, hopped, left, left_by)
        if kinds is not None:
            unfit = kinds.no_name(found.ids[:, 0], found.inverse[:, 0])[:, None]
            parts = parts._replace(name=parts.name - NO_NAME * unfit)
        score = parts.total(options).masked_fill(found.ids < 0, -math.inf)
        place = score.argmax(-1, keepdim=True)
        best_fact = found.ids.gather(-1, place).squeeze(-1)
        # Of the best of all.
        fit = self._fit(query, knowledge, found, anchor, parts, order, score, place, reading, hopped)
        group = found.refusal_group(base, place[:, 0])
        null = self._null(fit, group, score, options.temperature)
        if kinds is not None and self.last:  # an answer of another kind is none
            chosen = (part[:, 0].gather(-1, place[:, 0])[:, 0] for part in (found.ids, found.inverse))
            null = null - options.temperature * NULL_WEIGHT * kinds.fit(*chosen).clamp(max=0)[:, None]
        yes = torch.zeros_like(null) if self.yes is None else self.yes(fit)
        if self.yes is not None and knowledge.training is None and options.names:
            asked = knowledge.questions
            another = found.of_another(base, place[:, 0], asked.grams, asked.in_order) & (hopped < 0.5)
            yes = torch.where(another, yes.clamp(max=SURELY_NOT), yes)
        if knowledge.training is None:
            best = _top(knowledge, found, score)
            rows, score = rows.gather(-1, best), score.gather(-1, best)
            parts = ScoreParts(*(part.gather(-1, best) for part in parts))
            found = found.part(best)
        forms = reading.form[:, None] if self.form is None else self.form(reading, *found.form_features(knowledge))
        told = {
            "best": best_fact,
            "group": group,
            "yes": yes,
            "forms": forms,
            "hop_logit": hop_logit,
            "hopped": hopped,
            "left": left,
            "left_by": left_by,
        }
        selection = self._weigh(query, rest, knowledge, rows, parts, score, null, **told)
        if self.graph is None or not options.ego_graph:
            return selection
        windows = knowledge.questions.windows
        added = self.graph(base.graph, questions, windows, selection.ids, selection.alpha, knowledge.withheld)
        return replace(selection, value=selection.value + added)

    def _parts(
        self,
        hidden: Tensor,
        query: Tensor,
        questions: Tensor,
        knowledge: Knowledge,
        found: Candidates,
        anchor: Tensor,
        reading: Reading,
        hopped: Tensor,
        left: Tensor,
        left_by: Tensor,
    ) -> tuple[ScoreParts, Tensor]:
        """The parts of the scores, and what of the time score is for places in rows, (batch, 1, n)."""
        base, tensors, windows = knowledge.base, knowledge.base.tensors, knowledge.questions.windows
        meaning = query @ tensors.keys[found.rows[:, 0]].transpose(1, 2) / math.sqrt(query.shape[-1])
        context = self._context(hidden, questions, tensors.ctx[found.facts], knowledge.training)
        low, high = tensors.tau_min[found.facts], tensors.tau_max[found.facts]
        time = self.time(windows, base.store.horizon, low, high)
        today = windows.new_tensor([[knowledge.options.as_of, knowledge.options.as_of + 1]]).expand_as(windows)
        time = time + reading.mode_of("now")[:, None, None] * self.time(today, base.store.horizon, low, high)
        order = torch.zeros_like(time)
        if knowledge.options.time_order:
            ordered = self.time.order(reading, windows, found.place(base), knowledge.options.as_of)
            order = ordered[:, None] * (~found.inverse)
        # Whom the question names, and from which end it asks, is about the fact that it names: not after a hop.
        name = self.name(reading, torch.maximum(found.own, anchor), found.other, found.before, found.after)
        label = self.name.label * found.label
        logit = reading.inverse[:, None]
        way = torch.where(found.inverse[:, 0], logit, -logit).sigmoid()
        if knowledge.training is None:  # who comes before or after somebody is a tail as he is
            neighbour = (reading.mode_of("before") + reading.mode_of("after")) * reading.form_of("value")
            way = torch.where(found.inverse[:, 0], way * (1 - neighbour[:, None]), way)
        way = way.clamp(min=LEAST).log()
        onward = torch.where(found.inverse[:, 0], math.log(NEVER), 0.0)  # a hop goes from head to tail
        again = (found.ids[:, 0, :, None] == left[:, None]) * left_by[:, None]  # and not back to where it came from
        back = (1 - again.amax(-1)).clamp(min=NEVER).log() if again.shape[-1] else torch.zeros_like(onward)
        named = name if knowledge.options.names else torch.zeros_like(name)
        names = (1 - hopped) * (named + way) + hopped * onward + label + back
        return ScoreParts(meaning, context, time + order, names[:, None]), order

    def _context(
        self, hidden: Tensor, questions: Tensor, sentences: Tensor, training: TrainingCandidates | None
    ) -> Tensor:
        """phi, (batch, 1, n).

        In training of noisy questions, and silent where the hidden state is not read either: else it knows the training
        questions and their sentences by heart, and misleads about others (docs/log.md).
        """
        if training is not None and training.question_noise is not None:
            questions = questions + training.question_noise
        context: Tensor = self.context(hidden, questions, sentences)
        if training is not None and training.read_hidden is not None:
            context = context * training.read_hidden[:, None, None]
        return context

    def _fit(
        self,
        query: Tensor,
        knowledge: Knowledge,
        found: Candidates,
        anchor: Tensor,
        parts: ScoreParts,
        order: Tensor,
        score: Tensor,
        place: Tensor,
        reading: Reading,
        hopped: Tensor,
    ) -> Tensor:
        """How the best candidate, at `place`, fits (`scores.FIT`), (batch, 1, len(FIT))."""
        row = found.row(knowledge.base)
        same = row == row.gather(-1, place[:, 0])
        beside = score.masked_fill(same[:, None], NO_SCORE).amax(-1).clamp(min=NO_SCORE)
        lead = score.gather(-1, place).squeeze(-1).clamp(min=NO_SCORE) - beside
        key = knowledge.base.tensors.keys[found.rows.gather(-1, place).squeeze(-1)]
        head, asked = (
            nn.functional.cosine_similarity(query[..., block], key[..., block], dim=-1) for block in self.query.blocks
        )
        own, other, label, context, time = (
            part.gather(-1, place).squeeze(-1)
            for part in (
                found.own[:, None],
                found.other[:, None],
                found.label[:, None],
                parts.context,
                parts.time - order,
            )
        )
        timeless = (parts.meaning + parts.name).masked_fill(found.ids < 0, NO_SCORE)
        passed = (timeless.amax(-1) - timeless.gather(-1, place).squeeze(-1)).detach()
        if knowledge.training is None and knowledge.options.names:
            anchor = anchor.gather(-1, place[:, 0])
            head = torch.where(anchor > own, self._anchor_fit(query, knowledge, found, reading, place), head)
            own = torch.maximum(own, anchor)
        own = own if knowledge.options.names else torch.ones_like(own)
        elsewhere = found.elsewhere(knowledge.base, place[:, 0], knowledge.questions.in_order)
        own = own.masked_fill(elsewhere, 0.0)  # it is about somebody else
        options = knowledge.options
        features = [
            head,
            asked,
            (1 - hopped) * own + hopped,  # after a hop the question does not name the head
            other,
            label,
            options.gamma * context,
            options.eta * time,
            lead,
            passed,
            reading.form_of("yes_no")[:, None],
            self._choice(knowledge, found, place[:, 0]),
            found.inverse[:, 0].gather(-1, place[:, 0]).float(),
        ]
        return torch.stack(features, dim=-1)

    def _anchor_fit(
        self, query: Tensor, knowledge: Knowledge, found: Candidates, reading: Reading, place: Tensor
    ) -> Tensor:
        """The cosine of the name asked for with that of the neighbour by which the candidate is named, (batch, 1)."""
        previous, following = (part.gather(-1, place[:, 0]) for part in (found.previous, found.following))
        after = (reading.mode_of("after") > reading.mode_of("before"))[:, None]
        neighbour = torch.where((after & (previous >= 0)) | (following < 0), previous, following)
        key = knowledge.base.tensors.keys[knowledge.base.store.n + neighbour.clamp(min=0)]  # from the tail
        block = self.query.blocks[0]
        return nn.functional.cosine_similarity(query[..., block], key[..., block], dim=-1)

    @staticmethod
    def _choice(knowledge: Knowledge, found: Candidates, place: Tensor) -> Tensor:
        """The logarithm of the number of relations of the entity from which the candidate is read, (batch, 1)."""
        by_head, fact, way = (
            knowledge.base.by_head,
            *(at.gather(-1, place) for at in (found.facts[:, 0], found.inverse[:, 0])),
        )
        head, tail = by_head.ends[fact[:, 0]].T
        count = by_head.relations_of(torch.where(way[:, 0], tail, head), knowledge.withheld)
        return count.clamp(min=1).log()[:, None]

    def _null(self, fit: Tensor, group: Tensor, score: Tensor, temperature: float) -> Tensor:
        """Score of the null fact, (batch, 1): its odds (`FitScorer`) against all candidates together.

        At any temperature its weight among them is the logistic of its log-odds, however many there are: neither a
        larger base nor a flatter softmax makes a question more answerable.
        """
        odds: Tensor = self.null(fit) + self.null_by_group[group]
        together = temperature * (score / temperature).logsumexp(-1)
        return together.clamp(min=NO_SCORE) + temperature * odds

    def _weigh(
        self,
        query: Tensor,
        rest: Tensor,
        knowledge: Knowledge,
        rows: Tensor,
        parts: ScoreParts,
        score: Tensor,
        null: Tensor,
        **told: Tensor,
    ) -> Selection:
        """The selection of candidates and the null fact, by their scores; `told` are its other attributes."""
        options, tensors = knowledge.options, knowledge.base.tensors
        if not options.null_fact:
            null = torch.full_like(null, -math.inf)
        scores = torch.cat([score, null[..., None]], dim=-1)
        weights = torch.softmax(scores / options.temperature, dim=-1)
        alpha, null_weight = weights[..., :-1], weights[..., -1]
        ids, inverse = facts_of(rows, knowledge.base.store.n)
        facts, d_ent = ids.clamp(min=0), self.query.d_ent
        values = tensors.values[facts]
        names = torch.where(inverse[..., None], tensors.keys[facts][..., :d_ent], values[..., :d_ent])
        values = torch.cat([names, values[..., d_ent:]], dim=-1)  # read from its tail, a fact's value names its head
        value = mixture(alpha, values) + null_weight[..., None] * self.null_value
        read_later = options.hop and not self.last
        key = mixture(alpha.detach(), tensors.keys[rows.clamp(min=0)]) if read_later else query.new_zeros(0)
        return Selection(query, rest, ids, inverse, alpha, null_weight, scores, parts, key, value, **told)


def _due(reading: Reading, depth: int) -> Tensor:
    """Logits that a hop is due after `depth` layers, (batch,): those of the last hop that a question may have."""
    return reading.hops[:, min(max(depth, 1), reading.hops.shape[-1]) - 1]


def _anchor(reading: Reading, found: Candidates) -> Tensor:
    """How surely facts are named by their neighbours: "Who followed Lie as keeper?" names his row, (batch, n)."""
    before, after = (reading.mode_of(mode)[:, None] for mode in ("before", "after"))
    either = before + after
    named = (before * found.after + after * found.before) / either.clamp(min=TINY)
    return torch.where(either > 0.5, named, 0.0)  # for whom of both, it may be unsure; for a neighbour, it is not


def _left(hop_logit: Tensor, previous: Selection | None) -> tuple[Tensor, Tensor]:
    """From which facts the layers so far went on, and how surely, each (batch, layers before); no gradient flows."""
    hop = hop_logit.detach().sigmoid()
    if previous is None:
        return hop.new_zeros((len(hop), 0), dtype=torch.int64), hop.new_zeros((len(hop), 0))
    read = previous.ids[:, 0].gather(-1, previous.alpha[:, 0].argmax(-1, keepdim=True))
    return torch.cat([previous.left, read], dim=1), torch.cat([previous.left_by, hop * (read >= 0)], dim=1)


def _top(knowledge: Knowledge, found: Candidates, score: Tensor) -> Tensor:
    """Columns of the `top_k` best candidates; those outside a known question window give way unless eta is 0."""
    options, tensors = knowledge.options, knowledge.base.tensors
    order = score.argsort(dim=-1, descending=True, stable=True)  # equal scores keep the index's order
    if options.eta > 0:
        windows = tensors.tau_min[found.facts], tensors.tau_max[found.facts]
        late = disjoint(knowledge.questions.windows, *windows) | (found.ids < 0)
        order = order.gather(-1, late.gather(-1, order).byte().argsort(dim=-1, stable=True))
    return order[..., : options.top_k]


def _search(base: EncodedBase, query: Tensor, k: int, withheld: Tensor | None = None) -> Tensor:
    """Rows of the k nearest keys of each query, of facts that are not withheld from it (batch, m), (batch, 1, k).

    -1 stands where there are no more.  No gradient flows through the search.
    """
    n = base.store.n
    hidden = None if withheld is None else torch.cat([withheld, torch.where(withheld < 0, -1, withheld + n)], dim=1)
    fetched = min(2 * n, k + (0 if hidden is None else hidden.shape[1]))
    flat = query.detach().reshape(-1, query.shape[-1]).float().cpu().numpy()
    _, found = base.index.search(flat, fetched)
    rows = torch.from_numpy(found).to(query.device).reshape(*query.shape[:-1], fetched)
    return rows if hidden is None else leave_out(rows, hidden[:, None], k)


def _training_rows(base: EncodedBase, query: Tensor, training: TrainingCandidates) -> Tensor:
    """Rows of given and retrieved candidates, (batch, 1, n), each once a question; -1 where one would stand twice."""
    rows = training.ids + base.store.n * (training.inverse & (training.ids >= 0))
    if training.retrieved:
        rows = torch.cat([rows, _search(base, query, min(training.retrieved, 2 * base.store.n))[:, 0]], dim=1)
    return each_once(rows)[:, None]
