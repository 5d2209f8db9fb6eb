"""The whole evaluation on a tiny world: what is written, and that it says the same twice."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kblampp.core.errors import KBLaMError, StoreError
from kblampp.core.files import read_json
from kblampp.core.params import Params
from kblampp.core.params_file import load_params
from kblampp.data.dataset import Dataset
from kblampp.data.windows import Window, day
from kblampp.encoding.store import KBValueStore
from kblampp.evaluation import questions as asking
from kblampp.evaluation.evaluate import run_evaluation
from kblampp.evaluation.table import SYSTEM_OF, headline
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.checkpoint import load_adapter, same_trained, save_adapter
from kblampp.model.lora import change_backbone, unload
from kblampp.model.workspace import Workspace, selector_options
from kblampp.report.tables import results
from kblampp.time_expressions.parse import without_time
from tests.house import ROOT
from tests.kb import ENCODERS, TinyWorld, make_world
from tests.pipeline.conftest import digest
from tests.tiny import FAMILIES

SPLITS, CONVERTED = ("dev", "swap"), ("test", "test_hard")


def save_base(folder: Path, world: TinyWorld) -> None:
    """A store that knows the questions of all splits, and its index."""
    texts = [without_time(question.question) for question in world.questions]
    store = KBValueStore.build(
        folder / "kb" / "town",
        world.facts,
        ENCODERS,
        world.projections,
        questions=dict.fromkeys((*SPLITS, *CONVERTED), texts),
    )
    KnowledgeIndex.build(store.keys, keys_sha256=store.keys_sha256).save(folder / "index" / "town")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Both adapters, the base and its questions; Stage B differs from Stage A by LoRA."""
    folder = tmp_path_factory.mktemp("store")
    world = make_world(folder / "world")
    save_base(folder, world)
    backbone = world.backbone(FAMILIES["llama"]())
    model = world.model(backbone.model)
    save_adapter(folder / "trainA", model, backbone, world.projections)
    change_backbone(model, rank=2, alpha=16.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        for name, parameter in backbone.model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=1.0)
    save_adapter(folder / "trainB", model, backbone, world.projections)
    unload(model)
    dataset = Dataset(
        "tiny", {"town": world.facts}, dict.fromkeys(SPLITS, world.questions), dict.fromkeys(SPLITS, "town")
    )
    return Workspace(dataset, backbone, world.projections, folder)


def params(**changes: Any) -> Params:
    """The repository's, with a small evaluation."""
    whole = load_params(ROOT / "params.yaml")
    small: dict[str, Any] = {
        "adapter": "trainB",
        "questions_per_type": 2,
        "baseline_questions_per_type": 1,
        "ablation_questions_per_type": 1,
        "max_new_tokens": 3,
        "bootstrap_samples": 20,
        "rag_sentences": (2,),
        "ablations": ("no_hop", "no_lora"),
    }
    selector = whole.selector.model_copy(update={"top_k": 9, "over_fetch": 24})
    return whole.model_copy(update={"selector": selector, "eval": whole.eval.model_copy(update={**small, **changes})})


def evaluate(workspace: Workspace, metrics: Path, monkeypatch: pytest.MonkeyPatch, settings: Params) -> None:
    monkeypatch.setattr(Workspace, "open", lambda *arguments: workspace)
    run_evaluation(settings, data=Path(), store=Path(), metrics=metrics)


@pytest.fixture
def metrics(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    evaluate(workspace, tmp_path / "metrics", monkeypatch, params())
    return tmp_path / "metrics"


def test_now_is_the_day_that_the_parameters_name() -> None:
    whole = params()
    section = whole.selector.model_copy(update={"as_of": "2015-03-02"})
    assert selector_options(whole.model_copy(update={"selector": section})).as_of == day("2015-03-02")


def test_every_system_is_measured_once(metrics: Path) -> None:
    table = read_json(metrics / "table.json")
    everywhere = {"stage_a", "stage_b", "closed_book", "in_context", "rag_2", "lookup"}
    assert {split: set(systems) for split, systems in table.items()} == {
        "dev": everywhere,
        "swap": everywhere | {"no_hop", "no_lora"},
    }
    for split, system, n in (("dev", "lookup", 2), ("swap", "stage_b", 2), ("swap", "no_hop", 1), ("dev", "rag_2", 1)):
        assert table[split][system]["single_hop"]["n"] == n
    assert table["swap"]["rag_2"]["single_hop"]["recall_at_1"] >= 0
    assert "recall_at_8" not in table["swap"]["rag_2"]["single_hop"]
    assert "fusion_gate_answer" in table["dev"]["stage_b"]["all"]


def test_the_time_of_a_question_is_read_once(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By no system again, however many ask it, and on the day that the parameters name."""
    read: Counter[tuple[str, int | None]] = Counter()
    inner = asking.parse_question_time

    def counted(text: str, as_of: int | None = None) -> Window | None:
        read[text, as_of] += 1
        return inner(text, as_of)

    monkeypatch.setattr(asking, "parse_question_time", counted)
    evaluate(workspace, tmp_path / "metrics", monkeypatch, params())
    today = day(params().selector.as_of)
    questions = [question for split in SPLITS for question in workspace.dataset.questions[split]]
    assert read == Counter((question.question, today) for question in questions)


def test_stages_and_ablations_are_compared_question_by_question(metrics: Path) -> None:
    table = read_json(metrics / "table.json")
    rows = {system: table["swap"][system]["all"] for system in ("stage_a", "stage_b", "no_hop")}
    assert rows["stage_b"]["em_minus_stage_a"] == pytest.approx(rows["stage_b"]["em"] - rows["stage_a"]["em"], abs=1e-4)
    assert "em_minus_stage_b_low" in rows["no_hop"]
    assert not [name for name in rows["stage_a"] if name.startswith("em_minus")]
    assert not [name for name in table["dev"]["stage_b"]["all"] if name.startswith("em_minus")]


def test_a_converted_dataset_is_measured_on_both_tests_and_compared_on_the_first(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = dict.fromkeys(CONVERTED, workspace.dataset.questions["swap"])
    dataset = Dataset("tiny", workspace.dataset.kbs, questions, dict.fromkeys(CONVERTED, "town"))
    evaluate(replace(workspace, dataset=dataset), tmp_path / "metrics", monkeypatch, params())
    table, figures = (read_json(tmp_path / f"metrics/{name}.json") for name in ("table", "metrics"))
    everywhere = {"stage_a", "stage_b", "closed_book", "in_context", "rag_2", "lookup"}
    assert {split: set(systems) for split, systems in table.items()} == {
        "test": everywhere | {"no_hop", "no_lora"},
        "test_hard": everywhere,
    }
    assert "em_minus_stage_a" in table["test"]["stage_b"]["all"]
    assert "em_minus_stage_a" not in table["test_hard"]["stage_b"]["all"]
    assert figures["test_em"] == table["test"]["stage_b"]["answerable"]["em"]
    assert len(figures) <= 12


def test_headline_abstention_and_points_agree_with_the_table(metrics: Path) -> None:
    table, abstention = read_json(metrics / "table.json"), read_json(metrics / "abstention.json")
    assert read_json(metrics / "metrics.json") == pytest.approx(headline(table, "stage_b"))
    for split in SPLITS:
        assert abstention[split]["auroc"] == table[split]["stage_b"]["all"]["abstain_auroc"]
        assert abstention[split]["n"] == table[split]["stage_b"]["all"]["n"]
    assert abstention["dev"]["threshold"] == abstention["swap"]["threshold"]
    curve = [point for point in read_json(metrics / "plots/risk_coverage.json") if point["split"] == "swap"]
    assert len(curve) == abstention["swap"]["n"]
    assert curve[-1]["risk"] == pytest.approx(1 - table["swap"]["stage_b"]["all"]["em"], abs=1e-4)
    systems = {point["system"] for point in read_json(metrics / "plots/em_by_type.json")}
    assert systems == {"stage_a", "stage_b", "closed_book", "in_context", "rag_2", "lookup"}
    assert {point["k"] for point in read_json(metrics / "plots/recall_by_k.json")} == set(range(1, 10))
    assert "RAG: top 2" in results(metrics)


def test_the_backbone_is_as_it_was_and_a_second_run_writes_the_same(
    metrics: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [name for name, _ in workspace.backbone.model.named_parameters() if "lora" in name]
    evaluate(workspace, tmp_path / "again", monkeypatch, params())
    assert digest(tmp_path / "again") == digest(metrics)


def test_stage_a_can_be_the_one_described(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"adapter": "trainA", "baseline_questions_per_type": 0}
    evaluate(workspace, tmp_path / "metrics", monkeypatch, params(**changes))
    table = json.loads((tmp_path / "metrics/table.json").read_text(encoding="utf-8"))
    assert set(table["swap"]) == {"stage_a", "stage_b", "lookup", "no_hop"}
    assert "em_minus_stage_a" in table["swap"]["no_hop"]["all"]


@pytest.fixture
def passed_through(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The workspace after a trainB without steps: it has written trainA's modules."""
    folder = tmp_path / "store"
    folder.mkdir()
    for name in ("kb", "index"):
        (folder / name).symlink_to(workspace.folder / name)
    model = load_adapter(workspace.folder / "trainA", workspace.backbone, workspace.projections)
    for stage in SYSTEM_OF:
        save_adapter(folder / stage, model, workspace.backbone, workspace.projections)
    model.detach()
    return replace(workspace, folder=folder)


@pytest.mark.parametrize("adapter", ["trainA", "trainB"])
def test_a_stage_b_that_was_not_trained_is_not_measured(
    passed_through: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapter: str
) -> None:
    metrics = tmp_path / "metrics"
    evaluate(passed_through, metrics, monkeypatch, params(adapter=adapter))
    table = read_json(metrics / "table.json")
    everywhere = {"stage_a", "closed_book", "in_context", "rag_2", "lookup"}
    assert {split: set(systems) for split, systems in table.items()} == {
        "dev": everywhere,
        "swap": everywhere | {"no_hop"},
    }
    assert "em_minus_stage_a" in table["swap"]["no_hop"]["all"]
    assert read_json(metrics / "metrics.json") == pytest.approx(headline(table, "stage_a"))
    assert read_json(metrics / "abstention.json")["swap"]["n"] == table["swap"]["stage_a"]["all"]["n"]
    assert "Stage B" not in results(metrics)


def test_models_are_the_same_if_their_weights_are_and_the_backbone_is_unchanged(
    workspace: Workspace, passed_through: Workspace
) -> None:
    before, after = passed_through.folder, workspace.folder
    assert same_trained(before / "trainA", before / "trainB")
    assert not same_trained(after / "trainA", after / "trainB"), "equal modules, but LoRA beside them"
    model = load_adapter(before / "trainA", workspace.backbone, workspace.projections)
    with torch.no_grad():
        model.copy_gate.bias += 1
    save_adapter(before / "trainB", model, workspace.backbone, workspace.projections)
    model.detach()
    assert not same_trained(before / "trainA", before / "trainB")


def test_without_knowledge_there_is_no_abstention(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = params(ablations="all", baseline_questions_per_type=0)
    off = off.model_copy(update={"selector": off.selector.model_copy(update={"top_k": 0})})
    evaluate(workspace, tmp_path / "metrics", monkeypatch, off)
    assert read_json(tmp_path / "metrics/abstention.json") == {}
    assert set(read_json(tmp_path / "metrics/table.json")["swap"]) == {"stage_a", "stage_b"}


def test_changed_questions_of_equal_number_are_refused(workspace: Workspace) -> None:
    first, *rest = workspace.dataset.questions["swap"]
    changed = [replace(first, question="Where was Nobody At All born?"), *rest]
    dataset = replace(workspace.dataset, questions={"swap": changed})
    with pytest.raises(StoreError, match=r"other facts or questions than data/ holds now; run `dvc repro encode`"):
        replace(workspace, dataset=dataset).open_base("swap")


def test_a_missing_stage_writes_nothing(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "store"
    elsewhere.mkdir()
    for name in ("kb", "index"):
        (elsewhere / name).symlink_to(workspace.folder / name)
    with pytest.raises(KBLaMError, match="dvc repro trainA"):
        evaluate(replace(workspace, folder=elsewhere), tmp_path / "metrics", monkeypatch, params())
    assert not (tmp_path / "metrics").exists()
