"""What lies around the selected facts: a readout over the graph that the facts make.

    h'_v = h_v + gelu(W sum_u a_uv [h'_u ; e_rel(u)])     a_uv = softmax over u of (A [h_v ; e_q]) . [h'_u ; e_rel(u)]
    z_j  = W_z sum_i alpha_ij (h'_i - h_i)                added to the layer's value v_j

A node v is a fact's tail, h_v the entity block of the fact's value.  Its neighbours u are the facts whose head it is,
e_rel(u) the relation block of their keys.  The attention is that of Velickovic et al. 2018 (Graph Attention Networks,
section 2.1) with the relation and the question in it and a dot product in the place of their single layer.

The residual is plain: a layer norm around v + z would change the scale of the entity block, from which the next hop's
query is made.  W_z starts at zero, so that an untrained readout adds exactly zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kblampp.encoding.encoded_facts import EncodedFacts, StoreTensors
from kblampp.model.scores import disjoint


@dataclass(frozen=True)
class FactGraph:
    """Which facts go on from a fact: those whose head is its tail, lowest id first.

    Attributes:
        tensors: The store's arrays.
        by_head: Facts ordered by head, then by id, (n,).
        start: Where in `by_head` those about a fact's tail begin, (n,).
        end: Where they end, (n,).
    """

    tensors: StoreTensors
    by_head: Tensor
    start: Tensor
    end: Tensor

    @classmethod
    def of(cls, store: EncodedFacts, device: str = "cpu") -> FactGraph:
        """The graph of a store's facts."""
        heads, tails = np.asarray(store.head_ids), np.asarray(store.tail_ids)
        by_head = np.argsort(heads, kind="stable")
        arrays = (by_head, *(np.searchsorted(heads[by_head], tails, side) for side in ("left", "right")))
        return cls(store.tensors(device), *(torch.from_numpy(array).to(device) for array in arrays))

    def onward(self, facts: Tensor, degree: int) -> Tensor:
        """The first `degree` facts about the tail of each fact (...), (..., degree); -1 where there are no more."""
        place = self.start[facts][..., None] + torch.arange(degree, device=facts.device)
        found = self.by_head[place.clamp(max=len(self.by_head) - 1)]
        return found.masked_fill(place >= self.end[facts][..., None], -1)


class _Call(NamedTuple):
    """What all rows of a call share: the graph, and by row vectors, windows and withheld facts of the questions."""

    graph: FactGraph
    vectors: Tensor
    windows: Tensor
    withheld: Tensor | None


class EgoGraphReadout(nn.Module):
    """Lets a layer read what the base says about the tails of the facts that it selected.

    Args:
        d_sentence: Width of the sentence vectors.
        d_pair: Width of a key's entity and relation blocks, its first two.
        d_v: Width of the values.
        d_ent: Width of the entity block, the first of both key and value.
        radius: How many facts away it reads.
        degree: Most facts that it follows out of an entity; those with the lowest ids are kept.
    """

    def __init__(self, d_sentence: int, d_pair: int, d_v: int, d_ent: int, radius: int, degree: int) -> None:
        super().__init__()
        self.d_ent, self.d_pair, self.radius, self.degree = d_ent, d_pair, radius, degree
        self.attend = nn.Linear(d_ent + d_sentence, d_pair)
        self.message = nn.Linear(d_pair, d_ent, bias=False)
        self.out = nn.Linear(d_ent, d_v, bias=False)
        nn.init.zeros_(self.out.weight)

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Starts with attention to the relation that the question asks for.

        Args:
            weight: Of a map from sentence vectors to the relation block of keys, (d_rel, d_sentence).
            bias: (d_rel,).
        """
        self.attend.weight[self.d_ent :, : self.d_ent] = 0
        self.attend.weight[self.d_ent :, self.d_ent :] = weight
        self.attend.bias[self.d_ent :] = bias

    def forward(
        self,
        graph: FactGraph,
        questions: Tensor,
        windows: Tensor,
        ids: Tensor,
        alpha: Tensor,
        withheld: Tensor | None = None,
    ) -> Tensor:
        """What to add to the mixtures of the selected facts; zero where they lead nowhere.

        Args:
            graph: The base's.
            questions: Sentence vectors, (batch, d_sentence).
            windows: Question windows, (batch, 2); facts disjoint from a known one are not followed.
            ids: Selected facts, (batch, seq or 1, n); -1 where there is none, with weight 0.
            alpha: Their weights, (batch, seq, n).
            withheld: Facts that a row must not find, (batch, m); -1 pads.

        Returns:
            (batch, seq, d_v).
        """
        call = _Call(graph, questions, windows, withheld)
        rows = torch.arange(len(ids), device=ids.device)[:, None, None].expand_as(ids)
        facts = ids.clamp(min=0)
        after = self._nodes(call, rows.flatten(), facts.flatten(), self.radius).view(*ids.shape, -1)
        readout: Tensor = self.out(mixture(alpha, after - graph.tensors.values[facts][..., : self.d_ent]))
        return readout

    def _nodes(self, call: _Call, rows: Tensor, facts: Tensor, depth: int) -> Tensor:
        """h' of the tails of facts (n,) that rows (n,) of the batch have found, from `depth` facts away, (n, d_ent)."""
        if depth == 0:
            return call.graph.tensors.values[facts][..., : self.d_ent]
        size = len(call.graph.by_head)  # what many tokens or facts lead to is computed once a question
        pairs, place = torch.unique(rows * size + facts, return_inverse=True)
        return self._updated(call, pairs // size, pairs % size, depth).index_select(0, place)

    def _updated(self, call: _Call, rows: Tensor, facts: Tensor, depth: int) -> Tensor:
        """h' as in `_nodes`, of distinct pairs of row and fact."""
        tensors, extra = call.graph.tensors, 0 if call.withheld is None else call.withheld.shape[1]
        edges = call.graph.onward(facts, self.degree + extra)
        if call.withheld is not None:
            edges = leave_out(edges, call.withheld[rows], self.degree)
        safe = edges.clamp(min=0)
        far = self._nodes(call, rows[:, None].expand_as(safe).flatten(), safe.flatten(), depth - 1)
        ends = torch.cat([far.view(*safe.shape, -1), tensors.keys[safe][..., self.d_ent : self.d_pair]], dim=-1)
        low, high = tensors.tau_min[safe], tensors.tau_max[safe]
        used = (edges >= 0) & ~disjoint(call.windows[rows], low[:, None], high[:, None])[:, 0]
        own = tensors.values[facts][..., : self.d_ent]
        query = self.attend(torch.cat([own, call.vectors[rows]], dim=-1))
        scores = (ends @ query[..., None]).squeeze(-1).masked_fill(~used, torch.finfo(ends.dtype).min)
        weights = scores.softmax(-1) * used  # all zero where nothing is left to follow: no message
        return own + nn.functional.gelu(self.message((weights[:, None] @ ends).squeeze(1)))


def mixture(alpha: Tensor, vectors: Tensor) -> Tensor:
    """Sums weighted by alpha (batch, seq, n) of vectors (batch, seq or 1, n, d), (batch, seq, d)."""
    if vectors.shape[1] == 1:  # candidates that a sequence shares are not repeated for its tokens
        return alpha @ vectors[:, 0]
    return (alpha[:, :, None] @ vectors).squeeze(2)


def leave_out(ids: Tensor, withheld: Tensor, k: int) -> Tensor:
    """The first `k` ids (..., n) that are not withheld (..., m), in their order; -1 after the last."""
    dropped = (ids[..., None] == withheld[..., None, :]).any(-1) | (ids < 0)
    order = dropped.byte().argsort(dim=-1, stable=True)
    return ids.masked_fill(dropped, -1).gather(-1, order)[..., :k]
