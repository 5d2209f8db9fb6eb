"""A temporary copy of the repository with tiny parameters, to run the pipeline in (``make smoke`` and the tests)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    "generate",
    "backbone",
    "tune",
    "encode",
    "index",
    "trainA",
    "trainB",
    "eval",
    "transfer",
    "dump_evidence",
    "plots",
)
TINY: dict[str, Any] = {
    "generate.train": {"facts": 340, "questions_per_type": 40},
    "generate.dev.questions_per_type": 8,
    "generate.swap": {"facts": 170, "questions_per_type": 8},
    "generate.novel": {"facts": 170, "questions_per_type": 8},
    "generate.open": {"facts": 400, "questions_per_kind": 2},
    "generate.unseen": {"facts": 400, "questions_per_kind": 1},
    "encoder.model": "deterministic",
    "encoder.d_k": 64,
    "encoder.d_v": 64,
    "encoder.d_ctx": 32,
    "encoder.d_tau": 8,
    "index.min_recall_at_8": 0.5,
    "injection.d_fusion": 32,
    "injection.d_context_score": 8,
    "trainA.max_steps": 6,
    "trainA.batch_size": 8,
    "trainA.warmup_steps": 2,
    "trainA.log_every": 2,
    "trainA.checkpoint_every": 2,
    "trainB.max_steps": 4,
    "trainB.batch_size": 8,
    "trainB.warmup_steps": 2,
    "trainB.log_every": 2,
    "trainB.checkpoint_every": 2,
    "eval.questions_per_type": 4,
    "eval.baseline_questions_per_type": 2,
    "eval.max_new_tokens": 8,
    "eval.bootstrap_samples": 50,
    "eval.rag_sentences": [1, 2],
    "eval.ablations": ["no_hop", "no_null_fact"],
    "eval.ablation_questions_per_type": 2,
    "evidence.facts_per_hop": 3,
    "evidence.questions_per_type": 2,
    "evidence.leave_one_out_questions": 2,
}

YAGO_SAMPLE = "tests/data/yago15k/yago15k_valid.txt"
"""In the place of the whole file, which is not tiny."""
NO_RESULTS = ("store/scratch/", "metrics/sweep/table.json")
"""What no stage makes."""


def set_params(file: Path, changes: Mapping[str, Any]) -> None:
    """Changes dotted keys of a params.yaml."""
    params = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, leaf = key.split(".")
        part = params
        for section in sections:
            part = part[section]
        if leaf not in part:
            raise KeyError(key)
        part[leaf] = value
    file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def copy_repository(target: Path, changes: Mapping[str, Any]) -> None:
    """Copies what git tracks (and new files that it does not ignore), without results, and commits it there."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        kept = name.startswith(NO_RESULTS) or not name.startswith(("store/", "metrics/"))
        if (ROOT / name).is_file() and name != "dvc.lock" and kept:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    shutil.copy2(ROOT / YAGO_SAMPLE, target / "data" / "raw" / "yago")
    set_params(target / "params.yaml", changes)
    for command in (
        ["git", "init", "-q", "-b", "main"],
        ["git", "add", "-A"],
        ["git", "-c", "user.name=test", "-c", "user.email=test@example.invalid", "commit", "-qm", "tiny"],
    ):
        subprocess.run(command, cwd=target, check=True, stdin=subprocess.DEVNULL)


def run(target: Path, *command: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a Python module in the copy, with the copy's own package in front."""
    environment = {**os.environ, "PYTHONPATH": str(target), **(env or {})}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=target,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def main() -> int:
    """Runs the whole pipeline on tiny parameters and shows the headline; numbers mean nothing at this size."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        copy_repository(target, TINY)
        for command in (("dvc", "repro"), ("dvc", "metrics", "show", "metrics/eval/metrics.json", "--md")):
            result = run(target, *command)
            sys.stdout.write(result.stdout)
            if result.returncode:
                return result.returncode
    sys.stdout.write(f"smoke: the whole pipeline ran in {time.monotonic() - started:.0f} s (tiny parameters)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
