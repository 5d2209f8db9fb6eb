"""The living base: facts that are added, changed, ended and deleted, with what was so when and what was said when.

Each writing method is one call: it is there as a whole once the method returns, or it is not there.  A fact keeps its
id; its states follow one another, and none is ever overwritten.  So the base can be read as it was after any call
(`known_at`, its transaction time), and each fact says when it holds (its window, the valid time).  The two times of a
fact: Snodgrass 1999, "Developing Time-Oriented Database Applications in SQL", chapter 10.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.base.database import Database
from kblampp.base.editing import check_text, fact_of, read_moment, with_bounds
from kblampp.base.records import Call, Version
from kblampp.base.states import (
    CALL,
    MOST,
    NOW,
    THEN,
    VERSION,
    equal_fact,
    folded,
    insert,
    mark,
    problems,
    read_content,
    read_version,
    restore,
    retire,
    state_of,
    state_row,
    touched,
    undoable,
    undone_calls,
    write_call,
)
from kblampp.core.arguments import DateLike, date_text
from kblampp.core.errors import DataError, StoreError
from kblampp.core.files import atomic_write, write_jsonl
from kblampp.data.facts import FiveTuple
from kblampp.tables.dates import read_bound
from kblampp.tables.writing import COLUMNS, as_row

Moment = int | str | None
"""A state of the base: the id of the call after which it is meant, a moment in time, or None for now."""
MOST_WORDS = 100
"""Words of a search."""


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
        return cls(Database.create(Path(path), lambda connection: write_call(connection, "init", "")))

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

    @property
    def version(self) -> int:
        """The id of the last call; it changes whenever the base does."""
        with self.database.reading() as connection:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM calls").fetchone()[0])

    def token(self, version: int) -> str | None:
        """What tells a state from all others, also of copies that have gone other ways; None for a call not made."""
        with self.database.reading() as connection:
            row = connection.execute("SELECT token FROM calls WHERE id = ?", (version,)).fetchone()
        return None if row is None else str(row[0])

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
        rows = [state_row(content) for content in facts]  # before others have to wait

        def write(connection: sqlite3.Connection, call: int) -> int:
            (last,) = connection.execute("SELECT coalesce(max(fact), 0) FROM versions").fetchone()
            added = 0
            for row in rows:
                same = equal_fact(connection, row[0])
                if same is None:
                    added += 1
                    insert(connection, last + added, row, call)
                ids.append(last + added if same is None else same)
            return added

        if facts:
            self._call(what, note, write, empty=False)
        return ids

    def add_fact(
        self,
        head: str | float,
        relation: str | float,
        tail: str | float,
        *,
        context: str = "",
        start: DateLike | None = "",
        end: DateLike | None = "",
        note: str = "",
    ) -> int:
        """Adds one fact as a table's row has it: names, sentence, and years, months or days as its bounds; its id.

        A number as a name is its text, and as a bound a year; a bound may also be a `datetime.date`.

        Raises:
            DataError: As `fact_of`.
        """
        return self.add([fact_of(head, relation, tail, context=context, start=start, end=end)], note=note)[0]

    def change(self, fact: int, content: FiveTuple | Callable[[FiveTuple], FiveTuple], *, note: str = "") -> Call:
        """Puts another content in the place of a fact's.

        Args:
            fact: Its id.
            content: The content, or what makes it of the present one, so that what others change meanwhile is not lost.
            note: Stands in the log.

        Raises:
            DataError: There is no such fact, it says so already, or another one does.
        """
        return self._replace("change", fact, content if callable(content) else lambda _: content, note)

    def end(self, fact: int, last: DateLike, *, note: str = "") -> Call:
        """Says when a fact has stopped to hold.

        Args:
            fact: Its id.
            last: The last year, month or day on which it holds, "2013", "2013-05" or "2013-05-02"; it counts whole.
            note: Stands in the log.

        Raises:
            DataError: There is no such fact, it starts later, or `last` is no date.
        """
        last = date_text(last, f"the end of fact {fact}")
        bound = read_bound(last, end=True)
        if bound.day is None:
            raise DataError(f"fact {fact} cannot end at {last!r}: expected a year, a month or a day, such as 2013-05")

        return self._replace("end", fact, lambda now: replace(now, window=with_bounds(now.window, end=last)), note)

    def delete(self, facts: Sequence[int], *, note: str = "") -> Call:
        """Takes facts away; their history stays.

        Raises:
            DataError: One of them is not there.
        """

        def write(connection: sqlite3.Connection, call: int) -> int:
            for fact in dict.fromkeys(facts):
                self._now(connection, fact)
                retire(connection, fact, call)
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
            target = undoable(connection, call)
            facts = touched(connection, target.id)
            for fact in facts:
                if state_of(connection, fact) != state_of(connection, fact, target.id):
                    raise DataError(
                        f"call {target.id} cannot be undone alone: fact {fact} was changed after it; undo the later "
                        "calls first, or roll the base back"
                    )
            changed = restore(connection, facts, target.id - 1, own)
            mark(connection, target.id, own, own)
            connection.execute("UPDATE calls SET note = ? WHERE id = ?", (note or f"call {target.id}", own))
            for (back,) in connection.execute(f"SELECT id FROM ({CALL}) WHERE undone_by = ?", (target.id,)).fetchall():
                mark(connection, back, own, None)
            return changed

        return self._call("undo", note, write)

    def rollback(self, to: int | str, *, note: str = "") -> Call:
        """Makes the base say what it said after a call, or at a moment; what was written since stays in its history.

        Raises:
            DataError: The base has no such call, or the moment is none.
        """
        known = self._known(to)
        if known < 1:
            raise DataError(f"the base was not made yet at {to}: roll back to one of its calls, or to a later moment")

        def write(connection: sqlite3.Connection, own: int) -> int:
            then = undone_calls(connection, known)
            for call, by in undone_calls(connection, own - 1).items():
                before = then.get(call) if call <= known else own
                if by != before and (call <= known or by is None):
                    mark(connection, call, own, before)
            return restore(connection, touched(connection, known, later=True), known, own)

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
                f"{VERSION} WHERE {where} ORDER BY v.fact LIMIT :limit OFFSET :offset", values | page
            )
            return [read_version(row) for row in rows]

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
                f"{VERSION} WHERE v.fact = :fact AND {where}", values | {"fact": min(fact, MOST)}
            ).fetchone()
            if row is None:
                raise self._missing(connection, fact)
        return read_version(row)

    def history(self, fact: int) -> list[Version]:
        """All states that a fact has had, the oldest first.

        Raises:
            DataError: There never was such a fact.
        """
        with self.database.reading() as connection:
            rows = connection.execute(f"{VERSION} WHERE v.fact = ? ORDER BY v.id", (min(fact, MOST),))
            found = [read_version(row) for row in rows]
            if not found:
                raise self._missing(connection, fact)
        return found

    def changed(self, since: int, to: int) -> npt.NDArray[np.int64]:
        """The facts that differ between two states, (m, 2): their ids, ascending, and the numbers of their contents.

        The number is that under which `contents` reads what the second state says of a fact, 0 where it has it not.

        Args:
            since: The call after which the first state is meant.
            to: That of the second, later or earlier.
        """
        low, high = sorted((since, to))
        with self.database.reading() as connection:
            rows = connection.execute(
                f"""SELECT t.fact, coalesce(v.id, 0) FROM
                (SELECT fact FROM versions WHERE call > :low AND call <= :high
                 UNION SELECT fact FROM versions WHERE until > :low AND until <= :high) t
                LEFT JOIN versions v ON v.fact = t.fact AND {THEN} ORDER BY t.fact""",
                {"low": low, "high": high, "known": to},
            )
            return np.fromiter(rows, dtype=np.dtype((np.int64, 2)))

    def contents(self, numbers: Sequence[int]) -> list[tuple[bytes, FiveTuple]]:
        """Digests and contents by the numbers that `changed` gives, few at a time; what is there stays for ever.

        Raises:
            StoreError: One is not there, or was damaged.
        """
        marks = ", ".join("?" * len(numbers))
        with self.database.reading() as connection:
            rows = connection.execute(f"SELECT id, digest, content FROM versions WHERE id IN ({marks})", list(numbers))
            found = {number: (digest, content) for number, digest, content in rows}
        if missing := [number for number in numbers if number not in found]:
            raise StoreError(f"{self.path} has no content {missing[0]}: run `kblampp verify`")
        return [(found[number][0], read_content(found[number][1])) for number in numbers]

    def log(self, limit: int | None = None) -> list[Call]:
        """The calls that wrote, the newest first."""
        with self.database.reading() as connection:
            rows = connection.execute(f"{CALL} ORDER BY id DESC LIMIT ?", (-1 if limit is None else limit,))
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
                # All quoted: else Python leaves a name with a carriage return in it bare, and it ends the row.
                table = csv.DictWriter(file, COLUMNS, lineterminator="\n", quoting=csv.QUOTE_ALL)
                table.writeheader()
                table.writerows(as_row(fact) for fact in facts)
        else:
            raise DataError(f"{path} ends in neither .csv nor .jsonl: name the kind of file by its ending")
        return len(facts)

    def verify(self) -> list[str]:
        """Looks whether the file is whole and its history makes sense; a sentence for each thing that is wrong."""
        with self.database.reading() as connection:
            return list(problems(connection))

    # How

    def _call(
        self, what: str, note: str, write: Callable[[sqlite3.Connection, int], int], *, empty: bool = True
    ) -> Call:
        """Runs `write(connection, call)`, which says how many facts it touched, as one call."""
        check_text(note)
        with self.database.writing() as connection:
            call = write_call(connection, what, note)
            facts = write(connection, call.id)
            if facts or empty:
                connection.execute("UPDATE calls SET facts = ? WHERE id = ?", (facts, call.id))
            else:
                connection.execute("DELETE FROM calls WHERE id = ?", (call.id,))
            said = connection.execute("SELECT note FROM calls WHERE id = ?", (call.id,)).fetchone()
        return replace(call, facts=facts, note=said[0] if said else note)

    def _replace(self, what: str, fact: int, change: Callable[[FiveTuple], FiveTuple], note: str) -> Call:
        def write(connection: sqlite3.Connection, call: int) -> int:
            now = self._now(connection, fact)
            content = change(now)
            if content == now:
                raise DataError(f"fact {fact} says so already: nothing was changed")
            row = state_row(content)
            same = equal_fact(connection, row[0])
            if same is not None:
                raise DataError(f"fact {same} says the same already: delete fact {fact} if it is not needed")
            retire(connection, fact, call)
            insert(connection, fact, row, call)
            return 1

        return self._call(what, note, write)

    def _now(self, connection: sqlite3.Connection, fact: int) -> FiveTuple:
        text = state_of(connection, fact) if 0 < fact <= MOST else None
        if text is None:
            raise self._missing(connection, fact)
        return read_content(text)

    def _missing(self, connection: sqlite3.Connection, fact: int) -> DataError:
        row = connection.execute("SELECT max(until) FROM versions WHERE fact = ?", (min(fact, MOST),)).fetchone()
        if row[0] is not None:
            return DataError(f"the base has no fact {fact} now: call {row[0]} took it away")
        return DataError(f"the base has no fact {fact}: `kblampp facts` and `KnowledgeBase.facts` show the ids")

    def _filter(self, search: str, held_on: int | None, known_at: Moment) -> tuple[str, dict[str, Any]]:
        parts, values = [NOW], dict[str, Any]()
        if known_at is not None:
            parts, values["known"] = [THEN], self._known(known_at)
        words = folded(search).split()
        if len(words) > MOST_WORDS:
            raise DataError(f"a search has {len(words)} words: expected at most {MOST_WORDS}")
        check_text(search)
        for place, word in enumerate(words):
            parts.append(f"instr(v.words, :word{place}) > 0")
            values[f"word{place}"] = word
        if held_on is not None:
            parts.append("(v.first IS NULL OR v.first <= :day) AND (v.stop IS NULL OR v.stop > :day)")
            values["day"] = held_on
        return " AND ".join(parts), values

    def _known(self, moment: int | str) -> int:
        with self.database.reading() as connection:
            if isinstance(moment, str):
                row = connection.execute("SELECT max(id) FROM calls WHERE at <= ?", (read_moment(moment),)).fetchone()
                return int(row[0] or 0)
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM calls").fetchone()
        if not 0 <= moment <= last:
            raise DataError(f"the base has no call {moment}: its log goes from 1 to {last}")
        return moment
