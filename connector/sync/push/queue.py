"""The push queue: keys whose current state is owed to the CRM.

`lease_until` says when a key may be taken: `-infinity` now, a time not before then (back-off),
`infinity` while its delivery is under way. One process delivers at a time (`sole_pusher`), so what
a killed one left under way is taken back by the next, and sent once the org has surely ended the
killed one's call: two calls that wait for the same locked row are not carried out in their order.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, text

from connector.store.engine import Store
from connector.sync.push.collapse import exclude_collapsing
from connector.sync.push.state import Lease, bigints

SMALL = 25
# A call whose caller is dead waits for a locked row at most ten seconds (fact sheet D, H).
STILL_CARRIED_OUT_S = 12
_PUSHER = "connector.sync.push.run"

_TRY = text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))")
_TAKE_BACK = text("UPDATE push_queue SET lease_until = '-infinity' WHERE lease_until = 'infinity'")
_HOLD_BACK = text("""
    UPDATE push_queue SET lease_until = now() + make_interval(secs => :pause_s)
     WHERE lease_until = 'infinity'
""")
_CODES = text("SELECT name, code FROM push_entity")
_DUE = text("""
    SELECT e.name, count(*) AS due FROM push_queue q JOIN push_entity e ON e.code = q.entity
     WHERE q.lease_until <= now() GROUP BY e.name
""")
# One run through the index instead of a look-up per key: what is due between the first key and the
# last is what was read. A version that moved on meanwhile differs when it is settled.
_LEASE = text("""
    WITH due AS MATERIALIZED (
        SELECT key, version FROM push_queue
         WHERE entity = :code AND key > :after AND lease_until <= now()
         ORDER BY key LIMIT :count),
    taken AS (
        UPDATE push_queue SET lease_until = 'infinity'
         WHERE entity = :code AND lease_until <= now()
           AND key BETWEEN (SELECT min(key) FROM due) AND (SELECT max(key) FROM due))
    SELECT array_agg(key ORDER BY key) AS taken_keys, array_agg(version ORDER BY key) AS versions
      FROM due
""")
_LEASE_THESE = text("""
    UPDATE push_queue SET lease_until = 'infinity'
     WHERE entity = :code AND key = ANY (CAST(:keys AS bigint[])) AND lease_until <= now()
    RETURNING key, version
""")
_SETTLE = text("""
    DELETE FROM push_queue q
     USING unnest(CAST(:keys AS bigint[]), CAST(:versions AS bigint[])) AS d (key, version)
     WHERE q.entity = :code AND q.key = d.key AND q.version = d.version
""")
_GIVE_BACK = text("""
    UPDATE push_queue q SET lease_until = '-infinity'
      FROM unnest(CAST(:keys AS bigint[])) AS d (key)
     WHERE q.entity = :code AND q.key = d.key
""")
# Rows are locked in key order, as the collapser takes them: no deadlock between the two.
_POSTPONE = text("""
    WITH mine AS (
        SELECT q.key, d.pause_s FROM push_queue q
          JOIN unnest(CAST(:keys AS bigint[]), CAST(:pauses AS int[])) AS d (key, pause_s)
            ON d.key = q.key
         WHERE q.entity = :code ORDER BY q.key FOR UPDATE OF q)
    UPDATE push_queue q
       SET lease_until = CASE WHEN mine.pause_s = 0 THEN '-infinity'\\:\\:timestamptz
                              ELSE now() + make_interval(secs => mine.pause_s) END
      FROM mine WHERE q.entity = :code AND q.key = mine.key
""")
_NEXT = text("""
    SELECT extract(epoch FROM min(lease_until) - now()) FROM push_queue
     WHERE lease_until > '-infinity' AND lease_until < 'infinity'
""")


_SOME = text("""
    SELECT (SELECT count(*) FROM (SELECT FROM push_queue LIMIT :enough) AS q)
         + (SELECT coalesce(sum(n), 0) FROM (SELECT cardinality(keys) AS n FROM push_log
                                              LIMIT :enough) AS l)
""")


@contextmanager
def sole_pusher(store: Store) -> Iterator[bool]:
    """Hold the right to deliver; yields False when another process has it.

    The right is a lock of a database session outside any transaction: it ends with the process.
    """
    with store.engine.connect() as connection:
        session = connection.execution_options(isolation_level="AUTOCOMMIT")
        if not session.execute(_TRY, {"key": _PUSHER}).scalar_one():
            yield False
            return
        try:
            session.execute(_HOLD_BACK, {"pause_s": STILL_CARRIED_OUT_S})
            yield True
        finally:
            session.execute(_TAKE_BACK)
            session.execute(_UNLOCK, {"key": _PUSHER})


def entity_codes(tx: Connection) -> dict[str, int]:
    """Return the code of each entity in the log and the queue."""
    return {row.name: row.code for row in tx.execute(_CODES)}


def due(tx: Connection) -> dict[str, int]:
    """Return how many keys of each entity may be taken now."""
    return {row.name: row.due for row in tx.execute(_DUE)}


def is_small(tx: Connection) -> bool:
    """Return whether no more than a handful of records are owed, paused ones included."""
    return int(tx.execute(_SOME, {"enough": SMALL + 1}).scalar_one()) <= SMALL


def lease(tx: Connection, *, code: int, after: int, count: int) -> list[Lease]:
    """Take keys of an entity that are due, in key order behind `after`."""
    exclude_collapsing(tx)
    taken = tx.execute(_LEASE, {"code": code, "after": after, "count": count}).one()
    return [Lease(*pair) for pair in zip(taken.taken_keys or (), taken.versions or (), strict=True)]


def lease_these(tx: Connection, *, code: int, keys: Sequence[int]) -> list[Lease]:
    """Take some keys of an entity, as far as they are due."""
    exclude_collapsing(tx)
    taken = tx.execute(_LEASE_THESE, {"code": code, "keys": bigints(keys)})
    return [Lease(row.key, row.version) for row in taken]


def settle(tx: Connection, *, code: int, leases: Sequence[Lease]) -> None:
    """Remove delivered keys; one that was marked again meanwhile stays and is due at once."""
    exclude_collapsing(tx)
    keys = bigints(one.key for one in leases)
    versions = bigints(one.version for one in leases)
    done = tx.execute(_SETTLE, {"code": code, "keys": keys, "versions": versions})
    if done.rowcount < len(leases):
        tx.execute(_GIVE_BACK, {"code": code, "keys": keys})


def postpone(tx: Connection, *, code: int, pauses_s: dict[int, int]) -> None:
    """Give keys back, each with a pause before its next delivery (0: none)."""
    tx.execute(
        _POSTPONE,
        {"code": code, "keys": list(pauses_s), "pauses": list(pauses_s.values())},
    )


def seconds_to_next(tx: Connection) -> float | None:
    """Return how long until a key that was given a pause is due; None when there is none.

    Below zero: its pause ended after the last pass, so that nobody has tried it yet.
    """
    seconds = tx.execute(_NEXT).scalar_one()
    return None if seconds is None else float(seconds)
