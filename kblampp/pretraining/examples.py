"""What the embedded backbone is pre-trained on: recipe, tokenizer, and batches that depend on the step alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from kblampp.data.facts import UNKNOWN_ANSWER, Question, evidence_sentence
from kblampp.model.prompts import DistractorSampler, answer_continuation, closed_book_prompt
from kblampp.synthetic.questions import QuestionWriter
from kblampp.synthetic.schema import BY_ID
from kblampp.synthetic.worlds import NameMaker, Words, World, make_world, word_fact

IGNORED = -100
EOS, PAD = "<eos>", "<pad>"


@dataclass(frozen=True)
class Recipe:
    """How the embedded backbone is made; saved beside its weights.

    Attributes:
        steps: Number of steps that are run.
        cooldown_step: Step from which the learning rate falls in a straight line, to zero at `steps`.
        easy_steps: The first steps only ask single-hop questions over short contexts, and repeat.
        matrix_lr: Learning rate of the layers' matrices (Muon); `lr` is that of the embeddings and norms (AdamW).
        in_context_share: Share of the rows that answer from sentences in the prompt.
        repeat_share: Share of the rows that say a few facts twice, the second time in other words and another order.
            There the loss falls on every token of the second time: without this dense signal, looking back into the
            prompt is learned late or never (`docs/log.md`).
        invented_share: Share of the worlds whose names are made of invented words, so that a name that was never
            seen can be copied.
        unanswerable_share: Share of the questions without an answer.  With many of them "unknown" is said too often.
        crowded_share: Share of the in-context rows whose questions all ask for one relation, so that the head decides.
            Without them an answer is found by its relation alone, and in a crowd the wrong one is given.
        questions: Most questions a context, so that a context read once gives several answers to learn from.
    """

    seed: int = 0
    steps: int = 5400
    cooldown_step: int = 4000
    easy_steps: int = 800
    batch_size: int = 32
    lr: float = 3e-3
    matrix_lr: float = 6e-3
    warmup_steps: int = 100
    vocab_size: int = 3072
    hidden_size: int = 128
    intermediate_size: int = 384
    layers: int = 6
    heads: int = 4
    world_facts: int = 510
    world_steps: int = 4
    in_context_share: float = 0.55
    repeat_share: float = 0.2
    invented_share: float = 0.4
    unanswerable_share: float = 0.08
    crowded_share: float = 0.0
    questions: int = 6
    context_sentences: int = 7
    threads: int = 2


def train_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, trained on the text of a few pre-training worlds; any text round-trips."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocab_size,
        special_tokens=[EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_tokenizer_corpus(recipe), trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD, padding_side="left"
    )


def _tokenizer_corpus(recipe: Recipe) -> Iterator[str]:
    for number in range(20):
        source = WorldSource(recipe, f"tokenizer/{number}")
        yield from (evidence_sentence(fact) for fact in source.world.facts)
        yield from (closed_book_prompt(question.question) + " " + _answer(question) for question in source.questions)


def _answer(question: Question) -> str:
    return question.answer or UNKNOWN_ANSWER


class WorldSource:
    """One pre-training world with its questions, from which examples are drawn."""

    def __init__(self, recipe: Recipe, key: str) -> None:
        taken: set[str] = set()
        rng = random.Random(f"pretrain/{recipe.seed}/{key}")
        words: Words = "invented" if rng.random() < recipe.invented_share else "known"
        self.world: World = make_world(
            recipe.world_facts, seed=f"{recipe.seed}/{key}", words=words, role="pretrain", taken=taken
        )
        writer = QuestionWriter(
            self.world,
            rng,
            dataset="pretrain",
            split=key,
            wordings="all",
            names=NameMaker(rng, words, "pretrain", taken),
            seen=set(),
        )
        written = writer.write(recipe.world_facts // 3, three_hop_share=0.15, timed_hop_share=0.25)
        answerable = [question for question in written if question.answer]
        unanswerable = [question for question in written if not question.answer]
        share = recipe.unanswerable_share
        self.questions = answerable + unanswerable[: round(len(answerable) * share / (1 - share))]
        self.single = [question for question in self.questions if question.type == "single-hop"]
        self._sampler = DistractorSampler(self.world.facts)

    def context(self, questions: Sequence[Question], size: int, rng: random.Random) -> list[str]:
        """The gold sentences of the questions and distractors up to `size` sentences, shuffled."""
        gold = list(dict.fromkeys(number for question in questions for number in question.supporting_facts))
        facts = gold + self._sampler.draw(gold, max(0, size - len(gold)), rng)
        rng.shuffle(facts)
        return [evidence_sentence(self.world.facts[number]) for number in facts]


class Batch(NamedTuple):
    """Examples of one step.

    Attributes:
        ids: Token ids, (batch, seq), right-padded.
        labels: Unshifted labels, (batch, seq), IGNORED where no loss falls.
        counts: How many of the rows answer from the prompt, and how many after them repeat; the rest is closed book.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    counts: tuple[int, int]


class ExampleMaker:
    """Makes the batches; a batch depends on the recipe and the step alone, so a resumed run sees the same ones."""

    def __init__(self, recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> None:
        self._recipe, self._tokenizer = recipe, tokenizer
        self._key, self._source = -1, WorldSource(recipe, "steps/-1")

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        recipe = self._recipe
        if step // recipe.world_steps != self._key:
            self._key = step // recipe.world_steps
            self._source = WorldSource(recipe, f"steps/{self._key}")
        rng = random.Random(f"batch/{recipe.seed}/{step}")
        early = step < recipe.easy_steps
        asked = round(recipe.batch_size * (0.5 if early else recipe.in_context_share))
        repeated = recipe.batch_size - asked if early else round(recipe.repeat_share * recipe.batch_size)
        rows = [self._in_context(rng, early) for _ in range(asked)]
        rows += [self._repetition(rng) for _ in range(repeated)]
        rows += [self._closed_book(rng) for _ in range(recipe.batch_size - len(rows))]
        return Batch(*self._encode(rows), (asked, repeated))

    def _in_context(self, rng: random.Random, early: bool) -> list[tuple[str, bool]]:
        pool = self._source.single if early else self._source.questions
        count = rng.randint(1, 3 if early else self._recipe.questions)
        if rng.random() < self._recipe.crowded_share:
            relation = _relation(rng.choice(pool))
            pool = [question for question in pool if _relation(question) == relation]
        questions = rng.sample(pool, min(count, len(pool)))
        size = rng.randint(1, 4) if early else rng.randint(2, self._recipe.context_sentences)
        sentences = self._source.context(questions, size, rng)
        parts = [("".join(sentence + "\n" for sentence in sentences), False)]
        return parts + [part for question in questions for part in _asked(question)]

    def _repetition(self, rng: random.Random) -> list[tuple[str, bool]]:
        facts = rng.sample(self._source.world.facts, rng.randint(2, 5))
        first = "".join(evidence_sentence(fact) + "\n" for fact in facts)
        again = [
            word_fact(rng, BY_ID[str(fact.relation.id)], fact.head.name, fact.tail.name, fact.window)
            for fact in rng.sample(facts, len(facts))
        ]
        return [(first, False), ("".join(sentence + "\n" for sentence in again), True)]

    def _closed_book(self, rng: random.Random) -> list[tuple[str, bool]]:
        if rng.random() < 0.5:
            facts = rng.sample(self._source.world.facts, 4)
            return [("".join(evidence_sentence(fact) + "\n" for fact in facts), True)]
        return [(text, True) for question in rng.sample(self._source.questions, 3) for text, _ in _asked(question)]

    def _encode(self, rows: Sequence[Sequence[tuple[str, bool]]]) -> tuple[torch.Tensor, torch.Tensor]:
        texts = [text for row in rows for text, _ in row]
        pieces = iter(self._tokenizer(texts, add_special_tokens=False)["input_ids"])
        ids: list[list[int]] = []
        labels: list[list[int]] = []
        for row in rows:
            ids.append([])
            labels.append([])
            for _, learned in row:
                piece = next(pieces)
                ids[-1] += piece
                labels[-1] += piece if learned else [IGNORED] * len(piece)
        width = max(map(len, ids))
        pad = int(self._tokenizer.pad_token_id)
        return (
            torch.tensor([row + [pad] * (width - len(row)) for row in ids]),
            torch.tensor([row + [IGNORED] * (width - len(row)) for row in labels]),
        )


def _relation(question: Question) -> str:
    """The relation that the answer comes from."""
    return str((question.program or {})["relations"][-1])


def _asked(question: Question) -> list[tuple[str, bool]]:
    """A question and its answer as (text, whether the loss falls on it); the answer ends the sequence it is in."""
    return [(closed_book_prompt(question.question), False), (answer_continuation(_answer(question)) + EOS, True)]
