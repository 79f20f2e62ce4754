"""The SQLite database: one writer at a time, readers beside it where a file allows it."""

import fcntl
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .. import clock
from ..errors import SetupError
from .folding import add_folding
from .money import add_money
from .zones import add_functions

PAGE_CACHE_KIB = 65_536
STATEMENTS = 512
Compute = Callable[[sqlite3.Connection, str, str], Any]
CLAIM_TRIES = 50
CLAIM_PAUSE_S = 0.1


class Database:
    """Connections to the records.

    In memory there is one connection, used by one request at a time. In a file (WAL) every
    thread reads through a connection of its own and sees the last commit.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._depth = 0
        self._savepoints = 0
        self.compute: Compute = _nothing
        self._claim = _claim(file) if file is not None else None
        try:
            self._writer = self._connect()
        except sqlite3.Error as error:
            raise SetupError(f"{file}: cannot be opened as data of the local org: {error}") from (
                error
            )

    def _connect(self) -> sqlite3.Connection:
        name = ":memory:" if self._file is None else str(self._file)
        connection = sqlite3.connect(
            name,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
            timeout=30,
        )
        if self._file is not None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        connection.create_function(
            "l2c_formula", 2, lambda key, record_id: self.compute(connection, key, record_id)
        )
        connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        add_functions(connection)
        add_folding(connection)
        add_money(connection)
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold the writer in a transaction; nested use joins the outer transaction."""
        with self._lock:
            if self._depth == 0:
                self._writer.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._writer
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._writer.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                try:
                    self._writer.execute("COMMIT")
                except sqlite3.Error:
                    self._writer.execute("ROLLBACK")
                    raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what happened inside when it raises; only within `write`."""
        self._savepoints += 1
        name = f"s{self._savepoints}"
        self._writer.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self._writer.execute(f"ROLLBACK TO {name}")
            self._writer.execute(f"RELEASE {name}")
            raise
        self._writer.execute(f"RELEASE {name}")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for reading; inside `write` it is the writer's own."""
        if self._file is None:
            with self._lock:
                yield self._writer
            return
        if self._lock.acquire(blocking=False):
            # The lock is re-entrant: getting it inside our own transaction must not be
            # mistaken for a free writer, and a free writer is as good a reader as any.
            try:
                yield self._writer
            finally:
                self._lock.release()
            return
        reader = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = self._connect()
            self._readers.append(reader)
        yield reader

    def close(self) -> None:
        """Close all connections; a file then holds everything."""
        with self._lock:
            for connection in [*self._readers, self._writer]:
                connection.close()
            self._readers.clear()
            if self._claim is not None:
                self._claim.close()


def _nothing(connection: sqlite3.Connection, key: str, record_id: str) -> Any:
    return None


def _claim(file: Path) -> IO[bytes]:
    """Hold a data file alone; a predecessor that is just ending is waited for.

    Raises:
        SetupError: Another local org keeps the file.
    """
    try:
        lock = Path(f"{file}.lock").open("wb")  # noqa: SIM115 - held as long as the database
    except OSError as error:
        raise SetupError(f"{file}: cannot be opened as data of the local org: {error}") from error
    for _ in range(CLAIM_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            clock.pause(CLAIM_PAUSE_S)
            continue
        return lock
    lock.close()
    raise SetupError(f"{file}: another local org is using it; stop that one first")
