"""Sends a served base requests made to break it, and counts its answers; a status of 500 or more is a failure.

Half of the requests are made by the server's own description (/openapi.json) with Schemathesis, in equal parts such as
it allows and such as it does not, and compared with it; half are JSON and bytes of any kind at each of its addresses.
What is well-formed is done: serve a copy of the base.

    python benchmarks/hostile_input.py http://127.0.0.1:8000 --cases 5000

The last line on stdout is a JSON object: requests by status, failures, seconds, the longest one's seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks

CHECK_NAMES = [
    "not_a_server_error",
    "content_type_conformance",
    "response_schema_conformance",
    "status_code_conformance",
]
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(["1994", "present", "9" * 5000, "a\x00", "x" * 30_000])
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**53, 2**63, -(2**63), 10**4000])
KEYS = st.sampled_from(
    [
        "question",
        "questions",
        "today",
        "known_at",
        "top",
        "head",
        "relation",
        "tail",
        "context",
        "start",
        "end",
        "facts",
        "call",
        "model",
        "messages",
        "role",
        "content",
        "stream",
        "stream_options",
        "n",
        "kblampp",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | TEXTS, inner, max_size=5),
    max_leaves=12,
)
CONTENTS = VALUES.map(lambda value: json.dumps(value).encode("ascii")) | st.binary(max_size=60)
KINDS = st.sampled_from(["application/json"] * 8 + ["text/plain", "application/json; charset=utf-16", ""])


class Tally:
    """What came back."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        self.longest = 0.0

    @property
    def cases(self) -> int:
        """How many requests were made."""
        return sum(self.statuses.values())

    def add(self, what: str, status: int, seconds: float) -> None:
        """Counts a response."""
        self.statuses[status] += 1
        self.longest = max(self.longest, seconds)
        if status >= 500:
            self.failures.append(f"{what}: {status}")


def by_description(address: str, headers: dict[str, str], cases: int, tally: Tally) -> list[Any]:
    """Makes requests by the description; the operations that it names."""
    load_all_checks()
    checks = CHECKS.get_by_names(CHECK_NAMES)
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", headers=headers)
    found: list[Any] = list(schema.get_all_operations())
    operations = [one.ok() for one in found]
    asking = [one for one in operations if one.query or one.path_parameters or one.body]
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    number = max(1, cases // (2 * len(asking)))

    def one_operation(operation: Any, mode: Any) -> None:
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(deadline=None, max_examples=number, suppress_health_check=list(HealthCheck), database=None)
        def attempt(case: Any) -> None:
            start = time.perf_counter()
            response = case.call(headers=headers)
            tally.add(operation.label, response.status_code, time.perf_counter() - start)
            if response.status_code < 500:
                case.validate_response(response, checks=checks)

        attempt()

    for operation, mode in ((one, mode) for one in operations for mode in modes):
        try:
            with contextlib.suppress(Unsatisfiable):  # what takes no parameters cannot be asked wrongly
                one_operation(operation, mode)
        except BaseExceptionGroup as errors:
            tally.failures += [f"{operation.label}: {error}"[:500] for error in errors.exceptions]
        except AssertionError as error:
            tally.failures.append(f"{operation.label}: {error}"[:500])
    return operations


def of_any_kind(address: str, headers: dict[str, str], operations: Sequence[Any], cases: int, tally: Tally) -> None:
    """Sends JSON and bytes of any kind, with any text in the path and the query."""
    host = urlsplit(address).netloc

    @given(st.sampled_from([(one.method.upper(), one.path) for one in operations]), CONTENTS, KINDS, TEXTS, TEXTS)
    @settings(deadline=None, max_examples=cases, suppress_health_check=list(HealthCheck), database=None)
    def attempt(route: tuple[str, str], content: bytes, kind: str, name: str, value: str) -> None:
        method, path = route
        told, asked = (quote(text.encode("utf-8", "surrogatepass"), safe="")[:3000] for text in (name, value))
        where = "/".join(told if part.startswith("{") else part for part in path.split("/"))
        connection = http.client.HTTPConnection(host, timeout=120)
        start = time.perf_counter()
        body = None if method == "GET" else content
        connection.request(method, f"{where}?search={asked}", body, {**headers, "Content-Type": kind})
        response = connection.getresponse()
        response.read()
        connection.close()
        tally.add(f"{method} {where[:80]} {content[:80]!r}", response.status, time.perf_counter() - start)

    attempt()


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, send, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="of the server, such as http://127.0.0.1:8000")
    parser.add_argument("--token", help="what the server asks for")
    parser.add_argument("--cases", type=int, default=5000, metavar="N", help="least requests (default: 5000)")
    arguments = parser.parse_args(argv)
    headers = {"Authorization": f"Bearer {arguments.token}"} if arguments.token else {}
    address, tally, start = arguments.address.rstrip("/"), Tally(), time.perf_counter()
    operations = by_description(address, headers, arguments.cases // 2, tally)
    while tally.cases < arguments.cases:
        of_any_kind(address, headers, operations, arguments.cases - tally.cases, tally)
    for failure in tally.failures[:50]:
        print(failure)
    result = {
        "cases": tally.cases,
        "statuses": dict(sorted(tally.statuses.items())),
        "failures": len(tally.failures),
        "seconds": round(time.perf_counter() - start, 1),
        "longest": round(tally.longest, 3),
    }
    print(json.dumps(result))
    return bool(tally.failures)


if __name__ == "__main__":
    sys.exit(main())
