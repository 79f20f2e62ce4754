"""What the billing milestone of a line does: inventory and billing move together, exactly once.

Every effect is harmless when it is repeated for the same line: the service's state, the change's
key and the charge's key each refuse a second time.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from connector.billing.commands import (
    change_service_billing,
    charge_once,
    end_service_billing,
    start_service_billing,
)
from connector.errors import InvalidInput
from connector.flows.going_on import go_on
from connector.inventory.changes import Terms, change_service, end_service
from connector.inventory.services import service_by_id, start_service
from connector.kernel.period import Cycle, Interval, local_date
from connector.ordering.policy import DeliveryPolicy, DowngradeDate
from connector.ordering.queries import LineFacts
from connector.ordering.request_types import (
    GOES_ON,
    MAKES_SERVICE,
    Effect,
    RequestType,
    request_of,
)
from connector.ordering.templates import Milestone


class StartInTheFuture(InvalidInput):
    """A service cannot be in service before its first day."""

    code = "flows.start_in_the_future"
    remedy = "Report the start on the day it has happened, or later with that day's date."


def carry_out(
    *,
    tx: Connection,
    line: LineFacts,
    milestone: Milestone | None,
    on: date,
    policy: DeliveryPolicy,
    now: datetime,
) -> dict[str, Any]:
    """Start, change or end the service of a line and its billing, or charge the line once.

    `on` is the local date on which it took effect. A line with two work orders comes here twice:
    at the turn-up of the new side, and at the end of the old one. Returns what was done, for the
    task.

    Raises:
        StartInTheFuture: A start is dated after the customer's today.
        StateConflict: The service cannot do this now; the error says why.
    """
    today = local_date(now, line.timezone)
    effect = request_of(line.request_type).effect
    if effect is Effect.REPLACE and milestone is Milestone.SERVICE_END:
        return _end_replaced(tx, line, today, now)
    if effect is Effect.MOVE and milestone is Milestone.SERVICE_END:
        return {"service_id": line.service_id}  # it goes on at the new place since the turn-up
    if effect in MAKES_SERVICE:
        return _start(tx, line, on, today, now)
    if effect in GOES_ON:
        done = go_on(tx, line, on, today, now)
        return _result(line, on, _charge(tx, line, on, now)) | done
    if effect is Effect.CHANGE:
        return _change(tx, line, _change_date(line, on, policy), today, now)
    if effect is Effect.END:
        return _end(tx, line, on, today, now)
    return {"charge_id": _charge(tx, line, on, now), "effective_on": on.isoformat()}


def _end_replaced(tx: Connection, line: LineFacts, today: date, now: datetime) -> dict[str, Any]:
    """End the service that another one has replaced, on the day that one began.

    However long it takes to switch it off: nobody pays twice, and nothing is due for leaving a
    term early (domain 3.3, REPLACE).
    """
    assert line.service_id is not None
    assert line.target_service_id is not None
    on = service_by_id(tx=tx, service_id=line.service_id).service_start_on
    assert on is not None  # the turn-up comes first
    ended = end_service(
        tx=tx, service_id=line.target_service_id, order_line_id=line.id, on=on, today=today,
        now=now,
    )  # fmt: skip
    end_service_billing(
        tx=tx,
        service_id=line.target_service_id,
        order_line_id=line.id,
        on=ended.effective_on,
        is_fee_waived=True,
        now=now,
    )
    return {"service_id": line.target_service_id, "effective_on": ended.effective_on.isoformat()}


def _start(tx: Connection, line: LineFacts, on: date, today: date, now: datetime) -> dict[str, Any]:
    assert line.service_id is not None
    if on > today:
        raise StartInTheFuture(f"The service cannot start on {on}; today is {today}.")
    start_service(tx=tx, service_id=line.service_id, on=on, now=now)
    start_service_billing(tx=tx, service_id=line.service_id, order_line_id=line.id, on=on, now=now)
    return _result(line, on, _charge(tx, line, on, now))


def _change(
    tx: Connection, line: LineFacts, on: date, today: date, now: datetime
) -> dict[str, Any]:
    assert line.service_id is not None
    change = change_service(
        tx=tx,
        service_id=line.service_id,
        order_line_id=line.id,
        type=line.request_type,
        on=on,
        terms=Terms(
            product_id=line.product_id,
            quantity=line.quantity,
            mr_price=line.mr_price,
            mr_cost=line.mr_cost,
            term_months=line.term_months or None,
            pricing=line.pricing,
            renewal_type=line.renewal_type,
        ),
        today=today,
        now=now,
    )
    change_service_billing(
        tx=tx,
        service_id=line.service_id,
        order_line_id=line.id,
        on=change.effective_on,
        quantity=line.quantity,
        mr_price=line.mr_price,
        mr_cost=line.mr_cost,
        product_id=line.product_id,
        pricing=line.pricing,
        now=now,
    )
    return _result(line, change.effective_on, _charge(tx, line, change.effective_on, now))


def _end(tx: Connection, line: LineFacts, on: date, today: date, now: datetime) -> dict[str, Any]:
    assert line.service_id is not None
    ended = end_service(
        tx=tx, service_id=line.service_id, order_line_id=line.id, on=on, today=today, now=now
    )
    end_service_billing(
        tx=tx,
        service_id=line.service_id,
        order_line_id=line.id,
        on=ended.effective_on,
        now=now,
    )
    return _result(line, ended.effective_on, _charge(tx, line, ended.effective_on, now))


def _charge(tx: Connection, line: LineFacts, on: date, now: datetime) -> int | None:
    if line.nr_price == Decimal(0):
        return None
    goes_on = request_of(line.request_type).effect in GOES_ON  # a fee for the act, not a unit
    return charge_once(
        tx=tx,
        billing_account_id=line.billing_account_id,
        order_line_id=line.id,
        service_id=line.service_id,
        product_id=line.product_id,
        description=line.product_name,
        quantity=Decimal(1) if goes_on else line.quantity,
        unit_price=line.nr_price,
        unit_cost=line.nr_cost,
        currency=line.currency,
        on=on,
        now=now,
    )


def _change_date(line: LineFacts, on: date, policy: DeliveryPolicy) -> date:
    """A downgrade that nobody dated waits for the next bill day (domain 3.3)."""
    waits = (
        line.request_type == RequestType.DOWNGRADE
        and line.requested_on is None
        and policy.downgrade_effective is DowngradeDate.NEXT_BILL_DAY
    )
    cycle = Cycle.calendar(Interval(line.cycle), line.anchor_day)
    return cycle.boundary_from(on) if waits else on


def _result(line: LineFacts, on: date, charge_id: int | None) -> dict[str, Any]:
    done: dict[str, Any] = {"service_id": line.service_id, "effective_on": on.isoformat()}
    return done if charge_id is None else done | {"charge_id": charge_id}
