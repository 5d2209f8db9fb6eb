"""Ten fixed questions of each type about a frozen knowledge base, asked of the committed adapter.

A change in encoder, projections, index, selector, answers or loading that breaks answers shows here.  It is no
benchmark: the questions are ones that the committed adapter answers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kblampp.backbone.load import load_backbone
from kblampp.core.params_file import load_params
from kblampp.data.facts import Question, read_facts, read_questions
from kblampp.encoding.encoders import load_encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.encoding.store import KBValueStore
from kblampp.evaluation.questions import with_times
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.checkpoint import load_trained
from kblampp.model.inputs import StoredBase
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.workspace import selector_options
from kblampp.time_expressions.parse import without_time
from tests.house import ROOT

HERE = Path(__file__).parent
QUESTIONS = read_questions(HERE / "questions.jsonl")
TYPES = ("single-hop", "temporal", "multi-hop", "unanswerable")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Prediction]:
    params = load_params(ROOT / "params.yaml")
    folder = ROOT / "store" / params.dataset
    projections = Projections.load(folder / PROJECTION)
    place = tmp_path_factory.mktemp("regression")
    store = KBValueStore.build(
        place / "kb",
        read_facts(HERE / "facts.jsonl"),
        load_encoders(params.encoder.model, ROOT / "store", batch_size=params.encoder.batch_size),
        projections,
        dtype=params.encoder.store_dtype,
        questions={"frozen": [without_time(question.question) for question in QUESTIONS]},
    )
    KnowledgeIndex.build(store.keys, keys_sha256=store.keys_sha256).save(place / "index")
    backbone = load_backbone("embedded", dtype="float32")
    model = load_trained(folder / params.eval.adapter, backbone, projections)
    base = StoredBase.load(place / "kb", place / "index")
    threads = torch.get_num_threads()
    torch.set_num_threads(params.threads)
    options, section = selector_options(params), params.eval
    predictor = Predictor(model, backbone, options, section.batch_size, section.max_new_tokens)
    found = predictor.predict(base, with_times(QUESTIONS, store.question_vectors("frozen")))
    torch.set_num_threads(threads)
    return {question.qid: answer for question, answer in zip(QUESTIONS, found, strict=True)}


def test_there_are_ten_questions_of_each_type() -> None:
    assert {kind: sum(q.type == kind for q in QUESTIONS) for kind in TYPES} == dict.fromkeys(TYPES, 10)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.qid)
def test_the_committed_adapter_answers_from_the_right_facts(question: Question, answers: dict[str, Prediction]) -> None:
    answer = answers[question.qid]
    assert answer.text == (question.answer or "unknown")
    hops = question.supporting_facts
    if hops:
        assert [answer.ranked[layer][0] for layer in range(len(hops))] == list(hops)
        assert answer.ranked[-1][0] == hops[-1]
    else:
        assert answer.null is not None
        assert answer.null > answer.alpha[-1][0]
