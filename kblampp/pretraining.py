"""Pre-trains the embedded backbone from scratch on random worlds: ``python -m kblampp.pretraining`` (`make pretrain`).

Half of the time the model answers questions from sentences in the prompt (loss on the answers only: this is what teaches it
to look up), half of the time it reads sentences and questions closed book.  Every few steps bring a new world, whose entities
never occur in an evaluated one and whose words are never those of `novel` (`worlds.is_pretrain_name`, `worlds.is_novel_word`).
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kblampp.artifacts import atomic_dir, write_json
from kblampp.errors import BackboneError, KBLaMError
from kblampp.facts import UNKNOWN_ANSWER, Question
from kblampp.prompts import DistractorSampler, answer_continuation, closed_book_prompt, evidence_sentence
from kblampp.world_questions import QuestionWriter
from kblampp.world_schema import BY_ID
from kblampp.worlds import NameMaker, World, make_world, word_fact

logger = logging.getLogger(__name__)
IGNORED = -100
EOS, PAD = "<eos>", "<pad>"


@dataclass(frozen=True)
class Recipe:
    """How the embedded backbone is made; saved beside its weights.

    Attributes:
        in_context_share: Share of the rows that answer from sentences in the prompt.
        repeat_share: Share of the rows that say a few facts twice, the second time in other words and another order.
            There the loss falls on every token of the second time: without this dense signal, looking back into the
            prompt is learned late or never (`docs/log.md`).
        warm_up_share: Share of the steps, from the first, of single-hop questions over short contexts and repetitions only.
        questions: Questions a context, so that a context read once gives several answers to learn from.
    """

    seed: int = 0
    steps: int = 5000
    batch_size: int = 48
    lr: float = 3e-3
    warmup_steps: int = 200
    vocab_size: int = 3072
    hidden_size: int = 128
    intermediate_size: int = 384
    layers: int = 6
    heads: int = 4
    world_facts: int = 510
    world_steps: int = 4
    in_context_share: float = 0.55
    repeat_share: float = 0.2
    warm_up_share: float = 0.2
    questions: int = 3
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
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD, padding_side="left")


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
        self.world: World = make_world(recipe.world_facts, seed=f"{recipe.seed}/{key}", role="pretrain", taken=taken)
        rng = random.Random(f"pretrain/{recipe.seed}/{key}")
        writer = QuestionWriter(
            self.world,
            rng,
            dataset="pretrain",
            split=key,
            wordings="all",
            names=NameMaker(rng, "known", "pretrain", taken),
            seen=set(),
        )
        self.questions = writer.write(recipe.world_facts // 3, three_hop_share=0.15, timed_hop_share=0.25)
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
        early = step < recipe.warm_up_share * recipe.steps
        asked = round(recipe.batch_size * (0.5 if early else recipe.in_context_share))
        repeated = recipe.batch_size - asked if early else round(recipe.repeat_share * recipe.batch_size)
        rows = [self._in_context(rng, early) for _ in range(asked)]
        rows += [self._repetition(rng) for _ in range(repeated)]
        rows += [self._closed_book(rng) for _ in range(recipe.batch_size - len(rows))]
        return Batch(*self._encode(rows), (asked, repeated))

    def _in_context(self, rng: random.Random, early: bool) -> list[tuple[str, bool]]:
        pool = self._source.single if early else self._source.questions
        count = rng.randint(1, self._recipe.questions)
        questions = rng.sample(pool, count)
        size = rng.randint(1, 4) if early else rng.randint(2, self._recipe.context_sentences)
        sentences = self._source.context(questions, size, rng)
        parts = [("".join(sentence + "\n" for sentence in sentences), False)]
        return parts + [part for question in questions for part in _asked(question)]

    def _repetition(self, rng: random.Random) -> list[tuple[str, bool]]:
        facts = rng.sample(self._source.world.facts, rng.randint(2, 5))
        first = "".join(evidence_sentence(fact) + "\n" for fact in facts)
        again = [
            word_fact(rng, BY_ID[fact.relation.id], fact.head.name, fact.tail.name, fact.window)
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


def _asked(question: Question) -> list[tuple[str, bool]]:
    """A question and its answer as (text, whether the loss falls on it); the answer ends the sequence it is in."""
    return [(closed_book_prompt(question.question), False), (answer_continuation(_answer(question)) + EOS, True)]


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The untrained Llama-architecture model."""
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden_size,
            intermediate_size=recipe.intermediate_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def losses_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the in-context answers, of the repetitions and of the closed-book tokens, (3,).

    A mean each, since closed-book tokens are many and mostly names that nobody can foresee: in one mean they would drown
    what teaches the model to look up.  Logits are computed where a label stands alone; most tokens have none.
    """
    hidden = model.model(batch.ids).last_hidden_state[:, :-1]
    targets = batch.labels[:, 1:]
    losses = [hidden.new_zeros(()) for _ in range(3)]
    asked, repeated = batch.counts
    for kind, rows in enumerate((slice(0, asked), slice(asked, asked + repeated), slice(asked + repeated, None))):
        learned = targets[rows] != IGNORED
        if learned.any():
            logits = model.lm_head(hidden[rows][learned])
            losses[kind] = torch.nn.functional.cross_entropy(logits, targets[rows][learned])
    return torch.stack(losses)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then cosine decay to a fiftieth."""
    if step < recipe.warmup_steps:
        return recipe.lr * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def pretrain(recipe: Recipe, output: Path, checkpoint: Path, *, checkpoint_every: int = 200) -> None:
    """Trains the tokenizer and the model and saves both to `output`.

    A run that was stopped goes on from `checkpoint`, with the same batches as an uninterrupted one.

    Raises:
        BackboneError: The checkpoint was made with another recipe.
    """
    torch.set_num_threads(recipe.threads)
    tokenizer = train_tokenizer(recipe)
    model = build_model(recipe, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.01)
    first = _resume(recipe, checkpoint, model, optimizer)
    examples = ExampleMaker(recipe, tokenizer)
    started = time.monotonic()
    for step in range(first, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        losses = losses_of(model, examples.batch(step))
        optimizer.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == recipe.steps - 1:
            pace = (time.monotonic() - started) / (step - first + 1)
            left = pace * (recipe.steps - step - 1) / 60
            parts = " ".join(f"{value:.3f}" for value in losses.tolist())
            logger.info("step %d/%d  losses %s  %.2f s/step  %.0f min left", step, recipe.steps, parts, pace, left)
        if (step + 1) % checkpoint_every == 0:
            _save_checkpoint(recipe, checkpoint, model, optimizer, step + 1)
            save_backbone(recipe, model, tokenizer, checkpoint.parent / "snapshot")
    save_backbone(recipe, model, tokenizer, output)
    checkpoint.unlink(missing_ok=True)


def save_backbone(recipe: Recipe, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Writes the model in half precision, the tokenizer and the recipe, as a folder that transformers loads."""
    with atomic_dir(output) as folder:
        copy.deepcopy(model).half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / "recipe.json", asdict(recipe))


def _save_checkpoint(
    recipe: Recipe, path: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, step: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state = {"recipe": asdict(recipe), "step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, partial)
    partial.replace(path)


def _resume(recipe: Recipe, path: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise BackboneError(f"{path} was made with another recipe; delete it to start over, or use the same options")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    logger.info("resuming at step %d from %s", state["step"], path)
    return int(state["step"])


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of `make pretrain`."""
    parser = argparse.ArgumentParser(prog="python -m kblampp.pretraining", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("kblampp/embedded"), help="folder of the backbone")
    parser.add_argument("--checkpoint", type=Path, default=Path(".ckpt/pretrain/state.pt"), help="where to resume from")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help="default: %(default)s")
    arguments = vars(parser.parse_args(argv))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    output, checkpoint = arguments.pop("output"), arguments.pop("checkpoint")
    try:
        pretrain(Recipe(**arguments), output, checkpoint)
    except KBLaMError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
