"""The numbers people read: ORD-000001, SRV-000001. Unique, never reused, not gapless."""

from dataclasses import dataclass

from sqlalchemy import Connection, Table, text

_NEXT_IDS = text(
    "SELECT nextval(pg_get_serial_sequence(:table_name, 'id')) FROM generate_series(1, :how_many)"
)


@dataclass(frozen=True, slots=True)
class Reserved:
    """An id taken from a table's sequence and the number people see for it."""

    id: int
    number: str


def reserve(*, tx: Connection, table: Table, prefix: str, count: int) -> tuple[Reserved, ...]:
    """Take `count` ids of a table in one statement; children can be built before any insert."""
    rows = tx.execute(_NEXT_IDS, {"table_name": table.name, "how_many": count})
    return tuple(Reserved(id=row[0], number=f"{prefix}-{row[0]:06d}") for row in rows)
