"""Measures a served base under load: many clients that ask, and change it, at once.

First one client asks one question after another; then all clients ask for the given time, each over one connection, and
wait for an answer before they ask again.  Where the base may be changed, every tenth request of a client is a write: it
adds a fact of its own, then changes it.  At the end the history of each client's fact must hold every write that was
acknowledged, and the fact say what the last of them said; whatever does not is a lost write.  The facts that were added
are deleted again.

    python benchmarks/serve_load.py http://127.0.0.1:8000 --clients 64 --seconds 60

The questions are made of the base's own facts; `--questions FILE` has others, one a line.  The last line on stdout is a
JSON object: seconds (p50, p95, p99) of an answer, questions per second alone and under load and their ratio, refusals
of a full queue (503), errors, writes, lost writes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WRITE_EVERY = 10


class Connection:
    """One kept-alive connection, as plain as it gets, so that the clients take little of the machine."""

    def __init__(self, address: str, token: str | None) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._head = f"Host: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._head += f"Authorization: Bearer {token}\r\n" if token else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of the response."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode("utf-8")
        try:
            head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
            writer.write(head.encode("ascii") + content)
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            answer = await reader.readexactly(int(headers["content-length"]))
        except (OSError, asyncio.IncompleteReadError, KeyError, ValueError):
            self.close()
            raise
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(status.split(" ")[1]), json.loads(answer)

    def close(self) -> None:
        """Ends the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Client:
    """What one client did."""

    number: int
    seconds: list[float] = field(default_factory=list)
    busy: int = 0
    errors: list[str] = field(default_factory=list)
    writes: int = 0
    fact: int | None = None
    tail: str = ""
    lost: int = 0

    async def run(self, connection: Connection, questions: Sequence[str], until: float, tag: str) -> None:
        """Asks (and, with a tag, writes) until the time is over."""
        rng, count = random.Random(self.number), self.number
        while time.perf_counter() < until:
            count += 1
            try:
                if tag and count % WRITE_EVERY == 0:
                    await self._write(connection, tag)
                else:
                    await self._ask(connection, rng.choice(questions))
            except (OSError, asyncio.IncompleteReadError, KeyError, ValueError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.1)

    async def _ask(self, connection: Connection, question: str) -> None:
        start = time.perf_counter()
        status, answer = await connection.send("POST", "/ask", {"question": question})
        if status == 200 and answer["question"] == question:
            self.seconds.append(time.perf_counter() - start)
        else:
            await self._refused(status, answer)

    async def _write(self, connection: Connection, tag: str) -> None:
        tail = f"Value {self.writes + 1} of client {self.number}"
        if self.fact is None:
            fields = {"head": f"{tag} {self.number}", "relation": "load", "tail": tail}
            status, answer = await connection.send("POST", "/facts", fields)
        else:
            status, answer = await connection.send("PUT", f"/facts/{self.fact}", {"tail": tail})
        if status in (200, 201):
            self.writes, self.tail = self.writes + 1, tail
            self.fact = answer["fact"]["id"] if "fact" in answer else answer["facts"][0]["id"]
        else:
            await self._refused(status, answer)

    async def _refused(self, status: int, answer: Any) -> None:
        if status == 503:
            self.busy += 1
            await asyncio.sleep(0.1)
        else:
            self.errors.append(f"{status}: {json.dumps(answer)[:200]}")

    async def look_back(self, connection: Connection) -> None:
        """Whether each write that was acknowledged is in the base: the last in the fact, all of them in its history."""
        if self.fact is None:
            return
        status, answer = await connection.send("GET", f"/facts/{self.fact}/history")
        tails = [version["tail"] for version in answer["versions"]] if status == 200 else []
        expected = [f"Value {number + 1} of client {self.number}" for number in range(self.writes)]
        self.lost = len(set(expected) - set(tails)) + (not tails or tails[-1] != self.tail)
        await connection.send("DELETE", f"/facts/{self.fact}")


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The result."""
    address = arguments.address.rstrip("/")

    def connect() -> Connection:
        return Connection(address, arguments.token)

    try:
        status, health = await connect().send("GET", "/health")
    except OSError as problem:
        raise SystemExit(f"error: no server answers at {address} ({problem}): start one") from None
    if status != 200:
        raise SystemExit(f"error: {address} answers {status}: {health}")
    questions = await read_questions(arguments.questions, connect())
    alone = Client(0)
    start = time.perf_counter()
    await alone.run(connect(), questions, start + max(3.0, arguments.seconds / 6), "")
    single = len(alone.seconds) / (time.perf_counter() - start)
    tag = f"Load {uuid.uuid4().hex[:12]}" if health.get("writable") and not arguments.no_writes else ""
    clients = [Client(number) for number in range(arguments.clients)]
    connections = [connect() for _ in clients]
    start = time.perf_counter()
    until = start + arguments.seconds
    await asyncio.gather(
        *(one.run(line, questions, until, tag) for one, line in zip(clients, connections, strict=True))
    )
    took = time.perf_counter() - start
    for client, connection in zip(clients, connections, strict=True):
        await client.look_back(connection)
        connection.close()
    errors = [error for client in (alone, *clients) for error in client.errors]
    for error in sorted(set(errors))[:10]:
        print(error)
    seconds = [second for client in clients for second in client.seconds]
    together = len(seconds) / took
    return {
        "clients": len(clients),
        "seconds": round(took, 1),
        "questions": len(seconds),
        **{f"p{share}": quantile(seconds, share) for share in (50, 95, 99)},
        "alone_p50": quantile(alone.seconds, 50),
        "questions_per_second": round(together, 2),
        "questions_per_second_alone": round(single, 2),
        "ratio": round(together / single, 2) if single else None,
        "busy": sum(client.busy for client in clients),
        "errors": len(errors),
        "writes": sum(client.writes for client in clients),
        "lost_writes": sum(client.lost for client in clients),
    }


async def read_questions(path: Path | None, connection: Connection) -> list[str]:
    """The file's questions; without a file, of some of the base's facts."""
    if path is not None:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    _, found = await connection.send("GET", "/facts?limit=500")
    if not found.get("facts"):
        raise SystemExit(f"error: no facts to ask about ({found}): add some, or give --questions")
    return [f"Who or what is the {row['relation']} of {row['head']}?"[:2000] for row in found["facts"]]


def quantile(seconds: Sequence[float], share: int) -> float | None:
    """A percentile, None of fewer than two."""
    return round(statistics.quantiles(seconds, n=100)[share - 1], 4) if len(seconds) > 1 else None


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="of the server, such as http://127.0.0.1:8000")
    parser.add_argument("--clients", type=int, default=64, metavar="N", help="clients at once (default: 64)")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="how long they ask (default: 60)")
    parser.add_argument("--token", help="what the server asks for")
    parser.add_argument(
        "--questions", type=Path, metavar="FILE", help="one question a line (default: of the base's facts)"
    )
    parser.add_argument("--no-writes", action="store_true", help="ask only")
    arguments = parser.parse_args(argv)
    if arguments.clients < 1 or arguments.seconds <= 0:
        parser.error("--clients must be at least 1 and --seconds above 0")
    result = asyncio.run(measure(arguments))
    print(json.dumps(result))
    return int(result["errors"] > 0 or result["lost_writes"] > 0)


if __name__ == "__main__":
    sys.exit(main())
