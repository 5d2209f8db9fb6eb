"""The committed adapter reads living bases: it answers as measured, and answers follow what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kblampp import KBModel, KnowledgeBase
from kblampp.asking.asked import Asked
from kblampp.base.editing import changed
from kblampp.core.errors import DataError
from kblampp.core.params_file import load_params
from kblampp.data.windows import day
from kblampp.server.outputs import ReplyOut
from tests.house import ROOT
from tests.regression.conftest import IN_2001, LIGHTHOUSE, filled, measured


def test_a_dossier_is_answered_as_the_stage_transfer_has_measured_it(model: KBModel, tmp_path: Path) -> None:
    base, wanted = filled(tmp_path / "lighthouse.kb", LIGHTHOUSE), measured("lighthouse")
    today = day(load_params(ROOT / "params.yaml").selector.as_of)
    replies = model.ask(base, [Asked(question, today) for question in wanted])
    assert len(wanted) > 60
    assert {reply.question: reply.answer for reply in replies} == wanted


def test_each_part_of_an_answer_stands_in_the_field_that_it_names(model: KBModel, museum: KnowledgeBase) -> None:
    reply = model.answer(museum, "Which directors has the Harrowgate Museum had?")
    assert [part.text for part in reply.parts] == reply.answer.split("; ")
    assert len(reply.parts) == 3
    for part in reply.parts:
        (source,) = part.sources
        assert source.field == "tail"
        assert museum.fact(source.fact).content.tail.name == part.text
        assert reply.facts[source.fact] == museum.fact(source.fact).content


def test_the_answer_follows_what_is_written_and_comes_back(model: KBModel, museum: KnowledgeBase) -> None:
    first = model.answer(museum, IN_2001)
    (source,) = first.sources
    museum.change(source.fact, changed(museum.fact(source.fact).content, tail="Quinby Vale"))
    assert model.answer(museum, IN_2001).answer == "Quinby Vale"
    museum.delete([source.fact])
    assert model.answer(museum, IN_2001).refused
    museum.undo()
    museum.undo()
    assert model.answer(museum, IN_2001).answer == first.answer == "Odile Brennan"
    assert model.answer(museum, IN_2001, known_at=3).answer == "Quinby Vale"
    museum.add_fact("Harrowgate Museum", "mascot", "Bilbo the Cat")
    assert model.answer(museum, "What is the mascot of the Harrowgate Museum?").answer == "Bilbo the Cat"


def test_an_end_and_the_day_of_asking_decide_who_it_is_now(model: KBModel, museum: KnowledgeBase) -> None:
    asked = "Who is the director of the Harrowgate Museum?"
    assert model.answer(museum, asked).answer == "Priya Castellan"
    assert model.answer(museum, asked, today=day("2010-01-01")).answer == "Tomas Iveland"


def test_questions_about_several_states_and_days_come_back_in_their_order(
    model: KBModel, museum: KnowledgeBase
) -> None:
    museum.delete([1])
    asked = [Asked(IN_2001), Asked(IN_2001, known_at=2), Asked(IN_2001), Asked(IN_2001, known_at=0)]
    assert [reply.answer for reply in model.ask(museum, asked)] == ["unknown", "Odile Brennan", "unknown", "unknown"]


def test_generate_takes_options_of_hugging_face(model: KBModel, museum: KnowledgeBase) -> None:
    torch.manual_seed(0)
    answers = {
        model.generate(museum, IN_2001),
        model.generate(museum, IN_2001, num_beams=3),
        model.generate(museum, IN_2001, do_sample=True, top_k=1),
    }
    assert answers == {"Odile Brennan"}


def test_an_empty_base_says_nothing(model: KBModel, tmp_path: Path) -> None:
    base = KnowledgeBase.create(tmp_path / "empty.kb")
    reply = model.answer(base, "Who was it in 1999?")
    assert (reply.answer, reply.refused, reply.facts) == ("unknown", True, {})
    assert ReplyOut.model_validate(reply.to_json()).null is None  # the server tells it as it says
    assert reply.time is not None


@pytest.mark.parametrize("wrong", ["museum.kb", None, 3, Path("museum.kb")])
def test_what_is_no_base_is_told_in_a_sentence(model: KBModel, wrong: Any) -> None:
    for call in (model.answer, model.generate):
        with pytest.raises(DataError, match=r"expected a knowledge base; open its folder with KnowledgeBase\.open"):
            call(wrong, IN_2001)


@pytest.mark.parametrize("wrong", [None, 3, b"Who?", ["Who?"]])
def test_what_is_no_question_is_told_in_a_sentence(model: KBModel, museum: KnowledgeBase, wrong: Any) -> None:
    for call in (model.answer, model.generate):
        with pytest.raises(DataError, match=r"a question is .* expected a text such as 'Who led Silver Harbor"):
            call(museum, wrong)
