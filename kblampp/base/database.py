"""The SQLite file of a living base: its tables, how it is opened, and what its errors mean.

The write-ahead log lets readers go on while one process writes, and `synchronous=FULL` means that a call that returned
outlives a power cut.  History is only added to: a state that ends keeps its row and gets the number of the call that
ended it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kblampp.core.errors import StoreError

FILE = "facts.sqlite"
FORMAT = 1
APPLICATION = 0x4B424C4D  # "KBLM": SQLite's place for the kind of a file
WAIT_S = 5.0
"""How long a writer waits for another one before it gives up."""

_SCHEMA = """
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, what TEXT NOT NULL, note TEXT NOT NULL, facts INTEGER NOT NULL,
    token TEXT NOT NULL
) STRICT;
CREATE TABLE undone (
    id INTEGER PRIMARY KEY, call INTEGER NOT NULL REFERENCES calls, written_by INTEGER NOT NULL REFERENCES calls,
    by INTEGER REFERENCES calls
) STRICT;
CREATE INDEX undone_calls ON undone (call);
CREATE TABLE versions (
    id INTEGER PRIMARY KEY, fact INTEGER NOT NULL,
    call INTEGER NOT NULL REFERENCES calls, until INTEGER REFERENCES calls,
    digest BLOB NOT NULL, content TEXT NOT NULL, words TEXT NOT NULL, first INTEGER, stop INTEGER
) STRICT;
CREATE UNIQUE INDEX one_state ON versions (fact) WHERE until IS NULL;
CREATE UNIQUE INDEX no_equals ON versions (digest) WHERE until IS NULL;
CREATE INDEX states ON versions (fact);
CREATE INDEX written ON versions (call);
CREATE INDEX ended ON versions (until) WHERE until IS NOT NULL;
CREATE TABLE vectors (
    encoder TEXT NOT NULL, digest BLOB NOT NULL, numbers BLOB NOT NULL, PRIMARY KEY (encoder, digest)
) STRICT, WITHOUT ROWID;
"""


class Database:
    """Connections to the file, one a thread; make one with `create` or `open`."""

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        """Open the file that lies in `folder`."""
        self.folder = folder
        self.read_only = read_only or not os.access(folder, os.W_OK)
        self._local = threading.local()
        self._all: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._writing = threading.RLock()
        self._opening = threading.Lock()
        self._closed = False
        self._stamp = _stamp(folder)

    @classmethod
    def create(cls, folder: Path, fill: Callable[[sqlite3.Connection], object]) -> Database:
        """Makes the folder and a file in it.

        Args:
            folder: Nothing stands there yet.
            fill: Writes what the file holds from its first moment.

        Raises:
            StoreError: Something stands there already, or the folder cannot be made.
        """
        try:
            if folder.exists() or folder.is_symlink():
                what = "a knowledge base" if (folder / FILE).is_file() else "a file" if folder.is_file() else "a folder"
                raise StoreError(f"{folder} is {what} already: choose another name, or remove it first")
            temporary = folder.parent / f".{folder.name}.{os.getpid()}.new"
            temporary.mkdir(parents=True)
        except OSError as error:
            raise StoreError(
                f"{folder} cannot be made ({error.strerror}): choose a folder that you may write to"
            ) from None
        try:
            connection = sqlite3.connect(temporary / FILE, isolation_level=None)
            try:
                connection.executescript(
                    f"PRAGMA journal_mode = WAL; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"
                )
                connection.execute("BEGIN")
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                fill(connection)
                connection.execute("COMMIT")
            finally:
                connection.close()
            temporary.rename(folder)
        except (OSError, sqlite3.Error) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise StoreError(f"{folder} cannot be made ({error}): choose a folder that you may write to") from None
        return cls(folder, read_only=False)

    @classmethod
    def open(cls, folder: Path, *, read_only: bool = False) -> Database:
        """Opens what `create` made.

        Raises:
            StoreError: There is none, or it is damaged, or of a later version of this program.
        """
        try:
            found = (folder / FILE).is_file()
            state = f"is no knowledge base: it holds no {FILE}" if folder.exists() else "does not exist"
        except OSError as error:
            raise StoreError(f"{folder} cannot be opened ({error.strerror}): name the folder of a base") from None
        if not found:
            raise StoreError(f"{folder} {state}; make one with `kblampp init {folder}`")
        database = cls(folder, read_only=read_only)
        with database.reading() as connection:
            (kind,) = connection.execute("PRAGMA application_id").fetchone()
            (form,) = connection.execute("PRAGMA user_version").fetchone()
        if kind != APPLICATION:
            raise StoreError(f"{folder / FILE} is an SQLite file of another program: name the folder of a base")
        if form != FORMAT:
            raise StoreError(f"{folder} has format {form}, this program reads {FORMAT}: use the program that made it")
        return database

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on which all statements of the block see one state."""
        with self._errors():
            connection = self._connection()
            if connection.in_transaction:  # a read inside of a write sees what it has written
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are there as a whole when the block ends well, and not at all otherwise.

        Raises:
            StoreError: The base cannot be written, or another process goes on writing to it.
        """
        if self.read_only:
            raise StoreError(f"{self.folder} is open for reading alone: nothing was written")
        with self._writing, self._errors():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def vacuum(self) -> None:
        """Gives the space of what was removed back to the disk, and ends the log.

        Raises:
            StoreError: Another process uses the base, or the disk has no room for a second copy.
        """
        with self._writing, self._errors():
            connection = self._connection()
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Closes the connections of all threads; whoever goes on to read or write is refused."""
        with self._opening:
            self._closed = True
            for _, connection in self._all:
                connection.close()
            self._all.clear()

    def _connection(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"{self.folder} was closed: open it again")
        stamp = _stamp(self.folder)
        if stamp[0] != self._stamp[0]:
            raise StoreError(f"{self.folder} is no longer the base that was opened: open it again")
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is not None and self._local.stamp not in (None, stamp):  # see `_connect`
            found.close()
            found = None
        if found is None:
            with self._opening:
                alive = [(thread, connection) for thread, connection in self._all if thread.is_alive()]
                for thread, connection in self._all:
                    if not thread.is_alive():
                        connection.close()
                found = self._local.connection = self._connect()
                self._all = [*alive, (threading.current_thread(), found)]
        return found

    def _connect(self) -> sqlite3.Connection:
        uri = (self.folder / FILE).resolve().as_uri()
        if not uri.startswith("file:///"):  # a network path of Windows, whose server SQLite takes for an authority
            uri = uri.replace("file://", "file:////")
        self._local.stamp = None
        mode = "mode=rw"
        if not os.access(self.folder, os.W_OK):
            # SQLite cannot make its log there.  Without a log nobody writes at present: what is read is right as long
            # as the file is the same, so it is opened anew after a change.
            mode = "mode=ro"
            if not (self.folder / f"{FILE}-wal").exists():
                mode, self._local.stamp = "mode=ro&immutable=1", _stamp(self.folder)
        connection = sqlite3.connect(
            f"{uri}?{mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=WAIT_S
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if self.read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What SQLite says, in a sentence."""
        try:
            yield
        except sqlite3.ProgrammingError as error:
            if not self._closed:
                raise
            raise StoreError(f"{self.folder} was closed: open it again") from error
        except sqlite3.Error as error:
            if self._changed():
                raise StoreError(f"{self.folder} was changed while it was read: try again") from error
            code, text = getattr(error, "sqlite_errorcode", None), str(error)
            kind = None if code is None else code & 0xFF
            remedies = {
                sqlite3.SQLITE_BUSY: "another process is writing to it: try again when it has ended",
                sqlite3.SQLITE_LOCKED: "another process is writing to it: try again when it has ended",
                sqlite3.SQLITE_FULL: "the disk is full: make room, nothing was written",
                sqlite3.SQLITE_READONLY: "it may not be written to: nothing was written",
                sqlite3.SQLITE_CANTOPEN: "its file cannot be opened: check that you may read and write there",
                sqlite3.SQLITE_IOERR: f"the disk fails or is full ({text}): nothing was written",
                sqlite3.SQLITE_CORRUPT: f"its file is damaged ({text}): take a copy that you have kept",
                sqlite3.SQLITE_NOTADB: f"{FILE} in it is no SQLite file: take a copy that you have kept",
            }
            if kind not in remedies:
                raise
            raise StoreError(f"{self.folder}: {remedies[kind]}") from error

    def _changed(self) -> bool:
        """Whether the file of a connection that takes no notice of writers has changed."""
        stamp = getattr(self._local, "stamp", None)
        return stamp is not None and stamp != _stamp(self.folder)


def _stamp(folder: Path) -> tuple[int, int, int, bool]:
    """What tells a file from another one, and from itself before a change."""
    try:
        found = (folder / FILE).stat()
        return found.st_ino, found.st_mtime_ns, found.st_size, (folder / f"{FILE}-wal").exists()
    except OSError:
        return 0, 0, 0, False
