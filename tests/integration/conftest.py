"""A folder in which the stages up to trainA have run, around a tiny GPT-2; made once for all tests that need it."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from kblampp.backbone.load import backbone_manifest
from kblampp.core.params_file import load_params
from kblampp.core.program import run_stage
from kblampp.data.dataset import DatasetFiles, knowledge_bases
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import load_encoders
from kblampp.index.build import build_indexes
from kblampp.synthetic.dataset import make_synthetic
from kblampp.training.stage_a import train_stage_a
from tests.pipeline.workspace import ROOT, TINY, set_params
from tests.tiny import FAMILIES, tiny_tokenizer

NAME = "synth_world"
CHANGES = {
    **TINY,
    "generate.train": {"facts": 170, "questions_per_type": 20},
    "backbone.name": "tiny_backbone",
    "threads": 1,
    "trainA.max_steps": 3,
    "trainB.max_steps": 6,
    "trainB.batch_size": 4,
    "trainB.warmup_steps": 1,
    "trainB.log_every": 2,
    "trainB.checkpoint_every": 2,
    "trainB.lora_rank": 2,
}


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Makes a folder the working directory, and puts torch's threads back at the end."""
    former, threads = Path.cwd(), torch.get_num_threads()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(former)
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with the three synthetic bases.  Treat it as read-only: tests copy it."""
    folder = tmp_path_factory.mktemp("prepared")
    with working_in(folder):
        FAMILIES["gpt2"]().save_pretrained("tiny_backbone")
        tiny_tokenizer().save_pretrained("tiny_backbone")
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, name)
        set_params(Path("params.yaml"), CHANGES)
        params, data, store = load_params(), Path("data"), Path("store")
        torch.set_num_threads(params.threads)  # as a stage does: a training with other threads rounds differently
        make_synthetic(params.generate, name=NAME, seed=0).save(data)
        (store / "backbone").mkdir(parents=True)
        manifest = json.dumps(backbone_manifest(params.backbone.name))
        (store / "backbone" / "manifest.json").write_text(manifest, encoding="utf-8")
        encoders = load_encoders(params.encoder.model, store)
        encode_dataset(DatasetFiles.open(data, NAME), store / NAME, params.encoder, encoders)
        build_indexes(knowledge_bases(data, NAME), store / NAME, params.index)
        torch.manual_seed(0)
        train_stage_a(params, data=data, store=store, metrics=Path("metrics/trainA"), checkpoints=Path(".ckpt"))
    return folder


@pytest.fixture
def bench(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is the working directory."""
    folder = Path(shutil.copytree(prepared, tmp_path / "bench"))
    monkeypatch.chdir(folder)
    return folder


def stage(name: str, **changes: Any) -> int:
    """Runs a stage in the working directory as a program would; `a__b` is parameter a.b."""
    set_params(Path("params.yaml"), {key.replace("__", "."): value for key, value in changes.items()})
    script = importlib.import_module(f"stages.{name}")
    threads = torch.get_num_threads()
    try:
        return run_stage(name, script.main, [], beside=getattr(script, "BESIDE", ()))
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def own_base(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the example of someone's own facts: converted, encoded and indexed from synth_world's start."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("own") / "base"))
    raw = folder / "data" / "raw" / "custom"
    raw.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "examples" / "own-kb" / "facts.csv", raw)
    with working_in(folder):
        set_params(Path("params.yaml"), {"dataset": "custom", "start_from": NAME})
        for name in ("generate", "encode", "index"):
            assert stage(name) == 0
    return folder


@pytest.fixture
def own(own_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that is the working directory."""
    folder = Path(shutil.copytree(own_base, tmp_path / "own"))
    monkeypatch.chdir(folder)
    return folder


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line in which a program told its error."""
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]
