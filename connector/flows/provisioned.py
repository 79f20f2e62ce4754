"""A provider tells how its work went: the task that waits for it is done, or in Error (C6, G10)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

from connector.errors import InvalidInput, StateConflict
from connector.flows.complete_task import complete_manual_task
from connector.flows.order_day_bill import bill_order_day
from connector.kernel.period import local_date
from connector.ordering.policy import DeliveryPolicy
from connector.ordering.task_states import TaskAction, TaskState, moves
from connector.ordering.tasks import (
    BILLING_MILESTONES,
    BY_ITSELF,
    NotForPeople,
    OrderOnHold,
    Task,
    UnknownTask,
    lock_task,
    record_failure,
    restart_task,
)
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


class AlreadyProvisioned(StateConflict):
    """A failure is told of what was told to be done."""

    code = "flows.already_provisioned"
    remedy = "Order the end of the service, if it is not there after all."


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: int
    timezone: str


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The task after a notice; `effective_on` is the local date that counts, as first told."""

    task_number: str
    state: TaskState
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
    changes: the date first told stays. After a failure was told, success counts.

    Raises:
        UnknownTask: There is no task of this number.
        NotHappenedYet: The instant lies ahead.
        StateConflict: The task cannot be completed now; nothing is changed.
    """
    if at > now + SKEW:
        raise NotHappenedYet(f"Task {task_number} is told to be done at {at.isoformat()}.")
    with store.transaction() as tx:
        waiting = _waiting(tx, task_number, policy)
        if lock_task(tx=tx, task_id=waiting.id).state is TaskState.ERROR:
            restart_task(tx=tx, task_id=waiting.id)
        move = complete_manual_task(
            tx=tx,
            task_id=waiting.id,
            effective_on=local_date(at, waiting.timezone),
            note=f"Provisioned: {reference}" if reference else "Provisioned",
            policy=policy,
            now=now,
        )
    done = move.task
    if move.has_moved and done.milestone_of in BILLING_MILESTONES:
        bill_order_day(store=store, order_line_id=done.order_line_id, now=now)
    return Provisioned(done.number, done.state, done.effective_on, move.has_moved)


def fail_provisioned_task(
    *, store: Store, policy: DeliveryPolicy, task_number: str, reason: str, now: datetime
) -> Provisioned:
    """Put the task of this number in Error with the provider's reason, which the CRM shows.

    Nothing that waits for it begins. A person restarts it, or the provider tells that it succeeded
    after all. Told again, nothing changes.

    Raises:
        UnknownTask: There is no task of this number.
        StateConflict: Nobody works on the task now, or it runs by itself; nothing is changed.
    """
    with store.transaction() as tx:
        present = lock_task(tx=tx, task_id=_waiting(tx, task_number, policy).id)
        if present.state is TaskState.ERROR:
            return Provisioned(present.number, present.state, None, is_new=False)
        _check_may_fail(present)
        state = record_failure(
            tx=tx, present=present, message=reason, is_final=True, policy=policy, now=now
        )
    return Provisioned(present.number, state, None, is_new=True)


def _waiting(tx: Connection, number: str, policy: DeliveryPolicy) -> _Waiting:
    values = {"number": number, "timezone": policy.timezone}
    row = tx.execute(_WAITING, values).one_or_none()
    if row is None:
        raise UnknownTask(f"There is no task {number}.")
    return _Waiting(row.id, row.timezone)


def _check_may_fail(present: Task) -> None:
    if present.kind in BY_ITSELF:
        raise NotForPeople(f"Task {present.number} '{present.name}' runs by itself.")
    # What could not be completed now cannot fail now; what was completed before did not fail.
    if not moves(
        number=present.number,
        name=present.name,
        present=present.state,
        action=TaskAction.COMPLETE,
    ):
        raise AlreadyProvisioned(f"Task {present.number} '{present.name}' was completed before.")
    if present.is_held:
        raise OrderOnHold(f"Task {present.number} '{present.name}' belongs to a held order.")
