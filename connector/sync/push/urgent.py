"""The few records that are marked while a pass runs: it sends them before its backlog goes on.

Somebody waits for a small change. Many marks are a backlog themselves and wait for the next pass.
"""

from collections import defaultdict

from sqlalchemy import Connection, text

from connector.sync.push import queue
from connector.sync.push.collapse import collapse
from connector.sync.push.queue import SMALL
from connector.sync.push.state import Lease

# One row of the log has at least one key, so this many rows tell whether they are few.
_FEW = text("""
    WITH newest AS MATERIALIZED (SELECT entity, keys FROM push_log LIMIT :few + 1)
    SELECT e.name, k.key
      FROM newest n JOIN push_entity e ON e.code = n.entity
     CROSS JOIN LATERAL unnest(n.keys) AS k (key)
     WHERE (SELECT sum(cardinality(keys)) FROM newest) <= :few
""")


def few_marks(tx: Connection) -> dict[str, set[int]]:
    """Return the marked keys by entity; nothing when there are none, or more than a handful."""
    marks: dict[str, set[int]] = defaultdict(set)
    for row in tx.execute(_FEW, {"few": SMALL}):
        marks[row.name].add(row.key)
    return marks


def take(tx: Connection, *, codes: dict[str, int], marks: dict[str, set[int]]) -> list[list[Lease]]:
    """Lease the marked keys that are due, a list for each entity in the order of `marks`.

    A key that is under way or paused stays in the queue.
    """
    collapse(tx=tx)
    return [
        queue.lease_these(tx, code=codes[entity], keys=sorted(keys))
        for entity, keys in marks.items()
    ]
