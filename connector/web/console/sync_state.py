"""Whether the CRM shows what the hub knows, record by record."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

LOG_ROWS_READ_MAX = 1_000  # of a thousand keys each; more wait only after a huge change

STATES = text(
    """
    WITH logged AS (
        SELECT DISTINCT unnest(g.keys) AS key
          FROM (SELECT l.keys FROM push_log l JOIN push_entity e ON e.code = l.entity
                 WHERE e.name = :entity ORDER BY l.id DESC LIMIT :most) g
    )
    SELECT k.key, r.status, r.error, r.remedy,
           q.key IS NOT NULL OR logged.key IS NOT NULL AS is_owed
      FROM unnest(CAST(:keys AS bigint[])) AS k(key)
      LEFT JOIN crm_record r ON r.entity = :entity AND r.hub_id = k.key
      LEFT JOIN push_entity e ON e.name = :entity
      LEFT JOIN push_queue q ON q.entity = e.code AND q.key = k.key
      LEFT JOIN logged ON logged.key = k.key
    """
)


@dataclass(frozen=True, slots=True)
class SyncState:
    """In step, pending, failed or not sent; a failure says why and what to do."""

    word: str
    why: str = ""
    remedy: str = ""


def sync_states(tx: Connection, entity: str, keys: list[int]) -> dict[int, SyncState]:
    """Read the states of an entity's records by key."""
    rows = tx.execute(STATES, {"entity": entity, "keys": keys, "most": LOG_ROWS_READ_MAX}).all()
    return {row.key: _state(row) for row in rows}


def summed(states: Iterable[SyncState]) -> SyncState | None:
    """Sum up many states: the worst of them, and how many are like it."""
    counts = Counter(state.word for state in states)
    for word in ("failed", "pending"):
        if counts[word]:
            return SyncState(word, f"{counts[word]} of {counts.total()}")
    return SyncState("in step" if counts["in step"] else "not sent") if counts else None


def _state(row: Any) -> SyncState:
    if row.status in ("Error", "Conflict"):
        return SyncState("failed", row.error or "", row.remedy or "")
    if row.is_owed or row.status == "Pending":
        # A refusal that is tried again by itself is told, too.
        return SyncState("pending", row.error or "", row.remedy or "" if row.error else "")
    # A draft, or money of an unknown customer: the CRM is not told about it.
    return SyncState("in step" if row.status == "In Sync" else "not sent")
