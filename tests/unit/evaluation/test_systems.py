"""Baselines and ablations on a tiny world: what each reads, and that nothing else differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedModel

from kblampp.core.params import EvalParams, Params
from kblampp.core.params_file import load_params
from kblampp.data.dataset import Dataset
from kblampp.data.facts import MOST_HOPS, Question, evidence_sentence
from kblampp.evaluation.baselines import answer_by_lookup, answer_with_rag, nearest_sentences
from kblampp.evaluation.gates import mean_gates
from kblampp.evaluation.systems import ABLATIONS, Split, answers_of_stage, chosen_ablations
from kblampp.evaluation.table import Predictions
from kblampp.model import batches as batching
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import EncodedQuestions, SelectorOptions
from kblampp.model.lora import change_backbone
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.workspace import Workspace
from tests.house import ROOT
from tests.kb import ENCODER, TinyWorld, make_world
from tests.tiny import FAMILIES

OPTIONS = SelectorOptions(top_k=4, over_fetch=24)
SIZES: dict[str, Any] = {"batch_size": 8, "max_new_tokens": 4}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def decoder() -> PreTrainedModel:
    return FAMILIES["llama"]()


@pytest.fixture
def model(world: TinyWorld, decoder: PreTrainedModel) -> Iterator[KBInjectedModel]:
    model = world.model(decoder)
    yield model
    model.detach()


@pytest.fixture
def split(world: TinyWorld) -> Split:
    return Split("swap", world.base, world.encoded())


def params(**changes: Any) -> Params:
    """The repository's, with a small evaluation."""
    whole = load_params(ROOT / "params.yaml")
    small = {"questions_per_type": 2, "baseline_questions_per_type": 1, "ablation_questions_per_type": 1, **SIZES}
    return whole.model_copy(update={"eval": whole.eval.model_copy(update={**small, **changes})})


def workspace(world: TinyWorld, model: KBInjectedModel, splits: Sequence[str] = ("dev", "swap")) -> Workspace:
    """As far as the systems look at it."""
    dataset = Dataset("tiny", {}, dict.fromkeys(splits, world.questions), dict.fromkeys(splits, "town"))
    return Workspace(dataset, world.backbone(model.backbone), world.projections, Path())


def predictor(world: TinyWorld, model: KBInjectedModel, options: SelectorOptions = OPTIONS) -> Predictor:
    return Predictor(model, world.backbone(model.backbone), options, **SIZES)


def prompts_seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills with the prompts that are asked from now on."""
    seen: list[str] = []
    inner = batching.prompt_batches

    def noted(prompts: Any, *arguments: Any) -> Any:
        seen.extend(prompts)
        return inner(prompts, *arguments)

    monkeypatch.setattr("kblampp.model.predictor.prompt_batches", noted)
    return seen


@pytest.mark.parametrize("n", [1, 3])
def test_rag_shows_the_sentences_nearest_to_the_question(
    n: int, world: TinyWorld, model: KBInjectedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = prompts_seen(monkeypatch)
    few = world.encoded(range(5))
    nearest = nearest_sentences(world.base.store, few, 4)
    answers = answer_with_rag(predictor(world, model), world.facts, few.questions, nearest, sentences=n)
    sentences = [evidence_sentence(fact) for fact in world.facts]
    vectors = ENCODER.encode(sentences)
    for place, (prompt, answer) in enumerate(zip(seen, answers, strict=True)):
        (found,) = answer.ranked
        assert len(found) == n
        nearness = vectors @ world.vectors[place, : ENCODER.dim]  # the part of names and sentences
        assert nearness[list(found)] == pytest.approx(np.sort(nearness)[::-1][:n], abs=2e-3)  # the store is float16
        shown, question = prompt.split("Question: ")
        assert shown.splitlines() == list(dict.fromkeys(sentences[i] for i in found))
        assert question.startswith(few.questions[place].question)
        assert answer.null is None


def test_a_sentence_of_several_facts_is_shown_once(
    world: TinyWorld, model: KBInjectedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = len(world.facts)
    seen = prompts_seen(monkeypatch)
    one = world.encoded([0])
    nearest = nearest_sentences(world.base.store, one, everything)
    answer_with_rag(predictor(world, model), world.facts, one.questions, nearest, sentences=everything)
    shown = seen[0].split("Question: ")[0].splitlines()
    assert sorted(shown) == sorted({evidence_sentence(fact) for fact in world.facts})


def test_lookup_says_the_tail_of_the_top_fact_or_unknown(world: TinyWorld) -> None:
    def selected(top: int, alpha: float, null: float) -> Prediction:
        return Prediction("anything", ((0, 1), (top, 2)), ((0.9, 0.1), (alpha, 0.0)), null, prompt_tokens=9)

    sure, even, unsure = answer_by_lookup(
        [selected(5, 0.6, 0.4), selected(6, 0.4, 0.4), selected(7, 0.3, 0.5)], world.facts
    )
    assert (sure.text, even.text) == (world.facts[5].tail.name, world.facts[6].tail.name)
    assert unsure.text == "unknown"
    assert sure.prompt_tokens == 0
    assert sure.ranked == ((0, 1), (5, 2)), "what it selected is the model's"


def measured(
    stage: str, model: KBInjectedModel, world: TinyWorld, split: Split, **changes: Any
) -> dict[str, Predictions]:
    """What the systems of one stage said."""
    options, splits = changes.pop("options", OPTIONS), changes.pop("splits", ("dev", "swap"))
    place = workspace(world, model, splits)
    return dict(answers_of_stage(stage, "trainB", params(**changes), place, predictor(world, model, options), split))


def test_baselines_come_with_stage_a_and_ablations_with_the_chosen_model(
    world: TinyWorld, model: KBInjectedModel, split: Split
) -> None:
    baselines = {"closed_book", "in_context", "rag_1", "rag_2"}
    small = {"rag_sentences": (1, 2), "ablations": ("no_hop", "no_lora")}
    assert set(measured("trainA", model, world, split, **small)) == {"stage_a", *baselines}
    second = measured("trainB", model, world, split, **small)
    assert set(second) == {"stage_b", "lookup", "no_hop", "no_lora"}
    assert len(second["stage_b"].questions) == len(second["lookup"].questions) == 8
    assert len(second["no_hop"].questions) == 4


def test_other_splits_have_no_ablations(world: TinyWorld, model: KBInjectedModel, split: Split) -> None:
    found = measured("trainB", model, world, replace(split, name="dev"), ablations="all")
    assert set(found) == {"stage_b", "lookup"}


def test_a_converted_dataset_has_its_ablations_on_its_test_questions(
    world: TinyWorld, model: KBInjectedModel, split: Split
) -> None:
    options: dict[str, Any] = {"splits": ("dev", "test", "test_hard"), "ablations": ("no_hop",)}
    for name, ablations in (("test", {"no_hop"}), ("test_hard", set()), ("dev", set())):
        found = measured("trainB", model, world, replace(split, name=name), **options)
        assert set(found) == {"stage_b", "lookup"} | ablations


def test_without_knowledge_there_is_nothing_to_look_up_or_switch_off(
    world: TinyWorld, model: KBInjectedModel, split: Split
) -> None:
    found = measured("trainB", model, world, split, ablations="all", options=replace(OPTIONS, top_k=0))
    assert set(found) == {"stage_b"}


def section(**changes: Any) -> EvalParams:
    return params(**changes).eval


def test_ablations_are_all_none_or_those_named() -> None:
    assert chosen_ablations(section(ablations="all"), "trainB") == list(ABLATIONS)
    assert chosen_ablations(section(ablations="none"), "trainB") == []
    assert chosen_ablations(section(ablations=("no_hop", "no_eta")), "trainB") == ["no_hop", "no_eta"]


def test_stage_a_has_no_lora_to_switch_off(caplog: pytest.LogCaptureFixture) -> None:
    """Said only to those who asked for it by name."""
    assert chosen_ablations(section(ablations="all"), "trainA") == [n for n in ABLATIONS if n != "no_lora"]
    assert not caplog.records
    assert chosen_ablations(section(ablations=("no_lora", "no_eta")), "trainA") == ["no_eta"]
    assert "no_lora" in caplog.text


@pytest.mark.parametrize("name", [name for name in ABLATIONS if name != "no_lora"])
def test_each_ablation_changes_one_option(name: str) -> None:
    changed = replace(SelectorOptions(top_k=16), **ABLATIONS[name])
    differing = [key for key, value in vars(SelectorOptions(top_k=16)).items() if getattr(changed, key) != value]
    assert differing == list(ABLATIONS[name])
    assert len(differing) == 1


def test_no_lora_is_the_model_on_the_unchanged_backbone(world: TinyWorld, split: Split) -> None:
    decoder = FAMILIES["llama"]()
    model = world.model(decoder)
    before = measured("trainB", model, world, split, ablations="none", questions_per_type=1)["stage_b"]
    change_backbone(model, rank=2, alpha=16.0)
    for name, parameter in decoder.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=1.0)
    after = measured("trainB", model, world, split, ablations=("no_lora",), questions_per_type=1)
    assert after["no_lora"].predictions == before.predictions
    assert after["stage_b"].predictions != before.predictions


def test_a_smaller_number_of_questions_is_a_part_of_a_larger(split: Split) -> None:
    few, many = split.first(1).encoded, split.first(3).encoded
    assert [question for question in many.questions if question in few.questions] == list(few.questions)
    rows = [many.questions.index(question) for question in few.questions]
    assert (many.vectors[rows] == few.vectors).all()


def test_gates_are_measured_without_questions_of_too_many_hops(world: TinyWorld, model: KBInjectedModel) -> None:
    path = next(question for question in world.questions if question.type == "multi-hop")
    long = replace(path, qid="long", supporting_facts=tuple(range(MOST_HOPS + 1)))
    several = replace(long, qid="several", type="single-hop")  # alternatives are one hop, however many
    rows = [0, 9, 12]
    few = [world.questions[row] for row in rows]

    def gates(questions: list[Question], vectors: Any) -> dict[str, float]:
        encoded = EncodedQuestions(questions, vectors, (None,) * len(questions))  # gates are of the data's windows
        return mean_gates(predictor(world, model), world.base, encoded, seed=0)

    plain, vectors = gates(few, world.vectors[rows]), world.vectors[[rows[0], 20, *rows[1:]]]
    assert gates([few[0], long, *few[1:]], vectors) == plain
    assert gates([few[0], several, *few[1:]], vectors) != plain
    assert gates([long], world.vectors[:1]) == gates([], world.vectors[:0]) == {}
