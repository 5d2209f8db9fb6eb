"""Health, metrics, the page, the description of the interface."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.server.fakes import FakeBase, FakeModel, client_of, fact
from tests.unit.server.served import served

CLIENT = client_of()


def figures(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text)
    return {(row.name, tuple(sorted(row.labels.items()))): row.value for family in families for row in family.samples}


def test_health_says_what_is_served() -> None:
    assert client_of(FakeBase(fact()), writable=False).get("/health").json() == {
        "status": "ok",
        "base": "my",
        "facts": 1,
        "version": 2,
        "model": "fake",
        "writable": False,
    }


def test_metrics_count_requests_by_template_questions_batches_and_the_base() -> None:
    client = client_of(FakeBase(fact()))
    client.post("/ask", json={"questions": ["a", "b", "<unknown>"]})
    client.post("/ask", json={})
    client.get("/facts/1/history")
    client.get("/facts/2/history")
    client.get("/some/where")
    response = client.get("/metrics")
    found = figures(response.text)
    assert response.headers["Content-Type"].startswith("text/plain")

    def requests(method: str, route: str, status: str) -> float:
        return found["kblampp_requests_total", (("method", method), ("route", route), ("status", status))]

    assert requests("POST", "/ask", "200") == requests("POST", "/ask", "422") == 1
    assert requests("GET", "/facts/{fact}/history", "200") == requests("GET", "/facts/{fact}/history", "404") == 1
    assert requests("GET", "none", "404") == 1
    assert found["kblampp_questions_total", ()] == 3
    assert found["kblampp_refusals_total", ()] == 1
    assert found["kblampp_batch_questions_sum", ()] == 3
    assert found["kblampp_request_seconds_count", (("route", "/ask"),)] == 2
    assert (found["kblampp_facts", ()], found["kblampp_base_version", ()], found["kblampp_queue_questions", ()]) == (
        1,
        2,
        0,
    )


def test_two_servers_of_one_process_count_apart() -> None:
    first, second = client_of(), client_of()
    first.post("/ask", json={"question": "a"})
    assert figures(first.get("/metrics").text)["kblampp_questions_total", ()] == 1
    assert figures(second.get("/metrics").text)["kblampp_questions_total", ()] == 0


def test_methods_that_nobody_knows_make_no_new_series() -> None:
    client = client_of()
    for number in range(5):
        assert client.request(f"METHOD{number}", "/facts").status_code == 405
    assert "METHOD" not in client.get("/metrics").text


def test_the_page_is_served_from_memory() -> None:
    client = client_of()
    response = client.get("/")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for name in set(re.findall(r'(?:src|href)="/?(page/[^"]+)"', response.text)):
        assert client.get(name).status_code == 200, name


PATHS = [
    "/page/../app.py",
    "/page/..%2fapp.py",
    "/page/%2e%2e/app.py",
    "/page//etc/passwd",
    "/page/%2fetc%2fpasswd",
    "/page/",
    "/page/..",
    "/page/.",
    "/page/index.html%00",
    "/page/index.html/",
    "/page/./index.html",
    "/../app.py",
    "//page/index.html",
    "/page/C:%5Cwindows%5Cwin.ini",
    "/page/..%5Capp.py",
    "/app.py",
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(FakeBase(fact()), FakeModel()) as address:
        yield urlsplit(address).netloc


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_another_file(address: str, path: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=20)  # others tidy a path before they send it
    connection.request("GET", path)
    assert connection.getresponse().status == 404


@given(st.text(max_size=30))
@hypothesis_settings(deadline=None, max_examples=50)
def test_any_name_of_a_file_is_served_or_not_there(name: str) -> None:
    sent = "".join(f"%{byte:02x}" for byte in name.encode("utf-8", "replace"))
    response = CLIENT.get("/page/" + sent)
    assert response.status_code == (200 if name == "index.html" else 404) or name in (".", "..", "")


def test_the_description_of_the_interface_names_every_route_and_loads_nothing_from_elsewhere() -> None:
    client = client_of()
    described = client.get("/openapi.json").json()
    paths = {(path, method.upper()) for path, methods in described["paths"].items() for method in methods}
    assert paths >= {
        ("/ask", "POST"),
        ("/facts", "GET"),
        ("/facts", "POST"),
        ("/facts/{fact}", "PUT"),
        ("/facts/{fact}", "DELETE"),
        ("/facts/{fact}/end", "POST"),
        ("/facts/{fact}/history", "GET"),
        ("/log", "GET"),
        ("/undo", "POST"),
        ("/health", "GET"),
        ("/metrics", "GET"),
        ("/v1/models", "GET"),
        ("/v1/chat/completions", "POST"),
    }
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_the_thread_of_the_model_ends_with_the_application() -> None:
    model = FakeModel()
    client = client_of(model=model)
    with client:
        client.post("/ask", json={"question": "a"})
        thread = client.app.state.batcher._thread  # type: ignore[attr-defined]
        assert thread.is_alive()
    assert not thread.is_alive()
