"""Who gets in, from where, with how many bytes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect

from kblampp.core.errors import DataError
from kblampp.server.app import create_app
from kblampp.server.settings import Settings
from tests.unit.server.fakes import JSON, OWN, FakeBase, FakeModel, client_of, fact, in_a_loop

TOKEN = "a-long-and-secret-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
QUESTION = {"question": "who"}
WITH_TOKEN = client_of(token=TOKEN)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8000"]
)
def test_this_machine_goes_by_its_loopback_names(host: str) -> None:
    assert client_of().get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8000",
        "localhost:",
        "x:y",
        "localhost:8000:8000",
        "localhost:123456",
        "127.0.0.2",
        "[::2]:8000",
        "localhost@evil.example",
        "kb.example:81",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/", "/facts", "/v1/models", "/nowhere"])
def test_a_name_that_was_made_to_mean_this_machine_is_refused(host: str, path: str) -> None:
    response = client_of(allowed_hosts=("kb.example:80",)).get(path, headers={"Host": host})
    assert response.status_code == 403
    assert "name" in (response.json()["error"]["message"] if path.startswith("/v1") else response.json()["error"])


@pytest.mark.parametrize("host", ["kb.example", "KB.example:443", "other.example:81", "192.0.2.7", "192.0.2.7:8000"])
def test_names_that_were_configured_get_in_and_so_does_the_address_it_serves_at(host: str) -> None:
    allowed = ("kb.example", "other.example:81")
    settings = Settings(host="192.0.2.7", token=TOKEN, allowed_hosts=allowed)
    client = TestClient(create_app(FakeBase(), FakeModel(), settings))
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "https://127.0.0.1:8000.evil.example"},
        {"Origin": "file://127.0.0.1:8000"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/facts"), ("DELETE", "/facts/1"), ("POST", "/ask"), ("PUT", "/facts/1")]
)
def test_a_page_of_another_site_changes_nothing(method: str, path: str, headers: dict[str, str]) -> None:
    base = FakeBase(fact())
    response = client_of(base).request(method, path, json={"tail": "x"}, headers=headers)
    assert (response.status_code, base.version) == (403, 2)


def test_the_servers_own_page_may_send_what_others_may_not() -> None:
    headers = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
    assert client_of().post("/ask", json=QUESTION, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonp",
        "text/plain; application/json",
        "application/ld+json",
    ],
)
def test_a_body_that_is_not_marked_as_json_is_refused(kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    response = client_of().post("/ask", content=b'{"question": "who"}', headers=headers)
    assert (response.status_code, "application/json" in response.json()["error"]) == (415, True)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_json_is_known_in_any_spelling(kind: str) -> None:
    response = client_of().post("/ask", content=b'{"question": "who"}', headers={"Content-Type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/facts", "/log", "/metrics", "/openapi.json", "/v1/models", "/page/none.js", "/nowhere"]
)
def test_without_the_token_nothing_is_told(path: str, headers: dict[Any, Any]) -> None:
    response = client_of(token=TOKEN).get(path, headers=headers)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert TOKEN not in response.text


def test_with_the_token_all_is_told_and_health_and_the_page_need_none() -> None:
    client = client_of(token=TOKEN)
    assert client.post("/ask", json=QUESTION, headers=BEARER).status_code == 200
    assert client.post("/ask", json=QUESTION, headers={"Authorization": f"bearer  {TOKEN}"}).status_code == 200
    assert client.post("/ask", json=QUESTION).status_code == 401
    for path in ("/health", "/", "/page/index.html"):
        assert client.get(path).status_code == 200


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
@hypothesis_settings(deadline=None, max_examples=50)
def test_no_other_text_passes_for_the_token(shown: str) -> None:
    response = WITH_TOKEN.get("/facts", headers={"Authorization": f"Bearer {shown}"})
    assert (response.status_code == 200) == (shown == TOKEN)


def test_neither_logs_nor_texts_of_the_settings_hold_the_token_or_a_question(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = client_of(token=TOKEN)
    client.post("/ask", json={"question": "a very private question"}, headers=BEARER)
    client.get("/facts", params={"search": "private"}, headers=BEARER)
    client.get("/private/question", headers=BEARER)
    own = [record.getMessage() for record in caplog.records if record.name.startswith(("kblampp", "uvicorn"))]
    assert len(own) >= 3
    assert not [line for line in own if TOKEN in line or "private" in line]
    assert TOKEN not in repr(Settings(token=TOKEN))


@pytest.mark.parametrize("path", ["/ask", "/v1/chat/completions"])
def test_a_body_beyond_the_limit_is_refused_whether_its_length_is_told_or_not(path: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"question": "'
        for _ in range(20):
            yield b"x" * 100
        yield b'"}'

    client = client_of(max_body=1000)
    whole = client.post(path, content=b"".join(pieces()), headers=JSON)
    chunked = client.post(path, content=pieces(), headers=JSON)
    for response in (whole, chunked):
        assert (response.status_code, response.headers["Connection"]) == (413, "close")
        assert "1000 bytes" in response.text
    assert client.post("/ask", content=b'{"question": "%s"}' % (b"x" * 900), headers=JSON).status_code == 200


@pytest.mark.parametrize("length", ["-1", "x", "9" * 40, "²"])
def test_a_length_that_is_no_number_or_a_huge_one_does_no_harm(length: str) -> None:
    headers = {**JSON, "Content-Length": length.encode("utf-8")}
    assert client_of().post("/ask", content=b"{}", headers=headers).status_code == 413  # type: ignore[arg-type]


def test_a_body_that_never_ends_is_given_up() -> None:
    app = create_app(FakeBase(), FakeModel(), Settings(timeout_s=0.05))
    sent: list[Any] = []
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"100")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/ask",
        "raw_path": b"/ask",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
    }

    async def receive() -> Any:
        if not sent:
            sent.append(None)
            return {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    in_a_loop(lambda: app(scope, receive, send))
    assert sent[1]["status"] == 408


def test_every_response_binds_the_browser() -> None:
    client = client_of(token=TOKEN)
    for response in (
        client.get("/"),
        client.get("/facts"),
        client.get("/nowhere", headers=BEARER),
        client.get("/health"),
    ):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "access-control-allow-origin" not in response.headers
    assert client.get("/facts", headers=BEARER).headers["Cache-Control"] == "no-store"


def test_a_web_socket_is_closed() -> None:
    with pytest.raises(WebSocketDisconnect), client_of().websocket_connect("/ask"):
        pass


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"port": -1}, "port"),
        ({"port": 65536}, "port"),
        ({"token": ""}, "token"),
        ({"token": "a b"}, "space"),
        ({"token": "tökén"}, "ASCII"),
        ({"token": "a\nb"}, "token"),
        ({"max_body": 0}, "max_body"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"max_batch": 300}, "max_queue"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        Settings(**settings)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("kb.example", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_loopback_are_taken_for_it(host: str, loopback: bool) -> None:
    assert Settings(host=host).loopback == loopback
