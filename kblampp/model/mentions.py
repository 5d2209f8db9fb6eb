"""Which names a question mentions, letter by letter: what sentence vectors blur.

"K-40" and "K-40X", or a name and its neighbour in the alphabet, lie close together as sentence vectors.  The share of a
name's character trigrams that a question contains tells them apart, forgives a typing error, and says whether it names
a fact's tail, as "Was Oskar Lie keeper …?" does.  Subwords as features of names: Bojanowski et al. 2017, "Enriching
Word Vectors with Subword Information", section 3.2.

A number is never mistyped: "Line 9" is not Line 7, much as the two have in common.  And a deputy mayor is no mayor.

People also shorten: "Lie", "Mr. Lie" or "Keeper Lie" for Oskar Lie, "Kvitnes" for Kvitnes Lighthouse.  A word that few
names have stands for the whole name, unless a word beside it makes it another one's: "Peter Lie", "Kvitnes Harbour".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kblampp.encoding.growing import Gathered, GrowingRows, Numbering, Readable, RowTensors, numbers_of
from kblampp.encoding.seats import Patched
from kblampp.model.text_hashes import (
    MOST_GRAMS,
    MOST_NAME_WORDS,
    OF_A_TYPING_ERROR,
    AskedWords,
    filler_hashes,
    has_digit,
    hash_of,
    idle_hashes,
    is_proper,
    name_words,
    padded,
    plain,
    rank_and_small_hashes,
    trigram_buckets,
)

_NUMBER = re.compile(r"[^\w]*(?:[^\W\d_]{1,3}[^\w]+)?\d")
"""A name that begins with a digit, after signs or at most three letters and a sign ("CHF 35")."""
_NUMBERINGS = (("name_digests.npy", "name_numbers.npy"), ("word_digests.npy", "word_numbers.npy"))
_NAME_ROWS = ("name_grams.npy", "name_hashes.npy", "name_words.npy", "name_proper.npy", "name_begins.npy")


@dataclass(frozen=True, eq=False)
class NameRows:
    """What is read from names one by one, kept while facts come and go: a name is looked at when it is first met.

    Attributes:
        names: A number for each name, which it keeps when no fact has it any more.
        words: A number for each plain word of a name.
        grams: A row a name: the buckets of its trigrams, -1 after the last.
        hashes: Those of its words and of their initials, -2 where none is.
        words_of: The numbers of its words, -1 after the last.
        proper: Which of its words can stand for it.
        numbers: Whether it begins with a number.
    """

    names: Numbering = field(default_factory=Numbering)
    words: Numbering = field(default_factory=Numbering)
    grams: GrowingRows = field(default_factory=lambda: GrowingRows.of_shape((MOST_GRAMS,), "int16"))
    hashes: GrowingRows = field(default_factory=lambda: GrowingRows.of_shape((2 * MOST_NAME_WORDS,), "int64"))
    words_of: GrowingRows = field(default_factory=lambda: GrowingRows.of_shape((MOST_NAME_WORDS,), "int32"))
    proper: GrowingRows = field(default_factory=lambda: GrowingRows.of_shape((MOST_NAME_WORDS,), "bool"))
    numbers: GrowingRows = field(default_factory=lambda: GrowingRows.of_shape((), "bool"))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> NameRows:
        """From what `arrays` gave, which is left where it is."""
        names, words = (Numbering(*(arrays[name] for name in pair)) for pair in _NUMBERINGS)
        return cls(names, words, *(GrowingRows(arrays[name]) for name in _NAME_ROWS))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it holds, by names of files."""
        found = dict(zip(_NUMBERINGS[0], self.names.arrays(), strict=True))
        found |= zip(_NUMBERINGS[1], self.words.arrays(), strict=True)
        rows = (self.grams, self.hashes, self.words_of, self.proper, self.numbers)
        return found | {name: part.whole() for name, part in zip(_NAME_ROWS, rows, strict=True)}

    def add(self, names: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of names (n,), which are looked at where they are new."""
        before = len(self.names)
        found = numbers_of(names, self.names)
        new = list(dict.fromkeys(name for name, number in zip(names, found, strict=True) if number >= before))
        words = [name_words(name) for name in new]
        hashes = [[(hash_of(word), -2 if has_digit(word) else hash_of(word[0])) for word in row] for row in words]
        self.grams.append(padded([trigram_buckets(name)[:MOST_GRAMS] for name in new], MOST_GRAMS, -1))
        self.hashes.append(padded([list(itertools.chain(*row)) for row in hashes], 2 * MOST_NAME_WORDS, -2))
        of_words = [[self.words[plain(word)] for word in row] for row in words]
        self.words_of.append(padded(of_words, MOST_NAME_WORDS, -1))
        self.proper.append(padded([[is_proper(word) for word in row] for row in words], MOST_NAME_WORDS, 0))
        self.numbers.append(np.array([_NUMBER.match(name) is not None for name in new], dtype=np.bool_))
        return found


@dataclass(frozen=True, eq=False)
class NameUses:
    """How the heads and tails of the facts of one state use names.

    Attributes:
        rows: Of the names of all states.
        uses: How many heads and tails have a name, by names.
        users: How many of the names that are used have a word, by words.
    """

    rows: NameRows
    uses: Patched
    users: Patched

    @classmethod
    def of(cls, rows: NameRows, names: NDArray[np.integer]) -> NameUses:
        """From the numbers of the names of all heads and tails."""
        uses = np.bincount(names, minlength=len(rows.names))
        made = cls(rows, Patched(uses), Patched(np.empty(0, dtype=np.int64)))
        words = made._distinct_words(np.flatnonzero(uses))
        return replace(made, users=Patched(np.bincount(words, minlength=max(1, len(rows.words)))))

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`uses` and `users` of all names and words that there are."""
        return self.uses.whole(len(self.rows.names)), self.users.whole(max(1, len(self.rows.words)))

    def moved(self, gone: NDArray[np.integer], fresh: NDArray[np.integer]) -> NameUses:
        """Those of another state.

        Args:
            gone: Names of heads and tails that it lacks, each as often as it lacks it.
            fresh: Those that are new in it.
        """
        touched, uses = _counted(self.uses, gone, fresh)
        was, is_now = self.uses.take(touched) > 0, uses.take(touched) > 0
        left, come = (self._distinct_words(touched[which]) for which in (was & ~is_now, is_now & ~was))
        return NameUses(self.rows, uses, _counted(self.users, left, come)[1])

    def _distinct_words(self, names: NDArray[np.integer]) -> NDArray[np.integer]:
        """The words of names, each once a name."""
        words = self.rows.words_of.take(names)
        first = np.array([(words[:, :place] != words[:, [place]]).all(1) for place in range(MOST_NAME_WORDS)]).T
        return np.asarray(words[first & (words >= 0)])

    def _hashes(self, names: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(self.uses.take(names)[..., None] > 0, self.rows.hashes.take(names), -2)

    def _shares(self, names: NDArray[np.int64]) -> NDArray[np.float32]:
        words = np.where(self.uses.take(names)[..., None] > 0, self.rows.words_of.take(names), -1)
        alone = self.rows.proper.take(names) / self.users.take(words.clip(min=0)).clip(min=1)
        shares = np.zeros((*names.shape, 2 * MOST_NAME_WORDS), dtype=np.float32)
        shares[..., ::2] = np.where(words >= 0, alone, 0)
        return shares

    def table(
        self,
        heads: Readable,
        tails: Readable,
        relations: Readable,
        device: str = "cpu",
    ) -> NameTable:
        """The table of the n facts of the state, which reads rows when they are asked for.

        Args:
            heads: Numbers of the names of their heads, (n,).
            tails: Those of their tails.
            relations: Those of their relations.
            device: Where the model computes.
        """
        return NameTable(
            RowTensors(self.rows.grams.take, device, torch.int64),
            RowTensors(self._hashes, device, torch.int64),
            RowTensors(self._shares, device, torch.float32),
            RowTensors(self.uses.take, device, torch.int64),
            RowTensors(self.rows.numbers.take, device, torch.bool),
            RowTensors(self.rows.hashes.take, device, torch.int64),
            RowTensors(self.rows.proper.take, device, torch.bool),
            *(RowTensors(column.__getitem__, device, torch.int64) for column in (heads, tails, relations)),
        )


def _counted(
    counts: Patched, gone: NDArray[np.integer], fresh: NDArray[np.integer]
) -> tuple[NDArray[np.integer], Patched]:
    """Which counts differ, and all of them, after each of `gone` is one less and each of `fresh` one more."""
    touched, numbers = np.unique(np.concatenate([gone, fresh]), return_inverse=True)
    signs = np.repeat([-1, 1], [len(gone), len(fresh)])
    more = np.zeros(len(touched), dtype=np.int64)
    np.add.at(more, numbers, signs)
    return touched, counts.with_rows(touched, counts.take(touched) + more)


@dataclass(frozen=True, eq=False)
class NameTable:
    """The trigrams and words of the names of a knowledge base, and of its relations' labels.

    Attributes:
        grams: (distinct names, MOST_GRAMS) int64 buckets, -1 after the last.
        words: (distinct names, 2 MOST_NAME_WORDS) int64 hashes of the words and of their initials, -2 where none is;
            a number has no initial: "Line 4" is not Line 42.
        shares: How surely each of the words alone means this name, one by the number of names that have it, of the
            shape of `words`; 0 for initials and for words that are no names.
        uses: How many heads and tails of facts have the name, (distinct names,).
        numbers: Which begin with a number (`_NUMBER`), as "1,200", "27 metres" and "€ 40" do, (distinct names,).
        label_words: As `words`, also of what no head or tail is called; read when they are asked for.
        proper: Which of the words kept of a name or label can be a name, (distinct names, MOST_NAME_WORDS).
        heads: Row of each fact's head, (n,).
        tails: Row of each fact's tail, (n,).
        relations: Row of each fact's relation label, (n,).
    """

    grams: Gathered
    words: Gathered
    shares: Gathered
    uses: Gathered
    numbers: Gathered
    label_words: Gathered
    proper: Gathered
    heads: Gathered
    tails: Gathered
    relations: Gathered

    @classmethod
    def of(cls, heads: Sequence[str], tails: Sequence[str], relations: Sequence[str], device: str = "cpu") -> NameTable:
        """From the names of the heads, tails and relations of n facts."""
        rows = NameRows()
        columns = rows.add(heads), rows.add(tails), rows.add(relations)
        table = NameUses.of(rows, np.concatenate(columns[:2])).table(*columns, device)
        every = torch.arange(len(rows.names), device=device)
        parts = {name: getattr(table, name)[every] for name in ("grams", "words", "shares", "uses", "numbers")}
        facts = torch.arange(len(columns[0]), device=device)
        parts |= {name: getattr(table, name)[facts] for name in ("heads", "tails", "relations")}
        return replace(table, **parts)

    def read_from(self, facts: Tensor, inverse: Tensor) -> Tensor:
        """The names, rows of the table, by which facts are found: their tails' where they are read from the tail."""
        return torch.where(inverse, self.tails[facts], self.heads[facts])

    def coverage(self, names: Tensor, mentioned: Tensor) -> Tensor:
        """How much of names (batch, n), rows of the table, questions contain, (batch, n) from 0 to 1.

        Args:
            names: Rows of the table.
            mentioned: `question_grams`, (batch, BUCKETS).
        """
        grams = self.grams[names]
        there = grams >= 0
        found = mentioned.gather(1, grams.clamp(min=0).flatten(1)).view_as(grams) & there
        return found.sum(-1) / there.sum(-1).clamp(min=1)

    def short_form(self, names: Tensor, asked: AskedWords, withheld: Tensor | None = None) -> Tensor:
        """How surely questions mean names (batch, n), rows of the table, by one word of them, (batch, n) from 0 to 1.

        Args:
            names: Rows of the table.
            asked: The questions' words.
            withheld: Facts that are as if deleted, and with the last of its facts a name, (batch, m); -1 pads.
        """
        if not asked.words.shape[1]:
            return torch.zeros(names.shape, device=names.device)
        words, shares = self.words[names], self.shares[names]
        if withheld is not None and withheld.shape[1]:
            gone = self._gone(withheld)
            theirs = self.words[gone.clamp(min=0)].masked_fill((gone < 0)[..., None], -3)[:, None, None]
            fewer = (words[..., None, None] == theirs).any(-1).sum(-1)  # names that had a word too
            shares = shares / torch.maximum(1 - fewer * shares, shares)  # one by those left, the name itself among them
        same = words[..., None] == asked.words[:, None, None]  # (batch, n, words of the name, of questions)
        own = same.any(-2)
        strange = nn.functional.pad(asked.strange[:, None] & ~own, (1, 1))
        beside = strange[..., :-2] | strange[..., 2:]
        sure = (same * shares[..., None]).amax(-2)
        return sure.masked_fill(beside, 0.0).amax(-1)

    def _gone(self, withheld: Tensor) -> Tensor:
        """The names, rows of the table, that no fact has but those withheld (batch, m), (batch, 2 m); -1 pads."""
        withheld = each_once(withheld)
        facts = withheld.clamp(min=0)
        rows = torch.cat([self.heads[facts], self.tails[facts]], dim=1)
        rows = rows.masked_fill((withheld < 0).repeat(1, 2), -1)
        count = (rows[:, :, None] == rows[:, None]).sum(-1)
        return each_once(rows.masked_fill(count < self.uses[rows.clamp(min=0)], -1))

    def other_number(self, names: Tensor, asked: AskedWords, beside: Tensor | None = None) -> Tensor:
        """Whether questions name what differs from names (batch, n), rows of the table, in a number; (batch, n).

        It does where a number of the name is not in the question, and one that the name lacks stands there beside a
        word of it; none of the names `beside` it, (batch, n).
        """
        if not asked.every.shape[1]:
            return torch.zeros(names.shape, dtype=torch.bool, device=names.device)
        every = self.words[names]
        words, initials = every[..., ::2], every[..., 1::2]
        same = words[..., None] == asked.every[:, None, None]  # (batch, n, words of the name, of questions)
        missing = ((words >= 0) & (initials < 0) & ~same.any(-1)).any(-1)
        own = same.any(-2)
        around = nn.functional.pad(own, (1, 1))
        strange = asked.numbers[:, None] & ~own & (around[..., :-2] | around[..., 2:])
        if beside is not None:
            others = self.label_words[beside][..., ::2]
            strange &= ~(others[..., None] == asked.every[:, None, None]).any(-2)
        found: Tensor = missing & strange.any(-1)
        return found

    def other_word(self, names: Tensor, asked: AskedWords, beside: Tensor | None = None) -> Tensor:
        """Whether questions name what differs from names (batch, n), rows of the table, in a word; (batch, n).

        It does where all words of the name but one stand there one after the other, and in the place of that one a
        capitalised word that no typing error of one letter makes of it, which does not belong to a longer name:
        "Velmont Hall" is not Valmar Hall.  Labels are compared `beside` the names of their facts (batch, n, k): in the
        place of one of their capitalised words there must be none of a name's.
        """
        found = torch.zeros(names.shape, dtype=torch.bool, device=names.device)
        if not asked.untimed.shape[1]:
            return found
        words, n = self.label_words[names][..., ::2], asked.untimed.shape[1]
        same = nn.functional.pad(words[..., None] == asked.untimed[:, None, None], (0, MOST_NAME_WORDS))
        missing = ~same.any(-1, keepdim=True)  # wherever it may stand
        begins = range(MOST_NAME_WORDS)  # of a word of the name, how far after its first one
        same = torch.stack([same[..., place, place : place + n] for place in begins], dim=2)
        strange = nn.functional.pad(asked.strange, (1, MOST_NAME_WORDS))
        capital = torch.stack([strange[:, place + 1 : place + 1 + n] for place in begins], dim=1)[:, None]
        length = (words >= 0).sum(-1)
        differs = (words >= 0)[..., None] & ~same  # (batch, n, words of the name, where it would begin)
        behind = capital.expand_as(same).gather(
            2, length.clamp(max=MOST_NAME_WORDS - 1)[..., None, None].expand(-1, -1, 1, n)
        )
        longer = strange[:, None, :n] | (behind[:, :, 0] & (length < MOST_NAME_WORDS)[..., None])
        one = (differs.sum(2) == 1) & (length > 1)[..., None] & ~longer
        row, column, place, begin = (differs & missing & capital & one[:, :, None]).nonzero(as_tuple=True)  # few
        theirs, grams = asked.grams[row, begin + place], self.grams[names[row, column]]
        lacking = (theirs >= 0) & ~(theirs[..., None] == grams[:, None]).any(-1)
        other = lacking.sum(-1) > OF_A_TYPING_ERROR
        if beside is not None:
            known = self.label_words[beside[row, column]][..., ::2].flatten(1)
            other &= ~(known == asked.untimed[row, begin + place][:, None]).any(-1)
            other &= self.proper[names[row, column]].gather(-1, place[:, None])[:, 0]
        found[row[other], column[other]] = True
        return found

    def holds(self, names: Tensor, parts: Tensor) -> Tensor:
        """Which names (...), rows of the table, have all words of others (...), (...)."""
        theirs, own = (self.label_words[rows][..., ::2] for rows in (names, parts))
        found: Tensor = ((own[..., None] == theirs[..., None, :]).any(-1) | (own < 0)).all(-1)
        return found

    def in_longer(self, names: Tensor, whole: Tensor, asked: AskedWords) -> Tensor:
        """Which names (batch, n), rows of the table, questions contain only as a part of a longer one; (batch, n).

        "Storvik" is not named by "Who built Storvik Church?", if there is a Storvik Church; it is by "Is Storvik Church
        in Storvik?".

        Args:
            names: Rows of the table.
            whole: Which of them questions contain in full, (batch, n).
            asked: The questions' words.
        """
        row, column = whole.nonzero(as_tuple=True)  # few
        own = self.label_words[names[row, column]][..., ::2]
        length = (own >= 0).sum(-1)
        spelled = ((own[..., None] == asked.every[row][:, None]).any(-1) | (own < 0)).all(-1)  # "4.0.0" is not 4.0
        longer = (row[:, None] == row) & (length[:, None] < length) & spelled
        short, long = longer.nonzero(as_tuple=True)
        one, other = own[short], own[long]
        there, within = ((one[..., None] == texts[:, None]).sum(-1) for texts in (asked.every[row[short]], other))
        inside = ((within > 0) | (one < 0)).all(-1) & ((within >= there) & (one >= 0)).any(-1)
        found = torch.zeros_like(whole)
        found[row[short[inside]], column[short[inside]]] = True
        return found

    def other_rank(self, labels: Tensor, asked: AskedWords) -> Tensor:
        """Whether questions ask for another rank than labels (batch, n), rows of the table, are about; (batch, n).

        They do where one of `RANKS` stands before a word of the label, which lacks it, or where the label has one and
        the question all its other words alone: a deputy director is no director.
        """
        if not asked.every.shape[1]:
            return torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
        words = self.label_words[labels][..., ::2]
        ranks, small = (hashes.to(labels.device) for hashes in rank_and_small_hashes())
        same = words[..., None] == asked.every[:, None, None]  # (batch, n, words of the label, of questions)
        own, said = same.any(-2), same.any(-1)
        after = nn.functional.pad(own & ~torch.isin(asked.every, small)[:, None], (0, 2))  # "of" is no role
        strange = torch.isin(asked.every, ranks)[:, None] & ~own & (after[..., 1:-1] | after[..., 2:])
        of_label = torch.isin(words, ranks)
        whole = (said | of_label | (words < 0)).all(-1) & (said & ~of_label).any(-1)
        found: Tensor = strange.any(-1) | (whole & (of_label & ~said).any(-1))
        return found

    def nothing_left(self, names: Tensor, labels: Tensor, asked: AskedWords) -> Tensor:
        """Whether questions ask for no more than labels (batch,) of names (batch,), both rows of the table; (batch,).

        All words of the label are there, each once, and beside them and those of the name only `FILLERS` and times.
        """
        if not asked.untimed.shape[1]:
            return torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
        of_name, of_label = self.words[names][..., ::2], self.label_words[labels][..., ::2]
        same = of_label[..., None] == asked.untimed[:, None]  # (batch, words of the label, of questions)
        fillers = filler_hashes().to(labels.device)
        once = torch.where(torch.isin(of_label, fillers), same.any(-1), same.sum(-1) == 1)  # twice asks for two of them
        whole = (once | (of_label < 0)).all(-1) & (of_label >= 0).any(-1)
        named = (of_name[..., None] == asked.untimed[:, None]).any(-2)
        idle = torch.isin(asked.untimed, fillers) | (asked.untimed < 0)
        found: Tensor = whole & (same.any(-2) | named | idle).all(-1)
        return found

    def asks_for_both(self, names: Tensor, known: Tensor, labels: Tensor, asked: AskedWords) -> Tensor:
        """Whether questions spell labels (batch,), and beside them and names (batch,) ask for something else; (batch,).

        All words of the label that ask for something are there, one of them in nothing that is `known` (batch, k).  All
        are rows of the table.
        """
        if not asked.untimed.shape[1]:
            return torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
        idle_words = idle_hashes().to(labels.device)
        of_label = self.label_words[labels][..., ::2]
        asks = (of_label >= 0) & ~torch.isin(of_label, idle_words)
        same = of_label[..., None] == asked.untimed[:, None]  # (batch, words of the label, of questions)
        of_name, of_known = (
            (self.label_words[rows][..., ::2].flatten(1)[..., None] == asked.untimed[:, None]).any(-2)
            for rows in (names[:, None], known)
        )
        fresh = (asked.untimed >= 0) & ~torch.isin(asked.untimed, idle_words) & ~of_name
        own = (same & asks[..., None]).any(-2)
        whole = (same.any(-1) | ~asks).all(-1) & asks.any(-1)
        found: Tensor = whole & (fresh & own & ~of_known).any(-1) & (fresh & ~own).any(-1)
        return found

    def mention(self, names: Tensor, grams: Tensor, asked: AskedWords, withheld: Tensor | None = None) -> Tensor:
        """How much of names (batch, n), rows of the table, questions contain, as it stands or shortened; (batch, n)."""
        return torch.maximum(self.coverage(names, grams), self.short_form(names, asked, withheld))


def each_once(numbers: Tensor) -> Tensor:
    """Numbers (batch, m) with -1 in the place of each that has stood before in its row."""
    same = numbers[:, :, None] == numbers[:, None]
    return numbers.masked_fill((same & torch.ones_like(same[0]).tril(-1)).any(-1), -1)
