"""What `encode` writes does not depend on the processor's kernels, the number of threads, or the batch size."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from kblampp.core.cache import CACHE_VARIABLE
from kblampp.core.params_file import load_params
from kblampp.data.dataset import TRAINING_KB, Dataset, DatasetFiles
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import general_relation_labels
from kblampp.encoding.sentence_encoder import BUNDLED, TransformerEncoder, load_encoder, load_sentence_transformer
from kblampp.tuning import tune
from tests.house import ROOT
from tests.kb import make_facts, make_questions

OLD_KERNELS = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
}
"""What PyTorch, its two libraries and numpy compute with on a processor of 2008."""

VARIANTS: dict[str, tuple[int, int, dict[str, str]]] = {
    "as it comes": (64, 1, {}),
    "other kernels, batches": (23, 1, OLD_KERNELS),
    "other threads, batches": (9, 2, {}),
}
"""Batch size, threads, environment."""


def make_dataset() -> Dataset:
    """With the general relation labels, on which the projections are fitted too, more than 500 texts."""
    facts = make_facts()
    return Dataset("tiny", {TRAINING_KB: facts}, {TRAINING_KB: make_questions(facts)}, {TRAINING_KB: TRAINING_KB})


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands in for what the stage `tune` writes: low-rank updates that were drawn, as large as learned ones."""
    folder = tmp_path_factory.mktemp("encoder")
    model = load_sentence_transformer(BUNDLED)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=tune.TARGETS, task_type="FEATURE_EXTRACTION")
    model[0].auto_model = get_peft_model(model[0].auto_model, config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model[0].auto_model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.03, generator=generator)
    tune._save(model, folder)
    return folder


def encode(output: Path, batch_size: int, tuned: Path) -> None:
    """A process of a variant: writes projections and stores, and what float32 would have rounded to."""
    params = load_params(ROOT / "params.yaml").encoder.model_copy(update={"batch_size": batch_size})
    encoder = load_encoder(BUNDLED, batch_size=batch_size)
    encoders = Encoders.of(encoder, load_encoder(BUNDLED, batch_size=batch_size, adapter=tuned))
    data = output.parent / "data"
    dataset = make_dataset()
    dataset.save(data)
    encode_dataset(DatasetFiles.open(data, dataset.name), output, params, encoders)
    assert isinstance(encoder, TransformerEncoder)
    encoder._model.float()
    vectors = encoder.encode(general_relation_labels()[:100])
    (output / "single.f2").write_bytes(vectors.astype("<f2").tobytes())


@pytest.fixture(scope="module")
def written(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """File -> sha256, by variant; each variant in a process of its own, since kernels are chosen at the start."""
    hashes = {}
    for name, (batch_size, threads, environment) in VARIANTS.items():
        output = tmp_path_factory.mktemp("store")
        count = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        subprocess.run(
            [sys.executable, "-m", __name__, str(output), str(batch_size), str(tuned)],
            env={**os.environ, **count, **environment, CACHE_VARIABLE: "off"},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        hashes[name] = {
            path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(output.rglob("*"))
            if path.is_file()
        }
    return hashes


def test_enough_texts_are_compared() -> None:
    dataset = make_dataset()
    questions = {question.question for question in dataset.questions[TRAINING_KB]}
    assert len({*general_relation_labels(), *questions}) + len(dataset.kbs[TRAINING_KB]) > 500


def test_the_second_encoder_is_another(tuned: Path) -> None:
    """So that its part of what is compared is its own."""
    texts = general_relation_labels()[:20]
    plain, updated = (load_encoder(BUNDLED, adapter=adapter) for adapter in (None, tuned))
    assert plain.fingerprint != updated.fingerprint
    cosines = (plain.encode(texts) * updated.encode(texts)).sum(-1)
    assert 0.1 < cosines.mean() < 0.99


@pytest.mark.parametrize("variant", list(VARIANTS)[1:])
def test_what_is_written_is_the_same(written: dict[str, dict[str, str]], variant: str) -> None:
    expected, found = dict(written["as it comes"]), dict(written[variant])
    for files in (expected, found):
        del files["single.f2"]
    files_of_vectors = {"projection.safetensors", "K.npy", "V.npy", "ctx_vec.npy", f"{TRAINING_KB}.npy"}
    assert {Path(name).name for name in expected} >= files_of_vectors
    assert found == expected, json.dumps([name for name in expected if found.get(name) != expected[name]])


def test_single_precision_would_not_be_the_same(written: dict[str, dict[str, str]]) -> None:
    """So that the comparison above can fail at all on this machine."""
    marks = {variant: files["single.f2"] for variant, files in written.items()}
    if len(set(marks.values())) == 1:
        pytest.skip("this processor has no other kernels than the oldest: nothing here can differ")
    assert marks["other kernels, batches"] != marks["as it comes"]


if __name__ == "__main__":
    encode(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
