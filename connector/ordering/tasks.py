"""Tasks, the only place where delivery has state: what people do with them and what runs alone.

Every function that moves a task locks its order first, so two of them never pass each other.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row, func, or_, select, text, update

from connector.errors import StateConflict
from connector.ordering.forecasts import forecast_work_orders
from connector.ordering.policy import DeliveryPolicy
from connector.ordering.release import release_successors
from connector.ordering.task_states import TaskAction, TaskState, moves
from connector.ordering.templates import Milestone, TaskKind
from connector.store.tables.ordering import customer_order, order_line, task, work_order

log = structlog.get_logger(__name__)

BY_ITSELF = (TaskKind.CODE, TaskKind.MILESTONE, TaskKind.NOTIFY)
BILLING_MILESTONES = (Milestone.BILLING_START, Milestone.SERVICE_END)
_ERROR_TEXT_MAX = 1_000


class UnknownTask(StateConflict):
    """There is no such task."""

    code = "ordering.unknown_task"


class OrderOnHold(StateConflict):
    """The order is held; nothing of it may move."""

    code = "ordering.on_hold"
    remedy = "Release the order first."


class NotForPeople(StateConflict):
    """The task runs by itself."""

    code = "ordering.not_for_people"
    remedy = "Restart it when it is in Error, or dismiss it."


class CannotDismiss(StateConflict):
    """The task starts or ends billing and cannot be left out."""

    code = "ordering.cannot_dismiss"
    remedy = "Restart it after the cause is removed, or cancel the order."


class EffectiveDateOutOfRange(StateConflict):
    """The date lies too far from today."""

    code = "ordering.effective_date"


@dataclass(frozen=True, slots=True)
class Task:
    """A task with what it belongs to; `effective_on` is a local date."""

    id: int
    number: str
    name: str
    kind: TaskKind
    code_ref: str | None
    queue: str | None
    milestone_of: Milestone | None
    state: TaskState
    attempts: int
    effective_on: date | None
    work_order_id: int
    order_line_id: int
    order_id: int
    service_id: int | None
    is_held: bool


@dataclass(frozen=True, slots=True)
class TaskMove:
    """What an act did: the task afterwards, whether it moved, and what became Ready by it."""

    task: Task
    has_moved: bool
    released: tuple[int, ...] = ()


def lock_task(*, tx: Connection, task_id: int) -> Task:
    """Return a task and keep others from moving it or its order until the transaction ends.

    Raises:
        UnknownTask: There is none with this id.
    """
    row = tx.execute(_TASKS.where(task.c.id == task_id).with_for_update(**_LOCKED)).one_or_none()
    if row is None:
        raise UnknownTask(f"There is no task {task_id}.")
    return _task(row)


def start_task(*, tx: Connection, task_id: int, now: datetime) -> TaskMove:
    """Say that somebody works on a manual task.

    Raises:
        TaskStateConflict, OrderOnHold, NotForPeople: It cannot start.
    """
    present = lock_task(tx=tx, task_id=task_id)
    if not _may(present, TaskAction.START):
        return TaskMove(present, has_moved=False)
    _set(tx, present.id, state=TaskState.IN_PROGRESS, actual_start_at=now)
    log.info("task.started", task_id=present.id)
    return TaskMove(replace(present, state=TaskState.IN_PROGRESS), has_moved=True)


def complete_task(
    *,
    tx: Connection,
    task_id: int,
    effective_on: date | None,
    note: str | None,
    policy: DeliveryPolicy,
    now: datetime,
) -> TaskMove:
    """Report a manual task as done, as of a local date that may lie back; none is today.

    A task that is completed already stays as it is, with the date first told.

    Raises:
        TaskStateConflict, OrderOnHold, NotForPeople: It cannot be completed.
        EffectiveDateOutOfRange: The date lies further from today than the policy allows.
    """
    present = lock_task(tx=tx, task_id=task_id)
    if not _may(present, TaskAction.COMPLETE):
        return TaskMove(present, has_moved=False)
    on = effective_on or policy.today(now)
    _check_date(present, on, policy, now)
    return finish_task(
        tx=tx, present=present, effective_on=on, note=note, result=None, policy=policy, now=now
    )


def restart_task(*, tx: Connection, task_id: int) -> TaskMove:
    """Make a task Ready again, such as one in Error after its cause was removed.

    Raises:
        TaskStateConflict, OrderOnHold: It cannot be restarted.
    """
    present = lock_task(tx=tx, task_id=task_id)
    has_moved = _may(present, TaskAction.RESTART, people_only=False)
    _set(
        tx,
        present.id,
        state=TaskState.READY,
        attempts=0,
        next_attempt_at=None,
        error_message=None,
        actual_start_at=None,
    )
    log.info("task.restarted", task_id=present.id)
    return TaskMove(replace(present, state=TaskState.READY, attempts=0), has_moved)


def dismiss_task(
    *, tx: Connection, task_id: int, note: str | None, policy: DeliveryPolicy, now: datetime
) -> TaskMove:
    """Leave a task out; what waits for it goes on.

    Raises:
        CannotDismiss: It starts or ends billing.
        TaskStateConflict, OrderOnHold: It cannot be dismissed.
    """
    present = lock_task(tx=tx, task_id=task_id)
    if not _may(present, TaskAction.DISMISS, people_only=False):
        return TaskMove(present, has_moved=False)
    if present.milestone_of in BILLING_MILESTONES:
        raise CannotDismiss(
            f"Task {present.number} '{present.name}' is the milestone '{present.milestone_of}'."
        )
    values = {"state": TaskState.SKIPPED, "actual_end_at": now, "completion_note": note}
    _set(tx, present.id, **values, next_attempt_at=None)
    return _done(tx, replace(present, state=TaskState.SKIPPED), policy, now)


def finish_task(
    *,
    tx: Connection,
    present: Task,
    effective_on: date | None,
    note: str | None,
    result: dict[str, Any] | None,
    policy: DeliveryPolicy,
    now: datetime,
) -> TaskMove:
    """Complete a task whose lock the caller holds, and release what waited for it."""
    _set(
        tx,
        present.id,
        state=TaskState.COMPLETED,
        effective_on=effective_on,
        actual_start_at=func.coalesce(task.c.actual_start_at, now),
        actual_end_at=now,
        next_attempt_at=None,
        error_message=None,
        completion_note=note,
        result=result,
    )
    log.info("task.completed", task_id=present.id, effective_on=effective_on)
    done = replace(present, state=TaskState.COMPLETED, effective_on=effective_on)
    return _done(tx, done, policy, now)


def claim_due_task(*, tx: Connection, now: datetime) -> Task | None:
    """Return and lock one task that runs by itself and is due; those others hold are passed over.

    Oldest first, in the order of the plan. None means that nothing is due.
    """
    row = tx.execute(
        _due(now)
        .order_by(task.c.ready_at, task.c.work_order_id, task.c.sequence)
        .limit(1)
        .with_for_update(**_LOCKED, skip_locked=True)
    ).one_or_none()
    return None if row is None else _task(row)


def due_code_tasks(*, tx: Connection, now: datetime, limit: int) -> tuple[int, ...]:
    """Return the ids of tasks that run by themselves and are due, oldest first, locking none."""
    due = _due(now).order_by(task.c.ready_at, task.c.work_order_id, task.c.sequence).limit(limit)
    return tuple(row.id for row in tx.execute(due))


def record_failure(
    *,
    tx: Connection,
    present: Task,
    message: str,
    is_final: bool,
    policy: DeliveryPolicy,
    now: datetime,
) -> TaskState:
    """Note that a task failed: again later by the ladder, or Error when the ladder has ended.

    The same idempotency (the task's id) holds for every attempt.
    """
    attempts = present.attempts + 1
    gives_up = is_final or attempts > len(policy.retry_minutes)
    state = TaskState.ERROR if gives_up else TaskState.READY
    again_at = None if gives_up else now + timedelta(minutes=policy.retry_minutes[attempts - 1])
    _set(
        tx,
        present.id,
        state=state,
        attempts=attempts,
        next_attempt_at=again_at,
        error_message=message[:_ERROR_TEXT_MAX],
    )
    log.warning("task.failed", task_id=present.id, attempts=attempts, state=state)
    return state


def _may(present: Task, action: TaskAction, *, people_only: bool = True) -> bool:
    if people_only and present.kind in BY_ITSELF:
        raise NotForPeople(
            f"Task {present.number} '{present.name}' is of kind {present.kind}; "
            f"{action} is for manual tasks."
        )
    changes = moves(number=present.number, name=present.name, present=present.state, action=action)
    if changes and present.is_held:
        raise OrderOnHold(f"Task {present.number} '{present.name}' belongs to a held order.")
    return changes


def _check_date(present: Task, on: date, policy: DeliveryPolicy, now: datetime) -> None:
    today = policy.today(now)
    earliest = today - timedelta(days=policy.effective_days_back_max)
    latest = today + timedelta(days=policy.effective_days_ahead_max)
    if not earliest <= on <= latest:
        raise EffectiveDateOutOfRange(
            f"Task {present.number} '{present.name}' cannot take effect on {on}.",
            remedy=f"Choose a date from {earliest} to {latest}.",
        )


def _done(tx: Connection, done: Task, policy: DeliveryPolicy, now: datetime) -> TaskMove:
    released = release_successors(tx=tx, done=[done.id], now=now)
    forecast_work_orders(tx=tx, work_order_ids=[done.work_order_id], policy=policy, now=now)
    return TaskMove(done, has_moved=True, released=released)


def _set(tx: Connection, task_id: int, **values: Any) -> None:
    tx.execute(update(task).where(task.c.id == task_id).values(values))


def _due(now: datetime) -> Any:
    return _TASKS.where(
        # Written out, not bound: only so the planner knows that ix_task_due serves it.
        text("task.state = 'Ready' AND task.kind IN ('Code', 'Milestone', 'Notify')"),
        customer_order.c.held_at.is_(None),
        or_(task.c.next_attempt_at.is_(None), task.c.next_attempt_at <= now),
    )


_TASKS: Any = (
    select(
        task.c.id,
        task.c.number,
        task.c.name,
        task.c.kind,
        task.c.code_ref,
        task.c.queue,
        task.c.milestone_of,
        task.c.state,
        task.c.attempts,
        task.c.effective_on,
        task.c.work_order_id,
        work_order.c.order_line_id,
        order_line.c.order_id,
        work_order.c.service_id,
        customer_order.c.held_at.is_not(None).label("is_held"),
    )
    .join(work_order, work_order.c.id == task.c.work_order_id)
    .join(order_line, order_line.c.id == work_order.c.order_line_id)
    .join(customer_order, customer_order.c.id == order_line.c.order_id)
)
# Rows are locked, their keys are not: a push mark or a child row need not wait.
_LOCKED: dict[str, Any] = {"of": (customer_order, task), "key_share": True}


def _task(row: Row[Any]) -> Task:
    return Task(
        id=row.id,
        number=row.number,
        name=row.name,
        kind=TaskKind(row.kind),
        code_ref=row.code_ref,
        queue=row.queue,
        milestone_of=Milestone(row.milestone_of) if row.milestone_of else None,
        state=TaskState(row.state),
        attempts=row.attempts,
        effective_on=row.effective_on,
        work_order_id=row.work_order_id,
        order_line_id=row.order_line_id,
        order_id=row.order_id,
        service_id=row.service_id,
        is_held=row.is_held,
    )
