"""What one call of the model reads: a knowledge base (store, index, names) and the questions put to it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kblampp.core.errors import DataError, ParamsError
from kblampp.data.facts import Question
from kblampp.data.windows import UNKNOWN, Window, window_bounds
from kblampp.encoding.encoded_facts import EncodedFacts, StoreTensors
from kblampp.encoding.store import KBValueStore
from kblampp.index.knowledge_index import KnowledgeIndex, SearchIndex
from kblampp.model.cues import cues_of
from kblampp.model.ego_graph import FactGraph
from kblampp.model.fact_order import FactOrder
from kblampp.model.mentions import NameTable
from kblampp.model.onward import FactsByHead
from kblampp.model.text_hashes import AskedWords, asked_words, question_grams, question_words


@dataclass(frozen=True)
class EncodedBase:
    """A knowledge base as a model reads it.

    Attributes:
        store: Keys, values, context vectors, windows and the facts themselves.
        index: Nearest-neighbour search over the store's keys.
        device: Where the model computes.
    """

    store: EncodedFacts
    index: SearchIndex
    device: str = "cpu"

    @cached_property
    def tensors(self) -> StoreTensors:
        """The store's arrays as float32 tensors on the device."""
        return self.store.tensors(self.device)

    @cached_property
    def names(self) -> NameTable:
        """The trigrams of its names."""
        facts = self.store.facts
        heads, tails = [fact.head.name for fact in facts], [fact.tail.name for fact in facts]
        return NameTable.of(heads, tails, [fact.relation.name for fact in facts], self.device)

    @cached_property
    def by_head(self) -> FactsByHead:
        """The facts about each entity."""
        return FactsByHead.of(self.store, self.device)

    @cached_property
    def order(self) -> FactOrder:
        """Which facts stand in a row in time."""
        return FactOrder.of(self.store, self.device)

    @cached_property
    def graph(self) -> FactGraph:
        """Which facts go on from which."""
        return FactGraph.of(self.store, self.device)


@dataclass(frozen=True)
class StoredBase(EncodedBase):
    """One that lies on disk as the pipeline's stages write it, checked.

    Attributes:
        store: The store, with the vectors of its questions.
    """

    store: KBValueStore

    @classmethod
    def load(
        cls,
        store: Path,
        index: Path,
        *,
        projection_fingerprint: str | None = None,
        device: str = "cpu",
    ) -> StoredBase:
        """Opens store and index.

        Raises:
            StoreError: Store or index is missing or damaged, or they do not belong together.
        """
        opened = KBValueStore.load(store, projection_fingerprint)
        return cls(opened, KnowledgeIndex.load(index, opened), device)


@dataclass(frozen=True)
class SelectorOptions:
    """How facts are selected in a call; the switches are what ablations turn off.

    `top_k` has no default here: `selector.top_k` in params.yaml is the one.  The other numbers default to what changes
    nothing.

    Attributes:
        top_k: Facts weighed a question; 0 switches knowledge off altogether.
        gamma: Weight of the context score.
        eta: Weight of the time score; 0 also stops facts outside the question's window from giving way.
        temperature: Of the softmax over facts and null.
        over_fetch: Candidates fetched from the index before `top_k` of them are kept; at least `top_k` are.
        copy_head: Whether answers may be copied from tails.
        hop: Whether later layers go on from the fact of the layer before.
        question_vector: Whether the query reads the question's sentence vector.
        hidden_query: Whether the query reads the hidden state.
        null_fact: Whether the null fact competes.
        ego_graph: Whether the facts around the selected ones are read, by a model that was made for it.
        names: Whether names are compared letter by letter.
        answer_kinds: Whether an answer has to be of the kind that is asked for (`answer_kinds`).
        time_order: Whether a fact's place among those of its head and relation, by time, counts (`TimeScorer.order`).
        forms: Whether facts are read as the question asks (dates, lists, numbers, yes or no); else each as its tail or,
            read from its tail, as its head.
        as_of: The day of asking, which "now" means, as a day number.
    """

    top_k: int
    gamma: float = 1.0
    eta: float = 1.0
    temperature: float = 1.0
    over_fetch: int = 0
    copy_head: bool = True
    hop: bool = True
    question_vector: bool = True
    hidden_query: bool = True
    null_fact: bool = True
    ego_graph: bool = True
    names: bool = True
    answer_kinds: bool = True
    time_order: bool = True
    forms: bool = True
    as_of: int = field(default_factory=lambda: datetime.date.today().toordinal())

    def check(self, n_facts: int, kb: str, *, least: int = 0) -> None:
        """Refuses a `top_k` that a knowledge base cannot fill, or with which a piece of work has nothing to show.

        The model asks in each call.  What takes long asks about all of its bases before it starts.

        Args:
            n_facts: Size of the base.
            kb: Its name.
            least: The smallest `top_k` of use: 1 where answers must have evidence.

        Raises:
            ParamsError: `top_k` is larger than the base, or too small.
        """
        if self.top_k < least:
            raise ParamsError(
                f"selector.top_k is {self.top_k}, so no answer has evidence; set selector.top_k to at least {least}"
            )
        if self.top_k > n_facts:
            raise ParamsError(
                f"selector.top_k is {self.top_k}, but knowledge base {kb} has {n_facts} facts; "
                f"set selector.top_k to at most {n_facts}"
            )


@dataclass(frozen=True)
class Questions:
    """A batch of questions as the selector sees them.

    Attributes:
        vectors: Sentence vectors, (batch, d_sentence); a zero row for a question that is read by its words alone.
        windows: Question windows, (batch, 2) int64 days with the sentinels of `windows`.
        grams: Which trigrams their words contain, (batch, BUCKETS) boolean (`mentions`).
        words: Which words and pairs of words they are made of, (batch, WORD_BUCKETS) boolean (`mentions`).
        in_order: Their words as they follow one another.
        cues: Which of `cues.CUES` they contain, (batch, cues) boolean.
    """

    vectors: Tensor
    windows: Tensor
    grams: Tensor
    words: Tensor
    in_order: AskedWords
    cues: Tensor

    @classmethod
    def make(
        cls,
        vectors: npt.NDArray[np.floating] | Tensor,
        windows: Sequence[Window | None],
        texts: Sequence[str],
        device: str = "cpu",
    ) -> Questions:
        """From sentence vectors (batch, d_sentence), windows, None where a question has none, and the words asked."""
        low, high = window_bounds([window or UNKNOWN for window in windows])
        bounds = torch.from_numpy(np.stack([low, high], axis=1).astype(np.int64))
        rows = torch.as_tensor(vectors, dtype=torch.float32)
        words = question_grams(texts), question_words(texts), asked_words(texts), cues_of(texts)
        return cls(rows, bounds, *words).to(device)

    @classmethod
    def nothing(cls, rows: int, d_sentence: int, device: str = "cpu") -> Questions:
        """Rows that ask nothing: in free text the backbone goes on as it does by itself, with the base at hand."""
        return cls.make(torch.zeros(rows, d_sentence), [None] * rows, [""] * rows, device)

    @property
    def asks(self) -> Tensor:
        """Which rows ask anything, (batch,) boolean: those with a sentence vector or with words."""
        return self.vectors.any(-1) | self.grams.any(-1)

    def to(self, device: str) -> Questions:
        """The questions on a device."""
        return self._each(lambda part: part.to(device))

    def part(self, places: list[int]) -> Questions:
        """Those at `places`, in this order."""
        return self._each(lambda part: part[places])

    def expand(self, rows: int) -> Questions:
        """Repeats each question so that there are `rows` of them, as `generate` does for beams and return sequences.

        Raises:
            DataError: `rows` is no multiple of the number of questions.
        """
        times, rest = divmod(rows, len(self.vectors))
        if rest or not times:
            raise DataError(
                f"a batch of {rows} rows cannot read for {len(self.vectors)} questions; "
                "give one question a row, as many vectors and windows as prompts"
            )
        if times == 1:
            return self
        return self._each(lambda part: part.repeat_interleave(times, 0))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Questions:
        vectors, windows, grams, words, cues = map(
            change, (self.vectors, self.windows, self.grams, self.words, self.cues)
        )
        return Questions(vectors, windows, grams, words, AskedWords(*map(change, self.in_order)), cues)


@dataclass(frozen=True)
class EncodedQuestions:
    """Questions as they are put to a model: with their sentence vectors, and with the time that their words name.

    A question's words are parsed once, where it enters (`evaluation.questions.with_times`), and the window travels with
    it from there on.  `Question.question_time` is another one: what the data say, which training and measures read.

    Attributes:
        questions: What is asked, (n,).
        vectors: The sentence vectors, (n, d_sentence) float32.
        windows: The time that each question names, (n,); None where it names none.

    Raises:
        DataError: There is not one vector and one window for each question.
    """

    questions: Sequence[Question]
    vectors: npt.NDArray[np.float32]
    windows: tuple[Window | None, ...]

    def __post_init__(self) -> None:
        if not len(self.questions) == len(self.vectors) == len(self.windows):
            raise DataError(
                f"there are {len(self.questions)} questions, but {len(self.vectors)} sentence vectors and "
                f"{len(self.windows)} windows; give each question one of both, None as the window of no time"
            )

    def __len__(self) -> int:
        return len(self.questions)

    def part(self, places: Sequence[int]) -> EncodedQuestions:
        """Those at `places`, in this order."""
        chosen = list(places)
        return EncodedQuestions(
            [self.questions[place] for place in chosen],
            self.vectors[chosen],
            tuple(self.windows[place] for place in chosen),
        )

    def batch(self, device: str = "cpu") -> Questions:
        """All of them as one batch."""
        return Questions.make(self.vectors, self.windows, [question.question for question in self.questions], device)


@dataclass(frozen=True)
class TrainingCandidates:
    """What the softmax runs over in training: given facts, and those that the query finds.

    Attributes:
        ids: Gold facts and in-batch negatives, (batch, n); -1 pads.
        inverse: Which of them are read from the tail, (batch, n).
        retrieved: How many facts the query brings.
        read_hidden: Which rows read the hidden state, and sentences, (batch,) of 0 and 1; the others learn from the
            question alone, so that hidden states of words never seen cannot mislead.
        question_noise: Added to the question where the reader, the gates, the context score and the query read it,
            (batch, d_sentence), so that they rest on more than a few questions' words.
    """

    ids: Tensor
    inverse: Tensor
    retrieved: int
    _: KW_ONLY
    read_hidden: Tensor | None = None
    question_noise: Tensor | None = None


@dataclass(frozen=True)
class Knowledge:
    """Everything that a forward pass needs to know about knowledge.

    Attributes:
        base: The knowledge base.
        questions: The questions, a row a sample.
        options: How facts are selected.
        training: The candidates in training; None to search.
        withheld: Facts that a row must not find, as if they were deleted from the base, (batch, m); -1 pads.
    """

    base: EncodedBase
    questions: Questions
    options: SelectorOptions
    training: TrainingCandidates | None = None
    withheld: Tensor | None = None

    @property
    def enabled(self) -> bool:
        """Whether the call changes anything at all."""
        return self.training is not None or self.options.top_k > 0

    def part(self, places: Sequence[int]) -> Knowledge:
        """The same for the rows at `places`."""
        chosen = list(places)
        withheld = None if self.withheld is None else self.withheld[chosen]
        return replace(self, questions=self.questions.part(chosen), withheld=withheld)

    def in_own_words(self) -> Knowledge:
        """The same without answers that are copied from facts."""
        return replace(self, options=replace(self.options, copy_head=False))

    def expand(self, rows: int) -> Knowledge:
        """The same for `rows` rows."""
        if rows == len(self.questions.vectors):
            return self
        questions = self.questions.expand(rows)
        times = rows // len(self.questions.vectors)
        withheld = None if self.withheld is None else self.withheld.repeat_interleave(times, 0)
        return replace(self, questions=questions, withheld=withheld)
