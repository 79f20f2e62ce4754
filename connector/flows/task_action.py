"""What a person asks of a task in the CRM: start, complete, restart, dismiss."""

from datetime import date, datetime

from connector.errors import InvalidInput
from connector.flows.complete_task import complete_manual_task
from connector.flows.order_day_bill import bill_order_day
from connector.ordering.policy import DeliveryPolicy
from connector.ordering.task_states import TaskAction
from connector.ordering.tasks import (
    BILLING_MILESTONES,
    TaskMove,
    dismiss_task,
    restart_task,
    start_task,
)
from connector.store.engine import Store


class UnknownTaskAction(InvalidInput):
    """Nobody can do this with a task."""

    code = "flows.unknown_task_action"
    remedy = f"Choose one of {', '.join(TaskAction)}."


def act_on_task(
    *,
    store: Store,
    policy: DeliveryPolicy,
    task_id: int,
    action: str,
    effective_on: date | None,
    note: str | None,
    now: datetime,
) -> TaskMove:
    """Do with a task what was asked; asked again, it changes nothing.

    Raises:
        UnknownTaskAction: There is no such action.
        InvalidInput: The effective date is not possible.
        StateConflict: The task, its order or its service cannot do this now; nothing is changed.
    """
    if action not in list(TaskAction):
        raise UnknownTaskAction(f"'{action}' is no action of a task.")
    with store.transaction() as tx:
        match TaskAction(action):
            case TaskAction.START:
                return start_task(tx=tx, task_id=task_id, now=now)
            case TaskAction.RESTART:
                return restart_task(tx=tx, task_id=task_id)
            case TaskAction.DISMISS:
                return dismiss_task(tx=tx, task_id=task_id, note=note, policy=policy, now=now)
            case TaskAction.COMPLETE:
                move = complete_manual_task(
                    tx=tx,
                    task_id=task_id,
                    effective_on=effective_on,
                    note=note,
                    policy=policy,
                    now=now,
                )
    if move.has_moved and move.task.milestone_of in BILLING_MILESTONES:
        bill_order_day(store=store, order_line_id=move.task.order_line_id, now=now)
    return move
