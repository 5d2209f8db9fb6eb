"""Evidence of a model that answers: what is reported is what was read, and answers follow what is done to the facts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kblampp.core.errors import ParamsError
from kblampp.core.files import read_json
from kblampp.core.params import Params
from kblampp.core.params_file import declared_params, load_params
from kblampp.data.dataset import Dataset
from kblampp.data.jsonl import read_rows
from kblampp.encoding.store import KBValueStore
from kblampp.evaluation.metrics import is_correct
from kblampp.evaluation.questions import with_times
from kblampp.evidence import dump as evidence_stage
from kblampp.evidence.edits import Editor, answers_after, close_windows, swap_tails
from kblampp.evidence.interventions import causal_deltas, leave_one_out
from kblampp.evidence.measures import Explained, top_agreement
from kblampp.evidence.trace import Trace, trace_answers
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.inputs import SelectorOptions
from kblampp.model.predictor import Predictor
from kblampp.model.prompts import closed_book_prompt
from kblampp.model.workspace import Workspace
from kblampp.time_expressions.parse import without_time
from tests.house import ROOT
from tests.kb import ENCODERS, TinyWorld, make_world
from tests.pipeline.workspace import set_params
from tests.tiny import FAMILIES

OPTIONS = SelectorOptions(top_k=6, over_fetch=24)
SMALL: dict[str, Any] = {
    "evidence": {"facts_per_hop": 4, "questions_per_type": 6, "leave_one_out_questions": 4},
    "selector.top_k": 6,
    "selector.over_fetch": 24,
    "eval.bootstrap_samples": 20,
    "eval.max_new_tokens": 14,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.fixture(scope="module")
def predictor(world: TinyWorld) -> Predictor:
    """A model that answers with the tail of the fact with the most weight, asked at both layers with the question."""
    model = world.model(FAMILIES["llama"](), trained=False, layers=(1, 3))
    with torch.no_grad():
        model.copy_gate.bias.fill_(8.0)
        for selector in model.selectors:
            selector.null.out.bias.fill_(-10.0)
        model.selectors[1].query.hop_gate.out.bias.fill_(-20.0)
    return Predictor(model, world.backbone(model.backbone), OPTIONS, batch_size=16, max_new_tokens=14)


@pytest.fixture(scope="module")
def explained(world: TinyWorld, predictor: Predictor) -> Explained:
    return ask(world, predictor, [*world.rows_of("single-hop"), *world.rows_of("temporal")])


def aim(world: TinyWorld, predictor: Predictor, facts: list[int]) -> Any:
    """Question vectors whose query is the key of a fact (n, d_question): questions that cannot be misunderstood."""
    query = predictor.model.selectors[0].query
    maps = (query.names, query.from_question)
    with torch.no_grad():
        weight, bias = torch.cat([linear.weight for linear in maps]), torch.cat([linear.bias for linear in maps])
        return (torch.linalg.pinv(weight) @ (world.base.tensors.keys[facts] - bias).T).T.numpy()


def ask(world: TinyWorld, predictor: Predictor, rows: list[int]) -> Explained:
    questions = [world.questions[row] for row in rows]
    vectors = aim(world, predictor, [question.supporting_facts[0] for question in questions])
    encoded = with_times(questions, vectors)
    predictions = predictor.predict(world.base, encoded)
    texts = [said.text for said in predictions]
    return Explained(encoded, predictions, trace_answers(predictor, world.base, encoded, texts, "test"))


def make_editor(world: TinyWorld) -> Editor:
    return Editor(ENCODERS, world.projections, "float16", {"factory": "Flat"})


def test_the_model_of_these_tests_answers(explained: Explained) -> None:
    assert np.mean(explained.correct) > 0.9


def test_an_answer_says_where_it_was_copied_from(world: TinyWorld, predictor: Predictor, explained: Explained) -> None:
    predictions = predictor.predict(world.base, explained.encoded)
    copied = [said for said in predictions if said.sources]
    assert len(copied) > 0.9 * len(predictions)
    for said in copied:
        (source,) = said.sources or ()
        assert source.fact in said.ranked[-1]
        assert said.text == getattr(world.facts[source.fact], source.field).name
    assert all(said.sources is None for said in predictor.complete(["Who?"]))


def trained_predictor(world: TinyWorld) -> Predictor:
    """A model with no weight at zero, so that every gate and part differs."""
    model = world.model(FAMILIES["llama"](), layers=(1, 3))
    return Predictor(model, world.backbone(model.backbone), OPTIONS, batch_size=3, max_new_tokens=6)


def test_traced_weights_are_those_of_generation(world: TinyWorld) -> None:
    predictor, rows = trained_predictor(world), [0, 9, 12, 30, 40]
    encoded = world.encoded(rows)
    predictions = predictor.predict(world.base, encoded)
    traces = trace_answers(predictor, world.base, encoded, [said.text for said in predictions], "test")
    for said, trace in zip(predictions, traces, strict=True):
        assert trace.alpha == pytest.approx(np.array(said.alpha), abs=1e-4)
        assert trace.null[-1] == pytest.approx(said.null, abs=1e-4)
        assert trace.chain == tuple(dict.fromkeys(ranked[0] for ranked in said.ranked))


def test_a_trace_is_the_formula_and_the_probability_of_the_answer(world: TinyWorld) -> None:
    predictor, texts = trained_predictor(world), ["Port Alder", "", "zq"]
    rows = [0, 9, 12]
    traces = trace_answers(predictor, world.base, world.encoded(rows), texts, "test")
    for row, text, trace in zip(rows, texts, traces, strict=True):
        prompt = closed_book_prompt(world.questions[row].question)
        answer = f" {text}" if text else ""
        ids = [*world.tokenizer(prompt + answer, add_special_tokens=False)["input_ids"], world.tokenizer.eos_token_id]
        start = len(ids) - len(answer) - 1
        assert (trace.start, len(trace.tokens)) == (start, len(ids))
        assert "".join(trace.tokens[:-1]) == prompt + answer
        spoken, choices = heard(predictor, world, row, ids, start)
        own = 1 - sum(choices.values())
        for place, copied in enumerate(trace.copied):
            begun = [*answer, None][: place + 1]
            facts = sum(p for text, p in choices.items() if [*f" {text}", None][: place + 1] == begun)
            total = facts + own * float(spoken[: place + 1].sum().exp())
            assert copied == pytest.approx(facts / total, abs=1e-4)
        assert trace.log_prob == pytest.approx(np.log(total), abs=1e-3)
        score = trace.parts.sum(0)  # gamma and eta are 1
        for layer in range(2):
            logits = np.append(score[layer], np.log(trace.null[layer] / trace.alpha[layer, 0]) + score[layer, 0])
            weights = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            assert weights[:-1] == pytest.approx(trace.alpha[layer], abs=1e-4)


def heard(
    predictor: Predictor, world: TinyWorld, row: int, ids: list[int], start: int
) -> tuple[torch.Tensor, dict[str, float]]:
    """Log-probability of each answer token in own words, and the answers from the facts with their probabilities."""
    knowledge = replace(world.ask([row]), options=OPTIONS)
    tokens = torch.tensor([ids])
    with torch.no_grad():
        out = predictor.model(tokens, torch.ones_like(tokens), knowledge=knowledge, answer_start=torch.tensor([start]))
    every = out.logits[0].log_softmax(-1)
    choices = {answer.text: answer.probability for answer in out.state.answers()[0]}
    return every[torch.arange(start - 1, len(ids) - 1), tokens[0, start:]], choices


def test_what_is_not_copied_is_the_language_models(world: TinyWorld) -> None:
    """Where no answer from the facts begins so, nothing is copied; with the copy head off, nothing ever is."""
    predictor = trained_predictor(world)
    encoded = world.encoded([12])
    (trace,) = trace_answers(predictor, world.base, encoded, ["zzzz"], "test")
    assert (trace.copied[2:] == 0).all()
    off = replace(predictor, options=replace(OPTIONS, copy_head=False))
    (trace,) = trace_answers(off, world.base, encoded, ["Ada Low"], "test")
    assert (trace.copied == 0).all()


def test_a_copied_answer_is_reported_as_copied(explained: Explained) -> None:
    right = [trace for trace, em in zip(explained.traces, explained.correct, strict=True) if em]
    assert np.mean([trace.copied.min() > 0.5 for trace in right]) > 0.9


def test_a_withheld_chain_never_comes_back(world: TinyWorld, predictor: Predictor, explained: Explained) -> None:
    chains = [trace.chain for trace in explained.traces]
    again = trace_answers(predictor, world.base, explained.encoded, explained.texts, "test", withheld=chains)
    for chain, trace in zip(chains, again, strict=True):
        assert not set(chain) & set(trace.ids.ravel().tolist())
        assert (trace.ids >= 0).all(), "others take their places"


def test_without_its_fact_an_answer_is_lost_and_without_others_it_stays(
    world: TinyWorld, predictor: Predictor, explained: Explained
) -> None:
    figures = causal_deltas(predictor, world.base, explained, seed=0)
    assert figures["causal_em_before"] == explained.correct
    assert np.mean(figures["causal_delta"]) >= np.mean(explained.correct) - 0.2
    assert abs(np.mean(figures["causal_delta_random"])) < 0.15
    assert figures == causal_deltas(predictor, world.base, explained, seed=0)


def test_leave_one_out_is_the_answers_loss_without_each_fact(
    world: TinyWorld, predictor: Predictor, explained: Explained
) -> None:
    some = explained.part(range(6))
    effects = leave_one_out(predictor, world.base, some, 4)
    for place, row in enumerate(effects):
        one, trace = some.part([place]), some.traces[place]
        distinct = list(dict.fromkeys(trace.ids[-1].tolist()))[:4]  # a fact may be read from both ends
        for effect, number in zip(row, distinct, strict=True):
            (without,) = trace_answers(predictor, world.base, one.encoded, one.texts, "test", [[number]])
            assert effect == pytest.approx(trace.log_prob - without.log_prob, abs=1e-3)
    right = [top_agreement(row) for row, em in zip(effects, some.correct, strict=True) if em]
    assert right
    assert np.mean(right) > 0.8, "the model copies from the fact with the most weight"


def test_an_answer_follows_its_fact(world: TinyWorld, predictor: Predictor, explained: Explained) -> None:
    """Keys and question vectors are untouched, so the same facts are found: who answered from the fact answers anew."""
    edited = swap_tails(world.facts, explained.questions, seed=0)
    new, old = answers_after(predictor, make_editor(world), edited, "test", explained.encoded.part(edited.places))
    followed = [new[place] for place, em in enumerate(explained.correct) if em]
    assert np.mean(followed) > 0.9
    assert max(n + o for n, o in zip(new, old, strict=True)) == 1.0
    assert np.mean(old) < 0.1


def test_a_closed_window_hides_the_former_answer(world: TinyWorld, predictor: Predictor) -> None:
    edited = close_windows(world.facts, world.questions, 100, seed=0)
    closed = [number for number, fact in enumerate(world.facts) if edited.facts[number] != fact]
    number_of = {(world.facts[number].head, world.facts[number].relation): number for number in closed}
    successors = [edited.facts[question.supporting_facts[0]] for question in edited.questions]
    vectors = aim(world, predictor, [number_of[fact.head, fact.relation] for fact in successors])
    fresh, stale = answers_after(predictor, make_editor(world), edited, "test", with_times(edited.questions, vectors))
    assert np.mean(fresh) > 0.9
    assert np.mean(stale) < 0.1


def test_the_chain_is_what_the_last_layers_copy_from(explained: Explained) -> None:
    for trace in explained.traces:
        assert isinstance(trace, Trace)
        assert trace.ids[0, 0] == trace.ids[1, 0] == trace.chain[0], "both layers ask the same"


@pytest.fixture
def workspace(tmp_path: Path, world: TinyWorld, predictor: Predictor) -> Workspace:
    """The tiny world as the base of split swap, where the stage looks for it."""
    texts = {"swap": [without_time(question.question) for question in world.questions]}
    kb = tmp_path / "tiny" / "kb" / "swap"
    store = KBValueStore.build(kb, world.facts, ENCODERS, world.projections, questions=texts)
    KnowledgeIndex.build(store.keys, keys_sha256=store.keys_sha256).save(tmp_path / "tiny" / "index" / "swap")
    dataset = Dataset("tiny", {"swap": world.facts}, {"swap": world.questions}, {"swap": "swap"})
    return Workspace(dataset, predictor.backbone, world.projections, tmp_path / "tiny")


def run(workspace: Workspace, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, metrics: Path) -> Params:
    """The stage on small parameters that it declares in the pipeline."""
    file = metrics.parent / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    set_params(file, SMALL)
    params = load_params(file, only=declared_params("dump_evidence", ROOT / "dvc.yaml"))
    monkeypatch.setattr(Workspace, "open", lambda *_: workspace)
    monkeypatch.setattr(evidence_stage, "load_trained", lambda *_: predictor.model)
    monkeypatch.setattr(evidence_stage, "load_encoders", lambda *_, **__: ENCODERS)
    evidence_stage.dump_evidence(params, data=metrics, store=metrics, metrics=metrics)
    return params


def outputs(workspace: Workspace, metrics: Path) -> dict[str, Any]:
    files = [workspace.folder / "evidence" / "swap.jsonl", *metrics.rglob("*.json")]
    return {file.name: file.read_bytes() for file in files}


def test_without_selection_there_is_no_evidence_and_nothing_is_begun(
    workspace: Workspace, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(SMALL, "selector.top_k", 0)
    with pytest.raises(ParamsError, match=r"selector\.top_k is 0.*set selector\.top_k to at least 1"):
        run(workspace, predictor, monkeypatch, tmp_path / "metrics")
    assert not (workspace.folder / "evidence").exists()
    assert not (tmp_path / "metrics").exists()


def test_the_stage_writes_lines_tables_and_plots(
    workspace: Workspace, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    metrics = tmp_path / "metrics"
    run(workspace, predictor, monkeypatch, metrics)
    lines = [row for _, row in read_rows(workspace.folder / "evidence" / "swap.jsonl")]
    assert [line["qid"] for line in lines] == [question.qid for question in workspace.dataset.questions["swap"]]
    table, figures = read_json(metrics / "table.json"), read_json(metrics / "metrics.json")
    assert set(figures) == {
        "path_f1",
        "kilt_em",
        "causal_delta",
        "causal_delta_random",
        "tail_swap_follow",
        "stale_rate",
        "leave_one_out_agreement",
        "leave_one_out_chance",
    }
    assert read_json(metrics / "kinds.json") == {}, "there is no split whose programs are known"
    rows = table["swap"]
    em = np.mean(
        [
            is_correct(q, ln["pred_answer"])
            for q, ln in zip(workspace.dataset.questions["swap"], lines, strict=True)
            if q.type == "single-hop"
        ]
    )
    assert rows["single_hop"]["em"] == pytest.approx(em, abs=1e-4)
    assert rows["single_hop"]["causal_n"] == rows["temporal"]["tail_swap_n"] == rows["temporal"]["stale_n"] == 6
    assert rows["answerable"]["causal_n"] == 18
    assert rows["answerable"]["leave_one_out_n"] == 12
    assert rows["answerable"]["leave_one_out_chance"] == 1 / 4
    shown = json.loads((metrics / "plots" / "questions.json").read_text())
    assert [row["type"] for row in shown] == ["single_hop", "temporal", "two_hop", "unanswerable"]
    first = outputs(workspace, metrics)
    run(workspace, predictor, monkeypatch, metrics)
    assert outputs(workspace, metrics) == first, "equal inputs, equal bytes"


def test_an_interrupted_stage_leaves_nothing_half_written(
    workspace: Workspace, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evidence_stage, "intervene", stop)
    with pytest.raises(KeyboardInterrupt):
        run(workspace, predictor, monkeypatch, tmp_path / "metrics")
    assert not (workspace.folder / "evidence").exists()
    assert not (tmp_path / "metrics").exists()
