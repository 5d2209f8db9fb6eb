"""Each real dataset runs from its raw rows to its evidence; without its files one sentence says what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.converting import SAMPLES
from tests.pipeline.conftest import Bench, check_refusal
from tests.pipeline.workspace import ROOT, TINY, set_params

pytestmark = pytest.mark.pipeline

STAGES = ("generate", "backbone", "tune", "encode", "index", "trainA", "trainB", "eval", "dump_evidence", "plots")
LIGHT: Mapping[str, Any] = {
    "threads": 1,
    "convert.max_samples": 6,
    "convert.folds": 2,
    "index.min_recall_at_8": 0.3,
    "selector.top_k": 3,
    "trainA.max_steps": 2,
    "trainA.batch_size": 4,
    "trainA.warmup_steps": 1,
    "trainB.max_steps": 0,
    "eval.adapter": "trainA",
    "eval.ablations": "none",
    "eval.questions_per_type": 1,
    "eval.baseline_questions_per_type": 1,
    "eval.rag_sentences": [1],
    "eval.max_new_tokens": 3,
    "evidence.questions_per_type": 1,
    "evidence.leave_one_out_questions": 1,
}
"""As little as shows that each stage takes what the stage before it has made of the dataset."""
FILES: Mapping[str, Sequence[str]] = {
    "timeqa": ("human_annotated.json", "human_train.hard.json.gzip", "relations.json"),
    "hotpotqa": ("distractor.json",),
    "trex": ("re-nlg_sample.json.gz", "wikidata-properties.csv"),
    "kblam": ("sample_data.json", "test_dataset.jsonl"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    """An empty working directory with the stages, tiny parameters and the raw folders as they are committed."""
    for name in ("dvc.yaml", "params.yaml", "metrics/sweep/table.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for readme in (ROOT / "data" / "raw").glob("*/README.md"):
        (tmp_path / "data" / "raw" / readme.parent.name).mkdir(parents=True)
        shutil.copy(readme, tmp_path / "data" / "raw" / readme.parent.name)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield Bench(tmp_path, capsys)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("dataset", FILES)
def test_without_its_files_one_sentence_names_the_readme(folder: Bench, dataset: str) -> None:
    set_params(folder.folder / "params.yaml", {**TINY, "dataset": dataset})
    status, stderr = folder.run("generate")
    check_refusal(status, stderr, f"data/raw/{dataset}", "README.md")
    assert not (folder.folder / "data" / "5tuple").exists()


@pytest.mark.parametrize("dataset", FILES)
def test_real_rows_run_from_conversion_to_evidence(folder: Bench, dataset: str) -> None:
    raw = folder.folder / "data" / "raw" / dataset
    for name in FILES[dataset]:
        shutil.copy(SAMPLES / dataset / name, raw)
    set_params(folder.folder / "params.yaml", {**TINY, **LIGHT, "dataset": dataset})
    for stage in STAGES:
        status, stderr = folder.run(stage)
        assert status == 0, (stage, stderr[-2000:])
    report = json.loads((folder.folder / "data/qa/conversion.json").read_text(encoding="utf-8"))
    asked = {split: n for split, n in report["questions"].items() if split != "train" and n}
    assert asked
    table = json.loads((folder.folder / "metrics/eval/table.json").read_text(encoding="utf-8"))
    assert set(table) == set(asked)
    for split, n in asked.items():
        assert {"stage_a", "in_context", "rag_1", "closed_book"} <= set(table[split])
        lines = (folder.folder / "store" / dataset / "evidence" / f"{split}.jsonl").read_text(encoding="utf-8")
        assert len(lines.splitlines()) == n
