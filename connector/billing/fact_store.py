"""Where facts of foreign billing systems land: the last row read of each, and how far we read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

from sqlalchemy import Connection, MetaData, Table, text

from connector.billing.facts import Fact, Stream
from connector.store.engine import copy_rows, to_json

LIST_MAX = 1_000
_TWICE = "Two rows have this key; a key names one row."

_MAKE_LANDING = text(
    "CREATE TEMP TABLE IF NOT EXISTS landing "
    '(key text COLLATE "C", raw jsonb, content jsonb, digest text, state text, reason text) '
    "ON COMMIT DELETE ROWS"
)
_CLEAR_LANDING = text("TRUNCATE landing")
_LAND = text(
    """
    INSERT INTO foreign_fact AS f
           (system, stream, key, raw, content, digest, state, reason, read_at)
    SELECT :system, :stream, key, raw, content, digest, state, reason, :now FROM landing
    ON CONFLICT (system, stream, key) DO UPDATE
       SET raw = excluded.raw, content = excluded.content, digest = excluded.digest,
           state = excluded.state, reason = excluded.reason, is_gone = false,
           read_at = excluded.read_at
     WHERE f.digest <> excluded.digest OR f.is_gone
    """
)
_GONE = text(
    "UPDATE foreign_fact SET is_gone = true, state = 'pending', reason = NULL, read_at = :now "
    " WHERE system = :system AND stream = :stream AND NOT is_gone AND key > :after "
    "   AND (CAST(:up_to AS text) IS NULL OR key <= :up_to) "
    "   AND NOT EXISTS (SELECT FROM landing l WHERE l.key = foreign_fact.key)"
)
_CURSOR = text(
    "SELECT position FROM foreign_cursor "
    " WHERE system = :system AND stream = :stream AND mapping = :mapping"
)
_MOVE = text(
    """
    INSERT INTO foreign_cursor (system, stream, position, mapping, read_at, rows)
    VALUES (:system, :stream, :position, :mapping, :now, :rows)
    ON CONFLICT (system, stream) DO UPDATE
       SET position = CASE WHEN foreign_cursor.mapping = excluded.mapping
                           THEN coalesce(excluded.position, foreign_cursor.position)
                           ELSE excluded.position END,
           mapping = excluded.mapping, read_at = excluded.read_at, rows = excluded.rows
    """
)
_KNOWS_ANY = text(
    "SELECT EXISTS (SELECT FROM foreign_fact WHERE system = :system AND stream = :stream "
    "                  AND NOT is_gone)"
)
_HELD = text(
    "SELECT system, stream, key, state, reason, read_at FROM foreign_fact "
    " WHERE state IN ('held', 'broken') AND (CAST(:system AS text) IS NULL OR system = :system) "
    " ORDER BY system, stream, key LIMIT :limit"
)
_COUNTS = text("SELECT system, stream, state, count(*) AS facts FROM foreign_fact GROUP BY 1, 2, 3")
_RAW_DOCUMENT = text(
    "SELECT f.system, f.stream, f.key, f.raw, f.content, f.state, f.reason, f.read_at "
    "  FROM foreign_fact f "
    " WHERE f.stream = 'invoice' AND f.content ->> 'number' = :number ORDER BY f.system"
)
_RAW_LINES = text(
    "SELECT f.system, f.stream, f.key, f.raw, f.content, f.state, f.reason, f.read_at "
    "  FROM foreign_fact f WHERE f.system = :system AND f.stream = 'invoice_line' "
    "   AND f.content ->> 'invoice' = :key ORDER BY f.key"
)


class ReadRow(Protocol):
    """A row as a billing system gave it."""

    @property
    def fact(self) -> Fact:
        """What the mapping reads in it."""
        ...

    @property
    def raw(self) -> str:
        """The whole row, as JSON."""
        ...

    @property
    def position(self) -> str | None:
        """Its place in the order of changes."""
        ...


@dataclass(frozen=True, slots=True)
class HeldFact:
    """A fact that is not in the hub, and why."""

    system: str
    stream: str
    key: str
    state: str
    reason: str
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Landing:
    """The place for one stream of one system; `mapping` is the digest of its mapping file."""

    system: str
    stream: Stream
    mapping: str

    def position(self, tx: Connection) -> str | None:
        """Return how far the stream is read; None begins at the start, as another mapping does."""
        found: str | None = tx.scalar(
            _CURSOR, {"system": self.system, "stream": self.stream, "mapping": self.mapping}
        )
        return found

    def store(self, tx: Connection, rows: Sequence[ReadRow], *, now: datetime) -> int:
        """Keep the rows that are new or changed and move the cursor; return how many."""
        tx.execute(_MAKE_LANDING)
        tx.execute(_CLEAR_LANDING)
        copy_rows(tx, _LANDING, _COLUMNS, self._landing_rows(rows))
        changed = tx.execute(
            _LAND, {"system": self.system, "stream": self.stream, "now": now}
        ).rowcount
        last = rows[-1].position if rows else None
        self.note_read(tx, position=last, rows=len(rows), now=now)
        return int(changed)

    def note_gone(self, tx: Connection, *, after: str, up_to: str | None, now: datetime) -> int:
        """Mark what lies between two keys and was not among the rows just stored; return how many.

        Only after `store` in the same transaction. `up_to` None means to the end.
        """
        tx.execute(_MAKE_LANDING)
        return int(
            tx.execute(
                _GONE,
                {
                    "system": self.system,
                    "stream": self.stream,
                    "after": after,
                    "up_to": up_to,
                    "now": now,
                },
            ).rowcount
        )

    def knows_any(self, tx: Connection) -> bool:
        """Tell whether there was ever a row."""
        return bool(tx.scalar(_KNOWS_ANY, {"system": self.system, "stream": self.stream}))

    def note_read(self, tx: Connection, *, position: str | None, rows: int, now: datetime) -> None:
        """Move the cursor; without a position it stays and only the time of reading is noted."""
        tx.execute(
            _MOVE,
            {
                "system": self.system,
                "stream": self.stream,
                "position": position,
                "mapping": self.mapping,
                "rows": rows,
                "now": now,
            },
        )

    def _landing_rows(self, rows: Sequence[ReadRow]) -> Iterable[tuple[object, ...]]:
        by_key: dict[str, ReadRow] = {}
        twice: set[str] = set()
        for row in rows:
            if row.fact.key in by_key:
                twice.add(row.fact.key)
            by_key[row.fact.key] = row
        for key, row in by_key.items():
            reason = _TWICE if key in twice else row.fact.reason
            state = "broken" if reason else "ignored" if row.fact.is_draft else "pending"
            seen = blake2b(f"{self.mapping}{key in twice}{row.raw}".encode(), digest_size=16)
            content = to_json(dict(row.fact.content)).decode()
            yield key, row.raw, content, seen.hexdigest(), state, reason


_COLUMNS = ("key", "raw", "content", "digest", "state", "reason")
_LANDING = Table("landing", MetaData())  # a temporary table, no part of the hub's schema


def held_facts(
    *, tx: Connection, system: str | None = None, limit: int = LIST_MAX
) -> list[HeldFact]:
    """Return facts that are not in the hub, with their reasons."""
    values = {"system": system, "limit": min(limit, LIST_MAX)}
    return [HeldFact(**row._mapping) for row in tx.execute(_HELD, values)]


def fact_counts(*, tx: Connection) -> dict[tuple[str, str, str], int]:
    """Return how many facts there are by system, stream and state."""
    return {(row.system, row.stream, row.state): row.facts for row in tx.execute(_COUNTS)}


def raw_documents(*, tx: Connection, number: str) -> list[dict[str, Any]]:
    """Return the rows of the foreign systems behind a document number, each with its lines."""
    documents = [dict(row._mapping) for row in tx.execute(_RAW_DOCUMENT, {"number": number})]
    for one in documents:
        lines = tx.execute(_RAW_LINES, {"system": one["system"], "key": one["key"]})
        one["lines"] = [dict(row._mapping) for row in lines]
    return documents
