"""A living base: what is written is there, errors say what to do, and nothing is half there."""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kblampp.base.database import FILE, Database
from kblampp.base.editing import changed, fact_of
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.errors import DataError, StoreError
from kblampp.data.facts import Entity, read_facts
from kblampp.data.windows import day
from kblampp.tables.reading import read_facts_table


@pytest.fixture
def base(tmp_path: Path) -> KnowledgeBase:
    made = KnowledgeBase.create(tmp_path / "my.kb")
    made.add_fact("Museum", "director", "Odile", start="1994", end="2003")
    made.add_fact("Museum", "director", "Tomas", start="2004")
    return made


def tails(base: KnowledgeBase, **which: object) -> list[str]:
    return [version.content.tail.name for version in base.facts(**which)]  # type: ignore[arg-type]


def test_both_times_are_kept_apart(base: KnowledgeBase) -> None:
    """What was so in a year, and what the base said after a call."""
    base.change(1, changed(base.fact(1).content, tail="Odile Brennan"))
    assert tails(base, held_on=day("2001-06-01")) == ["Odile Brennan"]
    assert tails(base, held_on=day("2001-06-01"), known_at=3) == ["Odile"]
    moment = base.history(1)[0].written
    assert tails(base, known_at=moment) == ["Odile"]
    assert tails(base, known_at="1999-01-01") == []
    assert tails(base, known_at="2999-01-01") == ["Odile Brennan", "Tomas"]


def test_an_end_counts_whole(base: KnowledgeBase) -> None:
    base.end(2, "2015")
    assert tails(base, held_on=day("2015-12-31")) == ["Tomas"]
    assert tails(base, held_on=day("2016-01-01")) == []
    assert (base.fact(2).content.window.start_unit, base.fact(2).content.window.end_unit) == ("year", "year")


def test_changing_one_field_keeps_the_others(base: KnowledgeBase) -> None:
    base.change(1, changed(base.fact(1).content, context="She led it."))
    now = base.fact(1).content
    assert (now.head.name, now.tail.name, now.context.sent_span) == ("Museum", "Odile", "She led it.")
    assert now.window == fact_of("a", "b", "c", start="1994", end="2003").window
    base.change(1, changed(now, start="", end=""))
    assert not base.fact(1).content.window.known


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda base: base.delete([1, 9]), "no fact 9"),
        (lambda base: base.change(7, fact_of("a", "b", "c")), "no fact 7"),
        (lambda base: base.history(10**30), "no fact"),
        (lambda base: base.fact(0), "no fact 0"),
        (lambda base: base.end(1, ""), "cannot end"),
        (lambda base: base.end(1, "soon"), "soon"),
        (lambda base: base.end(1, "1980"), "expected end after start"),
        (lambda base: base.undo(99), "no call 99"),
        (lambda base: base.undo(1), "changed no fact"),
        (lambda base: base.rollback(99), "no call 99"),
        (lambda base: base.rollback("yesterday"), "no moment"),
        (lambda base: base.rollback("1926-11-23"), "was not made yet"),
        (lambda base: base.rollback(0), "was not made yet"),
        (lambda base: base.undo(10**30), "no call"),
        (lambda base: base.delete([1], note="\udcff"), "a character that is none"),
        (lambda base: base.facts(search="word " * 2000), "expected at most 100"),
        (lambda base: base.facts(search="\udcff"), "a character that is none"),
        (lambda base: base.facts(known_at=-1), "no call -1"),
        (lambda base: base.add_fact(" ", "b", "c"), "head of a fact is empty"),
        (lambda base: base.add_fact("a", "b", "c\0"), "a character that is none"),
        (lambda base: base.add_fact("a", "b\ud800", "c"), "a character that is none"),
        (lambda base: base.change(1, base.fact(2).content), "fact 2 says the same already"),
        (lambda base: base.change(1, base.fact(1).content), "says so already"),
        (lambda base: base.export(Path("facts.xlsx")), "ends in neither"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(base: KnowledgeBase, call: object, says: str) -> None:
    before, version = base.facts(), base.version
    with pytest.raises(DataError, match=says) as caught:
        call(base)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    assert (base.facts(), base.version) == (before, version)


def test_a_call_is_there_as_a_whole_or_not_at_all(base: KnowledgeBase) -> None:
    with pytest.raises(DataError):
        base.add([fact_of("a", "b", "c"), fact_of("d", "e", "f\0")])
    assert base.count() == 2
    assert base.log()[0].id == base.version == 3


def undone(base: KnowledgeBase) -> dict[int, int | None]:
    return {call.id: call.undone_by for call in base.log()}


def test_undoing_an_undo_brings_the_call_back_and_it_can_be_undone_again(base: KnowledgeBase) -> None:
    call = base.delete([1])
    back = base.undo()
    assert undone(base)[call.id] == back.id
    again = base.undo(back.id)
    assert tails(base) == ["Tomas"]
    assert (undone(base)[call.id], undone(base)[back.id]) == (None, again.id)
    with pytest.raises(DataError, match=f"has brought call {call.id} back: undo that one"):
        base.undo(again.id)
    base.undo()
    assert tails(base) == ["Odile", "Tomas"]


def test_a_rollback_says_which_calls_stand(base: KnowledgeBase) -> None:
    call, back = base.delete([1]), base.undo()
    rolled = base.rollback(call.id)
    assert undone(base) | {1: None} == {1: None, 2: None, 3: None, call.id: None, back.id: rolled.id, rolled.id: None}
    base.undo(call.id)
    assert tails(base) == ["Odile", "Tomas"]


def test_what_two_change_at_once_is_not_lost(base: KnowledgeBase) -> None:
    """Each of them has read the fact before the other writes."""
    base.change(1, lambda now: changed(now, tail="Odile Brennan"))
    base.change(1, lambda now: changed(now, end="2004"))
    assert base.fact(1).content == fact_of("Museum", "director", "Odile Brennan", start="1994", end="2004")


def test_a_new_name_loses_the_id_of_the_old_one_and_the_same_name_keeps_it() -> None:
    fact = replace(fact_of("a", "b", "c"), head=Entity("Q1", "a", "person"))
    assert changed(fact, head="a", tail="d").head == fact.head
    assert changed(fact, head="A").head == Entity(None, "A")


def test_only_what_was_not_changed_since_can_be_undone_alone(base: KnowledgeBase) -> None:
    base.change(1, changed(base.fact(1).content, tail="Odile Brennan"))
    with pytest.raises(DataError, match="fact 1 was changed after it"):
        base.undo(2)
    base.undo(3)  # of the other fact, which nothing has touched since
    assert tails(base) == ["Odile Brennan"]


def test_a_fact_that_another_one_says_by_now_does_not_come_back(base: KnowledgeBase) -> None:
    call = base.delete([1])
    again = base.add_fact("Museum", "director", "Odile", start="1994", end="2003")
    with pytest.raises(DataError, match=f"fact {again} says the same by now"):
        base.undo(call.id)
    assert tails(base) == ["Tomas", "Odile"]


def test_many_facts_are_undone_and_rolled_back(base: KnowledgeBase) -> None:
    """More than SQLite takes as parameters of a statement."""
    base.add([fact_of(f"h{n}", "r", "t") for n in range(40_000)], what="import", note="big.csv")
    assert base.undo().facts == 40_000
    assert base.rollback(4).facts == 40_000
    assert base.count() == 40_002


def test_a_copy_that_goes_its_own_way_is_told_apart(base: KnowledgeBase, tmp_path: Path) -> None:
    shutil.copytree(base.path, tmp_path / "copy.kb")
    with KnowledgeBase.open(tmp_path / "copy.kb") as copy:
        assert copy.token(3) == base.token(3)
        for each in (base, copy):
            each.delete([1])
        assert copy.version == base.version == 4
        assert copy.token(4) != base.token(4)
    assert base.token(99) is None


def test_a_moment_as_the_log_shows_it_has_what_was_written_then(base: KnowledgeBase) -> None:
    at = base.log()[0].at
    for length in (len("2026-11-23"), len("2026-11-23T09:30"), len("2026-11-23T09:30:00")):
        assert base.known(at[:length]) == 3
    assert base.known(at) == 3
    assert base.known("0999-01-01") == 0
    assert base.known("2999-01-01T00:00+02:00") == 3


def test_connections_of_threads_that_have_ended_are_closed(base: KnowledgeBase) -> None:
    for _ in range(30):
        thread = threading.Thread(target=base.count)
        thread.start()
        thread.join()
    assert len(base.database._all) <= 3


def test_a_closed_base_and_one_in_the_place_of_another_are_refused(base: KnowledgeBase) -> None:
    other = KnowledgeBase.open(base.path)
    base.close()
    with pytest.raises(StoreError, match="was closed"):
        base.count()
    shutil.rmtree(base.path)
    KnowledgeBase.create(base.path).close()
    with pytest.raises(StoreError, match="no longer the base that was opened"):
        other.delete([1])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_who_may_not_write_reads_what_others_have_written(base: KnowledgeBase) -> None:
    base.path.chmod(0o500)
    try:
        with KnowledgeBase.open(base.path) as reader:
            assert reader.count() == 2
    finally:
        base.path.chmod(0o700)


def test_readers_do_not_wait_for_a_writer_and_see_the_state_before(base: KnowledgeBase) -> None:
    with base.database.writing() as connection, KnowledgeBase.open(base.path) as reader:
        connection.execute("DELETE FROM versions")
        assert len(reader.facts()) == 2
        connection.execute("ROLLBACK")
        connection.execute("BEGIN")


def test_a_second_writer_is_told(base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kblampp.base.database.WAIT_S", 0.05)
    told = pytest.raises(StoreError, match="another process is writing")
    with KnowledgeBase.open(base.path) as other, base.database.writing(), told:
        other.delete([1])
    with KnowledgeBase.open(base.path) as other:
        other.delete([1])
    assert tails(base) == ["Tomas"]


def test_threads_write_one_after_another(base: KnowledgeBase) -> None:
    def work(name: int) -> None:
        for number in range(10):
            base.add_fact(f"t{name}", "n", str(number))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert base.count() == 62
    ats = [call.at for call in base.log()]
    assert ats == sorted(ats, reverse=True)


def test_a_clock_that_was_set_back_does_not_mix_up_the_calls(
    base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kblampp.base.states.timestamp", lambda moment: "2001-01-01T00:00:00.000000Z")
    base.delete([1])
    assert base.log()[0].at == base.log()[1].at
    assert not list(base.verify())


def test_a_base_for_reading_refuses_to_be_written(base: KnowledgeBase) -> None:
    with KnowledgeBase.open(base.path, read_only=True) as reader:
        assert reader.count() == 2
        with pytest.raises(StoreError, match="reading alone"):
            reader.delete([1])


def test_a_full_disk_is_said_and_loses_nothing(base: KnowledgeBase) -> None:
    with base.database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    base.database._connection().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk is full"):
        base.add([fact_of("x" * 1000, "r", str(n)) for n in range(500)])
    base.database._connection().execute("PRAGMA max_page_count = 100000")
    assert base.count() == 2
    assert not list(base.verify())


@pytest.mark.parametrize("what", ["nothing", "folder", "text", "other", "later"])
def test_what_is_no_base_is_named(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "a.kb"
    if what != "nothing":
        folder.mkdir()
    if what == "text":
        (folder / FILE).write_text("facts " * 400)
    if what == "other":
        sqlite3.connect(folder / FILE).executescript("CREATE TABLE t (a)").connection.close()
    if what == "later":
        Database.create(tmp_path / "b.kb", lambda connection: None).close()
        (tmp_path / "b.kb" / FILE).rename(folder / FILE)
        connection = sqlite3.connect(folder / FILE)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    says = {"nothing": "does not exist", "folder": "is no knowledge base", "text": "no SQLite file"}
    says |= {"other": "another program", "later": "format 99"}
    with pytest.raises(StoreError, match=says[what]) as caught:
        KnowledgeBase.open(folder)
    assert "\n" not in str(caught.value)


def test_what_stands_there_is_not_overwritten(base: KnowledgeBase, tmp_path: Path) -> None:
    for path in (base.path, tmp_path):
        with pytest.raises(StoreError, match="already"):
            KnowledgeBase.create(path)
    assert base.count() == 2


def test_damage_is_found(base: KnowledgeBase) -> None:
    assert not list(base.verify())
    with base.database.writing() as connection:
        connection.execute("UPDATE versions SET content = replace(content, 'Odile', 'Otto')")
    assert any("its content and its digest differ" in problem for problem in base.verify())


def test_what_is_exported_comes_back_equal(base: KnowledgeBase, tmp_path: Path) -> None:
    base.add_fact(
        'Ö "x", y',
        "long; name",
        "line\r\nbreak\rnow",
        context=" a  b ",
        start="1990-05",
        end="1990-05-20",
    )
    facts = [version.content for version in base.facts()]
    assert base.export(tmp_path / "f.jsonl") == base.export(tmp_path / "f.csv") == 3
    assert read_facts(tmp_path / "f.jsonl") == facts
    reading = read_facts_table(tmp_path / "f.csv")
    assert [row.fact for row in reading.facts] == facts
    assert not reading.rejected
    with open(tmp_path / "f.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_a_new_name_is_written_into_the_sentence_too() -> None:
    fact = fact_of("Ann", "rank", "Ensign", context="Ann was Ensign at her Annual review; Ann!")
    assert changed(fact, head="Bo").context.sent_span == "Bo was Ensign at her Annual review; Bo!"
    assert changed(fact, head="Bo", context="Other.").context.sent_span == "Other."
    assert changed(fact, tail="\\1").context.sent_span == "Ann was \\1 at her Annual review; Ann!"
