"""Measures what a step of Stage A costs with the hidden states of the first injected layer stored, and without.

Kinds of steps are taken in turn on the same batches, in one process, so that the ratios of their times are told
without the speed of the machine:

* ``bare``: the backbone alone, without knowledge: its forward pass, the loss of the answers, and the backward pass down
  to the first injected layer, which no training of what is added there can do without;
* ``plain``: without them;
* ``layers``: with them, so that the layers below are not run, and nothing else;
* ``stored``: what training does with them, which also computes the logits of the answers' tokens alone.

The backbone has random weights and the shape of SmolLM2-135M; knowledge enters after
the layers 19, 22 and 25 of 30.  The base is made up, and its vectors are those of the deterministic encoder.  A step is
a batch, its losses, their gradients and the optimizer's step; to read the stored states is part of it, to make them is
told beside it.  The bare step is also compared with a plain one of the embedded language model.  Ratios are medians
over the steps.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from decode_cost import ENCODERS, MODULES, backbones, make_base, make_facts
from generation import EMBEDDED, SMOLLM2
from numpy.typing import NDArray
from ratios import CLOCKS, Row, add_clock, ratios, result, row, take_turns, timed
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kblampp.backbone.decoder_layers import find_decoder_layers
from kblampp.backbone.load import Backbone
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
AIM = 1.3
"""Of a step of Stage A over the bare one, with SmolLM2's shape."""
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
    *,
    states: StoredStates | None,
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


def bare_step(backbone: Backbone, layer: nn.Module, batches: TrainingBatches, step: int, device: str) -> float:
    """Forward and backward of the backbone alone, down to the output of a layer; the loss."""
    batch = batches.batch(step).to(device)
    width = backbone.model.config.hidden_size
    added = torch.zeros(width, device=device, requires_grad=True)

    def add(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        return (output[0] + added, *output[1:]) if isinstance(output, tuple) else output + added

    hook = layer.register_forward_hook(add)
    try:
        logits = backbone.model(batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
    finally:
        hook.remove()
    loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), batch.labels[:, 1:].flatten())
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def measure(batch_size: int, steps: int, facts: int, clock: str, device: str, folder: Path) -> dict[str, object]:
    """Take the kinds of steps in turn; base and stored states lie in ``folder``."""
    made = make_facts(facts, seed=0)
    base, projections = make_base(folder, made, device)
    questions = make_questions(made)
    vectors = ENCODERS.embed_questions([question.question for question in questions]).astype("float32")
    rows: list[Row] = []
    told: dict[str, object] = {}
    for name, backbone in backbones([EMBEDDED, SMOLLM2], device):
        torch.manual_seed(0)
        layers = LAYERS if name == SMOLLM2 else "auto"
        model = build_model(backbone, projections, layers=layers, **MODULES).to(device)
        model.start_from(projections, torch.from_numpy(vectors))
        batches = make_batches(questions, vectors, backbone.tokenizer, batch_size)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
        lowest = find_decoder_layers(backbone.model)[model.layers[0]]
        take = partial(take_step, model, base, batches, optimizer)
        kinds: dict[str, Callable[[int], object]] = {
            "bare": partial(bare_step, backbone, lowest, batches, device=device),
            "plain": partial(take, states=None, all_logits=True),
        }
        if name == SMOLLM2:
            states, told = stored(model, batches, backbone, batch_size, clock, folder)
            kinds |= {
                "layers": partial(take, states=states, all_logits=True),
                "stored": partial(take, states=states, all_logits=False),
            }

        def timing(turn: int, kind: str, kinds: dict[str, Callable[[int], object]] = kinds) -> float:
            return timed(lambda: kinds[kind](turn + 1), clock)

        times = take_turns({kind: partial(timing, kind=kind) for kind in kinds}, steps)
        over = ratios(times["plain"], times["bare"])
        rows.append(row(f"{name}: step of Stage A, time : bare", over, aim=AIM if name == SMOLLM2 else None))
        for kind in ("layers", "stored"):
            if kind in times:
                of = ratios(times["plain"], times[kind])
                rows.append(row(f"{name}: time without stored states : {kind}", of, better="higher"))
        told |= {f"{name}_{kind}_ms": round(1000 * statistics.median(each), 1) for kind, each in times.items()}
    return result(
        "stored_states",
        rows,
        **told,
        layers=LAYERS,
        batch_size=batch_size,
        steps=steps,
        facts=facts,
        clock=clock,
        device=device,
    )


def stored(
    model: KBInjectedModel, batches: TrainingBatches, backbone: Backbone, batch_size: int, clock: str, folder: Path
) -> tuple[StoredStates, dict[str, object]]:
    """The hidden states of all questions, and what they cost."""
    sequences = batches.sequences()
    start = CLOCKS[clock]()
    states = stored_states(
        model, sequences, backbone.fingerprint, limit=4.0, batch_size=batch_size, folder=folder / "states"
    )
    made_in = CLOCKS[clock]() - start
    if states is None:
        raise KBLaMError("the hidden states could not be stored")
    return states, {
        "storing_ms_a_question": round(1000 * made_in / len(sequences), 1),
        "kib_a_question": round(sum(path.stat().st_size for path in states.folder.iterdir()) / 1024 / len(sequences)),
        "tokens_a_question": round(statistics.mean(map(len, sequences)), 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="questions a step (default: 16)")
    parser.add_argument("--steps", type=int, default=6, metavar="N", help="steps of each kind (default: 6)")
    parser.add_argument("--facts", type=int, default=2000, metavar="N", help="size of the base (default: 2000)")
    add_clock(parser)
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    arguments = parser.parse_args(argv)
    if arguments.facts < QUESTIONS or arguments.batch_size < 1 or arguments.steps < 1:
        parser.error(f"--facts must be at least {QUESTIONS}, --batch-size and --steps 1")

    def work() -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            measured = measure(
                arguments.batch_size,
                arguments.steps,
                arguments.facts,
                arguments.clock,
                arguments.device,
                Path(folder),
            )
        print(json.dumps(measured))

    return one_line_errors(work)


if __name__ == "__main__":
    sys.exit(main())
