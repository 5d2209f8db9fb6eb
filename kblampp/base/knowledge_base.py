"""The living base: facts that are added, changed, ended and deleted, with what was so when and what was said when.

Each writing method is one call: it is there as a whole once the method returns, or it is not there.  A fact keeps its
id; its states follow one another, and none is ever overwritten.  So the base can be read as it was after any call
(`known_at`, its transaction time), and each fact says when it holds (its window, the valid time).  The two times of a
fact: Snodgrass 1999, "Developing Time-Oriented Database Applications in SQL", chapter 10.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from kblampp.base.database import Database
from kblampp.base.records import Call, Version, read_timestamp, timestamp
from kblampp.core.errors import DataError, StoreError
from kblampp.core.files import atomic_write, write_jsonl
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import UNKNOWN, Window
from kblampp.tables.dates import read_bound
from kblampp.tables.facts_of_rows import SOURCE
from kblampp.tables.writing import COLUMNS, as_row

Moment = int | str | None
"""A state of the base: the id of the call after which it is meant, a moment in time, or None for now."""
MOST = (1 << 63) - 1
"""The largest integer of SQLite."""
_VERSION = """SELECT v.fact, v.content, v.call, c.at, e.at FROM versions v
    JOIN calls c ON c.id = v.call LEFT JOIN calls e ON e.id = v.until"""
_NOW, _THEN = "v.until IS NULL", "v.call <= :known AND (v.until IS NULL OR v.until > :known)"


class KnowledgeBase:
    """A folder of facts; safe to use from several threads, and from several processes of which one writes at a time.

    Attributes:
        path: The folder.
        database: Its file.
    """

    def __init__(self, database: Database) -> None:
        """Wrap a file; use `create` or `open`."""
        self.database = database
        self.path = database.folder

    @classmethod
    def create(cls, path: Path | str) -> KnowledgeBase:
        """Makes an empty base.

        Raises:
            StoreError: Something stands there already, or it cannot be written.
        """
        base = cls(Database.create(Path(path)))
        base._call("init", "", lambda connection, call: 0)
        return base

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False) -> KnowledgeBase:
        """Opens a base.

        Raises:
            StoreError: There is none, or it is damaged.
        """
        return cls(Database.open(Path(path), read_only=read_only))

    def close(self) -> None:
        """Closes its file; the base is not used after it."""
        self.database.close()

    def __enter__(self) -> KnowledgeBase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Of the folder, without its ending."""
        return self.path.resolve().stem

    @cached_property
    def born(self) -> str:
        """When it was made, which tells it from another one that lies at its place later."""
        with self.database.reading() as connection:
            return str(connection.execute("SELECT min(at) FROM calls").fetchone()[0])

    @property
    def version(self) -> int:
        """The id of the last call; it changes whenever the base does."""
        with self.database.reading() as connection:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM calls").fetchone()[0])

    # What is written

    def add(self, facts: Sequence[FiveTuple], *, what: str = "add", note: str = "") -> list[int]:
        """Adds facts in one call; one that the base holds already, equal in all its parts, is not added again.

        Args:
            facts: The facts.
            what: "add", or "import" for those of a file.
            note: Stands in the log.

        Returns:
            The id of each.
        """
        ids: list[int] = []

        def write(connection: sqlite3.Connection, call: int) -> int:
            (last,) = connection.execute("SELECT coalesce(max(fact), 0) FROM versions").fetchone()
            added = 0
            for content in facts:
                same = _equal(connection, content)
                if same is None:
                    added += 1
                    _insert(connection, last + added, content, call)
                ids.append(last + added if same is None else same)
            return added

        if facts:
            self._call(what, note, write, empty=False)
        return ids

    def add_fact(
        self, head: str, relation: str, tail: str, *, context: str = "", start: str = "", end: str = "", note: str = ""
    ) -> int:
        """Adds one fact as a table's row has it: names, sentence, and years, months or days as its bounds; its id."""
        return self.add([fact_of(head, relation, tail, context=context, start=start, end=end)], note=note)[0]

    def change(self, fact: int, content: FiveTuple, *, note: str = "") -> Call:
        """Puts another content in the place of a fact's.

        Raises:
            DataError: There is no such fact, it says so already, or another one does.
        """
        return self._replace("change", fact, lambda now: content, note)

    def end(self, fact: int, last: str, *, note: str = "") -> Call:
        """Says when a fact has stopped to hold.

        Args:
            fact: Its id.
            last: The last year, month or day on which it holds, "2013", "2013-05" or "2013-05-02"; it counts whole.
            note: Stands in the log.

        Raises:
            DataError: There is no such fact, it starts later, or `last` is no date.
        """
        bound = read_bound(last, end=True)
        if bound.day is None:
            raise DataError(f"fact {fact} cannot end at {last!r}: expected a year, a month or a day, such as 2013-05")

        def ended(now: FiveTuple) -> FiveTuple:
            window = now.window
            ends = Window(window.start, bound.day, window.source or SOURCE, window.start_unit, bound.unit)
            return replace(now, window=ends)

        return self._replace("end", fact, ended, note)

    def delete(self, facts: Sequence[int], *, note: str = "") -> Call:
        """Takes facts away; their history stays.

        Raises:
            DataError: One of them is not there.
        """

        def write(connection: sqlite3.Connection, call: int) -> int:
            for fact in dict.fromkeys(facts):
                self._now(connection, fact)
                _retire(connection, fact, call)
            return len(set(facts))

        return self._call("delete", note, write)

    def undo(self, call: int | None = None, *, note: str = "") -> Call:
        """Takes a call back: its facts are again as they were before it.

        Args:
            call: Its id; None for the last one that was not undone and is no undoing itself.
            note: Stands in the log.

        Raises:
            DataError: There is no such call, it was undone, or its facts were changed after it.
        """

        def write(connection: sqlite3.Connection, own: int) -> int:
            target = _undoable(connection, call)
            touched = _touched(connection, target.id)
            for fact in touched:
                if _state(connection, fact) != _state(connection, fact, target.id):
                    raise DataError(
                        f"call {target.id} cannot be undone alone: fact {fact} was changed after it; undo the later "
                        "calls first, or roll the base back"
                    )
            changed = _restore(connection, touched, target.id - 1, own)
            connection.execute("UPDATE calls SET undone_by = ? WHERE id = ?", (own, target.id))
            if target.what == "undo":
                connection.execute("UPDATE calls SET undone_by = NULL WHERE undone_by = ?", (target.id,))
            return changed

        return self._call("undo", note or ("" if call is None else f"call {call}"), write)

    def rollback(self, to: int | str, *, note: str = "") -> Call:
        """Makes the base say what it said after a call, or at a moment; what was written since stays in its history.

        Raises:
            DataError: The base has no such call, or the moment is none.
        """
        known = self._known(to)

        def write(connection: sqlite3.Connection, own: int) -> int:
            return _restore(connection, _touched(connection, known, later=True), known, own)

        return self._call("rollback", note or f"to call {known}", write)

    # What is read

    def facts(
        self,
        *,
        search: str = "",
        held_on: int | None = None,
        known_at: Moment = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Version]:
        """Facts by their ids.

        Args:
            search: Words that must all stand in its names, relation or sentence, in any case.
            held_on: A day number on which it must hold; facts without a window hold on any.
            known_at: Which state of the base is read.
            limit: Most facts; None for all.
            offset: So many are left out first.
        """
        where, values = self._filter(search, held_on, known_at)
        page = {"limit": -1 if limit is None else limit, "offset": offset}
        with self.database.reading() as connection:
            rows = connection.execute(
                f"{_VERSION} WHERE {where} ORDER BY v.fact LIMIT :limit OFFSET :offset", values | page
            )
            return [_version(row) for row in rows]

    def count(self, *, search: str = "", held_on: int | None = None, known_at: Moment = None) -> int:
        """How many facts `facts` would give without a limit."""
        where, values = self._filter(search, held_on, known_at)
        with self.database.reading() as connection:
            return int(connection.execute(f"SELECT count(*) FROM versions v WHERE {where}", values).fetchone()[0])

    def fact(self, fact: int, *, known_at: Moment = None) -> Version:
        """One fact as the base says it.

        Raises:
            DataError: The base does not.
        """
        where, values = self._filter("", None, known_at)
        with self.database.reading() as connection:
            row = connection.execute(
                f"{_VERSION} WHERE v.fact = :fact AND {where}", values | {"fact": min(fact, MOST)}
            ).fetchone()
            if row is None:
                raise self._missing(connection, fact)
        return _version(row)

    def history(self, fact: int) -> list[Version]:
        """All states that a fact has had, the oldest first.

        Raises:
            DataError: There never was such a fact.
        """
        with self.database.reading() as connection:
            rows = connection.execute(f"{_VERSION} WHERE v.fact = ? ORDER BY v.id", (min(fact, MOST),))
            found = [_version(row) for row in rows]
            if not found:
                raise self._missing(connection, fact)
        return found

    def changes(self, since: int, to: int) -> dict[int, FiveTuple | None]:
        """The facts that differ between two states: what the second says of them, None where it has them not.

        Args:
            since: The call after which the first state is meant.
            to: That of the second, later or earlier.
        """
        low, high = sorted((since, to))
        with self.database.reading() as connection:
            rows = connection.execute(
                f"""SELECT t.fact, v.content FROM
                (SELECT fact FROM versions WHERE call > :low AND call <= :high
                 UNION SELECT fact FROM versions WHERE until > :low AND until <= :high) t
                LEFT JOIN versions v ON v.fact = t.fact AND {_THEN}""",
                {"low": low, "high": high, "known": to},
            ).fetchall()
        return {int(fact): None if content is None else _content(content) for fact, content in rows}

    def log(self, limit: int | None = None) -> list[Call]:
        """The calls that wrote, the newest first."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT id, at, what, note, facts, undone_by FROM calls ORDER BY id DESC LIMIT ?",
                (-1 if limit is None else limit,),
            )
            return [Call(*row) for row in rows]

    def known(self, moment: Moment) -> int:
        """The id of the call after which a state is meant.

        Raises:
            DataError: There is no such call, or the text is no moment.
        """
        return self.version if moment is None else self._known(moment)

    def export(self, path: Path, *, known_at: Moment = None) -> int:
        """Writes the facts to a table (`.csv`), or to five-tuples (`.jsonl`), which lose nothing; how many.

        Raises:
            DataError: The file has another ending.
        """
        facts = [version.content for version in self.facts(known_at=known_at)]
        if path.suffix.lower() == ".jsonl":
            write_jsonl(path, (fact.to_row() for fact in facts))
        elif path.suffix.lower() == ".csv":
            with atomic_write(path) as file:
                table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                table.writeheader()
                table.writerows(as_row(fact) for fact in facts)
        else:
            raise DataError(f"{path} ends in neither .csv nor .jsonl: name the kind of file by its ending")
        return len(facts)

    def verify(self) -> Iterator[str]:
        """Looks whether the file is whole and its history makes sense; a sentence for each thing that is wrong."""
        with self.database.reading() as connection:
            for (text,) in connection.execute("PRAGMA integrity_check"):
                if text != "ok":
                    yield f"SQLite finds the file damaged: {text}"
            for table, row, *_ in connection.execute("PRAGMA foreign_key_check"):
                yield f"row {row} of {table} names a call that is not there"
            for version, content, digest in connection.execute("SELECT id, content, digest FROM versions"):
                try:
                    right = digest_of(FiveTuple.from_row(json.loads(content))) == digest
                except (DataError, ValueError):
                    right = False
                if not right:
                    yield f"state {version} is not what was written: its content and its digest differ"
            overlaps = connection.execute(
                "SELECT a.fact, a.call FROM versions a JOIN versions b ON a.fact = b.fact AND a.id < b.id "
                "WHERE a.until IS NULL OR a.until > b.call"
            )
            for fact, call in overlaps:
                yield f"fact {fact} has two states at once after call {call}"
            for (call,) in connection.execute("SELECT a.id FROM calls a JOIN calls b ON a.id < b.id AND a.at > b.at"):
                yield f"call {call} is dated after a later one"

    # How

    def _call(self, what: str, note: str, write: Any, *, empty: bool = True) -> Call:
        """Runs `write(connection, call)`, which says how many facts it touched, as one call."""
        with self.database.writing() as connection:
            number, before = connection.execute(
                "SELECT coalesce(max(id), 0) + 1, coalesce(max(at), '') FROM calls"
            ).fetchone()
            at = max(
                timestamp(datetime.datetime.now(datetime.UTC)), before
            )  # a clock that was set back changes no order
            connection.execute("INSERT INTO calls VALUES (?, ?, ?, ?, 0, NULL)", (number, at, what, note))
            facts = write(connection, number)
            if facts or empty:
                connection.execute("UPDATE calls SET facts = ? WHERE id = ?", (facts, number))
            else:
                connection.execute("DELETE FROM calls WHERE id = ?", (number,))
        return Call(number, at, what, note, facts)

    def _replace(self, what: str, fact: int, change: Any, note: str) -> Call:
        def write(connection: sqlite3.Connection, call: int) -> int:
            now = self._now(connection, fact)
            content = change(now)
            if content == now:
                raise DataError(f"fact {fact} says so already: nothing was changed")
            same = _equal(connection, content)
            if same is not None:
                raise DataError(f"fact {same} says the same already: delete fact {fact} if it is not needed")
            _retire(connection, fact, call)
            _insert(connection, fact, content, call)
            return 1

        return self._call(what, note, write)

    def _now(self, connection: sqlite3.Connection, fact: int) -> FiveTuple:
        text = _state(connection, fact) if 0 < fact <= MOST else None
        if text is None:
            raise self._missing(connection, fact)
        return _content(text)

    def _missing(self, connection: sqlite3.Connection, fact: int) -> DataError:
        row = connection.execute("SELECT max(until) FROM versions WHERE fact = ?", (min(fact, MOST),)).fetchone()
        if row[0] is not None:
            return DataError(f"the base has no fact {fact} now: call {row[0]} took it away")
        return DataError(f"the base has no fact {fact}: look up ids with a search")

    def _filter(self, search: str, held_on: int | None, known_at: Moment) -> tuple[str, dict[str, Any]]:
        parts, values = [_NOW], dict[str, Any]()
        if known_at is not None:
            parts, values["known"] = [_THEN], self._known(known_at)
        for place, word in enumerate(search.casefold().split()):
            parts.append(f"instr(v.words, :word{place}) > 0")
            values[f"word{place}"] = word
        if held_on is not None:
            parts.append("(v.first IS NULL OR v.first <= :day) AND (v.stop IS NULL OR v.stop > :day)")
            values["day"] = held_on
        return " AND ".join(parts), values

    def _known(self, moment: int | str) -> int:
        with self.database.reading() as connection:
            if isinstance(moment, str):
                row = connection.execute(
                    "SELECT max(id) FROM calls WHERE at <= ?", (read_timestamp(moment),)
                ).fetchone()
                return int(row[0] or 0)
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM calls").fetchone()
        if not 0 <= moment <= last:
            raise DataError(f"the base has no call {moment}: its log goes from 1 to {last}")
        return moment


def fact_of(head: str, relation: str, tail: str, *, context: str = "", start: str = "", end: str = "") -> FiveTuple:
    """A fact as people write one.

    Raises:
        DataError: A name is empty, a date is none, or the end lies before the start.
    """
    names = {"head": head.strip(), "relation": relation.strip(), "tail": tail.strip()}
    for place, name in names.items():
        if not name:
            raise DataError(f"the {place} of a fact is empty: expected a name")
    first, stop = read_bound(start, end=False), read_bound(end, end=True)
    timed = first.day is not None or stop.day is not None
    window = Window(first.day, stop.day, SOURCE, first.unit, stop.unit) if timed else UNKNOWN
    return FiveTuple(
        Entity(None, names["head"]),
        Relation(None, names["relation"]),
        Entity(None, names["tail"]),
        Context(SOURCE, sent_span=context.strip()),
        window,
    )


def changed(fact: FiveTuple, **fields: str | None) -> FiveTuple:
    """A fact with other `head`, `relation`, `tail`, `context`, `start` or `end`; None leaves a field as it is.

    Raises:
        DataError: As `fact_of`.
    """
    new = {name: text for name, text in fields.items() if text is not None}
    made = fact_of(**as_row(fact) | new)
    return replace(
        fact,
        head=made.head if "head" in new else fact.head,
        relation=made.relation if "relation" in new else fact.relation,
        tail=made.tail if "tail" in new else fact.tail,
        context=replace(fact.context, sent_span=made.context.sent_span) if "context" in new else fact.context,
        window=made.window if new.keys() & {"start", "end"} else fact.window,
    )


def _check_text(content: FiveTuple) -> None:
    """Refuses text that no file could hold."""
    for text in (content.head.name, content.relation.name, content.tail.name, content.context.sent_span):
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
            raise DataError(f"{text[:40]!r} holds a character that is none (NUL or half of a pair): remove it")


def digest_of(content: FiveTuple) -> bytes:
    """What two facts share if and only if they are equal, 16 bytes."""
    text = json.dumps(content.to_row(), sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _content(text: str) -> FiveTuple:
    try:
        return FiveTuple.from_row(json.loads(text))
    except (DataError, ValueError) as error:
        raise StoreError(f"the base holds a fact that cannot be read ({error}): run `kblampp verify`") from None


def _version(row: Iterable[Any]) -> Version:
    fact, content, call, written, retired = row
    return Version(fact, _content(content), call, written, retired)


def _insert(connection: sqlite3.Connection, fact: int, content: FiveTuple, call: int) -> None:
    _check_text(content)
    words = "\n".join((content.head.name, content.relation.name, content.tail.name, content.context.sent_span))
    connection.execute(
        "INSERT INTO versions (fact, call, digest, content, words, first, stop) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            fact,
            call,
            digest_of(content),
            json.dumps(content.to_row(), ensure_ascii=False),
            words.casefold(),
            content.window.start,
            content.window.end,
        ),
    )


def _retire(connection: sqlite3.Connection, fact: int, call: int) -> None:
    connection.execute("UPDATE versions SET until = ? WHERE fact = ? AND until IS NULL", (call, fact))


def _touched(connection: sqlite3.Connection, call: int, *, later: bool = False) -> list[int]:
    """The facts that a call has written, changed or deleted; or all calls after it."""
    sign = ">" if later else "="
    rows = connection.execute(
        f"SELECT fact FROM versions WHERE call {sign} :call UNION SELECT fact FROM versions WHERE until {sign} :call",
        {"call": call},
    )
    return [int(fact) for (fact,) in rows]


def _state(connection: sqlite3.Connection, fact: int, known: int | None = None) -> str | None:
    """What a fact says now, or said after a call, as JSON; None where it was not there."""
    row = connection.execute(
        f"SELECT v.content FROM versions v WHERE v.fact = :fact AND {_NOW if known is None else _THEN}",
        {"fact": fact, "known": known},
    ).fetchone()
    return None if row is None else str(row[0])


def _restore(connection: sqlite3.Connection, facts: Sequence[int], known: int, call: int) -> int:
    """Makes facts what they were after call `known`; how many of them that changes.

    Raises:
        DataError: Another fact says by now what one of them said.
    """
    then = {fact: _state(connection, fact, known) for fact in facts}
    changed = {fact: content for fact, content in then.items() if content != _state(connection, fact)}
    for fact in changed:  # all of them before the first comes back, since two may have changed places
        _retire(connection, fact, call)
    for fact, text in changed.items():
        if text is not None:
            content = _content(text)
            same = _equal(connection, content)
            if same is not None:
                raise DataError(
                    f"fact {fact} cannot come back: fact {same} says the same by now; delete that one first"
                )
            _insert(connection, fact, content, call)
    return len(changed)


def _equal(connection: sqlite3.Connection, content: FiveTuple) -> int | None:
    """The fact that says the same now."""
    row = connection.execute(
        "SELECT fact FROM versions WHERE digest = ? AND until IS NULL", (digest_of(content),)
    ).fetchone()
    return None if row is None else int(row[0])


def _undoable(connection: sqlite3.Connection, call: int | None) -> Call:
    columns = "SELECT id, at, what, note, facts, undone_by FROM calls"
    if call is None:
        row = connection.execute(
            f"{columns} WHERE undone_by IS NULL AND facts > 0 AND what <> 'undo' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if row is None:
            raise DataError("there is nothing to undo: no call has written a fact, or all of them were undone")
        return Call(*row)
    row = connection.execute(f"{columns} WHERE id = ?", (call,)).fetchone()
    if row is None:
        raise DataError(f"the base has no call {call}: `kblampp log` shows them")
    found = Call(*row)
    if found.undone_by is not None:
        raise DataError(f"call {call} was undone by call {found.undone_by} already")
    if not found.facts:
        raise DataError(f"call {call} ({found.what}) has changed no fact: there is nothing to undo")
    return found
