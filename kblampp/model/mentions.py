"""Which names a question mentions, letter by letter: what sentence vectors blur.

"K-40" and "K-40X", or a name and its neighbour in the alphabet, lie close together as sentence vectors.  The share of a
name's character trigrams that a question contains tells them apart, forgives a typing error, and says whether it names
a fact's tail, as "Was Oskar Lie keeper …?" does.  Subwords as features of names: Bojanowski et al. 2017, "Enriching
Word Vectors with Subword Information", section 3.2.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

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


@dataclass(frozen=True, eq=False)
class NameTable:
    """The trigrams of the names of a knowledge base, and of its relations' labels.

    Attributes:
        grams: (distinct names, MOST_GRAMS) int64 buckets, -1 after the last.
        heads: Row of each fact's head, (n,).
        tails: Row of each fact's tail, (n,).
        relations: Row of each fact's relation label, (n,).
    """

    grams: Tensor
    heads: Tensor
    tails: Tensor
    relations: Tensor

    @classmethod
    def of(cls, heads: Sequence[str], tails: Sequence[str], relations: Sequence[str], device: str = "cpu") -> NameTable:
        """From the names of the heads, tails and relations of n facts."""
        rows: dict[str, int] = {}
        places = [[rows.setdefault(name, len(rows)) for name in names] for names in (heads, tails, relations)]
        grams = torch.full((len(rows), MOST_GRAMS), -1)
        for name, row in rows.items():
            buckets = trigram_buckets(name)[:MOST_GRAMS]
            grams[row, : len(buckets)] = torch.tensor(buckets, dtype=torch.int64)
        return cls(grams.to(device), *(torch.tensor(place).to(device) for place in places))

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
