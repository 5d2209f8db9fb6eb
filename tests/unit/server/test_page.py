"""The page over the real server: its rules for browsers let the page do its work."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.fakes import FakeBase, FakeModel, fact
from tests.unit.server.served import served
from tests.unit.server_page.browser import visit


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_person_asks_and_takes_back_a_change(browser: Any, host: str) -> None:
    base = FakeBase(fact())
    with served(base, FakeModel()) as address:
        for person in visit(browser, f"{address.replace('127.0.0.1', host)}/"):
            assert person.ask("Who directs it?") == "?ti stcerid ohW"
            person.rows(1)
            base.delete([1])
            taken_back = person.page.evaluate(
                "fetch('undo', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})"
                ".then(response => response.status)"
            )
            assert taken_back == 200
    assert base.log()[0].what == "undo"
