"""Turns the append-only push log into the push queue: one row per entity and key (measured 3)."""

from sqlalchemy import Connection, text

from connector.store.engine import advisory_lock

_LOCK = "connector.sync.push.collapse"
# Ids of the log are not in commit order, so what was read is deleted, never "up to the last id".
_COLLAPSE = text("""
    WITH taken AS (DELETE FROM push_log RETURNING entity, keys),
    marked AS (SELECT DISTINCT t.entity, k.key
                 FROM taken t CROSS JOIN LATERAL unnest(t.keys) AS k (key)
                ORDER BY t.entity, k.key)
    INSERT INTO push_queue AS q (entity, key) SELECT entity, key FROM marked
    ON CONFLICT (entity, key) DO UPDATE SET version = q.version + 1
""")
_MARK = text("""
    INSERT INTO push_log (entity, keys)
    SELECT code, CAST(:keys AS bigint[]) FROM push_entity WHERE name = :entity
""")


def collapse(*, tx: Connection) -> int:
    """Move every committed mark into the queue; return how many keys were marked."""
    exclude_collapsing(tx)  # two collapsers would deadlock on the queue's rows
    return int(tx.execute(_COLLAPSE).rowcount)


def exclude_collapsing(tx: Connection) -> None:
    """Let no other collapse begin before the transaction ends; wait for one under way.

    Who holds this may write many rows of the queue in any order.
    """
    advisory_lock(tx, _LOCK)


def mark(*, tx: Connection, entity: str, keys: list[int]) -> None:
    """Owe the CRM the current state of some records."""
    if keys:
        tx.execute(_MARK, {"entity": entity, "keys": keys})
