"""What becomes Ready when something is done: set-based, a whole order at a time."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, text

_ROOTS = text("""
    UPDATE task SET state = 'Ready', ready_at = :now
      FROM work_order w JOIN order_line l ON l.id = w.order_line_id
     WHERE task.work_order_id = w.id AND l.order_id = :order_id AND task.state = 'Pending'
       AND NOT EXISTS (SELECT 1 FROM task_dependency d JOIN task p ON p.id = d.predecessor_id
                        WHERE d.successor_id = task.id
                          AND p.state NOT IN ('Completed', 'Skipped'))
""")

# A task that runs by itself counts from the day on which the last task before it took effect.
# Before the order starts a task can be left out, but nothing becomes Ready by that.
_SUCCESSORS = text("""
    UPDATE task
       SET state = 'Ready', ready_at = :now,
           effective_on = CASE WHEN task.kind IN ('Code', 'Milestone', 'Notify')
                               THEN coalesce(task.effective_on, before.effective_on)
                               ELSE task.effective_on END
      FROM (SELECT d.successor_id,
                   bool_and(p.state IN ('Completed', 'Skipped')) AS is_free,
                   max(p.effective_on) AS effective_on
              FROM task_dependency d
              JOIN task p ON p.id = d.predecessor_id
             WHERE d.successor_id IN (SELECT successor_id FROM task_dependency
                                       WHERE predecessor_id = ANY(:done))
             GROUP BY d.successor_id) AS before
     WHERE task.id = before.successor_id AND before.is_free AND task.state = 'Pending'
       AND EXISTS (SELECT 1 FROM work_order w
                     JOIN order_line l ON l.id = w.order_line_id
                     JOIN customer_order o ON o.id = l.order_id
                    WHERE w.id = task.work_order_id AND o.started_at IS NOT NULL)
 RETURNING task.id
""")


def release_roots(*, tx: Connection, order_id: int, now: datetime) -> None:
    """Make the tasks of an order Ready that wait for nothing, or only for what was left out."""
    tx.execute(_ROOTS, {"order_id": order_id, "now": now})


def release_successors(*, tx: Connection, done: Collection[int], now: datetime) -> tuple[int, ...]:
    """Make the tasks Ready whose last predecessor is among `done`; return their ids.

    The caller holds the lock of the order: two predecessors that end at the same moment would
    otherwise each miss the other.
    """
    return tuple(tx.scalars(_SUCCESSORS, {"done": list(done), "now": now}))
