"""What a hop would find: how well the facts about the entity just read fit the question, beside the fact itself.

"Where was the mayor born?" and "Who was the mayor?" differ in little once names are forgotten.  Whether the mayor's own
facts answer what is asked tells them apart, and an entity without facts leads nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kblampp.encoding.encoded_facts import EncodedFacts
from kblampp.model.ego_graph import leave_out
from kblampp.model.fact_order import row_numbers
from kblampp.model.mentions import NameTable, each_once

MOST = 64
"""Facts of an entity that are looked at, the first of the file of those that are not withheld."""
FEATURES = ("onward", "onward_label", "asked", "asked_label", "leads_on")
"""Cosine of the question's relation with the best onward fact's, and how much of its label the question spells; the
same of the fact that was read; whether the entity has facts at all."""


@dataclass(frozen=True, eq=False)
class FactsByHead:
    """The facts about each entity.

    Attributes:
        facts: Facts in the order of their heads, (n,).
        starts: Where the facts of an entity start in `facts`, (entities + 1,).
        ends: Entities at the two ends of each fact, (n, 2): head and tail.
        relations: How many relations each entity has facts of, (entities,).
        rows: A number for the head and relation of each fact, (n,).
        sizes: How many facts have them, (n,).
    """

    facts: Tensor
    starts: Tensor
    ends: Tensor
    relations: Tensor
    rows: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, store: EncodedFacts, device: str = "cpu") -> FactsByHead:
        """Of the facts of a store."""
        heads, tails = np.asarray(store.head_ids), np.asarray(store.tail_ids)
        order = np.argsort(heads, kind="stable")
        starts = np.searchsorted(heads[order], np.arange(max(heads.max(), tails.max()) + 2))
        ends = np.stack([heads, tails], axis=1).astype(np.int64)
        rows = row_numbers(heads, store.rel_ids)
        sizes = np.bincount(rows)[rows]
        _, first = np.unique(rows, return_index=True)
        relations = np.bincount(heads[first], minlength=len(starts) - 1)
        arrays = (order, starts, ends, relations, rows, sizes)
        return cls(*(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays))

    def relations_of(self, entities: Tensor, withheld: Tensor | None) -> Tensor:
        """How many relations entities (batch,) have facts of that are not withheld (batch, m), (batch,)."""
        count = self.relations[entities].float()
        if withheld is None or not withheld.shape[1]:
            return count
        withheld = each_once(withheld)
        facts, there = withheld.clamp(min=0), withheld >= 0
        rows = torch.where(there, self.rows[facts], -1)
        gone = (rows[:, :, None] == rows[:, None]).sum(-1) == self.sizes[facts]
        own = there & gone & (self.ends[facts, 0] == entities[:, None])
        return count - (own / self.sizes[facts]).sum(-1)

    def about(self, entities: Tensor, withheld: Tensor | None) -> Tensor:
        """The first `MOST` facts about entities (batch,) of those not withheld (batch, m), (batch, k); -1 for none."""
        starts, stops = self.starts[entities], self.starts[entities + 1]
        most = MOST + (0 if withheld is None else withheld.shape[1])  # as many may be withheld
        width = int((stops - starts).clamp(max=most).amax()) if len(entities) else 0
        places = starts[:, None] + torch.arange(width, device=starts.device)
        found = torch.where(places < stops[:, None], self.facts[places.clamp(max=len(self.facts) - 1)], -1)
        return found if withheld is None else leave_out(found, withheld, MOST)


def hop_features(
    by_head: FactsByHead,
    names: NameTable,
    keys: Tensor,
    wanted: Tensor,
    grams: Tensor,
    read: tuple[Tensor, Tensor],
    withheld: Tensor | None,
) -> Tensor:
    """What a hop gate looks at (`FEATURES`), (batch, 5); no gradient flows.

    Args:
        by_head: Of the base.
        names: Of the base.
        keys: Relation blocks of the keys, (n, d_rel) or more rows.
        wanted: Relations that the questions ask for, in the same space, (batch, d_rel).
        grams: Of the questions.
        read: The fact that each question has read, (batch,), -1 for none, and whether from its tail, (batch,).
        withheld: Facts that are as if deleted, (batch, m); -1 pads.
    """
    with torch.no_grad():
        facts, inverse = read
        there = facts >= 0
        ends = by_head.ends[facts.clamp(min=0)]
        onward = by_head.about(torch.where(inverse, ends[:, 0], ends[:, 1]), withheld)
        onward = onward.masked_fill(~there[:, None] | (onward == facts[:, None]), -1)  # not back along the same fact
        every = torch.cat([facts[:, None], onward], dim=1)
        cosines = F.cosine_similarity(keys[every.clamp(min=0)], wanted[:, None], dim=-1)
        labels = names.coverage(names.relations[every.clamp(min=0)], grams)
        gone = every < 0
        cosines, labels = cosines.masked_fill(gone, 0.0), labels.masked_fill(gone, 0.0)
        leads = (onward >= 0).any(-1)
        if onward.shape[1]:
            best = cosines[:, 1:].masked_fill(onward < 0, -2.0).argmax(-1, keepdim=True)
            ahead = [part[:, 1:].gather(-1, best).squeeze(-1) for part in (cosines, labels)]
        else:
            ahead = [torch.zeros_like(cosines[:, 0])] * 2
        return torch.stack([*ahead, cosines[:, 0], labels[:, 0], leads.float()], dim=-1)
