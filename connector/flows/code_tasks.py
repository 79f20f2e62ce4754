"""Runs the tasks that no person does: code by its name, milestones, notices.

Each task is one transaction: its effect, its completion and what it releases stand together or not
at all, so a crash at any point means that it runs again from the start. A failure is noted in the
same transaction after its effect is undone, and tried again by the policy's ladder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from connector.billing.commands import open_account
from connector.errors import ConnectorError, InvalidInput, Misconfigured, NotPermitted
from connector.flows.billing_milestone import carry_out
from connector.flows.code_names import CodeName
from connector.flows.order_day_bill import bill_order_day
from connector.flows.rules import DeliveryRules
from connector.inventory.aliases import assign_aliases
from connector.inventory.changes import apply_due_changes
from connector.kernel.period import local_date
from connector.ordering.queries import LineFacts, line_facts
from connector.ordering.task_states import TaskState
from connector.ordering.tasks import (
    BILLING_MILESTONES,
    Task,
    claim_due_task,
    finish_task,
    record_failure,
)
from connector.ordering.templates import TaskKind
from connector.store.engine import Store

log = structlog.get_logger(__name__)

# No repetition helps: a person has to correct something first.
_FOR_PEOPLE = (InvalidInput, Misconfigured, NotPermitted)
DEFAULT_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class CodeCall:
    """What a piece of code gets; `on` is the local date from which its effect counts."""

    tx: Connection
    task: Task
    line: LineFacts
    on: date
    rules: DeliveryRules
    now: datetime


Code = Callable[[CodeCall], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class CodeTaskReport:
    """What a run did; `has_more` says that it stopped at its limit."""

    completed: int
    retried: int
    given_up: int
    changes_applied: int
    has_more: bool


def run_due_code_tasks(
    *, store: Store, rules: DeliveryRules, now: datetime, limit: int = DEFAULT_LIMIT
) -> CodeTaskReport:
    """Run what is due, also what becomes due by it, up to a limit of tasks.

    Scheduled changes of services whose day has come are applied first. Any number of runs may go
    on at once: each takes tasks of orders that no other has in hand.
    """
    with store.transaction() as tx:
        applied = apply_due_changes(tx=tx, today=rules.policy.today(now), now=now)
    outcomes: list[TaskState] = []
    for _ in range(limit):
        with store.transaction() as tx:
            ran = _run_one(tx, rules, now)
        if ran is None:
            break
        task, outcome = ran
        outcomes.append(outcome)
        if outcome is TaskState.COMPLETED and task.milestone_of in BILLING_MILESTONES:
            bill_order_day(store=store, order_line_id=task.order_line_id, now=now)
    return CodeTaskReport(
        completed=outcomes.count(TaskState.COMPLETED),
        retried=outcomes.count(TaskState.READY),
        given_up=outcomes.count(TaskState.ERROR),
        changes_applied=applied,
        has_more=len(outcomes) == limit,
    )


def _run_one(tx: Connection, rules: DeliveryRules, now: datetime) -> tuple[Task, TaskState] | None:
    task = claim_due_task(tx=tx, now=now)
    if task is None:
        return None
    line = line_facts(tx=tx, order_line_id=task.order_line_id)
    call = CodeCall(
        tx=tx,
        task=task,
        line=line,
        on=task.effective_on or line.requested_on or local_date(now, line.timezone),
        rules=rules,
        now=now,
    )
    try:
        with tx.begin_nested():
            result = _code_of(task)(call)
    except Exception as error:  # a defect of one piece of code must not stop the others
        message = str(error)
        if not isinstance(error, ConnectorError):
            log.exception("task.crashed", task_id=task.id, code_ref=task.code_ref)
            # The text of a stranger may hold a statement and its values; the CRM shows this.
            message = f"{type(error).__name__}; the connector's log says more."
        state = record_failure(
            tx=tx,
            present=task,
            message=message,
            is_final=isinstance(error, _FOR_PEOPLE),
            policy=rules.policy,
            now=now,
        )
        return task, state
    finish_task(
        tx=tx,
        present=task,
        # A day that nobody told is not handed on to the tasks behind this one.
        effective_on=call.on if task.milestone_of else task.effective_on,
        note=None,
        result=result,
        policy=rules.policy,
        now=now,
    )
    return task, TaskState.COMPLETED


def _code_of(task: Task) -> Code:
    if task.kind is TaskKind.NOTIFY:
        return _notify
    if task.kind is TaskKind.MILESTONE:
        return _milestone
    assert task.code_ref is not None
    return REGISTRY[CodeName(task.code_ref)]


def _open_account(call: CodeCall) -> dict[str, Any]:
    opened = open_account(
        tx=call.tx,
        account_id=call.line.account_id,
        currency=call.line.currency,
        terms=call.rules.payers,
        routing=call.rules.routing,
        now=call.now,
    )
    return {"billing_account_id": opened}


def _assign_number(call: CodeCall) -> dict[str, Any]:
    assert call.line.service_id is not None
    aliases = assign_aliases(
        tx=call.tx, service_id=call.line.service_id, policy=call.rules.numbers, on=call.on
    )
    return {"count": len(aliases)}


def _carry_out(call: CodeCall) -> dict[str, Any]:
    return carry_out(
        tx=call.tx,
        line=call.line,
        milestone=call.task.milestone_of,
        on=call.on,
        policy=call.rules.policy,
        now=call.now,
    )


def _milestone(call: CodeCall) -> dict[str, Any]:
    return _carry_out(call) if call.task.milestone_of in BILLING_MILESTONES else {}


def _notify(call: CodeCall) -> dict[str, Any]:
    # The queue sees it as a completed step of the order in the CRM; nothing leaves from here.
    log.info("queue.notified", task_id=call.task.id, queue=call.task.queue)
    return {"queue": call.task.queue}


REGISTRY: dict[CodeName, Code] = {
    CodeName.OPEN_ACCOUNT: _open_account,
    CodeName.ASSIGN_NUMBER: _assign_number,
    CodeName.START_SERVICE: _carry_out,
    CodeName.APPLY_CHANGE: _carry_out,
    CodeName.END_SERVICE: _carry_out,
    CodeName.CHARGE_ONCE: _carry_out,
}
