"""The route /ask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kblampp.asking.asked import Asked
from kblampp.data.windows import day
from tests.unit.server.fakes import JSON, FakeModel, client_of


def test_a_question_gets_a_reply_and_several_get_theirs_in_order() -> None:
    client = client_of()
    assert client.post("/ask", json={"question": "who"}).json()["answer"] == "ohw"
    replies = client.post("/ask", json={"questions": ["ab", "cd"]}).json()["replies"]
    assert [reply["answer"] for reply in replies] == ["ba", "dc"]
    assert len(client.post("/ask", json={"questions": ["ab"]}).json()["replies"]) == 1


@pytest.mark.parametrize(
    ("given", "known_at"),
    [
        (3, 3),
        ("3", 3),
        ("2026-11-20T00:00:00Z", "2026-11-20T00:00:00.999999Z"),
        ("2026-11-20T01:30:00.5+01:30", "2026-11-20T00:00:00.500000Z"),
        ("2026-11-20T00:00", "2026-11-20T00:00:59.999999Z"),
        ("2026-11-20", "2026-11-20T23:59:59.999999Z"),
        (None, None),
    ],
)
def test_how_it_is_asked_reaches_the_model(given: Any, known_at: int | str | None) -> None:
    model = FakeModel()
    body = {"question": " who\n", "today": "2012-05-01", "known_at": given, "top": 7, "style": "sentence"}
    assert client_of(model=model).post("/ask", json=body).status_code == 200
    assert model.batches == [[Asked("who", day("2012-05-01"), known_at, 7, "sentence")]]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "question"),
        ({"question": "a", "questions": ["b"]}, "questions"),
        ({"questions": []}, "questions"),
        ({"questions": "who"}, "questions"),
        ({"questions": ["a"] * 65}, "at most 64"),
        ({"question": ""}, "question"),
        ({"question": " \n"}, "blank"),
        ({"question": "x" * 2001}, "at most 2000"),
        ({"questions": ["a", "x" * 2001]}, "question 2"),
        ({"question": "a\x00b"}, "U+0000"),
        ({"question": "a\x1bb"}, "U+001B"),
        ({"question": 3}, "question"),
        ({"question": "a", "unknown": 1}, "unknown"),
        ({"question": "a", "style": "long"}, "style"),
        ({"question": "a", "today": "yesterday"}, "YYYY-MM-DD"),
        ({"question": "a", "today": "2012-02-30"}, "YYYY-MM-DD"),
        ({"question": "a", "known_at": -1}, "known_at"),
        ({"question": "a", "known_at": 1 << 54}, "known_at"),
        ({"question": "a", "known_at": True}, "known_at"),
        ({"question": "a", "known_at": 1.5}, "known_at"),
        ({"question": "a", "known_at": "soon"}, "known_at"),
        ({"question": "a", "known_at": "2026-13-20T00:00:00Z"}, "known_at"),
        ({"question": "a", "known_at": "0001-01-01T00:00:00+23:00"}, "known_at"),
        ({"question": "a", "top": 0}, "top"),
        ({"question": "a", "top": "5"}, "top"),
        ([], "JSON object"),
        ("who", "JSON object"),
    ],
)
def test_a_field_that_is_wrong_is_named_in_one_sentence(body: Any, told: str) -> None:
    response = client_of().post("/ask", json=body)
    assert response.status_code == 422
    assert list(response.json()) == ["error"]
    assert told in response.json()["error"]
    assert "\n" not in response.json()["error"]
    assert len(response.json()["error"]) < 600


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"question": ' + b"1" * 5000 + b"}", 400),
        (b'{"question": "\\ud800"}', 422),
        (b'{"\\ud800": "x", "question": "a"}', 422),
        (b'{"question": NaN}', 422),
        (b"null", 422),
    ],
)
def test_what_is_no_json_of_ours_gets_a_sentence_too(content: bytes, status: int) -> None:
    response = client_of().post("/ask", content=content, headers=JSON)
    assert (response.status_code, list(response.json())) == (status, ["error"])


def test_what_the_model_refuses_is_told_and_its_defects_are_not(caplog: pytest.LogCaptureFixture) -> None:
    client = client_of()
    assert client.post("/ask", json={"question": "<poison>"}).status_code == 422
    response = client.post("/ask", json={"question": "<defect>"})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "ZeroDivisionError" in caplog.text


def test_a_full_queue_and_a_slow_model_are_told_with_their_status() -> None:
    model = FakeModel(gate=threading.Event())
    with client_of(model=model, max_queue=1, max_batch=1, timeout_s=0.3) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(client.post, "/ask", json={"question": "first"})
        assert model.entered.wait(10)
        others = [pool.submit(client.post, "/ask", json={"question": "other"}) for _ in range(3)]
        responses = [first.result(), *(other.result() for other in others)]
        assert sorted(response.status_code for response in responses) == [503, 503, 504, 504]
        assert all(response.headers["Retry-After"] for response in responses if response.status_code == 503)
        assert model.gate is not None
        model.gate.set()
        assert client.post("/ask", json={"question": "next"}).json()["answer"] == "txen"


def test_many_requests_at_once_take_fewer_calls_of_the_model() -> None:
    model = FakeModel(gate=threading.Event())
    with client_of(model=model) as client, ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(client.post, "/ask", json={"question": f"question {number}"}) for number in range(16)]
        assert model.entered.wait(10)
        assert model.gate is not None
        threading.Timer(0.05, model.gate.set).start()
        answers = [request.result().json()["answer"] for request in asked]
    assert answers == [f"question {number}"[::-1] for number in range(16)]
    assert model.calls < 16
