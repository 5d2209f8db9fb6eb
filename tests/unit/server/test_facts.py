"""The routes of facts and calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kblampp.base.editing import changed
from kblampp.core.errors import StoreError
from kblampp.data.windows import UNKNOWN
from tests.unit.server.fakes import JSON, FakeBase, client_of, fact

NEW = {"head": "Lindmoor Library", "relation": "architect", "tail": "Ann Ives", "start": "1994-05", "end": "2003"}
FIELDS = ("head", "relation", "tail", "context", "start", "end")


def test_one_fact_is_read_by_its_id_and_404_tells_of_one_that_is_not_there() -> None:
    client = client_of(FakeBase(fact()))
    assert client.get("/facts/1").json() == client.get("/facts").json()["facts"][0]
    assert client.get("/facts/9").status_code == 404


def test_a_fact_that_was_added_is_found_as_it_was_written() -> None:
    base = FakeBase(fact())
    client = client_of(base)
    added = client.post("/facts", json=NEW)
    assert added.status_code == 201
    assert added.json()["call"] == base.version
    found = client.get("/facts", params={"search": "lindmoor"}).json()
    assert found == {"total": 1, "facts": added.json()["facts"]}
    assert {name: found["facts"][0][name] for name in FIELDS} == {**NEW, "context": ""}
    content = base.fact(found["facts"][0]["id"]).content
    assert (content.context.source, content.window.source) == ("custom", "custom")
    assert (content.window.start_unit, content.window.end_unit) == ("month", "year")


def test_facts_that_are_there_already_keep_their_ids_and_make_no_call() -> None:
    base = FakeBase()
    client = client_of(base)
    first = client.post("/facts", json={"facts": [NEW, {**NEW, "tail": "Bo Kern"}]}).json()
    again = client.post("/facts", json={"facts": [{**NEW, "tail": "Bo Kern"}, NEW]})
    assert (again.status_code, again.json()["call"]) == (200, None)
    assert [row["id"] for row in again.json()["facts"]] == [row["id"] for row in first["facts"]][::-1]


def test_a_fact_without_dates_has_an_unknown_window() -> None:
    base = FakeBase()
    client_of(base).post("/facts", json={"head": "a", "relation": "b", "tail": "c"})
    assert base.fact(1).content.window == UNKNOWN


def test_a_change_leaves_alone_what_it_does_not_name() -> None:
    base = FakeBase(fact())
    client = client_of(base)
    before = base.fact(1).content
    changed = client.put("/facts/1", json={"tail": "Bo Kern"}).json()
    after = base.fact(1).content
    assert changed["call"] == base.version
    assert (after.head, after.relation, after.context, after.window) == (
        before.head,
        before.relation,
        before.context,
        before.window,
    )
    assert (after.tail.name, after.tail.id, after.tail.type) == ("Bo Kern", None, None)


@given(
    st.dictionaries(
        st.sampled_from(FIELDS), st.sampled_from(["1990", "1991-02", "1992-03-04", "", "a name"]), min_size=1
    )
)
@hypothesis_settings(deadline=None, max_examples=25)
def test_any_change_that_is_taken_shows_what_was_asked_for_and_else_what_was_there(fields: dict[str, str]) -> None:
    base = FakeBase(fact(first=1900, last=2020))
    client = client_of(base)
    before = client.get("/facts").json()["facts"][0]
    response = client.put("/facts/1", json=fields)
    if response.status_code == 200:
        after = response.json()["fact"]
        assert {name: after[name] for name in FIELDS} == {**{name: before[name] for name in FIELDS}, **fields}
    else:
        assert response.status_code in (409, 422)
        assert client.get("/facts").json()["facts"] == [before]


def test_a_fact_is_ended_deleted_and_brought_back_and_its_history_tells_so() -> None:
    client = client_of()
    assert client.post("/facts/1/end", json={"end": "2000-03"}).json()["fact"]["end"] == "2000-03"
    deleted = client.delete("/facts/1").json()["call"]
    assert client.get("/facts").json()["total"] == 0
    assert client.get("/facts", params={"known_at": deleted - 1}).json()["total"] == 1
    undone = client.post("/undo", json={"call": deleted}).json()["call"]
    assert client.get("/facts").json()["total"] == 1
    assert [row["end"] for row in client.get("/facts/1/history").json()["versions"]] == ["2003", "2000-03"]
    calls = client.get("/log", params={"limit": 2}).json()["calls"]
    assert [(call["id"], call["what"], call["undone_by"]) for call in calls] == [
        (undone, "undo", None),
        (deleted, "delete", undone),
    ]


def test_facts_are_found_by_day_and_in_pages() -> None:
    base = FakeBase(*(fact(tail=f"Director {number}", first=1990 + number, last=1990 + number) for number in range(5)))
    client = client_of(base)
    held = client.get("/facts", params={"held_on": "1992-06-01"}).json()
    assert [row["tail"] for row in held["facts"]] == ["Director 2"]
    page = client.get("/facts", params={"limit": 2, "offset": 3}).json()
    assert (page["total"], [row["id"] for row in page["facts"]]) == (5, [4, 5])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("POST", "/facts", {**NEW, "start": "soon"}, 422, "'start'"),
        ("POST", "/facts", {**NEW, "end": "1990"}, 422, "end after start"),
        ("POST", "/facts", {"facts": [NEW, {**NEW, "end": "94"}]}, 422, "fact 2"),
        ("POST", "/facts", {"facts": []}, 422, "facts"),
        ("POST", "/facts", {"head": "a", "relation": "b"}, 422, "'tail'"),
        ("POST", "/facts", {**NEW, "head": "  "}, 422, "blank"),
        ("POST", "/facts", {**NEW, "head": "a\nb"}, 422, "U+000A"),
        ("POST", "/facts", {**NEW, "head": "x" * 5001}, 422, "5000"),
        ("POST", "/facts", {**NEW, "context": "x" * 20_001}, 422, "20000"),
        ("POST", "/facts", {**NEW, "id": 3}, 422, "'id'"),
        ("PUT", "/facts/1", {}, 422, "at least one"),
        ("PUT", "/facts/1", {"head": None}, 422, "'head'"),
        ("PUT", "/facts/1", {"start": "2010"}, 422, "end after start"),
        ("PUT", "/facts/1", {"tail": "Odile Brennan"}, 409, "already"),
        ("PUT", "/facts/99", {"head": "a"}, 404, "no fact 99"),
        ("PUT", "/facts/0", {"head": "a"}, 422, "fact"),
        ("PUT", f"/facts/{10**30}", {"head": "a"}, 422, "fact"),
        ("PUT", "/facts/one", {"head": "a"}, 422, "fact"),
        ("POST", "/facts/1/end", {"end": ""}, 422, "end"),
        ("POST", "/facts/1/end", {"end": "soon"}, 422, "soon"),
        ("POST", "/facts/1/end", {"end": "1990"}, 409, "end after start"),
        ("POST", "/facts/99/end", {"end": "1990"}, 404, "no fact 99"),
        ("DELETE", "/facts/99", None, 404, "no fact 99"),
        ("GET", "/facts/99/history", None, 404, "no fact 99"),
        ("GET", "/facts?held_on=soon", None, 422, "YYYY-MM-DD"),
        ("GET", "/facts?known_at=99", None, 422, "no call 99"),
        ("GET", "/facts?known_at=soon", None, 422, "known_at"),
        ("GET", "/facts?serch=museum", None, 422, "serch"),
        ("GET", "/log?limit=0", None, 422, "limit"),
        ("GET", "/facts?limit=0", None, 422, "limit"),
        ("GET", "/facts?limit=1001", None, 422, "limit"),
        ("GET", "/facts?offset=-1", None, 422, "offset"),
        ("GET", "/facts?search=%00", None, 422, "U+0000"),
        ("POST", "/undo", {"call": 1}, 409, "undone"),
        ("POST", "/undo", {"call": 0}, 422, "call"),
        ("POST", "/undo", {"call": 10**400}, 422, "call"),
    ],
)
def test_a_refusal_has_its_status_one_sentence_and_no_effect(
    method: str, path: str, body: Any, status: int, told: str
) -> None:
    base = FakeBase(fact())
    response = client_of(base).request(method, path, json=body)
    assert response.status_code == status, response.text
    assert told in response.json()["error"]
    assert base.version == 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/facts", NEW),
        ("PUT", "/facts/1", {"tail": "Bo Kern"}),
        ("POST", "/facts/1/end", {"end": "2000"}),
        ("DELETE", "/facts/1", None),
        ("POST", "/undo", {}),
    ],
)
def test_a_base_that_is_served_for_reading_alone_is_not_changed(method: str, path: str, body: Any) -> None:
    base = FakeBase(fact())
    response = client_of(base, writable=False).request(method, path, json=body)
    assert (response.status_code, base.version) == (403, 2)
    assert "reading alone" in response.json()["error"]


def test_a_base_that_cannot_be_read_or_written_is_told_with_503() -> None:
    base = FakeBase(fact())
    client = client_of(base)
    base.failure = StoreError("my.kb: another program writes to it; try again")
    for response in (
        client.get("/facts"),
        client.post("/facts", json=NEW),
        client.get("/health"),
        client.get("/metrics"),
    ):
        assert (response.status_code, "another program" in response.json()["error"]) == (503, True)


def test_writes_at_once_are_made_one_after_another_and_none_is_lost() -> None:
    base = FakeBase()
    with client_of(base) as client, ThreadPoolExecutor(16) as pool:
        added = list(pool.map(lambda number: client.post("/facts", json={**NEW, "tail": f"T {number}"}), range(40)))
    assert [response.status_code for response in added] == [201] * 40
    assert base.overlaps == 0
    assert len({response.json()["call"] for response in added}) == 40
    assert sorted(row.content.tail.name for row in base.facts()) == sorted(f"T {number}" for number in range(40))


def test_undoing_needs_a_json_object_that_a_form_cannot_send() -> None:
    client = client_of()
    assert client.post("/undo").status_code == 415
    assert client.post("/undo", content=b"", headers=JSON).status_code == 422


def test_what_is_changed_is_the_old_one_where_nothing_differs() -> None:
    old = fact()
    fields = {"head": old.head.name, "relation": "director", "tail": old.tail.name, "start": "1994", "end": "2003"}
    assert changed(old, **fields) == old
