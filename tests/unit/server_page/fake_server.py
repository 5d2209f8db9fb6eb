"""A server that speaks the HTTP API over a list of facts in memory, so that the page can be tried by itself.

It does not read facts with a model: it counts the words that a question and a fact share, and compares windows.
``python -m tests.unit.server_page.fake_server`` serves the facts of the example base until interrupted.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import mimetypes
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.house import ROOT

PAGE = ROOT / "kblampp" / "server" / "page"
EXAMPLE = ROOT / "docs" / "examples" / "own-kb" / "facts.csv"
FIELDS = ("head", "relation", "tail", "context", "start", "end")
TODAY = "2026-11-28"
HEADERS = {"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff"}

Row = dict[str, Any]


class Refused(Exception):
    """A request that fails, with the status and the sentence it is answered with."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def example_facts() -> list[Row]:
    """The rows of the example base."""
    with EXAMPLE.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def bound(text: str, *, end: bool) -> date | None:
    """The day a bound names, of an end the first day after it.  Raises: Refused 400."""
    if not text:
        return None
    found = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", text)
    if not found:
        raise Refused(400, f"“{text}” is no date: give a year, a month or a day, such as 1994, 1994-05 or 1994-05-02")
    year, month, day = (int(part) if part else None for part in found.groups())
    if year is None or not end:
        return date(year or 1, month or 1, day or 1)
    if day:
        return date(year, month or 1, day) + timedelta(days=1)
    return date(year + (month == 12), month % 12 + 1, 1) if month else date(year + 1, 1, 1)


def holds(fact: Row, first: date, last: date) -> bool:
    """Whether the window of a fact meets the days from `first` to `last`."""
    start, end = bound(fact["start"], end=False), bound(fact["end"], end=True)
    return (start is None or start <= last) and (end is None or end > first)


def words(text: str) -> set[str]:
    """Words of a text, cut to five letters so that their forms meet."""
    return {word[:5] for word in re.findall(r"\w+", text.lower())} - {"the", "of", "who", "what", "is", "was", "in"}


@dataclass
class FakeBase:
    """Facts with every state they had; a state is the list of facts after a call."""

    states: list[dict[int, Row]] = field(default_factory=lambda: [{}])
    calls: list[Row] = field(default_factory=list)
    versions: dict[int, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.calls.append({"id": 0, "at": _moment(0), "what": "init", "note": "", "facts": 0, "undone_by": None})

    def write(self, what: str, changes: dict[int, Row | None]) -> int:
        """Writes new contents (None: gone) of some facts; returns the number of the call."""
        number = len(self.calls)
        at, state = _moment(number), dict(self.states[-1])
        for fact, content in changes.items():
            former = self.versions.setdefault(fact, [])
            if former and former[-1]["retired"] is None:
                former[-1]["retired"] = at
            state.pop(fact, None)
            if content is not None:
                row = {name: content[name] for name in FIELDS}
                former.append({"id": fact, **row, "written": at, "retired": None, "call": number})
                state[fact] = former[-1]
        self.states.append(dict(sorted(state.items())))
        self.calls.append({"id": number, "at": at, "what": what, "note": "", "facts": len(changes), "undone_by": None})
        return number

    def add(self, rows: Sequence[Row]) -> list[int]:
        """Adds facts; returns their ids.  Raises: Refused 400."""
        contents = [checked(row) for row in rows]
        there = {tuple(fact[name] for name in FIELDS): fact["id"] for fact in self.states[-1].values()}
        if all(tuple(content.values()) in there for content in contents):
            return [there[tuple(content.values())] for content in contents]
        first = max(self.versions, default=-1) + 1
        self.write("add", {first + at: content for at, content in enumerate(contents)})
        return [first + at for at in range(len(contents))]

    def fact(self, fact: int) -> Row:
        """A fact as it stands.  Raises: Refused 404."""
        if fact not in self.states[-1]:
            raise Refused(404, f"the base has no fact {fact}: it was taken away, or never added")
        return self.states[-1][fact]

    def undo(self, call: int | None) -> int:
        """Puts back what a call (the last one that changed facts) found.  Raises: Refused 409."""
        open_calls = [one for one in self.calls if one["what"] not in ("init", "undo") and one["undone_by"] is None]
        chosen = next((one for one in reversed(open_calls) if call in (None, one["id"])), None)
        if chosen is None:
            raise Refused(409, "there is no change to undo")
        before, after = self.states[chosen["id"] - 1], self.states[chosen["id"]]
        touched = {fact for fact in before.keys() | after.keys() if before.get(fact) != after.get(fact)}
        changed_since = [fact for fact in touched if self.states[-1].get(fact) != after.get(fact)]
        if changed_since:
            raise Refused(409, f"fact {changed_since[0]} was changed after change {chosen['id']}: undo that one first")
        number = self.write("undo", {fact: before.get(fact) for fact in touched})
        chosen["undone_by"] = number
        return number

    def at(self, known_at: object) -> list[Row]:
        """The facts as they stood after a call or at a moment; None and "": now."""
        if known_at in (None, ""):
            return list(self.states[-1].values())
        text = str(known_at)
        if not text.isdigit():
            text = str(sum(call["at"] <= text for call in self.calls) - 1)
        if int(text) >= len(self.states):
            raise Refused(400, f"the base has no change {text}: its last one is {len(self.states) - 1}")
        return list(self.states[int(text)].values())


def checked(row: Row) -> Row:
    """The contents of a fact, complete.  Raises: Refused 400."""
    content = {name: str(row.get(name, "") or "").strip() for name in FIELDS}
    for name in ("head", "relation", "tail"):
        if not content[name]:
            raise Refused(400, f"a fact needs a {name}: it is empty")
    start, end = bound(content["start"], end=False), bound(content["end"], end=True)
    if start and end and start >= end:
        raise Refused(400, f"the end {content['end']} lies before the start {content['start']}: swap them")
    return content


def _moment(number: int) -> str:
    return f"2026-11-28T{8 + number // 60:02d}:{number % 60:02d}:00.000000Z"


def answered(facts: list[Row], question: str, today: str, top: int) -> Row:
    """A reply in the form of the API."""
    asked = words(question)
    year = re.search(r"\b(1\d{3}|20\d\d)\b", question)
    now = bound(today, end=False) or date.min
    first, last = (date(int(year[1]), 1, 1), date(int(year[1]), 12, 31)) if year else (now, now)

    def score(fact: Row, heads: set[str]) -> float:
        relation = words(fact["relation"])
        whole = len(words(fact["head"]) & heads) / max(1, len(words(fact["head"])))
        return 5 * whole + 5 * len(relation & asked) / max(1, len(relation)) + 3 * holds(fact, first, last)

    def weigh(heads: set[str]) -> list[Row]:
        raised = {fact["id"]: math.exp(1.6 * (score(fact, heads) - 9)) for fact in facts}
        total = sum(raised.values()) + 1
        entries = [{"fact": fact, "alpha": round(value / total, 4)} for fact, value in raised.items()]
        return sorted(entries, key=lambda entry: -entry["alpha"])[:top]

    by_id = {fact["id"]: fact for fact in facts}
    layers = [weigh(asked)]
    best = by_id[layers[0][0]["fact"]] if layers[0] else None
    named = {word for fact in facts for word in words(fact["relation"]) & asked}
    second = best and named - words(best["relation"]) - words(best["head"])
    layers.append(weigh(words(best["tail"])) if best and second else layers[0])
    layers.append(layers[-1])
    found = layers[-1][0] if layers[-1] and layers[-1][0]["alpha"] >= 0.5 else None
    parts: list[Row] = []
    if question.lower().startswith(("how many", "list")):
        same = [fact for fact in facts if words(fact["head"]) <= asked and words(fact["relation"]) <= asked]
        if question.lower().startswith("list"):
            parts = [{"text": fact["tail"], "sources": [{"fact": fact["id"], "field": "tail"}]} for fact in same]
        elif same:
            sources = [{"fact": fact["id"], "field": "fact"} for fact in same]
            parts = [{"text": str(len(same)), "sources": sources}]
    elif found:
        parts = [{"text": by_id[found["fact"]]["tail"], "sources": [{"fact": found["fact"], "field": "tail"}]}]
    own_words = question.lower().startswith("tell me")
    if own_words:
        parts = [{"text": "I would rather read facts.", "sources": []}]
    weights = {source["fact"]: 0.0 for part in parts for source in part["sources"]}
    weights |= {entry["fact"]: entry["alpha"] for layer in layers for entry in layer}
    shown = sorted(weights, key=lambda fact: -weights[fact])
    return {
        "question": question,
        "answer": "; ".join(part["text"] for part in parts) or "unknown",
        "refused": not parts,
        "own_words": own_words,
        "parts": parts,
        "time": {"start": first.isoformat(), "end": last.isoformat()} if year else None,
        "problem": "in Roman times" if "Roman times" in question else None,
        "null": round(1 - sum(entry["alpha"] for entry in layers[-1]), 4),
        "facts": [{name: by_id[fact][name] for name in ("id", *FIELDS)} | {"alpha": weights[fact]} for fact in shown],
        "layers": layers,
        "today": today,
    }


@dataclass
class FakeServer:
    """A base and how it is served; `token` and `writable` can be set while it runs, `delay` is in seconds."""

    base: FakeBase = field(default_factory=FakeBase)
    token: str | None = None
    writable: bool = True
    delay: float = 0.0
    url: str = ""
    asked: list[Row] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, method: str, path: str, query: dict[str, str], body: Row) -> tuple[int, Row]:
        """Status and JSON of a request.  Raises: Refused."""
        parts = path.strip("/").split("/")
        if method != "GET" and parts[0] != "ask" and not self.writable:
            raise Refused(403, "this server only reads: start it with --writable to change facts")
        match method, *parts:
            case "GET", "health":
                facts = len(self.base.states[-1])
                version = len(self.base.calls) - 1
                known = {"status": "ok", "base": "museum", "facts": facts, "version": version, "model": "stand-in"}
                return 200, known | {"writable": self.writable}
            case "POST", "ask":
                self.asked.append(body)
                time.sleep(self.delay)
                facts = self.base.at(body.get("known_at"))
                reply = answered(facts, body["question"], body.get("today") or TODAY, body.get("top", 5))
                return 200, reply | {"version": len(self.base.calls) - 1}
            case "GET", "facts":
                return 200, self.listed(query)
            case "POST", "facts":
                before = len(self.base.calls)
                facts = [self.base.fact(fact) for fact in self.base.add(body.get("facts", [body]))]
                return 201, {"facts": facts, "call": before if len(self.base.calls) > before else None}
            case "PUT", "facts", fact:
                changed = checked(self.base.fact(int(fact)) | body)
                call = self.base.write("change", {int(fact): changed})
                return 200, {"fact": self.base.fact(int(fact)), "call": call}
            case "POST", "facts", fact, "end":
                call = self.base.write("end", {int(fact): checked(self.base.fact(int(fact)) | {"end": body["end"]})})
                return 200, {"fact": self.base.fact(int(fact)), "call": call}
            case "DELETE", "facts", fact:
                self.base.fact(int(fact))
                return 200, {"call": self.base.write("delete", {int(fact): None})}
            case "GET", "facts", fact, "history":
                return 200, {"versions": self.base.versions[int(fact)]}
            case "GET", "log":
                return 200, {"calls": self.base.calls[::-1][: int(query.get("limit", 50))]}
            case "POST", "undo":
                return 200, {"call": self.base.undo(body.get("call"))}
        raise Refused(404, f"there is nothing at /{'/'.join(parts)}")

    def listed(self, query: dict[str, str]) -> Row:
        """The facts that a query chooses, one page of them."""
        facts = self.base.at(query.get("known_at"))
        search = query.get("search", "").lower()
        facts = [fact for fact in facts if any(search in fact[name].lower() for name in FIELDS[:4])]
        if day := bound(query.get("held_on", ""), end=False):
            facts = [fact for fact in facts if holds(fact, day, day)]
        start = int(query.get("offset", 0))
        return {"total": len(facts), "facts": facts[start : start + int(query.get("limit", 100))]}


def handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    """The handler of requests to a server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            logging.getLogger(__name__).debug(format, *args)

        def send(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **HEADERS}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def answer(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            name = "index.html" if url.path == "/" else unquote(url.path.removeprefix("/page/"))
            file = PAGE / name
            if self.command == "GET" and (url.path == "/" or url.path.startswith("/page/")) and file.is_file():
                self.send(200, file.read_bytes(), mimetypes.guess_type(name)[0] or "application/octet-stream")
                return
            try:
                given = self.headers.get("Authorization")
                if server.token and url.path != "/health" and given != f"Bearer {server.token}":
                    raise Refused(401, "this server asks for a token: send it as Authorization: Bearer")
                with server.lock:
                    query = {key: values[0] for key, values in parse_qs(url.query).items()}
                    status, reply = server.reply(self.command, url.path, query, json.loads(body or b"{}"))
            except Refused as refused:
                status, reply = refused.status, {"error": refused.sentence}
            self.send(status, json.dumps(reply).encode(), "application/json")

        do_GET = do_POST = do_PUT = do_DELETE = answer

    return Handler


@contextmanager
def serving(facts: Sequence[Row], port: int = 0) -> Iterator[FakeServer]:
    """Serves facts on a port (0: a free one) while the block runs."""
    server = FakeServer()
    if facts:
        server.base.add(facts)
    http = ThreadingHTTPServer(("127.0.0.1", port), handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}/"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


if __name__ == "__main__":
    with serving(example_facts(), port=8765):
        threading.Event().wait()
