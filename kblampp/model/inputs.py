"""What one call of the model reads: a knowledge base (store, index, tails) and the questions put to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kblampp.core.errors import DataError, ParamsError
from kblampp.data.windows import UNKNOWN, Window, window_bounds
from kblampp.encoding.store import KBValueStore, StoreTensors
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.copy_head import TailTable
from kblampp.model.ego_graph import FactGraph


@dataclass(frozen=True)
class KnowledgeBase:
    """A checked store, its index, and its tails tokenised for one backbone.

    Attributes:
        store: Keys, values, context vectors and windows.
        index: Nearest-neighbour search over the store's keys.
        tails: Token ids of the tails.
        device: Where the model computes.
    """

    store: KBValueStore
    index: KnowledgeIndex
    tails: TailTable
    device: str = "cpu"

    @classmethod
    def load(
        cls,
        store: Path,
        index: Path,
        tokenizer: PreTrainedTokenizerBase,
        *,
        projection_fingerprint: str | None = None,
        device: str = "cpu",
    ) -> KnowledgeBase:
        """Opens store and index and tokenises the tails.

        Raises:
            StoreError: Store or index is missing or damaged, or they do not belong together.
        """
        opened = KBValueStore.load(store, projection_fingerprint)
        tails = TailTable([fact.tail.name for fact in opened.facts], tokenizer).to(device)
        return cls(opened, KnowledgeIndex.load(index, opened), tails, device)

    @cached_property
    def tensors(self) -> StoreTensors:
        """The store's arrays as float32 tensors on the device."""
        return self.store.tensors(self.device)

    @cached_property
    def graph(self) -> FactGraph:
        """Which facts go on from which."""
        return FactGraph.of(self.store, self.device)


@dataclass(frozen=True)
class SelectorOptions:
    """How facts are selected in a call; the switches are what ablations turn off.

    `top_k` has no default here: `selector.top_k` in params.yaml is the one.

    Attributes:
        top_k: Facts weighed per token; 0 switches knowledge off altogether.
        gamma: Weight of the context score.
        eta: Weight of the time score; 0 also stops facts outside the question's window from giving way.
        temperature: Of the softmax over facts and null.
        over_fetch: Candidates fetched from the index before `top_k` of them are kept.
        copy_head: Whether answers may be copied from tails.
        hop: Whether later layers go on from the fact of the layer before.
        question_vector: Whether the query reads the question's sentence vector.
        hidden_query: Whether the query reads the hidden state.
        null_fact: Whether the null fact competes.
        ego_graph: Whether the facts around the selected ones are read, by a model that was made for it.
    """

    top_k: int
    gamma: float = 1.0
    eta: float = 1.0
    temperature: float = 1.0
    over_fetch: int = 64
    copy_head: bool = True
    hop: bool = True
    question_vector: bool = True
    hidden_query: bool = True
    null_fact: bool = True
    ego_graph: bool = True

    def check(self, n_facts: int, kb: str) -> None:
        """Refuses a `top_k` that the knowledge base cannot fill.

        Raises:
            ParamsError: `top_k` is larger than the base.
        """
        if self.top_k > n_facts:
            raise ParamsError(
                f"selector.top_k is {self.top_k}, but knowledge base {kb} has {n_facts} facts; "
                f"set selector.top_k to at most {n_facts}"
            )


@dataclass(frozen=True)
class Questions:
    """A batch of questions as the selector sees them.

    Attributes:
        vectors: Sentence vectors, (batch, d_sentence); a zero row stands for no question.
        windows: Question windows, (batch, 2) int64 days with the sentinels of `times`.
    """

    vectors: Tensor
    windows: Tensor

    @classmethod
    def make(
        cls, vectors: npt.NDArray[np.floating] | Tensor, windows: Sequence[Window | None], device: str = "cpu"
    ) -> Questions:
        """From sentence vectors (batch, d_sentence) and windows, None where a question has none."""
        low, high = window_bounds([window or UNKNOWN for window in windows])
        bounds = torch.from_numpy(np.stack([low, high], axis=1).astype(np.int64))
        return cls(torch.as_tensor(vectors, dtype=torch.float32).to(device), bounds.to(device))

    def to(self, device: str) -> Questions:
        """The questions on a device."""
        return Questions(self.vectors.to(device), self.windows.to(device))

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
        return Questions(self.vectors.repeat_interleave(times, 0), self.windows.repeat_interleave(times, 0))


@dataclass(frozen=True)
class TrainingCandidates:
    """What the softmax runs over in training: given facts, and those that the query finds at one position.

    Attributes:
        ids: Gold facts and in-batch negatives, (batch, n); -1 pads.
        probe: Position in the sequence at which the query searches, (batch,): the last token of the prompt.
        retrieved: How many facts it brings.
        read_hidden: Which rows read the hidden state, (batch,) of 0 and 1; the others learn from the question alone, so
            that hidden states of words never seen cannot mislead.
        gate_noise: Added to what the hop gates read of the question, (batch, d_sentence), so that they rest on more
            than a few questions' words.
        renamed: Facts whose tail a row writes in other tokens, (batch,); -1 for none.
        new_names: Those tokens with EOS, (batch, longest), padded as in the tail table.
    """

    ids: Tensor
    probe: Tensor
    retrieved: int
    _: KW_ONLY
    read_hidden: Tensor | None = None
    gate_noise: Tensor | None = None
    renamed: Tensor | None = None
    new_names: Tensor | None = None


@dataclass(frozen=True)
class Knowledge:
    """Everything that a forward pass needs to know about knowledge.

    Attributes:
        base: The knowledge base.
        questions: The questions, a row a sample.
        options: How facts are selected.
        training: The candidates in training; None to search for every token.
        withheld: Facts that a row must not find, as if they were deleted from the base, (batch, m); -1 pads.
    """

    base: KnowledgeBase
    questions: Questions
    options: SelectorOptions
    training: TrainingCandidates | None = None
    withheld: Tensor | None = None

    @property
    def enabled(self) -> bool:
        """Whether the call changes anything at all."""
        return self.training is not None or self.options.top_k > 0

    def expand(self, rows: int) -> Knowledge:
        """The same for `rows` rows."""
        if rows == len(self.questions.vectors):
            return self
        questions = self.questions.expand(rows)
        times = rows // len(self.questions.vectors)
        withheld = None if self.withheld is None else self.withheld.repeat_interleave(times, 0)
        return replace(self, questions=questions, withheld=withheld)
