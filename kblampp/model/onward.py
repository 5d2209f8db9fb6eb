"""What a hop would find: how well the facts about the entity just read fit the question, beside the fact itself.

"Where was the mayor born?" and "Who was the mayor?" differ in little once names are forgotten.  Whether the mayor's own
facts answer what is asked tells them apart, and an entity without facts leads nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from kblampp.encoding.encoded_facts import EncodedFacts
from kblampp.encoding.growing import Gathered, RowTensors
from kblampp.encoding.seats import Moved, Patched, Seats
from kblampp.model.ego_graph import leave_out
from kblampp.model.fact_order import FactOrder
from kblampp.model.groups import FEW, SHIFT, Groups, pair_numbers
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
        heads: The facts of each head, on the host.
        by_row: The facts of each head and relation, on the host.
        ends: Entities at the two ends of each fact, (n, 2): head and tail.
        relations: How many relations each entity has facts of, (entities,).
        rows: A number for the head and relation of each fact, (n,).
        counts: `relations` on the host.
    """

    heads: Groups
    by_row: Groups
    ends: Gathered
    relations: Gathered
    rows: Gathered
    counts: Patched

    @classmethod
    def of(cls, store: EncodedFacts, device: str = "cpu", seats: Seats | None = None) -> FactsByHead:
        """Of the facts of a store, whose seats are given where states share them."""
        heads, tails = (np.asarray(part).astype(np.int64) for part in (store.head_ids, store.tail_ids))
        rows = pair_numbers(heads, np.asarray(store.rel_ids))
        by_row = Groups.of(rows, seats)
        entities = int(max(heads.max(), tails.max())) + 1
        relations = np.bincount(np.unique(by_row.numbers) >> SHIFT, minlength=entities)
        arrays = (np.stack([heads, tails], axis=1), relations, rows)
        ends, counts, numbers = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(Groups.of(heads, seats), by_row, ends, counts, numbers, Patched(relations))

    def moved(self, store: EncodedFacts, moved: Moved, order: FactOrder, device: str = "cpu") -> FactsByHead:
        """Of another state of the same base: only the heads of facts that differ are looked at.

        Args:
            store: The facts of that state.
            moved: How facts stand in it.
            order: Of that state.
            device: Where the model computes.
        """
        if len(moved.fresh) > FEW:
            return FactsByHead.of(store, device, moved.now)
        gone = self.ends[torch.from_numpy(moved.before.places(moved.gone))][:, 0].cpu().numpy()
        fresh = store.head_ids[moved.now.places(moved.fresh)].astype(np.int64)
        heads = self.heads.moved(moved, gone, fresh)
        touched = np.union1d(gone, fresh)
        own = (order.row[torch.from_numpy(heads.of_group(int(head)))].cpu().numpy() for head in touched)
        counts = self.counts.with_rows(touched, np.array([len(np.unique(rows)) for rows in own], dtype=np.int64))

        def ends(facts: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.stack([store.head_ids[facts], store.tail_ids[facts]], axis=-1)

        of_ends, relations = (RowTensors(take, device, torch.int64) for take in (ends, counts.take))
        return FactsByHead(heads, order.rows, of_ends, relations, order.row, counts)

    def relations_of(self, entities: Tensor, withheld: Tensor | None) -> Tensor:
        """How many relations entities (batch,) have facts of that are not withheld (batch, m), (batch,)."""
        count = self.relations[entities].float()
        if withheld is None or not withheld.shape[1]:
            return count
        withheld = each_once(withheld)
        facts, there = withheld.clamp(min=0), withheld >= 0
        sizes = torch.from_numpy(self.by_row.sizes(self.rows[facts].cpu().numpy())).to(facts.device)
        rows = torch.where(there, self.rows[facts], -1)
        gone = (rows[:, :, None] == rows[:, None]).sum(-1) == sizes
        own = there & gone & (self.ends[facts][..., 0] == entities[:, None])
        return count - (own / sizes).sum(-1)

    def about(self, entities: Tensor, withheld: Tensor | None) -> Tensor:
        """The first `MOST` facts about entities (batch,) of those not withheld (batch, m), (batch, k); -1 for none."""
        most = MOST + (0 if withheld is None else withheld.shape[1])  # as many may be withheld
        found = torch.from_numpy(self.heads.first_of(entities.cpu().numpy(), most)).to(entities.device)
        return found if withheld is None else leave_out(found, withheld, MOST)


def hop_features(
    by_head: FactsByHead,
    names: NameTable,
    keys: Gathered,
    wanted: Tensor,
    grams: Tensor,
    read: tuple[Tensor, Tensor],
    withheld: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """What a hop gate looks at (`FEATURES`), (batch, 5), and the fact that a hop would most likely read, (batch,), -1
    for none; no gradient flows.

    Args:
        by_head: Of the base.
        names: Of the base.
        keys: Of the base, whose last d_rel columns are of their relations, (n, d_rel or more) or more rows.
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
        relations = keys[every.clamp(min=0)][..., -wanted.shape[-1] :]
        cosines = F.cosine_similarity(relations, wanted[:, None], dim=-1)
        labels = names.coverage(names.relations[every.clamp(min=0)], grams)
        gone = every < 0
        cosines, labels = cosines.masked_fill(gone, 0.0), labels.masked_fill(gone, 0.0)
        leads = (onward >= 0).any(-1)
        if onward.shape[1]:
            best = cosines[:, 1:].masked_fill(onward < 0, -2.0).argmax(-1, keepdim=True)
            ahead = [part[:, 1:].gather(-1, best).squeeze(-1) for part in (cosines, labels)]
            likely = onward.gather(-1, best).squeeze(-1)
        else:
            ahead, likely = [torch.zeros_like(cosines[:, 0])] * 2, torch.full_like(facts, -1)
        return torch.stack([*ahead, cosines[:, 0], labels[:, 0], leads.float()], dim=-1), likely
