"""The way to PostgreSQL: one pool, transactions, bulk copy, locks, exact numbers."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import psycopg
import structlog
from psycopg import sql
from psycopg.types.json import JsonbDumper
from sqlalchemy import Connection, Table, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from connector.errors import Misconfigured, StateConflict

log = structlog.get_logger(__name__)

_AFTER_COMMIT = "connector.after_commit"
_MAPPINGS = "l2c_mappings"
_CONNECT_TIMEOUT_S = 10
_LOCK_KEY = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
_TRY_LOCK_KEY = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))")


class NoOpenTransaction(StateConflict):
    """The connection was not opened by `Store.transaction`."""

    code = "store.no_transaction"


class Store:
    """The hub's database.

    Numbers come back as Decimal (JSON included), instants in UTC. Safe to share between threads;
    not across a fork.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self.engine = create_engine(
            _with_driver(url),
            pool_size=pool_size,
            max_overflow=0,  # the bound is the bound
            pool_timeout=30,
            pool_pre_ping=True,
            pool_reset_on_return="rollback",
            hide_parameters=True,  # an error that is logged or kept shows no values of customers
            json_serializer=_to_json_text,
            json_deserializer=from_json,
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "application_name": "l2c",
                "options": "-c timezone=UTC",
            },
        )
        self._closed = False
        event.listen(self.engine, "connect", _prepare_connection)
        event.listen(self.engine, "checkin", self._close_late_comer)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction; commit at the end, roll back when an exception leaves the block."""
        with self.engine.connect() as tx:
            callbacks: list[Callable[[], None]] = []
            tx.info[_AFTER_COMMIT] = callbacks
            try:
                with tx.begin() as transaction:
                    yield tx
                    committing = transaction.is_active
            finally:
                tx.info.pop(_AFTER_COMMIT, None)
        if committing:
            for callback in callbacks:
                callback()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction in which every query sees the same instant."""
        with self.engine.connect() as connection:
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            with connection.begin():
                yield connection

    def use_mappings(self, folder: Path | None) -> None:
        """Let transactions know the operator's own folder of mapping files, or that there is none.

        It holds for those that begin from now on.
        """
        self.engine.update_execution_options(**{_MAPPINGS: folder})

    @property
    def is_closed(self) -> bool:
        """Return whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Close every connection; one that a thread still uses is closed when it comes back."""
        self._closed = True
        self.engine.dispose()

    def _close_late_comer(
        self, dbapi_connection: DBAPIConnection | None, _record: ConnectionPoolEntry
    ) -> None:
        if self._closed and dbapi_connection is not None:
            dbapi_connection.close()

    @property
    def conninfo(self) -> str:
        """Return the address in the form libpq reads, for libraries beside SQLAlchemy."""
        return self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def own_mappings(tx: Connection) -> Path | None:
    """Return the operator's folder of mapping files; None: those that come along hold."""
    folder: Path | None = tx.get_execution_options().get(_MAPPINGS)
    return folder


def after_commit(tx: Connection, callback: Callable[[], None]) -> None:
    """Run a callback once this transaction is committed; a rolled-back one runs nothing.

    A callback that fails raises out of the block although the data is safe: keep it small.

    Raises:
        NoOpenTransaction: The connection is not in `Store.transaction`.
    """
    callbacks = tx.info.get(_AFTER_COMMIT)
    if callbacks is None:
        raise NoOpenTransaction("This connection has no transaction of Store.transaction.")
    callbacks.append(callback)


def copy_rows(
    tx: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> int:
    """Bulk-load rows with COPY inside the transaction; return how many.

    A dict becomes JSONB, a list an array; wrap a JSON list in `psycopg.types.json.Jsonb`. Column
    defaults of the database apply to the columns left out, those of SQLAlchemy do not.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(*([table.schema] if table.schema else []), table.name),
        sql.SQL(", ").join(sql.Identifier(column) for column in columns),
    )
    copied = 0
    with driver_connection(tx).cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            copied += 1
    return copied


def advisory_lock(tx: Connection, key: str) -> None:
    """Wait for the lock of this name and hold it until the transaction ends."""
    tx.execute(_LOCK_KEY, {"key": key})


def try_advisory_lock(tx: Connection, key: str) -> bool:
    """Take the lock of this name until the transaction ends; return False if another has it."""
    return bool(tx.execute(_TRY_LOCK_KEY, {"key": key}).scalar_one())


def violated_constraint(error: DBAPIError) -> str | None:
    """Return the name of the constraint or unique index that refused a statement, if one did."""
    if isinstance(error.orig, psycopg.errors.IntegrityError):
        return error.orig.diag.constraint_name
    return None


def driver_connection(tx: Connection) -> psycopg.Connection[tuple[object, ...]]:
    """Return psycopg's connection under a transaction, for what SQLAlchemy does not offer."""
    connection = tx.connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise Misconfigured(f"The store speaks through psycopg, not {type(connection).__name__}.")
    return connection


def _with_driver(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise Misconfigured(
            f"The store's address begins with {scheme!r}; only PostgreSQL is supported.",
            remedy="Write store.url as postgresql://user@host/database.",
        )
    return f"postgresql+psycopg://{rest}"


def _prepare_connection(dbapi_connection: object, _record: ConnectionPoolEntry) -> None:
    connection = getattr(dbapi_connection, "driver_connection", dbapi_connection)
    if isinstance(connection, psycopg.Connection):
        connection.adapters.register_dumper(dict, _ExactJsonbDumper)


def _exact(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"JSON has no {value}")
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def to_json(value: object) -> bytes:
    """Encode as JSON; a Decimal keeps its digits."""
    return orjson.dumps(value, default=_exact)


def _to_json_text(value: object) -> str:
    return to_json(value).decode()


_DECODER = json.JSONDecoder(parse_float=Decimal)  # one for all: making it takes as long as a row


def from_json(content: str | bytes) -> Any:
    """Decode JSON; a number with a fraction becomes a Decimal."""
    return _DECODER.decode(content if isinstance(content, str) else content.decode())


class _ExactJsonbDumper(JsonbDumper):
    _dumps = staticmethod(to_json)
