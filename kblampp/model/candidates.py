"""The facts that a question's query finds, and what is known of them before any is scored."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kblampp.data.windows import OPEN_END, OPEN_START
from kblampp.model.inputs import EncodedBase, Knowledge
from kblampp.model.scores import RowPlace, share_taken
from kblampp.model.text_hashes import AskedWords

REFUSAL_GROUPS = ("from its tail", "without a time", "with a time")
"""How the best candidate is read: in each way the null fact has a bias of its own (`training.calibration`)."""


class Candidates(NamedTuple):
    """Candidates and what is known of them before any is scored; (batch, 1, n), or (batch, n) where said."""

    rows: Tensor  # of the keys; 0 where there is none
    ids: Tensor  # facts, -1 where there is none
    facts: Tensor  # facts, 0 where there is none
    inverse: Tensor
    own: Tensor  # (batch, n): how much of the name that it is found by the question mentions
    other: Tensor  # (batch, n): of the name at its other end
    before: Tensor  # (batch, n): of the name at the other end of the fact before it
    after: Tensor  # (batch, n)
    label: Tensor  # (batch, n): how much of the relation's label the question's words spell
    rank: Tensor  # (batch, n): whether the question asks for another rank than the label is about
    previous: Tensor  # (batch, n): the fact before it, -1 for none
    following: Tensor  # (batch, n)

    @classmethod
    def at(cls, base: EncodedBase, rows: Tensor, knowledge: Knowledge) -> Candidates:
        ids, inverse = facts_of(rows, base.store.n)
        facts, way = ids.clamp(min=0), inverse[:, 0]
        names, grams, words, hidden = (
            base.names,
            knowledge.questions.grams,
            knowledge.questions.in_order,
            knowledge.withheld,
        )
        flat = facts[:, 0]
        ends = torch.cat([names.heads[flat], names.tails[flat]], dim=1)
        spelled = names.coverage(ends, grams)
        head, tail = torch.maximum(spelled, names.short_form(ends, words, hidden)).chunk(2, dim=1)
        previous, following = base.order.neighbours(flat, hidden)
        beside = []
        for neighbour in (previous, following):
            named = names.mention(names.tails[neighbour.clamp(min=0)], grams, words, hidden)
            beside.append(torch.where((neighbour >= 0) & ~way, named, torch.zeros_like(named)))
        inside = names.in_longer(ends, (spelled == 1) & (ids[:, 0] >= 0).repeat(1, 2), words)
        own, other = torch.where(way, tail, head), torch.where(way, head, tail)
        of_head, of_tail = inside.chunk(2, dim=1)
        by = names.read_from(flat, way)
        to_longer = names.holds(names.read_from(flat, ~way), by)  # Storvik's church
        own = own.masked_fill(torch.where(way, of_tail, of_head) & ~to_longer, 0.0)
        own = own.masked_fill(names.other_number(by, words), 0.0)  # "No. 9 Baguette" is not No. 7 Baguette
        labels = names.relations[flat]
        rank = names.other_rank(labels, words)  # and its deputy director is not its director
        label = names.coverage(labels, grams).masked_fill(rank, 0.0)
        before, after = beside
        return cls(rows.clamp(min=0), ids, facts, inverse, own, other, before, after, label, rank, previous, following)

    def part(self, columns: Tensor) -> Candidates:
        """Those at columns (batch, 1, k)."""
        flat = columns[:, 0]
        return Candidates(*(p.gather(-1, columns if p.dim() == 3 else flat) for p in self))

    def row(self, base: EncodedBase) -> Tensor:
        """A number for each row of facts: those of one head and relation or, read from the tail, of one tail and
        relation; (batch, n)."""
        order, flat = base.order, self.facts[:, 0]
        return torch.where(self.inverse[:, 0], -1 - order.inverse_row[flat], order.row[flat])

    def of_another(self, base: EncodedBase, place: Tensor, grams: Tensor, asked: AskedWords) -> Tensor:
        """Whether facts at columns (batch, 1) are of another head than one that questions name in full; (batch, 1).

        That head is neither the fact's own, which is named less well, nor its tail, nor a part of the name of either:
        "Does CS-TBX have 70 seats?" is not confirmed by those of CS-TAV.  Or its name holds that of the fact's head:
        the director of the museum shop is not that of the museum.  Or the fact's other name differs in a number: a
        Norvag N40 is no Norvag N4.
        """
        names, flat = base.names, self.facts[:, 0]
        heads, fact = names.heads[flat], flat.gather(-1, place)
        own_head = names.heads[fact]
        mentioned = torch.where(self.inverse[:, 0], self.other, self.own).gather(-1, place)
        there = (self.ids[:, 0] >= 0) & ~self.inverse[:, 0] & (heads != own_head)
        named = there & (names.coverage(heads, grams) == 1)
        row, column = named.nonzero(as_tuple=True)  # few, so that names are compared for these alone
        theirs, own = names.grams[heads[row, column]], names.grams[own_head[row, 0]]
        ends = torch.cat([own, names.grams[names.tails[fact[row, 0]]]], dim=-1)
        another = (~_all_among(theirs, ends) & (mentioned[row, 0] < 1)) | _all_among(own, theirs)
        way = self.inverse[:, 0].gather(-1, place)
        number = names.other_number(names.read_from(fact, ~way), asked, names.read_from(fact, way))
        return named.index_put((row, column), another).any(-1, keepdim=True) | number

    def elsewhere(self, base: EncodedBase, place: Tensor, asked: AskedWords) -> Tensor:
        """Whether questions ask for another rank, or another name, than candidates at columns (batch, m) are about, be
        it in their label, as "distributor in Japan"; (batch, m)."""
        way, fact, rank = (part.gather(-1, place) for part in (self.inverse[:, 0], self.facts[:, 0], self.rank))
        names, labels = base.names, base.names.relations[fact]
        both = torch.stack([names.heads[fact], names.tails[fact]], dim=-1)
        return rank | names.other_word(names.read_from(fact, way), asked) | names.other_word(labels, asked, both)

    def refusal_group(self, base: EncodedBase, place: Tensor) -> Tensor:
        """A place in `REFUSAL_GROUPS` for the candidates at columns (batch, 1), (batch, 1)."""
        way, fact = (part[:, 0].gather(-1, place) for part in (self.inverse, self.facts))
        return torch.where(way, 0, 1 + base.order.timed[fact].long())

    def form_features(self, knowledge: Knowledge) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What `FormScorer` looks at, each (batch, n)."""
        order, tensors, flat, way = knowledge.base.order, knowledge.base.tensors, self.facts[:, 0], self.inverse[:, 0]
        several = torch.where(way, order.inverse_several[flat], order.several[flat])
        windows, horizon, beside = (
            knowledge.questions.windows,
            knowledge.base.store.horizon,
            [self.previous, self.following],
        )
        taken = [
            share_taken(
                windows, horizon, tensors.tau_min[at.clamp(min=0)], tensors.tau_max[at.clamp(min=0)]
            ).masked_fill(at < 0, 0.0)
            for at in beside
        ]
        shared = torch.maximum(*taken).masked_fill(way, 0.0)
        names = knowledge.base.names
        number = names.numbers[torch.where(way, names.heads[flat], names.tails[flat])]
        return self.other, several.float(), (order.timed[flat] & ~way).float(), shared, number.float()

    def place(self, base: EncodedBase) -> RowPlace:
        order, tensors, flat = base.order, base.tensors, self.facts[:, 0]
        before, after = self.previous, self.following
        previous = torch.where(before >= 0, tensors.tau_min[before.clamp(min=0)], OPEN_START)
        following = torch.where(after >= 0, tensors.tau_min[after.clamp(min=0)], OPEN_END)
        low, high = tensors.tau_min[flat], tensors.tau_max[flat]
        return RowPlace(before < 0, after < 0, order.timed[flat], low, high, previous, following)


def _all_among(some: Tensor, every: Tensor) -> Tensor:
    """Which rows of numbers (rows, n), -1 for none, have all of them in the same row of others (rows, m); (rows,)."""
    return ((some < 0) | (some[:, :, None] == every[:, None]).any(-1)).all(-1)


def facts_of(rows: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The facts whose keys stand in rows of the store, -1 for none, and which rows are inverse keys."""
    return torch.where(rows < 0, rows, rows % n), rows >= n
