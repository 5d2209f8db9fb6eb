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
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kblampp.data.forms_of_address import FORMS_OF_ADDRESS
from kblampp.encoding.growing import Gathered, GrowingRows, Numbering, Readable, RowTensors, numbers_of
from kblampp.encoding.seats import Patched
from kblampp.time_expressions.parse import without_time

UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana and Han."""
WORD = re.compile(rf"[^\W_{UNSPACED}]+|[{UNSPACED}]")
"""A word; where nothing shows its ends, each letter, so that a name is found in the middle of a sentence too."""
N_GRAM = 3
BUCKETS = 1 << 14
"""Trigrams are numbered by hash; a question has some fifty, so that one in 300 foreign ones collides."""
WORD_BUCKETS = 1 << 13
"""Words and pairs of words are numbered by hash too."""
KEPT = 1 << 16
"""Texts whose buckets are remembered: a training reads each of its questions again in every epoch."""
MOST_GRAMS = 48
"""Trigrams that are kept of a long name, from its start: more are not needed to know it again."""
MOST_NAME_WORDS, MOST_ASKED_WORDS, MOST_WORD_GRAMS = 8, 48, 24
"""Words that are kept of a name and of a question, from its start, where short forms of names are looked for; trigrams
of such a word."""
OF_A_TYPING_ERROR = 4
"""Most trigrams of a word, its ends included, that a wrong, missing or added letter or two exchanged ones change."""
LEAST_LETTERS = 3
"""Of a word that can stand for a name."""
_NUMBER = re.compile(r"[^\w]*(?:[^\W\d_]{1,3}[^\w]+)?\d")
"""A name that begins with a digit, after signs or at most three letters and a sign ("CHF 35")."""
_OPENERS = (
    "who whom whose what which when where why how was were are did does has have had name list give tell all the and "
    "for from with under since until before after during between into"
)
_FILLERS = (
    "the it its for with and or who whom what which whose is are was were be been did do does "
    "has have had ever there that this please name tell me first last current currently now nowadays today present s"
)
_NUMBERINGS = (("name_digests.npy", "name_numbers.npy"), ("word_digests.npy", "word_numbers.npy"))
_NAME_ROWS = ("name_grams.npy", "name_hashes.npy", "name_words.npy", "name_proper.npy", "name_begins.npy")
RANKS = ("deputy", "vice", "assistant", "associate", "trainee")
"""Words that make a role another one, of other people."""
SMALL = ("a", "an", "at", "by", "in", "of", "on", "to")
FILLERS = frozenset((*SMALL, *_FILLERS.split()))
"""Words that ask for nothing beside a name and a relation."""
NO_NAMES = frozenset(_OPENERS.split())
"""Words that begin questions: "What" does not mean What Lies Beneath."""


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
        words = [_name_words(name) for name in new]
        hashes = [[(_hash(word), _hash(word[0]) if word[0].isalpha() else -2) for word in row] for row in words]
        self.grams.append(_padded([trigram_buckets(name)[:MOST_GRAMS] for name in new], MOST_GRAMS, -1))
        self.hashes.append(_padded([list(itertools.chain(*row)) for row in hashes], 2 * MOST_NAME_WORDS, -2))
        of_words = [[self.words[_plain(word)] for word in row] for row in words]
        self.words_of.append(_padded(of_words, MOST_NAME_WORDS, -1))
        self.proper.append(_padded([[_is_proper(word) for word in row] for row in words], MOST_NAME_WORDS, 0))
        self.numbers.append(np.array([_NUMBER.match(name) is not None for name in new], dtype=np.bool_))
        return found


def _padded(rows: Sequence[Sequence[int]], width: int, pad: int) -> NDArray[np.int64]:
    """Rows of integers, filled up to one width."""
    found = np.full((len(rows), width), pad, dtype=np.int64)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
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

    def other_number(self, names: Tensor, asked: AskedWords) -> Tensor:
        """Whether questions name what differs from names (batch, n), rows of the table, in a number; (batch, n).

        It does where a number of the name is not in the question, and one that the name lacks stands there beside a
        word of it.
        """
        if not asked.every.shape[1]:
            return torch.zeros(names.shape, dtype=torch.bool, device=names.device)
        every = self.words[names]
        words, initials = every[..., ::2], every[..., 1::2]
        same = words[..., None] == asked.every[:, None, None]  # (batch, n, words of the name, of questions)
        missing = ((words >= 0) & (initials < 0) & ~same.any(-1)).any(-1)
        own = same.any(-2)
        beside = nn.functional.pad(own, (1, 1))
        strange = asked.numbers[:, None] & ~own & (beside[..., :-2] | beside[..., 2:])
        found: Tensor = missing & strange.any(-1)
        return found

    def other_word(self, names: Tensor, asked: AskedWords) -> Tensor:
        """Whether questions name what differs from names (batch, n), rows of the table, in a word; (batch, n).

        It does where all words of the name but one stand there one after the other, and in the place of that one a
        capitalised word that no typing error of one letter makes of it, which does not belong to a longer name:
        "Velmont Hall" is not Valmar Hall.
        """
        found = torch.zeros(names.shape, dtype=torch.bool, device=names.device)
        if not asked.untimed.shape[1]:
            return found
        words, n = self.words[names][..., ::2], asked.untimed.shape[1]
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
        found[row[other], column[other]] = True
        return found

    def other_rank(self, labels: Tensor, asked: AskedWords) -> Tensor:
        """Whether questions ask for another rank than labels (batch, n), rows of the table, are about; (batch, n).

        They do where one of `RANKS` stands before a word of the label, which lacks it, or where the label has one and
        the question all its other words alone: a deputy director is no director.
        """
        if not asked.every.shape[1]:
            return torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
        words = self.label_words[labels][..., ::2]
        ranks, small = (hashes.to(labels.device) for hashes in _rank_and_small_hashes())
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
        fillers = _filler_hashes().to(labels.device)
        once = torch.where(torch.isin(of_label, fillers), same.any(-1), same.sum(-1) == 1)  # twice asks for two of them
        whole = (once | (of_label < 0)).all(-1) & (of_label >= 0).any(-1)
        named = (of_name[..., None] == asked.untimed[:, None]).any(-2)
        idle = torch.isin(asked.untimed, fillers) | (asked.untimed < 0)
        found: Tensor = whole & (same.any(-2) | named | idle).all(-1)
        return found

    def mention(self, names: Tensor, grams: Tensor, asked: AskedWords, withheld: Tensor | None = None) -> Tensor:
        """How much of names (batch, n), rows of the table, questions contain, as it stands or shortened; (batch, n)."""
        return torch.maximum(self.coverage(names, grams), self.short_form(names, asked, withheld))


def each_once(numbers: Tensor) -> Tensor:
    """Numbers (batch, m) with -1 in the place of each that has stood before in its row."""
    same = numbers[:, :, None] == numbers[:, None]
    return numbers.masked_fill((same & torch.ones_like(same[0]).tril(-1)).any(-1), -1)


class AskedWords(NamedTuple):
    """The words of questions, in their order and without those that name a time.

    Attributes:
        words: Hashes of those that can be part of a name, (batch, most words) int64, -1 for others: in a question with
            capital letters, words that have none.
        strange: Which of them make another name of a name beside them, of the same shape: capitalised words, but no
            form of address, and numbers.
        every: Hashes of all words, those of times too, (batch, most words of all) int64, -1 after the last.
        numbers: Which of them begin with a digit and may be part of a name, of the shape of `every`: not "2012" in "in
            2012", but in "the Vero 2012".
        untimed: Hashes of all words but those that name a time, of the shape of `words`, -1 after the last.
        grams: The buckets of their trigrams, (batch, most words, MOST_WORD_GRAMS), -1 after the last.
    """

    words: Tensor
    strange: Tensor
    every: Tensor
    numbers: Tensor
    untimed: Tensor
    grams: Tensor


def asked_words(questions: Sequence[str]) -> AskedWords:
    """The words of questions (n,)."""
    made = [_asked_words(question) for question in questions]
    words, strange, every, numbers, untimed, grams = zip(*made, strict=True) if made else ((), (), (), (), (), ())
    most = max(map(len, untimed), default=0)
    of_words = [_padded([*row, *[[]] * (most - len(row))], MOST_WORD_GRAMS, -1) for row in grams]
    return AskedWords(
        _filled(words, -1),
        _filled(strange, 0).bool(),
        _filled(every, -1),
        _filled(numbers, 0).bool(),
        _filled(untimed, -1),
        torch.from_numpy(np.stack(of_words)) if of_words else torch.zeros((0, 0, MOST_WORD_GRAMS), dtype=torch.int64),
    )


def _filled(rows: Sequence[Sequence[int]], pad: int) -> Tensor:
    return torch.from_numpy(_padded(rows, max(map(len, rows), default=0), pad))


@lru_cache(maxsize=KEPT)
def _asked_words(
    question: str,
) -> tuple[list[int], list[bool], list[int], list[bool], list[int], list[list[int]]]:
    every, untimed = _words(question)[:MOST_ASKED_WORDS], _words(without_time(question))
    words = untimed[:MOST_ASKED_WORDS]
    written = "".join(words[1:])
    cased = written != written.lower() and written != written.upper()
    hashes, strange = [-1] * len(words), [False] * len(words)
    for place, word in enumerate(words):
        number = any(letter.isdigit() for letter in word)
        if number or not (cased and word[0].islower()):
            hashes[place] = _hash(word)
        title = _plain(word) in FORMS_OF_ADDRESS
        strange[place] = number or (cased and place > 0 and word[0].isupper() and not title)
    numbers = [word[0].isdigit() for word in every]
    for place, word in enumerate(every):
        if numbers[place] and word not in untimed:
            numbers[place] = place > 1 and _is_proper(every[place - 1])
    grams = [trigram_buckets(word)[:MOST_WORD_GRAMS] for word in words]
    return hashes, strange, [_hash(word) for word in every], numbers, [_hash(word) for word in words], grams


def _name_words(name: str) -> list[str]:
    return _words(name)[:MOST_NAME_WORDS]


def _words(text: str) -> list[str]:
    """As they are written, but that letter and accent are one character: else the accent would end a word."""
    return WORD.findall(unicodedata.normalize("NFC", text))


def _is_proper(word: str) -> bool:
    """Whether a word of a name can stand for it: no small word, no number."""
    written = len(word) >= LEAST_LETTERS and not word[0].islower() and any(letter.isalpha() for letter in word)
    return written and _plain(word) not in NO_NAMES


def _hash(word: str) -> int:
    return zlib.crc32(_plain(word).encode())


@lru_cache(maxsize=1)
def _rank_and_small_hashes() -> tuple[Tensor, Tensor]:
    ranks, small = (torch.tensor([_hash(word) for word in words]) for words in (RANKS, sorted({*NO_NAMES, *SMALL})))
    return ranks, small


@lru_cache(maxsize=1)
def _filler_hashes() -> Tensor:
    return torch.tensor([_hash(word) for word in sorted(FILLERS)])


def question_grams(questions: Sequence[str]) -> Tensor:
    """Which trigrams questions (n,) contain, (n, BUCKETS) boolean."""
    mentioned = torch.zeros((len(questions), BUCKETS), dtype=torch.bool)
    for row, question in enumerate(questions):
        mentioned[row, trigram_buckets(question)] = True
    return mentioned


def question_words(questions: Sequence[str]) -> Tensor:
    """Which words and pairs of neighbours questions (n,) contain, (n, WORD_BUCKETS) boolean.

    Without the words that name a time: whether there is one is told beside them.  Source: Joulin et al. 2017, "Bag of
    Tricks for Efficient Text Classification", section 2.
    """
    there = torch.zeros((len(questions), WORD_BUCKETS), dtype=torch.bool)
    for row, question in enumerate(questions):
        there[row, _word_buckets(question)] = True
    return there


@lru_cache(maxsize=KEPT)
def _word_buckets(question: str) -> list[int]:
    words = ["", *WORD.findall(_plain(without_time(question))), ""]
    features = [*words[1:-1], *(f"{first} {second}" for first, second in itertools.pairwise(words))]
    return [zlib.crc32(feature.encode()) % WORD_BUCKETS for feature in features]


@lru_cache(maxsize=KEPT)
def trigram_buckets(text: str) -> list[int]:
    """The buckets of a text's distinct trigrams, in the order in which they stand."""
    words = f" {' '.join(WORD.findall(_plain(text)))} "
    grams = dict.fromkeys(words[place : place + N_GRAM] for place in range(len(words) - N_GRAM + 1))
    return list(dict.fromkeys(zlib.crc32(gram.encode()) % BUCKETS for gram in grams))


def _plain(text: str) -> str:
    """In lower case and without accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
