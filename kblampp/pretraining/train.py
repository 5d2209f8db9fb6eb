"""Pre-trains the embedded backbone from scratch on random worlds: ``python -m kblampp.pretraining`` (`make pretrain`).

Most of the time the model answers questions from sentences in the prompt (loss on the answers only: this is what
teaches it to look up) or repeats facts in other words, else it reads sentences and questions closed book.  Every few
steps bring a new world, whose entities never occur in an evaluated one and whose words are never those of `novel`
(`worlds.is_pretrain_name`, `worlds.is_novel_word`).
"""

from __future__ import annotations

import argparse
import copy
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kblampp.core.errors import BackboneError, one_line_errors
from kblampp.core.files import atomic_dir, read_json, write_json
from kblampp.pretraining.examples import IGNORED, Batch, ExampleMaker, Recipe, train_tokenizer

logger = logging.getLogger(__name__)
ROWS_TOGETHER = 6
"""Rows of a batch in one forward pass."""


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The untrained Llama-architecture model."""
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(
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
    model.set_attn_implementation("eager")  # on a CPU the fused attention is slower to train
    return model


def losses_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the in-context answers, of the repetitions and of the closed-book tokens, (3,).

    A mean each, since closed-book tokens are many and mostly names that nobody can foresee: in one mean they would
    drown what teaches the model to look up.  Logits are computed where a label stands alone; most tokens have none.
    """
    losses = [model.lm_head.weight.new_zeros(()) for _ in range(3)]
    asked, repeated = batch.counts
    for kind, rows in enumerate((slice(0, asked), slice(asked, asked + repeated), slice(asked + repeated, None))):
        targets = batch.labels[rows, 1:]
        learned = targets != IGNORED
        ends = (learned * torch.arange(1, learned.shape[1] + 1)).amax(1)
        order = ends.argsort(stable=True)
        for first in range(0, len(order), ROWS_TOGETHER):  # rows of like length: padding costs as much as text
            part = order[first : first + ROWS_TOGETHER]
            width = int(ends[part].max())
            if width:
                here = learned[part, :width]
                hidden = model.model(batch.ids[rows][part, :width]).last_hidden_state[here]
                logits, wanted = model.lm_head(hidden), targets[part, :width][here]
                losses[kind] = losses[kind] + torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
        losses[kind] = losses[kind] / learned.sum().clamp(min=1)
    return torch.stack(losses)


def rate_factor(recipe: Recipe, step: int) -> float:
    """What a step multiplies the learning rates by: linear warm-up, constant, linear cool-down to zero.

    Unlike a cosine it does not depend on the length of the run until the cool-down, so a run can be lengthened
    (warmup-stable-decay; Hu et al. 2024, MiniCPM, section 4).
    """
    left = (recipe.steps - step) / max(1, recipe.steps - recipe.cooldown_step)
    return min(1.0, (step + 1) / recipe.warmup_steps, left)


def make_optimizers(recipe: Recipe, model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the layers' matrices, AdamW for the embeddings and norms."""
    matrices = [p for layer in model.model.layers for p in layer.parameters() if p.ndim == 2]
    taken = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    return [
        torch.optim.Muon(matrices, lr=recipe.matrix_lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def pretrain(
    recipe: Recipe, output: Path, checkpoint: Path, *, start: Path | None = None, checkpoint_every: int = 200
) -> None:
    """Trains the tokenizer and the model and saves both to `output`.

    A run that was stopped goes on from `checkpoint`, with the same batches as an uninterrupted one.

    Args:
        recipe: How.
        output: Folder of the backbone.
        checkpoint: File for the state of the run; deleted at the end.
        start: Folder of a backbone whose tokenizer and weights the run begins with.
        checkpoint_every: Steps between checkpoints.

    Raises:
        BackboneError: The checkpoint was made with another recipe.
    """
    torch.set_num_threads(recipe.threads)
    tokenizer = train_tokenizer(recipe)
    model = build_model(recipe, tokenizer)
    phases = [asdict(recipe)]
    if start is not None:
        tokenizer, phases = PreTrainedTokenizerFast.from_pretrained(start), [*read_phases(start), *phases]
        model.load_state_dict(LlamaForCausalLM.from_pretrained(start, dtype=torch.float32).state_dict())
    optimizers = make_optimizers(recipe, model)
    first = _resume(recipe, checkpoint, model, optimizers)
    schedules = [LambdaLR(optimizer, partial(rate_factor, recipe), first - 1) for optimizer in optimizers]
    examples = ExampleMaker(recipe, tokenizer)
    started = time.monotonic()
    last = recipe.steps
    for step in range(first, last):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = losses_of(model, examples.batch(step))
        model.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        if step % 50 == 0 or step == last - 1:
            pace = (time.monotonic() - started) / (step - first + 1)
            left = pace * (last - step - 1) / 60
            parts = " ".join(f"{value:.3f}" for value in losses.tolist())
            logger.info("step %d/%d  losses %s  %.2f s/step  %.0f min left", step, last, parts, pace, left)
        if (step + 1) % checkpoint_every == 0:
            _save_checkpoint(recipe, checkpoint, model, optimizers, step + 1)
            save_backbone(phases, model, tokenizer, checkpoint.parent / "snapshot")
    save_backbone(phases, model, tokenizer, output)
    checkpoint.unlink(missing_ok=True)


def read_phases(folder: Path) -> list[dict[str, Any]]:
    """The recipes of the runs that made a backbone, in their order.

    Raises:
        BackboneError: The folder does not say.
    """
    phases: list[dict[str, Any]] = read_json(folder / "recipe.json", error=BackboneError)
    return phases


def save_backbone(
    phases: Sequence[dict[str, Any]], model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path
) -> None:
    """Writes the model in half precision, the tokenizer and the recipes, as a folder that transformers loads."""
    with atomic_dir(output) as folder:
        copy.deepcopy(model).half().save_pretrained(folder)  # type: ignore[no-untyped-call]
        tokenizer.save_pretrained(folder)
        write_json(folder / "recipe.json", phases)


def _save_checkpoint(
    recipe: Recipe, path: Path, model: LlamaForCausalLM, optimizers: Sequence[torch.optim.Optimizer], step: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    states = [optimizer.state_dict() for optimizer in optimizers]
    torch.save({"recipe": asdict(recipe), "step": step, "model": model.state_dict(), "optimizers": states}, unfinished)
    unfinished.replace(path)


def _so_far(recipe: dict[str, Any], step: int, cooldown_step: int) -> dict[str, Any]:
    """What batches and rates depend on so far: before the cool-down, nothing that says when it comes."""
    later = ("cooldown_step", "steps") if step <= cooldown_step else ()
    return {name: value for name, value in recipe.items() if name not in later}


def _resume(recipe: Recipe, path: Path, model: LlamaForCausalLM, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    if not path.exists():
        return 0
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, UnpicklingError) as error:
        kind = type(error).__name__
        raise BackboneError(f"{path} is not a readable checkpoint ({kind}); delete it to start over") from error
    step = state["step"]
    cooldown = min(recipe.cooldown_step, state["recipe"].get("cooldown_step", recipe.cooldown_step))
    if _so_far(state["recipe"], step, cooldown) != _so_far(asdict(recipe), step, cooldown):
        raise BackboneError(f"{path} was made with another recipe; delete it to start over, or use the same options")
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    logger.info("resuming at step %d from %s", state["step"], path)
    return int(state["step"])


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of `make pretrain`."""
    parser = argparse.ArgumentParser(prog="python -m kblampp.pretraining", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("kblampp/embedded"), help="folder of the backbone")
    parser.add_argument("--checkpoint", type=Path, default=Path(".ckpt/pretrain/state.pt"), help="where to resume from")
    parser.add_argument("--start", type=Path, help="folder of a backbone to go on from; default: from scratch")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help="default: %(default)s")
    arguments = vars(parser.parse_args(argv))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    output, checkpoint, start = (arguments.pop(name) for name in ("output", "checkpoint", "start"))
    return one_line_errors(lambda: pretrain(Recipe(**arguments), output, checkpoint, start=start))
