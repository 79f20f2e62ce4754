"""Dated changes of a service: at once when the day has come, otherwise scheduled.

A change is kept with its old and new values, so the register can tell how a service came to be
what it is (domain 2.3.6, 3.3). One order line makes one change of a type, however often it is told.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, func, insert, or_, select, text, update

from connector.errors import StateConflict
from connector.inventory.services import Service, lock_service, term_from
from connector.inventory.states import ServiceState, check_move
from connector.store.tables.inventory import add_on, service, service_alias, service_change

log = structlog.get_logger(__name__)

END = "CANCEL"
RE_RATE = "RE_RATE"
_DUE_LIMIT = 10_000
_PLAIN = frozenset({"state", "location_id", "account_id", "billing_account_id"})


class ChangeOutOfOrder(StateConflict):
    """A later change of the service is in force already."""

    code = "inventory.change_out_of_order"
    remedy = "Choose a date on or after the later change, or undo that one first."


class ChangeBeforeStart(StateConflict):
    """The change lies before the service's first day."""

    code = "inventory.change_before_start"
    remedy = "Choose a date on or after the service start."


class NotInService(StateConflict):
    """The service is not in service."""

    code = "inventory.not_in_service"
    remedy = "Only a service In Service can be changed."


@dataclass(frozen=True, slots=True)
class Terms:
    """What a service is from a day on; a `term_months` of None leaves the running term alone.

    `renewal_type` says what follows a new term; without one it stays.
    """

    product_id: int
    quantity: Decimal
    mr_price: Decimal
    mr_cost: Decimal
    term_months: int | None = None
    pricing: dict[str, Any] | None = None
    renewal_type: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a change that was asked for."""

    service_id: int
    effective_on: date
    is_applied: bool
    was_known: bool


def change_service(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    type: str,
    on: date,
    terms: Terms,
    today: date,
    now: datetime,
) -> Change:
    """Change product, quantity or price of a service from a local date on.

    Raises:
        NotInService: The service is not In Service; another price may be given to one that rests.
        ChangeBeforeStart: The date lies before its start.
        ChangeOutOfOrder: A change with a later date is recorded.
    """
    present = lock_service(tx=tx, service_id=service_id)
    known = _known(tx, order_line_id, type)
    if known is not None:
        return known
    is_resting = present.state is ServiceState.SUSPENDED
    if present.state is not ServiceState.IN_SERVICE and not (is_resting and type == RE_RATE):
        raise NotInService(f"Service {present.number} is {present.state}.")
    check_day(tx=tx, present=present, on=on)
    is_due = on <= today
    _record(
        tx=tx,
        present=present,
        order_line_id=order_line_id,
        type=type,
        on=on,
        new=_as_json(terms),
        applied_at=now if is_due else None,
    )
    if is_due:
        _apply_terms(tx, service_id, terms, on)
    log.info("service.changed", service_id=service_id, type=type, on=on, applied=is_due)
    return Change(service_id, on, is_applied=is_due, was_known=False)


def change_facts(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    type: str,
    on: date,
    facts: dict[str, Any],
    today: date,
    now: datetime,
) -> Change:
    """Change where a service is, who has and pays for it, or whether it rests, from a day on.

    `facts` are columns of the service, or `add_ons`, which are only kept as history: their own
    rows are dated.

    Raises:
        ServiceStateConflict: The service cannot get into the wanted state.
        NotInService: It is neither In Service nor suspended.
        ChangeBeforeStart: The date lies before its start.
        ChangeOutOfOrder: A change with a later date is recorded.
    """
    present = lock_service(tx=tx, service_id=service_id)
    known = _known(tx, order_line_id, type)
    if known is not None:
        return known
    if "state" in facts:
        check_move(
            number=present.number, present=present.state, wanted=ServiceState(facts["state"])
        )
    elif present.state not in (ServiceState.IN_SERVICE, ServiceState.SUSPENDED):
        raise NotInService(f"Service {present.number} is {present.state}.")
    check_day(tx=tx, present=present, on=on)
    is_due = on <= today
    _record(
        tx=tx,
        present=present,
        order_line_id=order_line_id,
        type=type,
        on=on,
        new=facts,
        applied_at=now if is_due else None,
    )
    if is_due:
        _apply_facts(tx, service_id, facts)
    log.info("service.changed", service_id=service_id, type=type, on=on, applied=is_due)
    return Change(service_id, on, is_applied=is_due, was_known=False)


def end_service(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    today: date,
    now: datetime,
    state: ServiceState = ServiceState.CANCELED_BY_USER,
) -> Change:
    """End a service: `on` is its first day without service.

    An end before the start ends it on its first day: nothing was served (domain 3.4, golden 5).
    Scheduled changes that would come later are superseded. One that has expired meanwhile stays so,
    unless it ended earlier.

    Raises:
        ServiceStateConflict: The service cannot end from the state it is in.
    """
    present = lock_service(tx=tx, service_id=service_id)
    known = _known(tx, order_line_id, END)
    if known is not None:
        return known
    if present.state is ServiceState.EXPIRED and state is ServiceState.CANCELED_BY_USER:
        # Its last term ended while the order was on its way; an earlier end still counts.
        assert present.service_end_on is not None
        if on >= present.service_end_on:
            return Change(service_id, present.service_end_on, is_applied=True, was_known=False)
    else:
        check_move(number=present.number, present=present.state, wanted=state)
    assert present.service_start_on is not None
    ends_on = max(on, present.service_start_on)
    is_due = ends_on <= today
    tx.execute(
        update(service_change)
        .where(
            service_change.c.service_id == service_id,
            service_change.c.state == "Scheduled",
            service_change.c.effective_on >= ends_on,
        )
        .values(state="Superseded")
    )
    _record(
        tx=tx,
        present=present,
        order_line_id=order_line_id,
        type=END,
        on=ends_on,
        new={"state": str(state)},
        applied_at=now if is_due else None,
    )
    if is_due:
        _apply_end(tx, service_id, state, ends_on)
    log.info("service.ended", service_id=service_id, on=ends_on, applied=is_due)
    return Change(service_id, ends_on, is_applied=is_due, was_known=False)


def apply_due_changes(*, tx: Connection, today: date, now: datetime) -> int:
    """Apply the scheduled changes whose day has come, oldest first; return how many.

    What somebody else has in hand is left to the next run.
    """
    due = tx.execute(
        select(service_change)
        .join(service, service.c.id == service_change.c.service_id)
        # Written out so the planner knows that ix_service_change_due serves it.
        .where(text("service_change.state = 'Scheduled'"), service_change.c.effective_on <= today)
        .order_by(service_change.c.effective_on, service_change.c.id)
        .limit(_DUE_LIMIT)
        # The service first, as everybody does who changes one: two of them never wait crosswise.
        .with_for_update(of=(service, service_change), skip_locked=True)
    ).all()
    for change in due:
        if change.type == END:
            state = ServiceState(change.new["state"])
            _apply_end(tx, change.service_id, state, change.effective_on)
        elif "mr_price" not in change.new:
            _apply_facts(tx, change.service_id, change.new)
        else:
            terms = _from_json(change.new)
            _apply_terms(tx, change.service_id, terms, change.effective_on)
    if due:
        tx.execute(
            update(service_change)
            .where(service_change.c.id.in_([change.id for change in due]))
            .values(state="Applied", applied_at=now)
        )
    return len(due)


def _known(tx: Connection, order_line_id: int, type: str) -> Change | None:
    row = tx.execute(
        select(service_change).where(
            service_change.c.order_line_id == order_line_id, service_change.c.type == type
        )
    ).one_or_none()
    if row is None:
        return None
    return Change(row.service_id, row.effective_on, row.state == "Applied", was_known=True)


def check_day(*, tx: Connection, present: Service, on: date) -> None:
    """Do nothing when a service can change from a day on.

    Raises:
        ChangeBeforeStart: The day lies before its start.
        ChangeOutOfOrder: A change with a later date is recorded.
    """
    if present.service_start_on is None or on < present.service_start_on:
        raise ChangeBeforeStart(
            f"Service {present.number} started on {present.service_start_on}, after {on}."
        )
    _check_order(tx, present, on)


def _check_order(tx: Connection, present: Service, on: date) -> None:
    later = tx.scalar(
        select(service_change.c.effective_on)
        .where(
            service_change.c.service_id == present.id,
            service_change.c.state.in_(("Scheduled", "Applied")),
            service_change.c.effective_on > on,
            # A term that went on by itself stands in nobody's way.
            service_change.c.type != "RENEW",
        )
        .order_by(service_change.c.effective_on.desc())
        .limit(1)
    )
    if later is not None:
        raise ChangeOutOfOrder(
            f"Service {present.number} has a change of {later}; one of {on} comes too late."
        )


def _record(
    *,
    tx: Connection,
    present: Service,
    order_line_id: int,
    type: str,
    on: date,
    new: dict[str, Any],
    applied_at: datetime | None,
) -> None:
    old = {
        "state": str(present.state),
        "product_id": present.product_id,
        "quantity": digits(present.quantity),
        "mr_price": digits(present.mr_price),
        "mr_cost": digits(present.mr_cost),
        "term_months": present.term_months,
        "renewal_type": present.renewal_type,
        "location_id": present.location_id,
        "account_id": present.account_id,
        "billing_account_id": present.billing_account_id,
    }
    tx.execute(
        insert(service_change).values(
            service_id=present.id,
            order_line_id=order_line_id,
            type=type,
            effective_on=on,
            old={key: old[key] for key in old if key in new},
            new=new,
            state="Scheduled" if applied_at is None else "Applied",
            applied_at=applied_at,
        )
    )


def _apply_terms(tx: Connection, service_id: int, terms: Terms, on: date) -> None:
    values: dict[str, Any] = {
        "product_id": terms.product_id,
        "quantity": terms.quantity,
        "mr_price": terms.mr_price,
        "mr_cost": terms.mr_cost,
        "pricing": terms.pricing,
    }
    if terms.term_months is not None:
        values |= {"term_months": terms.term_months, **term_from(on, terms.term_months)}
        if terms.renewal_type is not None:
            values["renewal_type"] = terms.renewal_type
    tx.execute(update(service).where(service.c.id == service_id).values(values))


def _apply_facts(tx: Connection, service_id: int, facts: dict[str, Any]) -> None:
    values = {name: value for name, value in facts.items() if name in _PLAIN}
    if values:
        tx.execute(update(service).where(service.c.id == service_id).values(values))


def _apply_end(tx: Connection, service_id: int, state: ServiceState, on: date) -> None:
    tx.execute(
        update(service).where(service.c.id == service_id).values(state=state, service_end_on=on)
    )
    tx.execute(
        update(service_alias)
        .where(
            service_alias.c.service_id == service_id,
            or_(service_alias.c.valid_to.is_(None), service_alias.c.valid_to > on),
        )
        .values(valid_to=func.greatest(service_alias.c.valid_from, on))
    )
    tx.execute(
        update(add_on)
        .where(
            add_on.c.service_id == service_id,
            or_(add_on.c.end_on.is_(None), add_on.c.end_on > on),
        )
        .values(end_on=func.greatest(add_on.c.start_on, on))
    )


def _as_json(terms: Terms) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "product_id": terms.product_id,
        "quantity": digits(terms.quantity),
        "mr_price": digits(terms.mr_price),
        "mr_cost": digits(terms.mr_cost),
    }
    if terms.pricing is not None:
        shown["pricing"] = terms.pricing
    if terms.term_months is not None:
        shown["term_months"] = terms.term_months
        if terms.renewal_type is not None:
            shown["renewal_type"] = terms.renewal_type
    return shown


def _from_json(shown: dict[str, Any]) -> Terms:
    return Terms(
        product_id=int(shown["product_id"]),
        quantity=Decimal(shown["quantity"]),
        mr_price=Decimal(shown["mr_price"]),
        mr_cost=Decimal(shown["mr_cost"]),
        term_months=shown.get("term_months"),
        pricing=shown.get("pricing"),
        renewal_type=shown.get("renewal_type"),
    )


def digits(number: Decimal) -> str:
    """Return a number as a change keeps it: all its digits, none that says nothing."""
    return f"{number.normalize():f}"
