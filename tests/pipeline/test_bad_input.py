"""Bad input ends a stage with one line that says what is wrong, where, and what to do, and nothing is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kblampp.encoding.projections import Projections
from tests.pipeline.conftest import Bench, Produced, check_refusal, digest
from tests.pipeline.workspace import ROOT, STAGES, set_params

pytestmark = pytest.mark.pipeline

FACTS = "data/5tuple/train.jsonl"
QUESTIONS = "data/qa/synth_world_train.jsonl"
OTHER = "0123456789ab" * 5 + "cdef"
"""A hash of something else."""


def text(bench: Bench, name: str) -> str:
    return (bench.folder / name).read_text(encoding="utf-8")


def test_unknown_and_mistyped_parameters_come_in_one_message(bench: Bench) -> None:
    """As a program, as DVC runs it."""
    params = text(bench, "params.yaml").replace("  top_k:", "  topk: 3\n  top_k:")
    (bench.folder / "params.yaml").write_text(params, encoding="utf-8")
    set_params(bench.folder / "params.yaml", {"trainA.lr": "fast", "generate.train.facts": 0})
    before = digest(bench.folder)
    done = subprocess.run(
        [sys.executable, "-m", "stages.generate"],
        cwd=bench.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    says = ("params.yaml has 3 problems", "selector.topk is unknown (did you mean selector.top_k?)")
    check_refusal(done.returncode, done.stderr, *says, "trainA.lr is 'fast', expected", "generate.train.facts")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert digest(bench.folder) == before


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_checks_the_whole_file_first(stage: str, bench: Bench) -> None:
    set_params(bench.folder / "params.yaml", {"selector.top_k": "eight"})
    bench.refuses(stage, "params.yaml has 1 problem", "selector.top_k is 'eight'", "expected a valid integer")


def test_a_row_that_is_no_json(bench: Bench) -> None:
    line = text(bench, FACTS).splitlines()[2]
    bench.edit_line(FACTS, 3, line[: len(line) // 2])
    bench.refuses("encode", f"{FACTS}:3 is not valid JSON", "expected one JSON object")


def test_a_field_of_the_wrong_type(bench: Bench) -> None:
    bench.edit_row(FACTS, 4, tail={"id": None, "name": 5, "type": None})
    bench.refuses("encode", f"{FACTS}:4: field 'tail.name': expected a string", "found 5 (int)")


def test_a_field_that_is_missing(bench: Bench) -> None:
    bench.edit_line(QUESTIONS, 2, '{"qid": "q", "dataset": "d", "answer": "a", "aliases": [], "supporting_facts": [0]}')
    bench.refuses("trainA", f"{QUESTIONS}:2: field 'question' is missing", "expected a string")


def test_a_supporting_fact_that_does_not_exist(bench: Bench) -> None:
    name = "data/qa/synth_world_swap.jsonl"
    rows = text(bench, name).splitlines()
    number = next(place for place, row in enumerate(rows, start=1) if '"single-hop"' in row)
    bench.edit_row(name, number, supporting_facts=[100000])
    bench.refuses("eval", f"{name}:{number}: field 'supporting_facts'", "the number of facts", "100000")


def test_empty_facts(bench: Bench) -> None:
    (bench.folder / FACTS).write_text("", encoding="utf-8")
    bench.refuses("encode", f"{FACTS} is empty", "expected one JSON object a line", "make the file again")


def test_a_window_that_ends_before_it_starts(bench: Bench) -> None:
    bench.edit_row(FACTS, 5, time_window={"start": "2004-03-01", "end": "2001-01-01", "source": "x"})
    says = (f"{FACTS}:5", "'time_window'", "2004-03-01", "2001-01-01", "expected end after start")
    bench.refuses("encode", *says)


def test_questions_of_another_dataset(bench: Bench) -> None:
    bench.edit_json("data/qa/dataset.json", name="timeqa")
    bench.refuses("index", "data/qa/dataset.json", "'synth_world'", "run `dvc repro generate`")


@pytest.mark.parametrize("content", ['{"name": "synth_world"}', '{"name": "synth_world", "kb_of_split": 3}', "[", "[]"])
def test_a_damaged_list_of_splits(content: str, bench: Bench) -> None:
    (bench.folder / "data/qa/dataset.json").write_text(content, encoding="utf-8")
    bench.refuses("index", "data/qa/dataset.json", "run `dvc repro generate`")


def test_an_encoder_that_does_not_exist(bench: Bench) -> None:
    set_params(bench.folder / "params.yaml", {"encoder.model": "models/missing/encoder"})
    bench.refuses("encode", "encoder 'models/missing/encoder' cannot be loaded", "set encoder.model to")


def test_an_encoder_that_was_not_tuned(bench: Bench) -> None:
    """That of the bench is `deterministic`."""
    set_params(bench.folder / "params.yaml", {"encoder.model": "all-MiniLM-L6-v2"})
    says = "store/encoder was tuned from another encoder than 'all-MiniLM-L6-v2'"
    bench.refuses("encode", says, "run `dvc repro tune`")
    shutil.rmtree(bench.folder / "store" / "encoder")
    bench.refuses("encode", "store/encoder/manifest.json does not exist", "run `dvc repro tune`")


def test_a_backbone_that_does_not_exist(bench: Bench) -> None:
    set_params(bench.folder / "params.yaml", {"backbone.name": "./models/missing"})
    bench.refuses("backbone", "backbone.name is ./models/missing", "no such folder", "correct the path")


@pytest.mark.parametrize("stage", ["index", "trainA"])
@pytest.mark.parametrize("name", ["K.npy", "V.npy"])
def test_a_truncated_array(name: str, stage: str, bench: Bench) -> None:
    path = bench.store / "kb" / "train" / name
    path.write_bytes(path.read_bytes()[:-100])
    bench.refuses(stage, "store/synth_world/kb/train", f"{name} has", "bytes, expected", "run `dvc repro encode`")


def test_an_array_with_changed_values(bench: Bench) -> None:
    path = bench.store / "kb" / "swap" / "meta" / "tau_min.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    bench.refuses("index", "store/synth_world/kb/swap", "meta/tau_min.npy has sha256", "run `dvc repro encode`")


def test_a_file_that_a_store_does_not_list(bench: Bench) -> None:
    (bench.store / "kb" / "train" / "extra.npy").write_bytes(b"x")
    bench.refuses("index", "kb/train", "extra.npy not in the manifest", "run `dvc repro encode`")


def swap_projection(bench: Bench) -> None:
    """Puts projections of another encoder beside the stores."""
    folder = bench.store / "projection"
    replace(Projections.load(folder), encoder_name="another", encoder_fingerprint=OTHER).save(folder)


def test_a_store_of_another_encoder(bench: Bench) -> None:
    swap_projection(bench)
    says = ("was encoded with projection", "encoder 'deterministic'", "expected", "run `dvc repro encode`")
    bench.refuses("index", "store/synth_world/kb/novel", *says)
    bench.refuses("trainA", "store/synth_world/kb/train", *says)


@pytest.mark.parametrize(
    ("stage", "split", "name"),
    [("trainA", "train", FACTS), ("trainA", "train", QUESTIONS), ("eval", "swap", "data/qa/synth_world_swap.jsonl")],
    ids=["facts in another order", "a training question less", "a swap question less"],
)
def test_a_store_of_other_data(stage: str, split: str, name: str, bench: Bench) -> None:
    """As after `python -m stages.generate` with another seed or other sizes."""
    first, *rows = text(bench, name).splitlines(keepends=True)
    (bench.folder / name).write_text("".join(rows) + (first if name == FACTS else ""), encoding="utf-8")
    set_params(bench.folder / "params.yaml", {"trainA.max_steps": 2, "trainA.warmup_steps": 1})
    bench.refuses(stage, f"store/synth_world/kb/{split}", "run `dvc repro encode`")


def test_an_index_of_another_store(bench: Bench) -> None:
    shutil.rmtree(bench.store / "index" / "train")
    shutil.copytree(bench.store / "index" / "swap", bench.store / "index" / "train")
    bench.refuses("trainA", "index store/synth_world/index/train was built for keys", "run `dvc repro index`")


def test_an_adapter_of_another_projection(bench: Bench) -> None:
    bench.edit_json("store/synth_world/trainA/manifest.json", projection_fingerprint=OTHER)
    says = ("adapter store/synth_world/trainA was trained with projection", "expected", "run `dvc repro trainA`")
    bench.refuses("eval", *says)


def test_an_adapter_of_another_backbone(bench: Bench) -> None:
    bench.edit_json("store/synth_world/trainA/manifest.json", backbone={"name": "another", "fingerprint": OTHER})
    says = ("adapter store/synth_world/trainA was trained with backbone", OTHER[:12], "run `dvc repro trainA`")
    bench.refuses("eval", *says)


def test_a_damaged_adapter(bench: Bench) -> None:
    path = bench.store / "trainA" / "kblampp.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    bench.refuses("eval", "store/synth_world/trainA", "kblampp.safetensors has", "run `dvc repro trainA`")


@pytest.mark.parametrize("stage", ["trainA", "eval"])
def test_a_backbone_that_was_changed_after_it_was_written_down(stage: str, bench: Bench) -> None:
    bench.edit_json("store/backbone/manifest.json", fingerprint=OTHER)
    bench.refuses(stage, "the files of backbone embedded", OTHER[:12], "run `dvc repro backbone`")


def test_more_facts_a_token_than_the_base_has(bench: Bench) -> None:
    set_params(bench.folder / "params.yaml", {"selector.top_k": 200, "selector.over_fetch": 200})
    bench.refuses(
        "eval", "selector.top_k is 200", "knowledge base swap has 170 facts", "set selector.top_k to at most 170"
    )


def test_a_layer_that_does_not_exist(bench: Bench) -> None:
    set_params(bench.folder / "params.yaml", {"injection.layers": [1, 99]})
    bench.refuses("trainA", "injection.layers names layer 99", "has layers 0 to")


def test_an_index_that_finds_too_little(bench: Bench) -> None:
    changes = {"index.factory": "IVF8,PQ2x1", "index.search": "nprobe=1", "index.min_recall_at_8": 1.0}
    set_params(bench.folder / "params.yaml", changes)
    bench.refuses("index", "recall@8", "index.min_recall_at_8", "index.search", "index.factory to Flat")


def test_an_index_that_faiss_cannot_make(bench: Bench) -> None:
    set_params(bench.folder / "params.yaml", {"index.factory": "IVF9999,Flat"})
    bench.refuses("index", "index.factory 'IVF9999,Flat'", "such as Flat")


MISSING = {
    "encode without questions": ("encode", "data/qa", ("data/qa/dataset.json", "dvc repro generate")),
    "encode without facts": ("encode", "data/5tuple", ("data/5tuple/", "dvc repro generate")),
    "index without a dataset": ("index", "data/qa", ("data/qa/dataset.json", "dvc repro generate")),
    "index without stores": ("index", "store/synth_world/kb", ("kb/", "dvc repro encode")),
    "trainA without data": ("trainA", "data", ("data/qa/dataset.json", "dvc repro generate")),
    "trainA without a backbone": ("trainA", "store/backbone", ("store/backbone/manifest.json", "dvc repro backbone")),
    "trainA without stores": ("trainA", "store/synth_world/kb", ("kb/train", "dvc repro encode")),
    "trainA without an index": ("trainA", "store/synth_world/index", ("index/train", "dvc repro index")),
    "eval without an adapter": ("eval", "store/synth_world/trainA", ("store/synth_world/trainA", "dvc repro trainA")),
    "transfer without an adapter": ("transfer", "store/synth_world/trainA", ("trainA", "dvc repro trainA")),
}
"""What is missing -> stage, folder that is not there, what the error says."""


@pytest.mark.parametrize("case", MISSING)
def test_a_stage_before_its_inputs(case: str, bench: Bench) -> None:
    stage, folder, says = MISSING[case]
    shutil.rmtree(bench.folder / folder)
    bench.refuses(stage, *says)


def test_a_folder_without_parameters(bench: Bench) -> None:
    (bench.folder / "params.yaml").unlink()
    bench.refuses("generate", "params.yaml does not exist", "run this in the folder that holds it")


def test_the_untouched_bench_is_fine(bench: Bench, produced: Produced) -> None:
    """Else every refusal above might be of something else."""
    for stage in ("backbone", "index"):
        status, stderr = bench.run(stage)
        assert status == 0, stderr
    assert digest(bench.folder / "store") == digest(produced.folder / "store")
    assert (
        Path("metrics/index/recall.json").read_bytes() == (produced.folder / "metrics/index/recall.json").read_bytes()
    )
