"""LoRA on the bare backbone learns to answer training questions from the facts that retrieval puts into the prompt.

The baseline of Stage A: the same questions, facts, sentence encoder and time, and nothing added to the language model.
Source of LoRA: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kblampp.backbone.load import Backbone
from kblampp.core.errors import DataError, ParamsError, TrainingError
from kblampp.core.params import Params
from kblampp.core.progress import progress_bar
from kblampp.core.run_state import resume_state, save_state
from kblampp.data.facts import UNKNOWN_ANSWER
from kblampp.evaluation.baselines import nearest_sentences
from kblampp.model.batches import by_length, padded, tokenize
from kblampp.model.checkpoint import build_model
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import EncodedQuestions, StoredBase
from kblampp.model.lora import change_backbone, unload
from kblampp.model.workspace import Workspace, run_key
from kblampp.rag.adapter import save_rag
from kblampp.rag.prompts import PromptStyle, fitting

logger = logging.getLogger(__name__)
TRAIN = "train"
WARMUP = 0.05
"""Share of the budget in which the learning rate rises."""
LEAST = 0.05
"""Where it starts and ends, as a share of the peak."""
CLIP = 1.0
"""Largest norm of the gradient."""
LOG_EVERY = 10
"""Steps a logged loss averages over."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how long: either so many steps or so many minutes.

    With minutes the learning rate follows the share of the time that has gone, whatever else the machine does, so that
    a run ends with its budget.  A run of so many steps gives the same weights each time, one of minutes does not.

    Attributes:
        style: How the backbone is asked.
        facts: How many facts a prompt shows, the nearest ones; 0 is closed book.
        rank, alpha, targets: Of LoRA; see `trainB` in params.yaml.
        lr: Peak learning rate.
        steps: Optimizer steps, or None.
        minutes: Of training, checkpoints apart, or None.
        batch_size: Questions a step.
        together: Of these, how many pass through the backbone at once: no other result but for rounding.
        checkpoint_every: Steps between checkpoints.

    Raises:
        ParamsError: Something is out of range, or both or none of steps and minutes are given.
    """

    style: PromptStyle
    facts: int
    rank: int
    alpha: float
    targets: Literal["auto"] | tuple[str, ...]
    lr: float
    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 64
    together: int = 8
    checkpoint_every: int = 20

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ParamsError("training needs a budget: give either steps or minutes")
        above_zero = ("rank", "alpha", "lr", "steps", "minutes", "batch_size", "together", "checkpoint_every")
        for name in above_zero:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ParamsError(f"{name} is {value}, expected a number above 0")
        if self.facts < 0:
            raise ParamsError(f"facts is {self.facts}, expected 0 or more")

    def spent(self, step: int, seconds: float) -> float:
        """Share of the budget that `step` steps in `seconds` seconds have taken."""
        return step / self.steps if self.steps is not None else seconds / (60 * (self.minutes or 1.0))

    @staticmethod
    def factor(spent: float) -> float:
        """Learning rate as a share of the peak, at this share of the budget: linear warm-up, then cosine."""
        if spent < WARMUP:
            return LEAST + (1 - LEAST) * spent / WARMUP
        progress = min(1.0, (spent - WARMUP) / (1 - WARMUP))
        return LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Example:
    """One question as the backbone learns it, in token ids.

    Attributes:
        prompt: With the facts in it.
        answer: What is to follow, with the end token.
    """

    prompt: list[int]
    answer: list[int]


@dataclass(frozen=True)
class Part:
    """Examples that pass through the backbone at once.

    Attributes:
        ids: All but the last token of each, (batch, seq), padded on the right: what a token sees comes before it, so
            that no mask is needed.
        rows, columns: Where the answers' tokens are written, (n,) each.
        wanted: These tokens, (n,).
    """

    ids: Tensor
    rows: Tensor
    columns: Tensor
    wanted: Tensor


class Examples:
    """The training questions with the facts that retrieval finds; those of a step are a function of its number.

    Args:
        base: The base of the split `train`, whose store holds the questions' vectors.
        encoded: The questions.
        backbone: The language model.
        recipe: How they are asked.
        seed: Of the order; every epoch is a new permutation.

    Raises:
        DataError: There are no questions.
    """

    def __init__(
        self, base: StoredBase, encoded: EncodedQuestions, backbone: Backbone, recipe: Recipe, seed: int
    ) -> None:
        if not len(encoded):
            raise DataError("there is no training question; run `dvc repro generate`")
        self._store, self._encoded, self._backbone, self._recipe, self._seed = (
            base.store,
            encoded,
            backbone,
            recipe,
            seed,
        )

    def of_step(self, step: int) -> list[Example]:
        """What a step learns, (batch_size,).

        Raises:
            BackboneError: The backbone has no room for a question.
        """
        size, questions = self._recipe.batch_size, len(self._encoded)
        positions = range(step * size, (step + 1) * size)
        orders = {epoch: self._order(epoch) for epoch in {position // questions for position in positions}}
        return self.at([int(orders[position // questions][position % questions]) for position in positions])

    def _order(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._encoded))

    def at(self, places: Sequence[int]) -> list[Example]:
        """The examples of the questions at these places, (n,)."""
        asked, style, tokenizer = self._encoded.part(places), self._recipe.style, self._backbone.tokenizer
        end = int(tokenizer.eos_token_id)
        continuations = [style.continuation(question.answer or UNKNOWN_ANSWER) for question in asked.questions]
        answers = [[*ids, end] for ids in tokenize(tokenizer, continuations)]
        facts = self._store.facts
        nearest = nearest_sentences(self._store, asked, self._recipe.facts)  # of a step: memory stays bounded
        prompts = [
            fitting(
                style, question.question, [style.shown(facts[number]) for number in found], self._backbone, len(answer)
            )
            for question, found, answer in zip(asked.questions, nearest, answers, strict=True)
        ]
        return [Example(*each) for each in zip(tokenize(tokenizer, prompts), answers, strict=True)]


def parts(examples: Sequence[Example], together: int, pad: int) -> Iterator[Part]:
    """Examples in parts of like length, so that little is padding.

    Args:
        examples: In any order.
        together: How many a part holds at most.
        pad: Token id that fills rows.
    """
    sequences = [each.prompt + each.answer[:-1] for each in examples]
    for places in by_length(sequences, together):
        chosen = [examples[place] for place in places]
        ids, _ = padded([sequences[place] for place in places], pad)
        rows = [row for row, each in enumerate(chosen) for _ in each.answer]
        columns = [len(each.prompt) - 1 + number for each in chosen for number in range(len(each.answer))]
        wanted = [token for each in chosen for token in each.answer]
        yield Part(ids, torch.tensor(rows), torch.tensor(columns), torch.tensor(wanted))


def backward(model: KBInjectedModel, examples: Sequence[Example], together: int, pad: int) -> float:
    """Adds the gradient of the cross-entropy, a mean over all tokens of the answers; gives back the mean."""
    device, tokens, total = model.backbone.device, sum(len(each.answer) for each in examples), 0.0
    for part in parts(examples, together, pad):
        at = part.rows.to(device), part.columns.to(device)
        with _computing(model):
            logits = model(part.ids.to(device), logits_at=at, use_cache=False).logits
        loss = cross_entropy(logits.float(), part.wanted.to(device), reduction="sum") / tokens
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


@contextmanager
def _computing(model: KBInjectedModel) -> Iterator[None]:
    """Around a backbone in bfloat16 LoRA, whose weights are float32, computes in bfloat16 too."""
    backbone = model.backbone
    if backbone.dtype != torch.bfloat16:
        yield
        return
    with torch.autocast(backbone.device.type, dtype=torch.bfloat16), disable_input_dtype_casting(backbone):
        yield


@dataclass
class History:
    """How far a run has come; part of its checkpoint.

    Attributes:
        step: Steps done.
        seconds: What they took.
        losses: Theirs.
    """

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """As the checkpoint has it."""
        return {"history": asdict(self)}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> History:
        """That of a checkpoint."""
        return cls(**state["history"])


def train(
    model: KBInjectedModel,
    examples: Examples,
    recipe: Recipe,
    *,
    pad: int,
    checkpoint: Path,
    key: str,
    after_step: Callable[[int], None] | None = None,
) -> History:
    """Trains what asks for a gradient, in place; a killed run goes on from `checkpoint`.

    Args:
        model: The model; LoRA alone asks for a gradient.
        examples: The training questions.
        recipe: How long and how fast.
        pad: Token id that fills rows.
        checkpoint: File for the state of the run, also of its end: the caller deletes it once the result is saved.
        key: Identifies parameters and inputs; a checkpoint with another key is of another run and is ignored.
        after_step: Called after each step with its number; for tests.

    Raises:
        CheckpointError: The checkpoint is damaged.
        TrainingError: A gradient is not finite.
    """
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.AdamW(learning.values(), lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.0)
    history = resume_state(checkpoint, key, History.of, learning, optimizer) or History()
    total = recipe.steps if recipe.steps is not None else round(60 * (recipe.minutes or 0))
    unit = "step" if recipe.steps is not None else "s"
    with progress_bar(total=total, desc="training", unit=unit) as progress:
        while (spent := recipe.spent(history.step, history.seconds)) < 1:
            progress.update(int(spent * total) - progress.n)
            started = time.monotonic()
            loss = backward(model, examples.of_step(history.step), recipe.together, pad)
            norm = nn.utils.clip_grad_norm_(learning.values(), CLIP)
            if not torch.isfinite(norm):
                raise TrainingError(
                    f"the gradient of step {history.step} is not finite ({float(norm)}), so the weights would be lost; "
                    "lower the learning rate, or use backbone.dtype float32"
                )
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * recipe.factor(spent)
            optimizer.step()
            optimizer.zero_grad()
            history.step += 1
            history.seconds += time.monotonic() - started
            history.losses.append(loss)
            recent = history.losses[-LOG_EVERY:]
            progress.set_postfix(loss=f"{sum(recent) / len(recent):.3f}", refresh=False)
            if history.step % LOG_EVERY == 0:
                logger.info("step %d, %.0f s: loss %.4f", history.step, history.seconds, sum(recent) / len(recent))
            if history.step % recipe.checkpoint_every == 0:
                save_state(checkpoint, key, history.state(), learning, optimizer)
            if after_step is not None:
                after_step(history.step)
        progress.update(total - progress.n)
    save_state(checkpoint, key, history.state(), learning, optimizer)
    return history


def train_rag(
    params: Params,
    recipe: Recipe,
    *,
    data: Path,
    store: Path,
    out: Path,
    checkpoints: Path,
    after_step: Callable[[int], None] | None = None,
) -> History:
    """Trains LoRA on the questions of split `train` and saves it to `out`, which `adapter.load_rag` reads.

    Args:
        params: For dataset, backbone, seed and threads.
        recipe: How.
        data, store: The folders of these names.
        out: Folder of the result, such as `store/<dataset>/rag`; it is written whole or not at all.
        checkpoints: Folder of the states of runs.
        after_step: See `train`.

    Returns:
        Steps, seconds and losses.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    workspace = Workspace.open(params, data, store, (TRAIN,))
    backbone, base = workspace.backbone, workspace.open_base(TRAIN)
    if recipe.style.chat and not backbone.tokenizer.chat_template:
        raise ParamsError(
            f"backbone {backbone.name} has no chat template, so it cannot be asked in the style {recipe.style!s}; "
            "name a style without chat"
        )
    questions = workspace.dataset.questions[TRAIN]
    encoded = EncodedQuestions(questions, base.store.question_vectors(TRAIN), (None,) * len(questions))
    settings = [params.seed, params.threads, params.backbone.model_dump(), asdict(recipe)]
    key = run_key(settings, workspace, base)
    checkpoint = checkpoints / "rag" / key[:16] / "state.pt"
    model = bare_model(workspace, params)
    torch.manual_seed(params.seed)
    change_backbone(model, rank=recipe.rank, alpha=recipe.alpha, targets=recipe.targets)
    backbone.model.train(False)
    examples = Examples(base, encoded, backbone, recipe, params.seed)
    pad = int(backbone.tokenizer.pad_token_id)
    history = train(model, examples, recipe, pad=pad, checkpoint=checkpoint, key=key, after_step=after_step)
    recent = history.losses[-LOG_EVERY:]
    fields = {
        "dtype": params.backbone.dtype,
        "style": str(recipe.style),
        "facts": recipe.facts,
        "steps": history.step,
        "questions": history.step * recipe.batch_size,
        "seconds": round(history.seconds, 1),
        "lr": recipe.lr,
        "loss": round(sum(recent) / len(recent), 5),
    }
    save_rag(out, model, backbone, fields)
    unload(model)
    checkpoint.unlink(missing_ok=True)
    return history


def bare_model(workspace: Workspace, params: Params) -> KBInjectedModel:
    """A model around the backbone that reads no knowledge: for what asks and changes a backbone."""
    section = params.injection
    with torch.random.fork_rng(devices=[]):
        model = build_model(
            workspace.backbone,
            workspace.projections,
            layers="auto",
            layer_path=section.layer_path,
            d_context_score=section.d_context_score,
            d_fusion=section.d_fusion,
        )
    return model.requires_grad_(False).eval()
