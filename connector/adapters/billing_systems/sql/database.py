"""The foreign database itself: read in read-only transactions, written in its outbox table only."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import structlog
from psycopg import sql
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from connector.adapters.billing_systems.sql.definition import StreamSource, SystemDefinition
from connector.billing.command_queue import OwedCommand
from connector.billing.facts import Fact, Stream, read_fact
from connector.errors import Misconfigured, TransientFailure
from connector.store.engine import to_json

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 600
OUTBOX_COLUMNS = (
    "key", "sequence", "command", "account_reference", "effective_on", "quantity", "unit_price",
    "payload", "created_at",
)  # fmt: skip

_COLUMNS_OF = text(
    "SELECT attname FROM pg_attribute "
    " WHERE attrelid = to_regclass(:relation) AND attnum > 0 AND NOT attisdropped"
)
_UNIQUE_KEY = text(
    "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
    "   AND a.attnum = i.indkey[0] WHERE i.indrelid = to_regclass(:relation) AND i.indisunique "
    "   AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attname = 'key')"
)


class BillingSystemAway(TransientFailure):
    """The database of a billing system does not answer."""

    code = "billing_system.away"
    remedy = "Nothing is lost: commands wait, and reading goes on where it stopped."


class BillingSystemUnfit(Misconfigured):
    """The database of a billing system is not what the mapping file says."""

    code = "billing_system.unfit"
    remedy = "Run `l2c billing systems check`."


@dataclass(frozen=True, slots=True)
class RawFact:
    """A row as it stands there, as the mapping reads it, and its place in the order of changes."""

    fact: Fact
    raw: str  # JSON of the whole row
    position: str | None


class SqlBillingSystem:
    """A foreign billing system in a PostgreSQL database."""

    def __init__(self, definition: SystemDefinition, url: str) -> None:
        self.definition = definition
        self.name = definition.name
        self.mapping_digest = definition.digest
        self._engine = create_engine(
            _with_driver(url, definition.name),
            pool_size=2,
            max_overflow=0,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "l2c",
                "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_S}s",
            },
        )

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def is_compared(self, stream: Stream) -> bool:
        """Tell whether a stream is read as a whole every time, in the order of its keys."""
        return self.definition.streams[stream].changes is None

    def read(self, stream: Stream, *, after: str | None) -> Iterator[Sequence[RawFact]]:
        """Yield the rows of a stream in chunks, in one read-only transaction.

        With a changing column: from `after` less the overlap on, in its order; without: all, in
        the order of their keys (as bytes).

        Raises:
            BillingSystemAway: The database does not answer.
            BillingSystemUnfit: A table or column is missing or may not be read.
        """
        source = self.definition.streams[stream]
        query, values = _select(source, after)
        with self._reading() as tx:
            size = self.definition.chunk_rows
            found = tx.execute(query, values, execution_options={"yield_per": size})
            with closing(found) as rows:
                for chunk in rows.partitions(size):
                    yield [_raw_fact(source, row.key, row.raw, row.position) for row in chunk]

    def deliver(self, commands: Sequence[OwedCommand]) -> None:
        """Put commands into the outbox; those that stand there already are left alone.

        Raises:
            BillingSystemAway: The database does not answer.
            BillingSystemUnfit: There is no outbox, or it may not be written.
        """
        if self.definition.outbox is None:
            raise BillingSystemUnfit(
                f"Billing system '{self.name}' has no outbox for {len(commands)} commands.",
                remedy=f"Make the table and name it under `outbox` in {self.definition.file}.",
            )
        statement = text(
            f"INSERT INTO {_quoted(self.definition.outbox)} ({', '.join(OUTBOX_COLUMNS)}) "  # noqa: S608
            "VALUES (:key, :sequence, :command, :account_reference, :effective_on, :quantity, "
            "        :unit_price, CAST(:payload AS jsonb), :created_at) "
            "ON CONFLICT (key) DO NOTHING"
        )
        with self._translated(), self._engine.begin() as tx:
            tx.execute(statement, [_outbox_row(one) for one in commands])

    def problems(self) -> list[str]:
        """Return what in the database does not fit the mapping file; nothing is written.

        Raises:
            BillingSystemAway: The database does not answer.
        """
        found: list[str] = []
        with self._reading() as tx:
            for source in self.definition.streams.values():
                found += self._stream_problems(tx, source)
            found += self._outbox_problems(tx)
        return found

    def _stream_problems(self, tx: Connection, source: StreamSource) -> list[str]:
        there = set(tx.scalars(_COLUMNS_OF, {"relation": source.relation}))
        if not there:
            return [f"{source.stream}: there is no table or view {source.relation}"]
        missing = [name for name in source.columns if name not in there]
        if missing:
            return [f"{source.stream}: {source.relation} has no column {one}" for one in missing]
        empty = [source.key, *([source.changes.column] if source.changes else [])]
        condition = " OR ".join(f"{_quoted(one)} IS NULL" for one in empty)
        query = f"SELECT EXISTS (SELECT FROM {_quoted(source.relation)} WHERE {condition})"  # noqa: S608
        try:
            with tx.begin_nested():
                has_empty = tx.scalar(text(query))
        except DBAPIError as error:
            return [f"{source.stream}: {source.relation} cannot be read: {_said(error)}"]
        if has_empty:
            return [f"{source.stream}: {source.relation} has rows without {' or '.join(empty)}"]
        return []

    def _outbox_problems(self, tx: Connection) -> list[str]:
        outbox = self.definition.outbox
        if outbox is None:
            return []
        there = set(tx.scalars(_COLUMNS_OF, {"relation": outbox}))
        if not there:
            return [f"outbox: there is no table {outbox}"]
        missing = [name for name in OUTBOX_COLUMNS if name not in there]
        found = [f"outbox: {outbox} has no column {one}" for one in missing]
        if not missing and not tx.scalar(_UNIQUE_KEY, {"relation": outbox}):
            found.append(f"outbox: key of {outbox} is not unique, a command could count twice")
        if not tx.scalar(text("SELECT has_table_privilege(:name, 'INSERT')"), {"name": outbox}):
            found.append(f"outbox: {outbox} may not be written by this user")
        return found

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            with connection.begin():
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise BillingSystemAway(
                f"Billing system '{self.name}' does not answer: {_said(error)}"
            ) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise BillingSystemAway(
                    f"Billing system '{self.name}' went away: {_said(error)}"
                ) from error
            raise BillingSystemUnfit(
                f"Billing system '{self.name}' is not as {self.definition.file} says: "
                f"{_said(error)}"
            ) from error


def _select(source: StreamSource, after: str | None) -> tuple[Any, dict[str, Any]]:
    key = f't.{_quoted(source.key)}::text COLLATE "C"'
    relation = _quoted(source.relation)
    if source.changes is None:
        return text(
            f"SELECT {key} AS key, to_jsonb(t)::text AS raw, NULL::text AS position "  # noqa: S608
            f"  FROM {relation} t WHERE t.{_quoted(source.key)} IS NOT NULL ORDER BY 1"
        ), {}
    column = f"t.{_quoted(source.changes.column)}"
    condition, values = f"{column} IS NOT NULL", {}
    if after is not None and source.changes.is_time:
        condition = f"{column} >= CAST(:after AS timestamptz) - CAST(:overlap AS interval)"
        values = {"after": after, "overlap": timedelta(seconds=source.changes.overlap)}
    elif after is not None:
        condition = f"{column} >= CAST(:after AS bigint) - :overlap"
        values = {"after": after, "overlap": source.changes.overlap}
    return text(
        f"SELECT {key} AS key, to_jsonb(t)::text AS raw, {column}::text AS position "  # noqa: S608
        f"  FROM {relation} t WHERE {condition} AND t.{_quoted(source.key)} IS NOT NULL "
        f" ORDER BY {column}, 1"
    ), values


def _raw_fact(source: StreamSource, key: str, raw: str, position: str | None) -> RawFact:
    row = json.loads(raw, parse_float=Decimal)
    values = {name: _value(field, row) for name, field in source.fields.items()}
    return RawFact(read_fact(source.stream, key, values | {"key": key}), raw, position)


def _value(field: Any, row: Mapping[str, Any]) -> str | None:
    if field.column is None:
        return str(field.fixed)
    value = row.get(field.column)
    if value is None:
        return None
    word = str(value).lower() if isinstance(value, bool) else str(value)
    return str(field.values.get(word, word))


def _outbox_row(command: OwedCommand) -> dict[str, Any]:
    return {
        "key": command.key,
        "sequence": command.sequence,
        "command": command.command,
        "account_reference": command.account_reference,
        "effective_on": command.effective_on,
        "quantity": command.quantity,
        "unit_price": command.unit_price,
        "payload": to_json(dict(command.payload)).decode(),
        "created_at": command.created_at,
    }


def _quoted(name: str) -> str:
    return sql.Identifier(*name.split(".")).as_string(None)


def _said(error: DBAPIError) -> str:
    return str(error.orig).splitlines()[0] if error.orig else str(error)


def _with_driver(url: str, system: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise Misconfigured(
            f"The address of the billing system '{system}' begins with {scheme!r}.",
            remedy=f"Write billing.systems.{system} as postgresql://user@host/database.",
        )
    return f"postgresql+psycopg://{rest}"
