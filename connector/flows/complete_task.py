"""A person reports a task as done; when it is the billing milestone, the service moves with it."""

from datetime import date, datetime

from sqlalchemy import Connection

from connector.flows.billing_milestone import carry_out
from connector.ordering.policy import DeliveryPolicy
from connector.ordering.queries import line_facts
from connector.ordering.tasks import BILLING_MILESTONES, TaskMove, complete_task


def complete_manual_task(
    *,
    tx: Connection,
    task_id: int,
    effective_on: date | None,
    note: str | None,
    policy: DeliveryPolicy,
    now: datetime,
) -> TaskMove:
    """Complete a manual task as of a local date, and carry out its line if that is the moment.

    Raises:
        StateConflict: The task or the service cannot do this now; nothing is changed.
        InvalidInput: The date is not possible.
    """
    move = complete_task(
        tx=tx,
        task_id=task_id,
        effective_on=effective_on,
        note=note,
        policy=policy,
        now=now,
    )
    if move.has_moved and move.task.milestone_of in BILLING_MILESTONES:
        assert move.task.effective_on is not None
        line = line_facts(tx=tx, order_line_id=move.task.order_line_id)
        carry_out(
            tx=tx,
            line=line,
            milestone=move.task.milestone_of,
            on=move.task.effective_on,
            policy=policy,
            now=now,
        )
    return move
