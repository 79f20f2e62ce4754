"""What a service goes through without becoming another: add-ons, places, rests, other payers."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from connector.billing.commands import (
    change_add_on_billing,
    charge_once,
    end_add_on_billing,
    move_service_billing,
    resume_service_billing,
    start_add_on_billing,
    suspend_service_billing,
    transfer_service_billing,
)
from connector.billing.requests import AddOnTerms
from connector.errors import StateConflict
from connector.flows.add_on_line import ADD, REMOVE
from connector.inventory.add_ons import NewAddOn, put_add_on, swap_add_on, take_add_on
from connector.inventory.changes import change_facts
from connector.inventory.services import service_by_id
from connector.inventory.states import ServiceState
from connector.ordering.queries import LineFacts
from connector.ordering.request_types import Effect, request_of


class RestInTheFuture(StateConflict):
    """A service cannot be suspended or resumed before its day."""

    code = "flows.rest_in_the_future"
    remedy = "Let the task run on that day, or give an earlier date."


def go_on(tx: Connection, line: LineFacts, on: date, today: date, now: datetime) -> dict[str, Any]:
    """Change what a line asks for, in inventory and billing; return what there is to tell.

    Raises:
        StateConflict: The service cannot do this now; the error says why.
    """
    effect = request_of(line.request_type).effect
    if effect is Effect.ADD_ONS:
        _record(tx, line, on, {"add_ons": list(line.add_ons)}, today, now)
        for one in line.add_ons:
            _change_add_on(tx, line, one, on, now)
        return {"add_ons": [f"{one['act']} {one['name']}" for one in line.add_ons]}
    if effect is Effect.MOVE:
        _move(tx, line, on, today, now)
    elif effect is Effect.TRANSFER:
        _transfer(tx, line, on, today, now)
    else:
        _rest(tx, line, on, today, now, rests=effect is Effect.SUSPEND)
    return {}


def _move(tx: Connection, line: LineFacts, on: date, today: date, now: datetime) -> None:
    assert line.service_id is not None
    _record(tx, line, on, {"location_id": line.location_id}, today, now)
    move_service_billing(
        tx=tx,
        service_id=line.service_id,
        order_line_id=line.id,
        on=on,
        location_id=line.location_id,
        now=now,
    )


def _transfer(tx: Connection, line: LineFacts, on: date, today: date, now: datetime) -> None:
    assert line.service_id is not None
    taking = line.ordering_payer_id
    if service_by_id(tx=tx, service_id=line.service_id).billing_account_id == taking:
        return  # told again
    # Billing first: it asks the service who has paid until now.
    transfer_service_billing(
        tx=tx,
        service_id=line.service_id,
        order_line_id=line.id,
        on=on,
        billing_account_id=taking,
        now=now,
    )
    facts = {"account_id": line.account_id, "billing_account_id": taking}
    _record(tx, line, on, facts, today, now)


def _rest(
    tx: Connection, line: LineFacts, on: date, today: date, now: datetime, *, rests: bool
) -> None:
    assert line.service_id is not None
    if on > today:
        raise RestInTheFuture(f"The service cannot rest or go on from {on}; today is {today}.")
    state = ServiceState.SUSPENDED if rests else ServiceState.IN_SERVICE
    _record(tx, line, on, {"state": str(state)}, today, now)
    bill = suspend_service_billing if rests else resume_service_billing
    bill(tx=tx, service_id=line.service_id, order_line_id=line.id, on=on, now=now)


def _record(
    tx: Connection, line: LineFacts, on: date, facts: dict[str, Any], today: date, now: datetime
) -> None:
    assert line.service_id is not None
    change_facts(
        tx=tx,
        service_id=line.service_id,
        order_line_id=line.id,
        type=line.request_type,
        on=on,
        facts=facts,
        today=today,
        now=now,
    )


def _change_add_on(
    tx: Connection, line: LineFacts, one: dict[str, Any], on: date, now: datetime
) -> None:
    assert line.service_id is not None
    name = one["name"]
    if one["act"] == REMOVE:
        take_add_on(tx=tx, service_id=line.service_id, name=name, on=on)
        end_add_on_billing(
            tx=tx, service_id=line.service_id, order_line_id=line.id, on=on, name=name, now=now
        )
        return
    quantity, price = Decimal(one["quantity"]), Decimal(one["mr_price"])
    new = NewAddOn(name, one["product_id"], quantity, price)
    terms = AddOnTerms(
        name, one["product_id"], quantity, price, Decimal(one["mr_cost"]), one["pricing"]
    )
    put, bill = (
        (put_add_on, start_add_on_billing)
        if one["act"] == ADD
        else (swap_add_on, change_add_on_billing)
    )
    put(tx=tx, service_id=line.service_id, order_line_id=line.id, new=new, on=on)
    bill(tx=tx, service_id=line.service_id, order_line_id=line.id, on=on, add_on=terms, now=now)
    if one.get("nr_price"):
        charge_once(
            tx=tx,
            billing_account_id=line.billing_account_id,
            order_line_id=line.id,
            service_id=line.service_id,
            product_id=one["product_id"],
            description=one["description"],
            quantity=quantity,
            unit_price=Decimal(one["nr_price"]),
            unit_cost=Decimal(one["nr_cost"]),
            currency=line.currency,
            add_on=name,
            on=on,
            now=now,
        )
