"""Measures what a step of Stage A costs with the hidden states of the first injected layer stored, and without.

Three kinds of steps are taken in turn on the same batches, in one process, so that the ratios of their times are told
without the speed of the machine:

* ``plain``: without them;
* ``layers``: with them, so that the layers below are not run, and nothing else;
* ``stored``: what training does with them, which also computes the logits of the answers' tokens alone.

The backbone has random weights and the shape of SmolLM2-135M; knowledge enters after
the layers 19, 22 and 25 of 30.  The base is made up, and its vectors are those of the deterministic encoder.  A step is
a batch, its losses, their gradients and the optimizer's step; to read the stored states is part of it, to make them is
told beside it.  Ratios are medians over the steps.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from decode_cost import CLOCKS, ENCODERS, MODULES, SMOLLM2, backbones, make_base, make_facts
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from kblampp.core.errors import KBLaMError, one_line_errors
from kblampp.data.facts import FiveTuple, Question
from kblampp.data.windows import SYNTHETIC_TODAY
from kblampp.model.batches import TrainingBatches
from kblampp.model.checkpoint import build_model
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import SelectorOptions, StoredBase
from kblampp.training.loop import forward
from kblampp.training.losses import LossWeights, compute_losses
from kblampp.training.stored_states import StoredStates, stored_states

LAYERS = (19, 22, 25)
QUESTIONS = 256
OPTIONS = SelectorOptions(top_k=0, as_of=SYNTHETIC_TODAY)
WEIGHTS = LossWeights(1.0, 0.5, 0.1, 0.2, 0.5, 0.1, path_margin=1.0)


def make_questions(facts: Sequence[FiveTuple]) -> list[Question]:
    """Questions about facts from all over the base."""
    numbers = [place * len(facts) // QUESTIONS for place in range(QUESTIONS)]
    return [
        Question(
            f"q{number}",
            "made up",
            f"What was the {facts[number].relation.name} of {facts[number].head.name}?",
            facts[number].tail.name,
            (),
            "single-hop",
            (number,),
            None,
        )
        for number in numbers
    ]


def make_batches(
    questions: Sequence[Question],
    vectors: NDArray[np.float32],
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int,
) -> TrainingBatches:
    """Training batches of questions, (n,), with their vectors, (n, d)."""
    return TrainingBatches(
        questions,
        vectors,
        tokenizer,
        batch_size=batch_size,
        drop_question_vector=0.1,
        in_batch_negatives=16,
        retrieved_negatives=16,
        seed=0,
    )


def take_step(
    model: KBInjectedModel,
    base: StoredBase,
    batches: TrainingBatches,
    optimizer: torch.optim.Optimizer,
    step: int,
    states: StoredStates | None,
    *,
    all_logits: bool,
) -> float:
    """One step of training; its loss."""
    batch = batches.batch(step).to(base.device)
    output = forward(model, base, batch, OPTIONS, states, all_logits=all_logits)
    loss = compute_losses(output, batch, base, path_margin=WEIGHTS.path_margin).total(WEIGHTS)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())  # waits for an accelerator


def measure(batch_size: int, steps: int, facts: int, read: Callable[[], float], device: str, folder: Path) -> object:
    """Take the kinds of steps in turn, changing which goes first; base and stored states lie in ``folder``."""
    made = make_facts(facts, seed=0)
    base, projections = make_base(folder, made, device)
    questions = make_questions(made)
    vectors = ENCODERS.embed_questions([question.question for question in questions]).astype("float32")
    ((_, backbone),) = backbones([SMOLLM2], device)
    torch.manual_seed(0)
    model = build_model(backbone, projections, layers=LAYERS, **MODULES).to(device)
    model.start_from(projections, torch.from_numpy(vectors))
    batches = make_batches(questions, vectors, backbone.tokenizer, batch_size)
    sequences = batches.sequences()
    start = read()
    states = stored_states(
        model, sequences, backbone.fingerprint, limit=4.0, batch_size=batch_size, folder=folder / "states"
    )
    made_in = read() - start
    if states is None:
        raise KBLaMError("the hidden states could not be stored")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    kinds: dict[str, tuple[StoredStates | None, bool]] = {
        "plain": (None, True),
        "layers": (states, True),
        "stored": (states, False),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for step in range(-1, steps):  # the first to warm up
        for name in sorted(kinds, reverse=bool(step % 2)):
            kept, all_logits = kinds[name]
            start = read()
            take_step(model, base, batches, optimizer, step + 1, kept, all_logits=all_logits)
            if step >= 0:
                times[name].append(read() - start)
    stored, layers = (
        [a / b for a, b in zip(times["plain"], times[name], strict=True)] for name in ("stored", "layers")
    )
    return {
        "benchmark": "stored_states",
        "ratio": round(statistics.median(stored), 2),
        "ratio_min": round(min(stored), 2),
        "ratio_max": round(max(stored), 2),
        "ratio_of_layers": round(statistics.median(layers), 2),
        **{f"{name}_ms": round(1000 * statistics.median(times[name])) for name in kinds},
        "storing_ms_a_question": round(1000 * made_in / len(questions), 1),
        "kib_a_question": round(sum(path.stat().st_size for path in states.folder.iterdir()) / 1024 / len(questions)),
        "tokens_a_question": round(statistics.mean(map(len, sequences)), 1),
        "layers": LAYERS,
        "batch_size": batch_size,
        "steps": steps,
        "facts": facts,
        "device": device,
        "threads": torch.get_num_threads(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="questions a step (default: 16)")
    parser.add_argument("--steps", type=int, default=6, metavar="N", help="steps of each kind (default: 6)")
    parser.add_argument("--facts", type=int, default=2000, metavar="N", help="size of the base (default: 2000)")
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="wall", help="cpu where others use the machine (default: wall)"
    )
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    arguments = parser.parse_args(argv)
    if arguments.facts < QUESTIONS or arguments.batch_size < 1 or arguments.steps < 1:
        parser.error(f"--facts must be at least {QUESTIONS}, --batch-size and --steps 1")

    def work() -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            result = measure(
                arguments.batch_size,
                arguments.steps,
                arguments.facts,
                CLOCKS[arguments.clock],
                arguments.device,
                Path(folder),
            )
        print(json.dumps(result))

    return one_line_errors(work)


if __name__ == "__main__":
    sys.exit(main())
