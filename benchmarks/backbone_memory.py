"""Tells how much memory a backbone takes, by type of its weights: SmolLM2 measured, larger ones computed; and a base.

Measured, each in a process of its own: the bytes of the weights as they are held, what loading adds to the process, and
what, at most, two steps of training add to that, of Stage A (knowledge modules) and Stage B (and LoRA), with
and without gradient checkpointing.  A step is a batch of 16 rows of 50 tokens, its losses, gradients and the
optimizer's step.

Computed, from configs of the shapes of Llama 3.1 and 3.2, on torch's meta device: the same bytes of weights, the bytes
of modules and LoRA in training (float32, with gradients and AdamW's two moments), the size of the adapter's files, and
what autograd keeps of the decoder layers for the backward pass.  SmolLM2's shape is among them, to compare.

A base: a made-up one is built with the widths of params.yaml, and its bytes are divided by its facts.

The last line on stdout is a JSON object; ``--tables`` prints its tables for docs/backbones.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from decode_cost import ENCODERS, make_facts
from generation import SMOLLM2_SHAPE
from stored_states import make_batches, make_questions, take_step
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedModel

from kblampp.backbone.decoder_layers import find_decoder_layers
from kblampp.backbone.files import EMBEDDED_FOLDER
from kblampp.backbone.load import DTYPES, Backbone, load_backbone
from kblampp.core.errors import KBLaMError
from kblampp.core.params import Params
from kblampp.core.params_file import load_params
from kblampp.encoding.projections import Projections, fit_projections
from kblampp.encoding.store import KBValueStore
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.batches import TrainingBatch, TrainingBatches
from kblampp.model.checkpoint import build_model
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import StoredBase
from kblampp.model.lora import change_backbone

MIB, GIB = 1 << 20, 1 << 30
ROWS, TOKENS = 16, 50
TYPES = {"float32": ("none", "float32"), "bfloat16": ("none", "bfloat16"), "int8": ("int8", "bfloat16")}
TYPES |= {"nf4": ("nf4", "bfloat16")}
"""`backbone.quantize` and `backbone.dtype` of each."""
STEPS = ("A", "A recomputing", "B", "B recomputing")
_LLAMA: dict[str, Any] = {"vocab_size": 128256, "num_key_value_heads": 8}
SHAPES: dict[str, dict[str, Any]] = {
    "SmolLM2 135M": SMOLLM2_SHAPE,
    "Llama 1B": _LLAMA
    | {
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "intermediate_size": 8192,
        "tie_word_embeddings": True,
    },
    "Llama 3B": _LLAMA
    | {
        "hidden_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "intermediate_size": 8192,
        "tie_word_embeddings": True,
    },
    "Llama 8B": _LLAMA
    | {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 14336,
        "tie_word_embeddings": False,
    },
}
FACTS = (10**4, 10**5, 10**6, 10**7)
BASE_FACTS, FEW_FACTS = 4000, 600
TRAINING_BYTES = 16  # of a weight that learns: itself, its gradient and two moments, four bytes each


def held_bytes(model: nn.Module) -> int:
    """Bytes of a model's weights as they are held, with the scales of quantised ones; shared ones once."""
    tensors: dict[int, int] = {}

    def add(tensor: Any) -> None:
        if isinstance(tensor, Tensor):
            tensors[tensor.data_ptr()] = tensor.nbytes

    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            add(parameter)
            state = getattr(parameter, "quant_state", None)
            for part in (state, getattr(state, "state2", None)):
                add(getattr(part, "absmax", None))
        add(getattr(getattr(module, "state", None), "SCB", None))
    return sum(tensors.values())


def computed_bytes(model: PreTrainedModel, kind: str) -> int:
    """The same for a model on the meta device: linear layers inside the decoder layers are what is quantised."""
    quantize, dtype = TYPES[kind]
    inside = {id(module) for module in find_decoder_layers(model).modules()}
    total = 0
    for module in model.modules():
        linear = isinstance(module, nn.Linear) and id(module) in inside and quantize != "none"
        for name, parameter in module.named_parameters(recurse=False):
            count = parameter.numel()
            if not (linear and name == "weight"):
                total += count * DTYPES[dtype].itemsize
            elif quantize == "int8":
                total += count + 4 * parameter.shape[0]  # a scale a row
            else:
                scales = count // 64  # a byte each, and four bytes for 256 of them
                total += count // 2 + scales + 4 * -(scales // -256)
    tied = model.config.tie_word_embeddings
    head: Any = model.get_output_embeddings()
    return total - (head.weight.numel() * DTYPES[dtype].itemsize if tied else 0)


def with_modules(backbone: Backbone, projections: Projections, params: Params) -> KBInjectedModel:
    """A backbone with its knowledge modules."""
    section = params.injection
    widths = {"d_context_score": section.d_context_score, "d_fusion": section.d_fusion}
    return build_model(backbone, projections, layers="auto", **widths)


def on_meta(shape: Mapping[str, Any], projections: Projections, params: Params) -> KBInjectedModel:
    """A model of a shape in bfloat16 with its knowledge modules, none of whose weights exist."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**shape), dtype=torch.bfloat16)
        backbone = Backbone(model.eval(), AutoTokenizer.from_pretrained(str(EMBEDDED_FOLDER)), "meta", "meta")
        return with_modules(backbone, projections, params)


def kept_bytes(model: KBInjectedModel, first: int) -> int:
    """What autograd keeps of the decoder layers from `first` on in a pass over a batch, without weights.

    The output of layer `first` asks for a gradient, as with knowledge added to it.
    """
    kept: dict[int, Tensor] = {}  # they are held, so that no number is given twice

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    def ask(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        return output if output.requires_grad else output.requires_grad_()

    layers = find_decoder_layers(model.backbone)
    handle = layers[first].register_forward_hook(ask)
    ids = torch.zeros(ROWS, TOKENS, dtype=torch.long, device="meta")
    mask = torch.zeros(ROWS, 1, TOKENS, TOKENS, dtype=torch.bool, device="meta")  # one that needs no look at values
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model.backbone(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1)
    finally:
        handle.remove()
    del output
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    return sum(tensor.untyped_storage().nbytes() for number, tensor in kept.items() if number not in own)


def compute(shape: Mapping[str, Any], projections: Projections, params: Params) -> dict[str, Any]:
    """All that is computed of one shape, in bytes."""
    model = on_meta(shape, projections, params)
    added = sum(p.numel() for p in model.added_parameters().values())
    first, layers = model.layers[0], len(find_decoder_layers(model.backbone))
    row = {
        "parameters": sum(p.numel() for p in model.backbone.parameters()),
        "weights": {kind: computed_bytes(model.backbone, kind) for kind in TYPES},
        "modules": added,
        "kept_a": kept_bytes(model, first),
    }
    change_backbone(model, rank=params.trainB.lora_rank, alpha=params.trainB.lora_alpha)
    lora = sum(p.numel() for p in model.backbone.parameters() if p.requires_grad)
    kept = kept_bytes(model, first)
    entering = ROWS * TOKENS * int(shape["hidden_size"]) * 2
    return row | {
        "lora": lora,
        "file_a": 2 * added,
        "file_b": 2 * (added + lora),
        "training_a": TRAINING_BYTES * added,
        "training_b": TRAINING_BYTES * (added + lora),
        "kept_b": kept,
        "kept_b_recomputing": layers * entering + kept // layers,
    }


class Peak:
    """The largest resident size of this process while a thread watches, in bytes."""

    def __init__(self) -> None:
        self._process, self._stop = psutil.Process(), threading.Event()
        self.value = self.now()

    def now(self) -> int:
        """The resident size."""
        return int(self._process.memory_info().rss)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within it, the size is read all the time."""
        self._stop.clear()
        thread = threading.Thread(target=self._watch)
        self.value = self.now()
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.value = max(self.value, self.now())
            time.sleep(0.002)


def make_base(folder: Path, params: Params, facts: int) -> tuple[StoredBase, Projections]:
    """A made-up base with the widths of params.yaml."""
    made, section = make_facts(facts, seed=0), params.encoder
    projections = fit_projections(
        made, ENCODERS, d_k=section.d_k, d_v=section.d_v, d_ctx=section.d_ctx, d_tau=section.d_tau
    )
    store = KBValueStore.build(folder / "kb", made, ENCODERS, projections, dtype=section.store_dtype)
    index = KnowledgeIndex.build(store.keys, keys_sha256=store.keys_sha256)
    index.save(folder / "index")
    return StoredBase.load(folder / "kb", folder / "index"), projections


def measure_base(folder: Path, params: Params) -> dict[str, float]:
    """Bytes a fact: on disk, and as tensors on the device."""
    base, _ = make_base(folder, params, BASE_FACTS)
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    parts: dict[str, Callable[[Path], bool]] = {
        "keys": lambda path: path.name == "K.npy",
        "values": lambda path: path.name == "V.npy",
        "index": lambda path: "index" in path.parts,
        "rest": lambda path: True,  # contexts, windows, numbers, and the facts as text
    }
    found: dict[str, float] = {}
    for name, belongs in parts.items():
        chosen = [path for path in sizes if belongs(path)]
        found[name] = sum(sizes.pop(path) for path in chosen) / BASE_FACTS
    tables = (base.tensors, base.names, base.by_head, base.order)
    return found | {"device": sum(map(tensor_bytes, tables)) / BASE_FACTS}


def tensor_bytes(table: Any) -> int:
    """Bytes of the tensors and arrays of a dataclass."""
    if isinstance(table, Tensor | np.ndarray):
        return int(table.nbytes)
    if not is_dataclass(table):
        return 0
    return sum(tensor_bytes(getattr(table, field.name)) for field in fields(table))


def measure(kind: str, step: str, params: Params, folder: Path) -> dict[str, int]:
    """What is measured of SmolLM2 in one type and with one kind of steps, in this process."""
    peak, (quantize, dtype) = Peak(), TYPES[kind]
    base, projections = make_base(folder, params, FEW_FACTS)
    questions = make_questions(base.store.facts)
    vectors = ENCODERS.embed_questions([question.question for question in questions]).astype("float32")
    if quantize != "none":
        import bitsandbytes  # noqa: F401  # its own size does not count
    gc.collect()
    start = peak.now()
    backbone = load_backbone("smollm2", quantize=quantize, dtype=dtype)
    gc.collect()
    loaded = peak.now() - start
    batches = make_batches(questions, vectors, backbone.tokenizer, ROWS)
    torch.manual_seed(0)
    model = with_modules(backbone, projections, params)
    model.start_from(projections, torch.from_numpy(vectors))
    found = {"weights": held_bytes(backbone.model), "loaded": loaded}
    if step.startswith("B"):
        change_backbone(model, rank=params.trainB.lora_rank, alpha=params.trainB.lora_alpha)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    gc.collect()
    before = peak.now()
    with peak.watching(), model.recomputing("recomputing" in step):
        for number in range(2):  # the optimizer's moments are there in the second
            take_step(model, base, Padded(batches), optimizer, number, None, all_logits=False)
    return found | {step: peak.value - before}


class Padded:
    """Training batches, each padded to as many tokens."""

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches

    def batch(self, step: int) -> TrainingBatch:
        """See `TrainingBatches`."""
        batch = self._batches.batch(step)
        more = (0, TOKENS - batch.input_ids.shape[1])
        ids, mask = (nn.functional.pad(part, more) for part in (batch.input_ids, batch.attention_mask))
        return replace(batch, input_ids=ids, attention_mask=mask)


def tables(result: Mapping[str, Any]) -> str:
    """Its tables, as Markdown."""
    measured, computed, base = result["measured"], result["computed"], result["base"]
    lines = ["| SmolLM2, measured, MiB | " + " | ".join(measured) + " |", "|---" * (len(measured) + 1) + "|"]
    for name, read in (
        ("weights as held", lambda row: row["weights"]),
        ("process after loading", lambda row: row["loaded"]),
        *((f"process in steps of Stage {name}", partial(_at_most, name=name)) for name in STEPS),
    ):
        lines.append(f"| {name} | " + " | ".join(f"{read(row) / MIB:,.0f}" for row in measured.values()) + " |")
    lines += ["", "| computed, GiB | " + " | ".join(computed) + " |", "|---" * (len(computed) + 1) + "|"]
    rows: list[tuple[str, Callable[[Any], float]]] = [
        (f"weights, {kind}", lambda row, kind=kind: row["weights"][kind])
        for kind in TYPES  # type: ignore[misc]
    ]
    rows += [
        ("modules in Stage A, with gradients and moments", lambda row: row["training_a"]),
        ("the same and LoRA in Stage B", lambda row: row["training_b"]),
        ("kept for gradients, Stage A", lambda row: row["kept_a"]),
        ("kept for gradients, Stage B", lambda row: row["kept_b"]),
        ("the same with gradient checkpointing", lambda row: row["kept_b_recomputing"]),
        ("adapter's files, trainA", lambda row: row["file_a"]),
        ("adapter's files, trainB", lambda row: row["file_b"]),
    ]
    for name, read in rows:
        lines.append(f"| {name} | " + " | ".join(f"{read(row) / GIB:,.3f}" for row in computed.values()) + " |")
    lines += [
        "",
        "| a base, GiB | " + " | ".join(f"{n:,} facts" for n in FACTS) + " |",
        "|---" * (len(FACTS) + 1) + "|",
    ]
    names = {"keys": "keys, float16", "values": "values, float16", "index": "index, Flat", "rest": "all else on disk"}
    for key, name in (names | {"device": "tensors on the device"}).items():
        sizes = " | ".join(f"{base[key] * n / GIB:,.3f}" for n in FACTS)
        lines.append(f"| {name} ({base[key]:,.0f} bytes a fact) | {sizes} |")
    return "\n".join(lines)


def _at_most(row: Mapping[str, int], name: str) -> int:
    """Loading and steps together: files may be mapped, and what loading has left free is used again."""
    return row["loaded"] + row[name]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="widths and ranks (params.yaml)")
    parser.add_argument("--tables", action="store_true", help="print the tables too")
    parser.add_argument("--only", nargs=2, help="type and step: measure this alone, in this process")
    arguments = parser.parse_args(argv)
    try:
        params = load_params(arguments.params)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            if arguments.only is not None:
                print(json.dumps(measure(*arguments.only, params, Path(folder))))
                return 0
            _, projections = make_base(Path(folder) / "few", params, FEW_FACTS)
            result = {
                "benchmark": "backbone_memory",
                "measured": {kind: _measured_elsewhere(kind, arguments.params) for kind in TYPES},
                "computed": {name: compute(shape, projections, params) for name, shape in SHAPES.items()},
                "base": measure_base(Path(folder) / "many", params),
                "rows": ROWS,
                "tokens": TOKENS,
            }
    except KBLaMError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if arguments.tables:
        print(tables(result))
    print(json.dumps(result))
    return 0


def _measured_elsewhere(kind: str, params: Path) -> dict[str, int]:
    """In new processes: what others have left behind would not be told from what is needed."""
    found: dict[str, int] = {}
    for step in STEPS:
        command = [sys.executable, __file__, "--params", str(params), "--only", kind, step]
        done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)
        if done.returncode:
            raise KBLaMError(f"SmolLM2 could not be measured in {kind}, see above")
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
