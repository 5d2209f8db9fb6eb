"""Questions as batches of tokens: for training, a pure function of the step; for generation, left-padded prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kblampp.core.errors import DataError
from kblampp.data.facts import FORMS, MODES, MOST_HOPS, UNKNOWN_ANSWER, Question
from kblampp.model.answers import YES
from kblampp.model.inputs import Questions, TrainingCandidates
from kblampp.model.prompts import answer_continuation, closed_book_prompt

IGNORED = -100


@dataclass(frozen=True)
class TrainingBatch:
    """One batch of questions with their answers.

    Attributes:
        rows: Places of the questions in the training split, (batch,).
        input_ids: Prompt and answer, (batch, seq), right-padded.
        attention_mask: (batch, seq).
        labels: The answer and EOS where they stand, else IGNORED, (batch, seq); unshifted.
        answer_start: Position of the answer's first token, (batch,).
        questions: Vectors (some dropped) and the data's own windows.
        has_vector: Which rows' vector was not dropped, (batch,).
        read_hidden: Which rows' queries read the hidden state, (batch,) of 0 and 1; a row without vector always does.
        question_noise: Added to the question where it is learned from, (batch, d_sentence).
        candidates: Gold facts in the first columns, then in-batch negatives, (batch, n); -1 pads.
        from_tail: Which of them are read from the tail, (batch, n).
        forms: What each question wants, (batch,), a place in FORMS.
        modes: Which of a row in time, (batch,), a place in MODES.
        inverse: Whether it asks for the head, (batch,).
        so: Whether the answer is yes, (batch,); of use where it is yes or no.
        hops: Number of hops, (batch,); 0 is unanswerable.
        alternatives: How many gold facts do for the last hop, (batch,): with more than one hop always one.
        retrieved: How many facts the query brings as further candidates.
    """

    rows: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    answer_start: Tensor
    questions: Questions
    has_vector: Tensor
    read_hidden: Tensor
    question_noise: Tensor
    candidates: Tensor
    from_tail: Tensor
    forms: Tensor
    modes: Tensor
    inverse: Tensor
    so: Tensor
    hops: Tensor
    alternatives: Tensor
    retrieved: int

    @property
    def writing(self) -> tuple[Tensor, Tensor]:
        """Rows and columns of the tokens that write the answer's and EOS, (n,) each: `labels` stand one further."""
        rows, columns = (self.labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
        return rows, columns

    @property
    def weighed(self) -> TrainingCandidates:
        """What the softmax runs over."""
        return TrainingCandidates(
            self.candidates,
            self.from_tail,
            self.retrieved,
            read_hidden=self.read_hidden,
            question_noise=self.question_noise,
        )

    def to(self, device: str) -> TrainingBatch:
        """The batch on a device."""
        return self._each(lambda part: part.to(device), self.questions.to(device))

    def part(self, places: Sequence[int]) -> TrainingBatch:
        """The rows at `places`, as wide as the whole and with the same candidates."""
        chosen = list(places)
        return self._each(lambda part: part[chosen], self.questions.part(chosen))

    def _each(self, change: Callable[[Tensor], Tensor], questions: Questions) -> TrainingBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **changed, questions=questions)


class TrainingBatches:
    """The batches of a training run; batch `step` is the same in a resumed run and an uninterrupted one.

    Args:
        questions: The training split.
        vectors: Their sentence vectors, (n, d_sentence).
        tokenizer: The backbone's.
        batch_size: Questions a batch.
        drop_question_vector: Share of the rows that are trained without the question vector.
        drop_hidden_query: Share of the other rows that are trained without the query from the hidden state.
        question_noise: Length, about, of a random vector that is added to each of the two parts of a question's vector,
            which are one long, where it is learned from.
        drop_words: Share of the words that the question reader does not see.
        in_batch_negatives: How many gold facts of other rows each row weighs besides its own.
        retrieved_negatives: How many facts each row weighs that its query finds.
        seed: Source of all randomness.

    Raises:
        DataError: There are no questions, or one has more hops than there are columns for.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        vectors: npt.NDArray[np.float32],
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_size: int,
        drop_question_vector: float,
        in_batch_negatives: int,
        retrieved_negatives: int,
        seed: int,
        drop_hidden_query: float = 0.0,
        question_noise: float = 0.0,
        drop_words: float = 0.0,
    ) -> None:
        if not questions:
            raise DataError("training has no questions; check the generate stage's params and run `dvc repro generate`")
        longest = max(questions, key=lambda question: len(question.hops))
        if len(longest.hops) > MOST_HOPS:
            raise DataError(f"question {longest.qid} has {len(longest.hops)} hops, expected at most {MOST_HOPS}")
        for question in questions:
            if len(set(question.supporting_facts)) < len(question.supporting_facts):
                raise DataError(
                    f"question {question.qid} names a supporting fact twice ({list(question.supporting_facts)}), "
                    "expected distinct facts; correct the dataset's questions"
                )
        self._questions, self._vectors, self._tokenizer = questions, vectors, tokenizer
        self._batch_size, self._negatives, self._retrieved = batch_size, in_batch_negatives, retrieved_negatives
        self._drop_vector, self._drop_hidden = drop_question_vector, drop_hidden_query
        self._question_noise, self._drop_words, self._seed = question_noise, drop_words, seed
        self._orders: dict[int, npt.NDArray[np.int64]] = {}
        self._prompts = tokenize(tokenizer, [closed_book_prompt(question.question) for question in questions])
        answers = [answer_continuation(question.answer or UNKNOWN_ANSWER) for question in questions]
        self._answers = [[*ids, int(tokenizer.eos_token_id)] for ids in tokenize(tokenizer, answers)]

    def sequences(self) -> list[list[int]]:
        """Token ids of each question of the split: its prompt, the answer and EOS."""
        return [prompt + answer for prompt, answer in zip(self._prompts, self._answers, strict=True)]

    def batch(self, step: int) -> TrainingBatch:
        """The batch of a step."""
        rows = [self._row(step * self._batch_size + place) for place in range(self._batch_size)]
        rng = np.random.default_rng([self._seed, 1, step])
        questions = [self._questions[row] for row in rows]
        vectors = self._vectors[rows].copy()
        dropped = rng.random(len(rows)) < self._drop_vector
        vectors[dropped] = 0
        read_hidden = dropped | (rng.random(len(rows)) >= self._drop_hidden)
        per_number = self._question_noise / (vectors.shape[1] / 2) ** 0.5  # each of its two parts is one long
        noise = rng.standard_normal(vectors.shape, dtype=np.float32) * per_number
        windows = [question.question_time for question in questions]
        asked = Questions.make(vectors, windows, [question.question for question in questions])
        kept = torch.from_numpy(rng.random(asked.words.shape, dtype=np.float32) >= self._drop_words)
        answers = [self._answers[row] for row in rows]
        candidates, from_tail = self._candidates(questions, rng)
        return TrainingBatch(
            torch.tensor(rows),
            *self._sequences(rows, answers),
            questions=replace(asked, words=asked.words & kept),
            has_vector=torch.from_numpy(~dropped),
            read_hidden=torch.from_numpy(read_hidden.astype(np.float32)),
            question_noise=torch.from_numpy(noise),
            candidates=candidates,
            from_tail=from_tail,
            forms=torch.tensor([FORMS.index(question.form) for question in questions]),
            modes=torch.tensor([MODES.index(question.mode) for question in questions]),
            inverse=torch.tensor([question.inverse for question in questions]),
            so=torch.tensor([question.answer == YES for question in questions]),
            hops=torch.tensor([len(question.hops) for question in questions]),
            alternatives=torch.tensor([len(question.hops[-1]) if question.hops else 0 for question in questions]),
            retrieved=self._retrieved,
        )

    def _row(self, position: int) -> int:
        """Which question stands at a position of the endless stream: every epoch is a new permutation."""
        epoch, place = divmod(position, len(self._questions))
        if epoch not in self._orders:
            self._orders[epoch] = np.random.default_rng([self._seed, 0, epoch]).permutation(len(self._questions))
        return int(self._orders[epoch][place])

    def _sequences(self, rows: Sequence[int], answers: Sequence[list[int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        sequences = [self._prompts[row] + answer for row, answer in zip(rows, answers, strict=True)]
        ids, mask = padded(sequences, int(self._tokenizer.pad_token_id))
        labels = torch.full_like(ids, IGNORED)
        for place, (row, sequence) in enumerate(zip(rows, sequences, strict=True)):
            labels[place, len(self._prompts[row]) : len(sequence)] = torch.tensor(answers[place])
        return ids, mask, labels, torch.tensor([len(self._prompts[row]) for row in rows])

    def _candidates(self, questions: Sequence[Question], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Candidates (batch, n) and which are read from the tail: each row's own facts, then some of other rows'."""
        width = max(MOST_HOPS, *(len(question.supporting_facts) for question in questions))
        gold = torch.full((len(questions), width), -1)
        for place, question in enumerate(questions):
            gold[place, : len(question.supporting_facts)] = torch.tensor(question.supporting_facts)
        ways = torch.tensor([question.inverse for question in questions])[:, None].expand_as(gold)
        others = np.unique(torch.stack([gold, ways], dim=-1)[gold >= 0].numpy(), axis=0)
        size = min(self._negatives, len(others))
        drawn = np.sort(rng.choice(len(others), size=size, replace=False)) if size else slice(0)
        chosen = torch.from_numpy(others[drawn])
        negatives = chosen.expand(len(questions), -1, -1)
        return torch.cat([gold, negatives[..., 0]], dim=1), torch.cat([ways, negatives[..., 1].bool()], dim=1)


def prompt_batches(
    prompts: Sequence[str], tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Left-padded batches of prompts of similar length.

    Yields:
        Positions of the prompts in the input, ids (batch, seq) and attention mask (batch, seq).
    """
    rows = tokenize(tokenizer, prompts)
    for places in by_length(rows, batch_size):
        yield places, *padded([rows[place] for place in places], int(tokenizer.pad_token_id), left=True)


def by_length(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Positions of rows in batches of similar length, the shortest first; equally long ones in their order."""
    order = sorted(range(len(rows)), key=lambda place: (len(rows[place]), place))
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]


def padded(rows: Sequence[Sequence[int]], pad: int, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Rows of token ids as one tensor, (batch, seq), filled with `pad` after or before them; and its attention mask."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    for place, row in enumerate(rows):
        columns = slice(width - len(row), width) if left else slice(len(row))
        ids[place, columns] = torch.tensor(row, dtype=torch.int64)
        mask[place, columns] = 1
    return ids, mask


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, without special tokens."""
    return [list(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []
