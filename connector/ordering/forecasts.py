"""Writes the forecast of open tasks: expected ends move when reality does."""

from collections import defaultdict
from collections.abc import Collection
from datetime import date, datetime

from sqlalchemy import Connection, select, text

from connector.kernel.period import local_date
from connector.ordering.policy import DeliveryPolicy
from connector.ordering.schedule import Step, forecast
from connector.ordering.task_states import FINAL
from connector.store.tables.ordering import order_line, task, task_dependency, work_order

_WRITE = text("""
    UPDATE task SET expected_end_at = wanted.at
      FROM unnest(CAST(:ids AS bigint[]), CAST(:ends AS timestamptz[])) AS wanted(id, at)
     WHERE task.id = wanted.id AND task.expected_end_at IS DISTINCT FROM wanted.at
""")


def forecast_order(*, tx: Connection, order_id: int, policy: DeliveryPolicy, now: datetime) -> None:
    """Forecast every work order of an order anew."""
    ids = tx.scalars(
        select(work_order.c.id)
        .join(order_line, order_line.c.id == work_order.c.order_line_id)
        .where(order_line.c.order_id == order_id)
    ).all()
    forecast_work_orders(tx=tx, work_order_ids=ids, policy=policy, now=now)


def forecast_work_orders(
    *, tx: Connection, work_order_ids: Collection[int], policy: DeliveryPolicy, now: datetime
) -> None:
    """Set the expected end of every open task of some work orders."""
    rows = tx.execute(
        select(
            task.c.id,
            task.c.state,
            task.c.duration_days,
            task.c.actual_start_at,
            task.c.actual_end_at,
        )
        .where(task.c.work_order_id.in_(work_order_ids))
        .order_by(task.c.work_order_id, task.c.sequence)
    ).all()
    after: defaultdict[int, list[int]] = defaultdict(list)
    for edge in tx.execute(
        select(task_dependency.c.predecessor_id, task_dependency.c.successor_id).where(
            task_dependency.c.successor_id.in_([row.id for row in rows])
        )
    ):
        after[edge.successor_id].append(edge.predecessor_id)
    steps = [
        Step(
            id=row.id,
            duration_days=row.duration_days,
            after=tuple(after[row.id]),
            started_on=_day(row.actual_start_at, policy),
            ended_on=_day(row.actual_end_at or now, policy) if row.state in FINAL else None,
        )
        for row in rows
    ]
    expected = forecast(steps, today=policy.today(now), working_days=policy.working_days)
    if expected:
        tx.execute(
            _WRITE,
            {
                "ids": list(expected),
                "ends": [policy.end_of(day) for day in expected.values()],
            },
        )


def _day(instant: datetime | None, policy: DeliveryPolicy) -> date | None:
    return None if instant is None else local_date(instant, policy.timezone)
