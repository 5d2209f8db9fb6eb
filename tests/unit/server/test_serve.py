"""The server as a program, over real connections."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from kblampp.core.errors import DataError
from kblampp.server.serve import serve
from kblampp.server.settings import Settings
from tests.unit.server.fakes import JSON, FakeBase, FakeModel, fact
from tests.unit.server.served import served

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from kblampp.server.serve import serve
from kblampp.server.settings import Settings
from tests.unit.server.fakes import FakeBase, FakeModel
serve(FakeBase(), FakeModel(), Settings(port=0), ready=lambda address: print(address, flush=True))
print("stopped", flush=True)
"""


def connect(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)


def ask(address: str, question: str) -> tuple[int, Any]:
    connection = connect(address)
    connection.request("POST", "/ask", json.dumps({"question": question}), JSON)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_requests_at_once_over_real_connections_share_the_model() -> None:
    model = FakeModel(gate=threading.Event())
    with served(FakeBase(fact()), model) as address, ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(ask, address, f"question {number}") for number in range(24)]
        assert model.entered.wait(10)
        assert model.gate is not None
        threading.Timer(0.1, model.gate.set).start()
        answers = [request.result() for request in asked]
    assert [(status, body["answer"]) for status, body in answers] == [
        (200, f"question {number}"[::-1]) for number in range(24)
    ]
    assert model.calls < 24


def test_what_was_begun_is_answered_before_the_server_stops() -> None:
    model = FakeModel(gate=threading.Event())
    with ThreadPoolExecutor(1) as pool:
        with served(FakeBase(fact()), model) as address:
            begun = pool.submit(ask, address, "who")
            assert model.entered.wait(10)
            assert model.gate is not None
            threading.Timer(0.1, model.gate.set).start()
        assert begun.result()[1]["answer"] == "ohw"
    with pytest.raises(ConnectionError):
        ask(address, "too late")


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")
def test_the_other_loopback_is_served_too() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    with served(FakeBase(fact()), FakeModel(), host="::1") as address:
        assert address.startswith("http://[::1]:")
        assert ask(address, "who")[1]["answer"] == "ohw"


def test_what_a_client_asked_that_went_away_is_not_asked_of_the_model() -> None:
    model = FakeModel(gate=threading.Event())
    with served(FakeBase(fact()), model) as address, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, address, "first")
        assert model.entered.wait(10)
        gone = connect(address)
        gone.request("POST", "/ask", json.dumps({"question": "gone"}), JSON)
        waits_until(address, 1)
        gone.close()
        waits_until(address, 0)
        assert model.gate is not None
        model.gate.set()
        assert first.result()[0] == 200
        assert ask(address, "next")[1]["answer"] == "txen"
    assert [asked.question for batch in model.batches for asked in batch] == ["first", "next"]


def waits_until(address: str, questions: int) -> None:
    connection = connect(address)
    for _ in range(2000):
        connection.request("GET", "/metrics")
        if f"kblampp_queue_questions {questions}.0" in connection.getresponse().read().decode("utf-8"):
            return
    pytest.fail(f"never were {questions} questions waiting")


def test_a_body_in_chunks_beyond_the_limit_is_refused_before_it_ends() -> None:
    with served(FakeBase(fact()), FakeModel(), max_body=1000) as address:
        connection = connect(address)
        connection.request("POST", "/ask", iter([b"x" * 500] * 8), JSON, encode_chunked=True)
        response = connection.getresponse()
        assert (response.status, response.getheader("Connection")) == (413, "close")
        connection = connect(address)
        connection.request("POST", "/ask", b"x" * 8000, JSON)
        assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_raw_bytes_that_are_no_request_of_ours_are_refused(sent: bytes) -> None:
    with served(FakeBase(fact()), FakeModel()) as address:
        parts = urlsplit(address)
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(12)[9:10] == b"4"
        assert ask(address, "who")[1]["answer"] == "ohw"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_an_address_that_others_reach_is_refused_without_a_token(host: str) -> None:
    with pytest.raises(DataError, match="token"):
        serve(FakeBase(), FakeModel(), Settings(host=host))


def test_a_port_in_use_and_an_address_of_another_machine_are_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DataError, match=f"port {port} of 127.0.0.1 is in use"):
            serve(FakeBase(), FakeModel(), Settings(port=port))
    for host in ("192.0.2.7", "no such name"):
        with pytest.raises(DataError, match="no address of this machine"):
            serve(FakeBase(), FakeModel(), Settings(host=host, token="secret"))


@pytest.mark.skipif(os.name != "posix", reason="signals are sent otherwise elsewhere")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_program_which_goes_on_after_it(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, encoding="utf-8", env=environment, cwd=ROOT
    )
    assert program.stdout is not None
    address = program.stdout.readline().strip()
    assert ask(address, "who")[1]["answer"] == "ohw"
    program.send_signal(number)
    assert (program.stdout.read(), program.wait(20)) == ("stopped\n", 0)
    program.stdout.close()
