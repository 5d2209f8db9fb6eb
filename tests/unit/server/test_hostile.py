"""Whatever is sent, the server neither breaks nor lets its insides be seen."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from kblampp.server.bodies import AskBody, FactBody, FactsBody, UndoBody
from kblampp.server.openai_bodies import ChatBody, Message
from tests.unit.server.fakes import JSON, FakeBase, client_of, fact

ROUTES = [
    ("POST", "/ask"),
    ("GET", "/facts"),
    ("POST", "/facts"),
    ("PUT", "/facts/{}"),
    ("DELETE", "/facts/{}"),
    ("POST", "/facts/{}/end"),
    ("GET", "/facts/{}/history"),
    ("GET", "/log"),
    ("POST", "/undo"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/page/{}"),
    ("GET", "/{}"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{}"),
    ("POST", "/v1/chat/completions"),
]
KEYS = [*AskBody.model_fields, *FactsBody.model_fields, *FactBody.model_fields, *UndoBody.model_fields]
KEYS += [*ChatBody.model_fields, *Message.model_fields, "type", "text", "include_usage", "id"]
QUERY = ["search", "held_on", "known_at", "limit", "offset", "other"]
TEXTS = st.one_of(
    st.text(st.characters(), max_size=12),  # with lone surrogates
    st.sampled_from(["1994", "2003-05-02", "9999-12-31", "0001", "present", "2026-11-20T00:00:00Z", "9" * 40, "user"]),
    st.sampled_from(
        ["who", "fake", "assistant", "text", "' OR 1=1 --", "%s%n", "{0}", "\u202e", "a\x00", "x" * 30_000]
    ),
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 1, 2**53, 2**63, -(2**63), 10**400]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=4),
    max_leaves=8,
)
CLIENT = client_of(FakeBase(fact()))
HOSTILE = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def check(response: Any) -> None:
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert list(response.json()) == ["error"]
        error = response.json()["error"]
        sentence = error["message"] if isinstance(error, dict) else error
        assert sentence
        assert "Traceback" not in sentence
        assert len(sentence) < 1000


@pytest.mark.parametrize(("method", "path"), ROUTES)
@given(body=VALUES, name=TEXTS, query=st.dictionaries(st.sampled_from(QUERY), TEXTS, max_size=3))
@HOSTILE
def test_any_json_any_path_and_any_query_are_answered_or_refused(
    method: str, path: str, body: Any, name: str, query: dict[str, str]
) -> None:
    where = path.format(quote(name.encode("utf-8", "surrogatepass"), safe=""))
    asked = "&".join(f"{key}={quote(value.encode('utf-8', 'surrogatepass'))}" for key, value in query.items())
    content = None if method == "GET" else json.dumps(body).encode("ascii")
    check(CLIENT.request(method, f"{where}?{asked[:5000]}", content=content, headers=JSON))


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] != "GET"])
@given(content=st.binary(max_size=40), kind=st.sampled_from([JSON, {}, {"Content-Type": "application/json;charset=x"}]))
@HOSTILE
def test_any_bytes_are_answered_or_refused(method: str, path: str, content: bytes, kind: dict[str, str]) -> None:
    check(CLIENT.request(method, path.format(1), content=content, headers=kind))


@given(
    st.dictionaries(
        st.sampled_from(["host", "origin", "authorization", "content-type", "accept"]), st.binary(max_size=30)
    )
)
@HOSTILE
def test_any_headers_are_answered_or_refused(headers: dict[str, bytes]) -> None:
    named: Any = {**JSON, **headers}
    check(CLIENT.post("/ask", content=b'{"question": "who"}', headers=named))


def test_what_the_interface_describes_is_what_it_does() -> None:
    """Schemathesis makes requests by the description, right and wrong ones, and compares the responses with it."""
    schemathesis = pytest.importorskip("schemathesis")
    schemathesis.checks.load_all_checks()
    names = ["not_a_server_error", "content_type_conformance", "response_schema_conformance"]
    names += ["status_code_conformance", "negative_data_rejection"]
    checks = schemathesis.checks.CHECKS.get_by_names(names)
    client = client_of(FakeBase(fact()), max_body=1 << 26)
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    schema.app = client.app
    made = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck), database=None)
            def attempt(case: Any) -> None:
                nonlocal made
                made += 1
                response = case.call(base_url="http://localhost")
                case.validate_response(response, checks=checks)

            with contextlib.suppress(Unsatisfiable):  # what takes no parameters cannot be asked wrongly
                attempt()
    assert made > 200
