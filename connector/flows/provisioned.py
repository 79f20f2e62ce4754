"""A provider tells that something was provisioned: the task that waits for it is done (row G10)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text

from connector.errors import InvalidInput
from connector.flows.task_action import act_on_task
from connector.kernel.period import local_date
from connector.ordering.policy import DeliveryPolicy
from connector.ordering.task_states import TaskAction
from connector.ordering.tasks import UnknownTask
from connector.store.engine import Store

SKEW = timedelta(minutes=5)  # two clocks may differ by so much

# The day is one of the customer's calendar; before an account is opened, of the operator's.
_WAITING = text(
    "SELECT t.id, coalesce(b.timezone, :timezone) AS timezone "
    "  FROM task t JOIN work_order w ON w.id = t.work_order_id "
    "  JOIN order_line l ON l.id = w.order_line_id JOIN customer_order o ON o.id = l.order_id "
    "  LEFT JOIN service s ON s.id = w.service_id "
    "  LEFT JOIN billing_account b "
    "    ON b.id = coalesce(s.billing_account_id, o.billing_account_id) "
    " WHERE t.number = :number"
)


class NotHappenedYet(InvalidInput):
    """What is told lies in the future."""

    code = "flows.not_happened_yet"
    remedy = "Send the instant at which it was provisioned, with its offset from UTC."


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The task after a notice; `effective_on` is the local date that counts, as first told."""

    task_number: str
    effective_on: date | None
    is_new: bool


def complete_provisioned_task(
    *,
    store: Store,
    policy: DeliveryPolicy,
    task_number: str,
    at: datetime,
    reference: str,
    now: datetime,
) -> Provisioned:
    """Complete the task of this number as of the customer's local date of an instant.

    What waits for it becomes Ready with that date, so the charge begins on it. Told again, nothing
    changes: the date first told stays.

    Raises:
        UnknownTask: There is no task of this number.
        NotHappenedYet: The instant lies ahead.
        StateConflict: The task cannot be completed now; nothing is changed.
    """
    if at > now + SKEW:
        raise NotHappenedYet(f"Task {task_number} is told to be done at {at.isoformat()}.")
    with store.read() as tx:
        row = tx.execute(
            _WAITING, {"number": task_number, "timezone": policy.timezone}
        ).one_or_none()
    if row is None:
        raise UnknownTask(f"There is no task {task_number}.")
    move = act_on_task(
        store=store,
        policy=policy,
        task_id=row.id,
        action=TaskAction.COMPLETE,
        effective_on=local_date(at, row.timezone),
        note=f"Provisioned: {reference}" if reference else "Provisioned",
        now=now,
    )
    return Provisioned(move.task.number, move.task.effective_on, move.has_moved)
