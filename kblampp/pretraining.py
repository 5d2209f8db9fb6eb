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
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kblampp.artifacts import atomic_dir, write_json
from kblampp.errors import BackboneError, KBLaMError
from kblampp.pretraining_examples import IGNORED, Batch, ExampleMaker, Recipe, train_tokenizer

logger = logging.getLogger(__name__)


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

    A mean each, since closed-book tokens are many and mostly names that nobody can foresee: in one mean they would
    drown what teaches the model to look up.  Logits are computed where a label stands alone; most tokens have none.
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
    """Linear warm-up, cosine decay towards a fiftieth, linear cool-down to zero from `cooldown_step` on."""
    if step < recipe.warmup_steps:
        return recipe.lr * (step + 1) / recipe.warmup_steps
    if step > recipe.cooldown_step:
        left = (recipe.stop_step - step) / (recipe.stop_step - recipe.cooldown_step)
        return left * learning_rate(recipe, recipe.cooldown_step)
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
    last = recipe.stop_step
    for step in range(first, last):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        losses = losses_of(model, examples.batch(step))
        optimizer.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == last - 1:
            pace = (time.monotonic() - started) / (step - first + 1)
            left = pace * (last - step - 1) / 60
            parts = " ".join(f"{value:.3f}" for value in losses.tolist())
            logger.info("step %d/%d  losses %s  %.2f s/step  %.0f min left", step, last, parts, pace, left)
        if (step + 1) % checkpoint_every == 0:
            _save_checkpoint(recipe, checkpoint, model, optimizer, step + 1)
            save_backbone(recipe, model, tokenizer, checkpoint.parent / "snapshot")
    save_backbone(recipe, model, tokenizer, output)
    checkpoint.unlink(missing_ok=True)


def save_backbone(recipe: Recipe, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Writes the model in half precision, the tokenizer and the recipe, as a folder that transformers loads."""
    with atomic_dir(output) as folder:
        copy.deepcopy(model).half().save_pretrained(folder)  # type: ignore[no-untyped-call]
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


def _so_far(recipe: dict[str, Any], step: int, cooldown_step: int) -> dict[str, Any]:
    """What batches and rates depend on so far: before the cool-down, nothing that says when it comes."""
    later = ("cooldown_step", "stop_step") if step <= cooldown_step else ()
    return {name: value for name, value in recipe.items() if name not in later}


def _resume(recipe: Recipe, path: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> int:
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
