"""The committed adapter behind the server: programs are answered as measured, and a person sees answers follow."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kblampp import KBModel, KnowledgeBase
from kblampp.core.params_file import load_params
from tests.house import ROOT
from tests.regression.conftest import IN_2001, LIGHTHOUSE, filled, measured
from tests.unit.server.served import served
from tests.unit.server_page.browser import Person, visit

BORN = "Where was the founder of the Harrowgate Museum born?"


@pytest.fixture
def person(browser: Any, model: KBModel, museum: KnowledgeBase) -> Iterator[Person]:
    with served(museum, model) as address:
        yield from visit(browser, f"{address}/")


def post(url: str, body: object) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


def test_a_dossier_is_answered_as_measured(model: KBModel, tmp_path: Path) -> None:
    base, wanted = filled(tmp_path / "lighthouse.kb", LIGHTHOUSE), measured("lighthouse")
    today = load_params(ROOT / "params.yaml").selector.as_of
    with served(base, model) as address:
        replies = post(f"{address}/ask", {"questions": list(wanted), "today": today})["replies"]
        chat = post(
            f"{address}/v1/chat/completions",
            {"model": model.name, "messages": [{"role": "user", "content": next(iter(wanted))}]},
        )
    assert {reply["question"]: reply["answer"] for reply in replies} == wanted
    assert chat["choices"][0]["message"]["content"] == next(iter(wanted.values()))
    for reply in replies:
        known = {fact["id"] for fact in reply["facts"]}
        assert {source["fact"] for part in reply["parts"] for source in part["sources"]} <= known


def test_a_person_takes_a_fact_away_and_sees_the_answer_follow(person: Person) -> None:
    assert person.ask(IN_2001) == "Odile Brennan"
    person.page.locator(".weighed.source").get_by_role("button", name="Take away").last.click()
    person.changed("Taken away", "is now")
    assert person.answer() != "Odile Brennan"
    person.button("Undo", inside="#changed").click()
    person.changed("Undone")
    assert person.answer() == "Odile Brennan"


def test_a_person_sees_the_hop_of_a_question_over_two_facts(person: Person) -> None:
    assert person.ask(BORN) == "Port Larkin"
    assert "Ansel Whitcombe" in person.page.locator("#why").inner_text()
