"""The tools, as a program of the protocol calls them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from kblampp.core.errors import StoreError
from kblampp.server.mcp_server import build_mcp
from tests.unit.server.fakes import FakeBase, FakeModel, fact, in_a_loop

Call = tuple[str, dict[str, Any]]
NEW = {"head": "Lindmoor Library", "relation": "architect", "tail": "Ann Ives", "start": "1994-05"}


def results(*calls: Call, base: FakeBase | None = None, mode: str = "auto") -> list[Any]:
    """What the tools answer: their values, or the sentence of an error."""
    mcp = pytest.importorskip("mcp")
    server = build_mcp(base or FakeBase(fact()), FakeModel(), writable=True)

    async def work() -> list[Any]:
        async with mcp.Client(server, mode=mode) as client:
            found = [await client.call_tool(name, fields) for name, fields in calls]
        return [one.content[0].text if one.is_error else one.structured_content for one in found]

    return in_a_loop(work)


def tools(*, writable: bool) -> dict[str, Any]:
    mcp = pytest.importorskip("mcp")

    async def work() -> dict[str, Any]:
        async with mcp.Client(build_mcp(FakeBase(), FakeModel(), writable=writable)) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    return in_a_loop(work)


def test_a_base_for_reading_alone_has_no_tools_that_change_it() -> None:
    reading, all_of_them = tools(writable=False), tools(writable=True)
    assert set(reading) == {"ask", "search_facts", "history"}
    assert set(all_of_them) - set(reading) == {"add_fact", "change_fact", "end_fact", "delete_fact", "undo"}
    assert all(tool.annotations.read_only_hint for tool in reading.values())
    assert all(tool.description for tool in all_of_them.values())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_ask_and_change_the_base(mode: str) -> None:
    base = FakeBase(fact())
    asked, added, changed, ended, history, deleted, undone, found = results(
        ("ask", {"question": "who", "today": "2012-05-01"}),
        ("add_fact", NEW),
        ("change_fact", {"id": 2, "tail": "Bo Kern"}),
        ("end_fact", {"id": 2, "end": "2001"}),
        ("history", {"id": 2}),
        ("delete_fact", {"id": 2}),
        ("undo", {}),
        ("search_facts", {"search": "kern", "held_on": "1999-01-01", "limit": 5}),
        base=base,
        mode=mode,
    )
    assert asked["answer"] == "ohw"
    assert added["facts"][0]["start"] == "1994-05"
    assert changed["fact"]["tail"] == "Bo Kern"
    assert ended["fact"]["end"] == "2001"
    assert [row["tail"] for row in history["versions"]] == ["Ann Ives", "Bo Kern", "Bo Kern"]
    assert undone["call"] == deleted["call"] + 1
    assert [row["id"] for row in found["facts"]] == [2]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("ask", {"question": " "}), "blank"),
        (("ask", {"question": "x" * 2001}), "at most 2000"),
        (("ask", {"question": "<poison>"}), "cannot be read"),
        (("ask", {"question": "a", "today": "soon"}), "YYYY-MM-DD"),
        (("ask", {"question": "a", "known_at": "soon"}), "known_at"),
        (("search_facts", {"limit": 0}), "limit"),
        (("search_facts", {"known_at": 99}), "no call 99"),
        (("add_fact", {**NEW, "end": "soon"}), "'end'"),
        (("add_fact", {**NEW, "tail": "a\x00"}), "U+0000"),
        (("change_fact", {"id": 1}), "at least one"),
        (("change_fact", {"id": 99, "tail": "x"}), "no fact 99"),
        (("end_fact", {"id": 1, "end": ""}), "end"),
        (("delete_fact", {"id": 10**30}), "id"),
        (("history", {"id": 99}), "no fact 99"),
        (("undo", {"call": 1}), "undone"),
    ],
)
def test_what_is_wrong_is_told_to_the_model_and_changes_nothing(call: Call, told: str) -> None:
    base = FakeBase(fact())
    (text,) = results(call, base=base)
    assert isinstance(text, str)
    assert told in text
    assert base.version == 2


def test_a_defect_is_not_told() -> None:
    (text,) = results(("ask", {"question": "<defect>"}))
    assert "secret" not in text


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    with pytest.raises(StoreError, match="pip install mcp"):
        build_mcp(FakeBase(), FakeModel(), writable=False)


PROGRAM = """
from kblampp.server.mcp_server import run_mcp
from tests.unit.server.fakes import FakeBase, FakeModel, fact
run_mcp(FakeBase(fact()), FakeModel(), writable=True)
"""


def test_a_program_starts_it_and_speaks_with_it_over_its_streams() -> None:
    mcp = pytest.importorskip("mcp")
    environment = {"PYTHONPATH": str(Path(__file__).parents[3])}
    parameters = mcp.StdioServerParameters(command=sys.executable, args=["-c", PROGRAM], env=environment)

    async def work() -> Any:
        async with mcp.Client(parameters) as client:
            return (await client.call_tool("ask", {"question": "who"})).structured_content

    assert in_a_loop(work)["answer"] == "ohw"
