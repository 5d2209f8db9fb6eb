"""States of facts and calls as rows of the file: how they are written, found, brought back and checked."""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kblampp.base.editing import check_text, timestamp
from kblampp.base.records import Call, Version
from kblampp.core.errors import DataError, StoreError
from kblampp.data.facts import FiveTuple

MOST = (1 << 63) - 1
"""The largest integer of SQLite."""
VERSION = """SELECT v.fact, v.content, v.call, c.at, e.at FROM versions v
    JOIN calls c ON c.id = v.call LEFT JOIN calls e ON e.id = v.until"""
CALL = """SELECT c.id, c.at, c.what, c.note, c.facts,
    (SELECT u.by FROM undone u WHERE u.call = c.id ORDER BY u.id DESC LIMIT 1) AS undone_by FROM calls c"""
NOW, THEN = "v.until IS NULL", "v.call <= :known AND (v.until IS NULL OR v.until > :known)"


def digest_of(content: FiveTuple) -> bytes:
    """What two facts share if and only if they are equal, 16 bytes."""
    text = json.dumps(content.to_row(), sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_content(text: str) -> FiveTuple:
    """What a state says.

    Raises:
        StoreError: It was damaged.
    """
    try:
        return FiveTuple.from_row(json.loads(text))
    except (DataError, ValueError) as error:
        raise StoreError(f"the base holds a fact that cannot be read ({error}): run `kblampp verify`") from None


def read_version(row: Iterable[Any]) -> Version:
    """A state from a row of `VERSION`."""
    fact, content, call, written, retired = row
    return Version(fact, read_content(content), call, written, retired)


StateRow = tuple[bytes, str, str, int | None, int | None]


def state_row(content: FiveTuple) -> StateRow:
    """Digest, JSON, words for searches and bounds of a fact.

    Raises:
        DataError: It holds text that no file could hold.
    """
    words = "\n".join((content.head.name, content.relation.name, content.tail.name, content.context.sent_span))
    check_text(words)
    text = json.dumps(content.to_row(), ensure_ascii=False)
    return digest_of(content), text, folded(words), content.window.start, content.window.end


def folded(text: str) -> str:
    """A text as searches compare it: in any case, letter and accent as one."""
    return unicodedata.normalize("NFC", text).casefold()


def insert(connection: sqlite3.Connection, fact: int, row: StateRow, call: int) -> None:
    """Writes the state that stands from a call on; the one before must be retired."""
    connection.execute(
        "INSERT INTO versions (fact, call, digest, content, words, first, stop) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (fact, call, *row),
    )


def write_call(connection: sqlite3.Connection, what: str, note: str) -> Call:
    """Writes the next call, which has touched no fact yet."""
    number, before = connection.execute("SELECT coalesce(max(id), 0) + 1, coalesce(max(at), '') FROM calls").fetchone()
    at = max(timestamp(datetime.datetime.now(datetime.UTC)), before)  # a clock that was set back changes no order
    row = (number, at, what, note, 0, secrets.token_hex(8))
    connection.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?)", row)
    return Call(number, at, what, note, 0)


def mark(connection: sqlite3.Connection, call: int, written_by: int, by: int | None) -> None:
    """Writes down that a call was undone by another one, or with None that it stands again."""
    connection.execute("INSERT INTO undone (call, written_by, by) VALUES (?, ?, ?)", (call, written_by, by))


def undone_calls(connection: sqlite3.Connection, known: int) -> dict[int, int | None]:
    """By which call each call up to `known` was undone, as the base had it after `known`; None for those that stand."""
    found: dict[int, int | None] = {
        int(call): None for (call,) in connection.execute("SELECT id FROM calls WHERE id <= ?", (known,))
    }
    found |= connection.execute("SELECT call, by FROM undone WHERE written_by <= ? ORDER BY id", (known,)).fetchall()
    return found


def retire(connection: sqlite3.Connection, fact: int, call: int) -> None:
    """Ends the state of a fact that stands."""
    connection.execute("UPDATE versions SET until = ? WHERE fact = ? AND until IS NULL", (call, fact))


def touched(connection: sqlite3.Connection, call: int, *, later: bool = False) -> list[int]:
    """The facts that a call has written, changed or deleted; or all calls after it."""
    sign = ">" if later else "="
    rows = connection.execute(
        f"SELECT fact FROM versions WHERE call {sign} :call UNION SELECT fact FROM versions WHERE until {sign} :call",
        {"call": call},
    )
    return [int(fact) for (fact,) in rows]


def state_of(connection: sqlite3.Connection, fact: int, known: int | None = None) -> str | None:
    """What a fact says now, or said after a call, as JSON; None where it was not there."""
    row = connection.execute(
        f"SELECT v.content FROM versions v WHERE v.fact = :fact AND {NOW if known is None else THEN}",
        {"fact": fact, "known": known},
    ).fetchone()
    return None if row is None else str(row[0])


def restore(connection: sqlite3.Connection, facts: Sequence[int], known: int, call: int) -> int:
    """Makes facts what they were after call `known`; how many of them that changes.

    Raises:
        DataError: Another fact says by now what one of them said.
    """
    then = {fact: state_of(connection, fact, known) for fact in facts}
    changed = {fact: content for fact, content in then.items() if content != state_of(connection, fact)}
    for fact in changed:  # all of them before the first comes back, since two may have changed places
        retire(connection, fact, call)
    for fact, text in changed.items():
        if text is not None:
            row = state_row(read_content(text))
            same = equal_fact(connection, row[0])
            if same is not None:
                raise DataError(
                    f"fact {fact} cannot come back: fact {same} says the same by now; delete that one first"
                )
            insert(connection, fact, row, call)
    return len(changed)


def equal_fact(connection: sqlite3.Connection, digest: bytes) -> int | None:
    """The fact that says now what the digest is of."""
    row = connection.execute("SELECT fact FROM versions WHERE digest = ? AND until IS NULL", (digest,)).fetchone()
    return None if row is None else int(row[0])


def undoable(connection: sqlite3.Connection, call: int | None) -> Call:
    """The call that is to be undone; None for the last one that stands and is no undoing itself.

    Raises:
        DataError: It cannot be.
    """
    if call is None:
        row = connection.execute(
            f"SELECT * FROM ({CALL}) WHERE undone_by IS NULL AND facts > 0 AND what <> 'undo' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if row is None:
            raise DataError("there is nothing to undo: no call has written a fact, or all of them were undone")
        return Call(*row)
    row = connection.execute(f"{CALL} WHERE c.id = ?", (min(call, MOST),)).fetchone()
    if row is None:
        raise DataError(f"the base has no call {call}: `kblampp log` shows them")
    found = Call(*row)
    if found.undone_by is not None:
        raise DataError(f"call {call} was undone by call {found.undone_by} already")
    if not found.facts:
        raise DataError(f"call {call} ({found.what}) has changed no fact: there is nothing to undo")
    back = connection.execute("SELECT call FROM undone WHERE written_by = ? AND by IS NULL", (call,)).fetchone()
    if found.what == "undo" and back is not None:
        raise DataError(f"call {call} has brought call {back[0]} back: undo that one")
    return found


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with a file, a sentence each."""
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
    late = connection.execute("SELECT id, at < lag(at) OVER (ORDER BY id) FROM calls")
    for call, wrong in late:
        if wrong:
            yield f"call {call} is dated before an earlier one"
