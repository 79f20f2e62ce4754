"""How far each question to the org has come; a place is kept in the transaction of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, text

_POSITIONS = text("SELECT object, position_at, position_id FROM sync_cursor WHERE kind = :kind")
_ADVANCE = text(
    """
    INSERT INTO sync_cursor (kind, object, position_at, position_id)
    VALUES (:kind, :object, :position_at, :position_id)
        ON CONFLICT (kind, object) DO UPDATE
       SET position_at = excluded.position_at, position_id = excluded.position_id
     WHERE (sync_cursor.position_at, sync_cursor.position_id)
           < (excluded.position_at, excluded.position_id)
    """
)


_MOVE_ON = text(
    """
    UPDATE sync_cursor SET position_at = :after WHERE kind = :kind AND object = :object
       AND position_at = :before
    """
)
_LOOK_BACK = text(
    """
    INSERT INTO sync_cursor (kind, object, position_at, position_id)
    VALUES (:kind, :object, :at, '')
        ON CONFLICT (kind, object) DO UPDATE
       SET position_at = least(sync_cursor.position_at, excluded.position_at), position_id = ''
    """
)
_PUT = text(
    """
    INSERT INTO sync_cursor (kind, object, position_at, position_id)
    VALUES (:kind, :object, :position_at, :position_id)
        ON CONFLICT (kind, object) DO UPDATE
       SET position_at = excluded.position_at, position_id = excluded.position_id
    """
)


class Kind(StrEnum):
    """What is asked about an object."""

    CHANGES = "changes"
    DELETIONS = "deletions"
    UNSTAMPED = "unstamped"


@dataclass(frozen=True, slots=True)
class Position:
    """A place: an instant of the org, and within it an id."""

    at: datetime | None
    sfid: str = ""


def positions(tx: Connection, kind: Kind) -> Mapping[str, Position]:
    """Return the places kept, by object."""
    found = tx.execute(_POSITIONS, {"kind": kind})
    return {row.object: Position(row.position_at, row.position_id) for row in found}


def advance(tx: Connection, kind: Kind, object_name: str, position: Position) -> None:
    """Keep a place; one that lies behind the place kept changes nothing."""
    tx.execute(_ADVANCE, _values(kind, object_name, position))


def move_on(
    tx: Connection, kind: Kind, object_name: str, *, before: datetime, after: datetime
) -> None:
    """Keep a place that was reached from `before`; one that somebody moved meanwhile stays."""
    asked = {"kind": kind, "object": object_name, "before": before, "after": after}
    tx.execute(_MOVE_ON, asked)


def look_back(tx: Connection, kind: Kind, object_name: str, *, to: datetime) -> None:
    """Let the next question go back to an instant at least."""
    tx.execute(_LOOK_BACK, {"kind": kind, "object": object_name, "at": to})


def put(tx: Connection, kind: Kind, object_name: str, position: Position) -> None:
    """Keep a place even if it lies behind the place kept: what lies between is read again."""
    tx.execute(_PUT, _values(kind, object_name, position))


def _values(kind: Kind, object_name: str, position: Position) -> dict[str, object]:
    assert position.at is not None
    return {
        "kind": kind,
        "object": object_name,
        "position_at": position.at,
        "position_id": position.sfid,
    }
