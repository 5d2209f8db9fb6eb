"""Tunes the second encoder: a question and the labels of the relations that it asks for come close (`run_tune`).

The sentence encoder is trained as a dense retriever of labels: a question's vector against those of all labels of the
batch, with temperature, cross-entropy both ways (van den Oord et al. 2018, "Representation Learning with Contrastive
Predictive Coding", section 2.3; Karpukhin et al. 2020, "Dense Passage Retrieval", section 3.2), labels of the same
subject among them as near negatives.  Only low-rank updates of its linear layers learn (Hu et al. 2021, "LoRA").
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from kblampp.core.errors import EncoderError
from kblampp.core.files import atomic_dir, write_json, write_manifest
from kblampp.core.low_rank import WEIGHTS, updates_of
from kblampp.core.params import Params
from kblampp.core.progress import progress_bar
from kblampp.encoding.encoders import KIND, TUNED
from kblampp.encoding.sentence_encoder import (
    DETERMINISTIC,
    load_encoder,
    load_sentence_transformer,
)
from kblampp.tuning.examples import Example, ExampleMaker, labels_of
from kblampp.tuning.measure import measure

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
TARGETS = "all-linear"
"""Layers that get low-rank updates, in peft's words."""
BACKWARD = 0.5
"""Weight of the cross-entropy of the questions given a label, beside that of the labels given a question."""
WARMUP = 20
LEAST_RATE = 0.05
"""Steps in which the rate rises; what it falls to, as a share of its peak."""


def run_tune(params: Params, *, store: Path, metrics: Path) -> None:
    """Writes the tuned encoder to `store/encoder` and how well it does on held-out relations to `metrics.json`.

    Without steps, and where there is nothing to tune (`deterministic`), the folder says so and both encoders are one.

    Raises:
        EncoderError: The sentence encoder is missing, broken, or has no layers that can be tuned.
    """
    section, name = params.tune, params.encoder.model
    plain = load_encoder(name, batch_size=params.encoder.batch_size)
    tuned = section.steps > 0 and name != DETERMINISTIC
    figures: dict[str, dict[str, float]] = {}
    with atomic_dir(store / TUNED) as folder:
        if tuned:
            figures["plain"] = measure(plain.encode, params.seed)
            logger.info("before: %s", figures["plain"])
            model = load_sentence_transformer(name)
            _train(model, params)
            _save(model, folder)
        write_manifest(folder, KIND, {"base": plain.fingerprint, "name": name, "tuned": tuned})
    if tuned:
        encoder = load_encoder(name, batch_size=params.encoder.batch_size, adapter=store / TUNED)
        figures["tuned"] = measure(encoder.encode, params.seed)
        logger.info("after: %s", figures["tuned"])
    rounded = {which: {key: round(value, 5) for key, value in row.items()} for which, row in figures.items()}
    write_json(metrics / "metrics.json", rounded)


def _train(model: SentenceTransformer, params: Params) -> None:
    """Adds low-rank updates to the encoder and trains them."""
    from peft import LoraConfig, get_peft_model  # slow to import: only when used

    section = params.tune
    config = LoraConfig(
        r=section.lora_rank, lora_alpha=2 * section.lora_rank, target_modules=TARGETS, task_type="FEATURE_EXTRACTION"
    )
    try:
        inner: Any = model[0].auto_model
        model[0].auto_model = get_peft_model(inner, config)
    except ValueError as error:
        raise EncoderError(
            f"encoder {params.encoder.model!r} cannot be tuned ({error}); set tune.steps to 0"
        ) from error
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=section.lr)
    maker = ExampleMaker(params.seed)
    model.train()
    for step in progress_bar(iterable=range(section.steps), desc="Tuning"):
        for group in optimizer.param_groups:
            group["lr"] = section.lr * min(1, (step + 1) / WARMUP) * max(LEAST_RATE, 1 - step / section.steps)
        examples = maker.batch(step, section.batch_size)
        loss = contrastive_loss(
            _vectors(model, [example.text for example in examples]),
            _vectors(model, [asked.label for asked in labels_of(examples)]),
            wanted(examples),
            section.temperature,
        )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    model.eval()


def _vectors(model: SentenceTransformer, texts: Sequence[str]) -> Tensor:
    tokens = model.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    return F.normalize(model(dict(tokens))["sentence_embedding"], dim=-1)


def wanted(examples: Sequence[Example]) -> Tensor:
    """How much each label is what a question asks for, (n, labels of all n): its hops share one, each among the labels
    that mean the same."""
    every = labels_of(examples)
    shares = torch.zeros(len(examples), len(every))
    for row, example in enumerate(examples):
        for hop in example.hops:
            same = torch.tensor([hop.same(other) for other in every], dtype=torch.float32)
            shares[row] += same / same.sum() / len(example.hops)
    return shares


def contrastive_loss(questions: Tensor, labels: Tensor, shares: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of labels given questions, and half as much of questions given labels.

    Args:
        questions: Unit vectors, (n, d).
        labels: Unit vectors, (m, d).
        shares: How much each label is what a question asks for, (n, m); each label is asked for by some.
        temperature: Divides the cosines.

    Returns:
        A scalar.
    """
    logits = questions @ labels.T / temperature
    forward = -(shares * logits.log_softmax(1)).sum(1).mean()
    askers = (shares > 0).float()
    backward = -(askers / askers.sum(0) * logits.log_softmax(0)).sum(0).mean()
    return forward + BACKWARD * backward


def _save(model: SentenceTransformer, folder: Path) -> None:
    """Writes the low-rank updates in peft's format, without a path of this machine."""
    updated: Any = model[0].auto_model
    config = updated.peft_config["default"]
    config.base_model_name_or_path, config.inference_mode = None, True
    config.target_modules = sorted(config.target_modules)  # a set, in random order
    config.save_pretrained(str(folder))
    tensors = sorted(updates_of(updated).items())
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors}, folder / WEIGHTS)
