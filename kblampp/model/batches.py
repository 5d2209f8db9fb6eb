"""Questions as batches of tokens: for training, a pure function of the step; for generation, left-padded prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kblampp.core.errors import DataError
from kblampp.data.facts import MOST_HOPS, UNKNOWN_ANSWER, Question
from kblampp.model.copy_head import PADDING
from kblampp.model.inputs import Questions, TrainingCandidates
from kblampp.model.prompts import answer_continuation, closed_book_prompt

IGNORED = -100
LONGEST_NAME = 8
"""Most tokens of a random name (`rename_answers`)."""


@dataclass(frozen=True)
class TrainingBatch:
    """One batch of questions with their answers.

    Attributes:
        input_ids: Prompt and answer, (batch, seq), right-padded.
        attention_mask: (batch, seq).
        labels: The answer and EOS where they stand, else IGNORED, (batch, seq); unshifted.
        answer_start: Position of the answer's first token, (batch,).
        questions: Vectors (some dropped) and the data's own windows.
        has_vector: Which rows' vector was not dropped, (batch,).
        read_hidden: Which rows' queries read the hidden state, (batch,) of 0 and 1; a row without vector always does.
        gate_noise: Added to what the hop gates read of the question, (batch, d_sentence).
        renamed: Fact whose tail was replaced by random tokens, (batch,); -1 for none.
        new_names: The tokens in its place, EOS at the end, (batch, longest), PADDING after it.
        candidates: Gold facts in the first columns, then in-batch negatives, (batch, n); -1 pads.
        hops: Number of hops, (batch,); 0 is unanswerable.
        alternatives: How many gold facts do for the last hop, (batch,): with more than one hop always one.
        retrieved: How many facts the query brings as further candidates.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    answer_start: Tensor
    questions: Questions
    has_vector: Tensor
    read_hidden: Tensor
    gate_noise: Tensor
    renamed: Tensor
    new_names: Tensor
    candidates: Tensor
    hops: Tensor
    alternatives: Tensor
    retrieved: int

    @property
    def weighed(self) -> TrainingCandidates:
        """What the softmax runs over; the query searches at the last token of the prompt."""
        return TrainingCandidates(
            self.candidates,
            self.answer_start - 1,
            self.retrieved,
            read_hidden=self.read_hidden,
            gate_noise=self.gate_noise,
            renamed=self.renamed,
            new_names=self.new_names,
        )

    def to(self, device: str) -> TrainingBatch:
        """The batch on a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in values.items() if name != "retrieved"})


class TrainingBatches:
    """The batches of a training run; batch `step` is the same in a resumed run and an uninterrupted one.

    Args:
        questions: The training split.
        vectors: Their sentence vectors, (n, d_sentence).
        tokenizer: The backbone's.
        batch_size: Questions a batch.
        drop_question_vector: Share of the rows that are trained without the question vector.
        drop_hidden_query: Share of the other rows that are trained without the query from the hidden state.
        gate_noise: Length, about, of a random vector that is added to what the hop gates read of a question; a question
            is one long.
        in_batch_negatives: How many gold facts of other rows each row weighs besides its own.
        retrieved_negatives: How many facts each row weighs that its query finds.
        seed: Source of all randomness.
        rename_answers: Share of the answerable rows whose answer, in text and tail alike, becomes a few random tokens:
            a name that nothing but the copy head can know, as the names of a new knowledge base are.

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
        gate_noise: float = 0.0,
        rename_answers: float = 0.0,
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
        self._drop_vector, self._drop_hidden, self._rename = drop_question_vector, drop_hidden_query, rename_answers
        self._gate_noise, self._seed = gate_noise, seed
        self._orders: dict[int, npt.NDArray[np.int64]] = {}
        special = set(tokenizer.all_special_ids)  # a property that is computed anew each time
        self._usable = np.array([number for number in range(len(tokenizer)) if number not in special])
        self._prompts = _tokens(tokenizer, [closed_book_prompt(question.question) for question in questions])
        answers = [answer_continuation(question.answer or UNKNOWN_ANSWER) for question in questions]
        self._answers = [[*ids, int(tokenizer.eos_token_id)] for ids in _tokens(tokenizer, answers)]

    def batch(self, step: int) -> TrainingBatch:
        """The batch of a step."""
        rows = [self._row(step * self._batch_size + place) for place in range(self._batch_size)]
        rng = np.random.default_rng([self._seed, 1, step])
        questions = [self._questions[row] for row in rows]
        vectors = self._vectors[rows].copy()
        dropped = rng.random(len(rows)) < self._drop_vector
        vectors[dropped] = 0
        read_hidden = dropped | (rng.random(len(rows)) >= self._drop_hidden)
        noise = rng.standard_normal(vectors.shape, dtype=np.float32) * self._gate_noise / vectors.shape[1] ** 0.5
        windows = [question.question_time for question in questions]
        answers = [self._answers[row] for row in rows]
        renamed, new_names = self._rename_some(questions, answers, rng)
        return TrainingBatch(
            *self._sequences(rows, answers),
            questions=Questions.make(vectors, windows),
            has_vector=torch.from_numpy(~dropped),
            read_hidden=torch.from_numpy(read_hidden.astype(np.float32)),
            gate_noise=torch.from_numpy(noise),
            renamed=renamed,
            new_names=new_names,
            candidates=self._candidates(questions, rng),
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

    def _rename_some(
        self, questions: Sequence[Question], answers: list[list[int]], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Replaces some answers in place; returns the facts they come from and the new tokens."""
        eos = int(self._tokenizer.eos_token_id)
        renamed = torch.full((len(questions),), -1)
        new_names = torch.full((len(questions), LONGEST_NAME + 1), PADDING)
        for place in np.flatnonzero(rng.random(len(questions)) < self._rename).tolist():
            hops = questions[place].hops
            if hops and len(hops[-1]) == 1:  # an alternative that keeps its tail would contradict the new name
                name = [*rng.choice(self._usable, size=rng.integers(2, LONGEST_NAME + 1)).tolist(), eos]
                answers[place] = name
                renamed[place] = hops[-1][0]
                new_names[place, : len(name)] = torch.tensor(name)
        return renamed, new_names

    def _sequences(self, rows: Sequence[int], answers: Sequence[list[int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        sequences = [self._prompts[row] + answer for row, answer in zip(rows, answers, strict=True)]
        width = max(map(len, sequences))
        pad = int(self._tokenizer.pad_token_id)
        ids = torch.full((len(rows), width), pad)
        labels = torch.full((len(rows), width), IGNORED)
        mask = torch.zeros((len(rows), width), dtype=torch.int64)
        for place, (row, sequence) in enumerate(zip(rows, sequences, strict=True)):
            ids[place, : len(sequence)] = torch.tensor(sequence)
            mask[place, : len(sequence)] = 1
            labels[place, len(self._prompts[row]) : len(sequence)] = torch.tensor(answers[place])
        return ids, mask, labels, torch.tensor([len(self._prompts[row]) for row in rows])

    def _candidates(self, questions: Sequence[Question], rng: np.random.Generator) -> Tensor:
        width = max(MOST_HOPS, *(len(question.supporting_facts) for question in questions))
        gold = torch.full((len(questions), width), -1)
        for place, question in enumerate(questions):
            gold[place, : len(question.supporting_facts)] = torch.tensor(question.supporting_facts)
        others = np.unique(gold[gold >= 0].numpy())
        chosen = rng.choice(others, size=min(self._negatives, len(others)), replace=False) if len(others) else others
        return torch.cat([gold, torch.from_numpy(np.sort(chosen)).expand(len(questions), -1)], dim=1)


def prompt_batches(
    prompts: Sequence[str], tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Left-padded batches of prompts of similar length.

    Yields:
        Positions of the prompts in the input, ids (batch, seq) and attention mask (batch, seq).
    """
    encoded = _tokens(tokenizer, prompts)
    order = sorted(range(len(prompts)), key=lambda place: (len(encoded[place]), place))
    pad = int(tokenizer.pad_token_id)
    for first in range(0, len(order), batch_size):
        places = order[first : first + batch_size]
        width = max(len(encoded[place]) for place in places)
        ids = [[pad] * (width - len(encoded[place])) + encoded[place] for place in places]
        mask = [[0] * (width - len(encoded[place])) + [1] * len(encoded[place]) for place in places]
        yield places, torch.tensor(ids), torch.tensor(mask)


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    return [list(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []
