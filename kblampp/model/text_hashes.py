"""Texts as numbers: the words and trigrams of names and questions, told apart by hashes."""

from __future__ import annotations

import itertools
import re
import unicodedata
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kblampp.data.forms_of_address import FORMS_OF_ADDRESS
from kblampp.time_expressions.parse import without_time

UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana and Han."""
_LETTERS = rf"[^\W_{UNSPACED}]+"
WORD = re.compile(rf"{_LETTERS}(?:(?<=\d)[.,](?=\d){_LETTERS})*|[{UNSPACED}]")
"""A word; where nothing shows its ends, each letter, so that a name is found in the middle of a sentence too.  A number
with a point or comma is one: "4.50" does not contain 4."""
PIECE = re.compile(rf"{_LETTERS}|[{UNSPACED}]")
"""What the question's reader takes for a word: the numbers of questions are countless, their parts are not."""
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
_OPENERS = (
    "who whom whose what which when where why how was were are did does has have had name list give tell all the and "
    "for from with under since until before after during between into"
)
_FILLERS = (
    "the it its for with and or who whom what which whose is are was were be been did do does "
    "has have had ever there that this please name tell me first last current currently now nowadays today present s"
)
_LIGHT = "can could you me come comes came live lives lived lie lies located called known give find get"
RANKS = ("deputy", "vice", "assistant", "associate", "trainee")
"""Words that make a role another one, of other people."""
SMALL = ("a", "an", "at", "by", "in", "of", "on", "to")
FILLERS = frozenset((*SMALL, *_FILLERS.split()))
"""Words that ask for nothing beside a name and a relation."""
_ONE_WITH_ACCENT = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "þ": "th", "æ": "ae", "œ": "oe"}
)
"""Letters that Unicode does not take apart, in lower case, as people write them who lack them."""
NO_NAMES = frozenset(_OPENERS.split())
"""Words that begin questions: "What" does not mean What Lies Beneath."""
IDLE = FILLERS | NO_NAMES | frozenset(_LIGHT.split())
"""Words by which a question asks for no relation: verbs that say little, too."""


class AskedWords(NamedTuple):
    """The words of questions, in their order and without those that name a time.

    Attributes:
        words: Hashes of those that can be part of a name, (batch, most words) int64, -1 for others: in a question with
            capital letters, words that have none.
        strange: Which of them make another name of a name beside them, of the same shape: capitalised words, but no
            form of address, and numbers.
        every: Hashes of all words, those of times too, (batch, most words of all) int64, -1 after the last.
        numbers: Which of them have a digit, as "7" and "N40", and may be part of a name, of the shape of `every`: not
            "2012" in "in 2012", but in "the Vero 2012".
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
    of_words = [padded([*row, *[[]] * (most - len(row))], MOST_WORD_GRAMS, -1) for row in grams]
    return AskedWords(
        _filled(words, -1),
        _filled(strange, 0).bool(),
        _filled(every, -1),
        _filled(numbers, 0).bool(),
        _filled(untimed, -1),
        torch.from_numpy(np.stack(of_words)) if of_words else torch.zeros((0, 0, MOST_WORD_GRAMS), dtype=torch.int64),
    )


def _filled(rows: Sequence[Sequence[int]], pad: int) -> Tensor:
    return torch.from_numpy(padded(rows, max(map(len, rows), default=0), pad))


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
        number = has_digit(word)
        if number or not (cased and word[0].islower()):
            hashes[place] = hash_of(word)
        title = plain(word) in FORMS_OF_ADDRESS
        strange[place] = number or (cased and place > 0 and word[0].isupper() and not title)
    numbers = [has_digit(word) for word in every]
    for place, word in enumerate(every):
        if numbers[place] and word not in untimed:
            numbers[place] = place > 1 and is_proper(every[place - 1])
    grams = [trigram_buckets(word)[:MOST_WORD_GRAMS] for word in words]
    return hashes, strange, [hash_of(word) for word in every], numbers, [hash_of(word) for word in words], grams


def name_words(name: str) -> list[str]:
    """The words that are kept of a name."""
    return _words(name)[:MOST_NAME_WORDS]


def _words(text: str) -> list[str]:
    """As they are written, but that letter and accent are one character: else the accent would end a word."""
    return WORD.findall(unicodedata.normalize("NFC", text))


def is_proper(word: str) -> bool:
    """Whether a word of a name can stand for it: no small word, no number."""
    written = len(word) >= LEAST_LETTERS and not word[0].islower() and any(letter.isalpha() for letter in word)
    return written and plain(word) not in NO_NAMES


def has_digit(word: str) -> bool:
    """Whether a word is a number or holds one."""
    return any(letter.isdigit() for letter in word)


def hash_of(word: str) -> int:
    """The number of a word, whatever its case and accents."""
    return zlib.crc32(plain(word).encode())


@lru_cache(maxsize=1)
def rank_and_small_hashes() -> tuple[Tensor, Tensor]:
    """Those of `RANKS`, and of the words that are no part of a role."""
    ranks, small = (torch.tensor([hash_of(word) for word in words]) for words in (RANKS, sorted({*NO_NAMES, *SMALL})))
    return ranks, small


@lru_cache(maxsize=1)
def idle_hashes() -> Tensor:
    """Those of `IDLE`."""
    return torch.tensor([hash_of(word) for word in sorted(IDLE)])


@lru_cache(maxsize=1)
def filler_hashes() -> Tensor:
    """Those of `FILLERS`."""
    return torch.tensor([hash_of(word) for word in sorted(FILLERS)])


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
    words = ["", *PIECE.findall(plain(without_time(question))), ""]
    features = [*words[1:-1], *(f"{first} {second}" for first, second in itertools.pairwise(words))]
    return [zlib.crc32(feature.encode()) % WORD_BUCKETS for feature in features]


@lru_cache(maxsize=KEPT)
def trigram_buckets(text: str) -> list[int]:
    """The buckets of a text's distinct trigrams, in the order in which they stand."""
    words = f" {' '.join(WORD.findall(plain(text)))} "
    grams = dict.fromkeys(words[place : place + N_GRAM] for place in range(len(words) - N_GRAM + 1))
    return list(dict.fromkeys(zlib.crc32(gram.encode()) % BUCKETS for gram in grams))


def plain(text: str) -> str:
    """In lower case and without accents; letters that are one with theirs, as "ł", in those of a plain keyboard."""
    letters = unicodedata.normalize("NFKD", text.casefold()).translate(_ONE_WITH_ACCENT)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def padded(rows: Sequence[Sequence[int]], width: int, pad: int) -> NDArray[np.int64]:
    """Rows of integers, filled up to one width."""
    found = np.full((len(rows), width), pad, dtype=np.int64)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found
