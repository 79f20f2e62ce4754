"""The life of a service: entered with its order line, started, cancelled before it began."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, Row, insert, select, update

from connector.errors import StateConflict
from connector.inventory.states import ServiceState, ServiceStateConflict, check_move
from connector.kernel.period import add_months
from connector.parties.numbering import reserve
from connector.store.tables.inventory import service, service_alias

log = structlog.get_logger(__name__)

_NUMBER_PREFIX = "SRV"


class UnknownService(StateConflict):
    """There is no service with this id."""

    code = "inventory.unknown_service"
    remedy = "List them: l2c services list."


class TermMissing(StateConflict):
    """The service renews for the same term and has none."""

    code = "inventory.term_missing"
    remedy = "Give the order line a term, or renew month to month."


class TermNotOver(StateConflict):
    """A term is renewed before it has ended."""

    code = "inventory.term_not_over"
    remedy = "Order a RE_TERM for a new term inside the old one."


class StartedOtherwise(StateConflict):
    """The service is in service since another day."""

    code = "inventory.started_otherwise"
    remedy = "Correct the start by an order of its own; a start is reported once."


@dataclass(frozen=True, slots=True)
class NewService:
    """A service that an order line asks for; price and cost are per unit and month."""

    brand_id: int
    account_id: int
    billing_account_id: int
    product_id: int
    location_id: int | None
    created_by_line_id: int
    customer_service_name: str | None
    quantity: Decimal
    mr_price: Decimal
    mr_cost: Decimal
    currency: str
    term_months: int
    renewal_type: str
    pricing: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A service as it stands."""

    id: int
    number: str
    state: ServiceState
    account_id: int
    billing_account_id: int
    product_id: int
    quantity: Decimal
    mr_price: Decimal
    mr_cost: Decimal
    currency: str
    term_months: int
    renewal_type: str
    service_start_on: date | None
    service_end_on: date | None
    location_id: int | None


def create_services(*, tx: Connection, new: Sequence[NewService]) -> tuple[Service, ...]:
    """Enter services in state New, in the order given."""
    if not new:
        return ()
    reserved = reserve(tx=tx, table=service, prefix=_NUMBER_PREFIX, count=len(new))
    rows = [
        asdict(one) | {"id": taken.id, "number": taken.number, "state": ServiceState.NEW}
        for one, taken in zip(new, reserved, strict=True)
    ]
    tx.execute(insert(service), rows)
    created = tx.execute(
        select(service)
        .where(service.c.id.in_([taken.id for taken in reserved]))
        .order_by(service.c.id)
    )
    return tuple(_service(row) for row in created)


def service_by_id(*, tx: Connection, service_id: int) -> Service:
    """Return one service.

    Raises:
        UnknownService: There is none with this id.
    """
    return _read(tx, service_id, lock=False)


def lock_service(*, tx: Connection, service_id: int) -> Service:
    """Return one service and keep others from changing it until the transaction ends.

    Raises:
        UnknownService: There is none with this id.
    """
    return _read(tx, service_id, lock=True)


def start_service(*, tx: Connection, service_id: int, on: date, now: datetime) -> Service:
    """Put a new service In Service from a local date; its first term and its numbers begin then.

    The same report twice is one start.

    Raises:
        ServiceStateConflict: The service is neither New nor In Service.
        StartedOtherwise: It is In Service since another date.
        TermMissing: It renews for the same term and no term is known (domain 3.1).
    """
    present = lock_service(tx=tx, service_id=service_id)
    if present.state is ServiceState.IN_SERVICE:
        if present.service_start_on == on:
            return present
        raise StartedOtherwise(
            f"Service {present.number} is In Service since {present.service_start_on}, not {on}."
        )
    check_move(number=present.number, present=present.state, wanted=ServiceState.IN_SERVICE)
    if present.renewal_type == "Same term" and present.term_months == 0:
        raise TermMissing(f"Service {present.number} renews for the same term but has none.")
    tx.execute(
        update(service)
        .where(service.c.id == service_id)
        .values(
            state=ServiceState.IN_SERVICE,
            service_start_on=on,
            **term_from(on, present.term_months),
        )
    )
    # Numbers are reserved before the start; usage finds its service from the start on.
    tx.execute(
        update(service_alias)
        .where(service_alias.c.service_id == service_id, service_alias.c.valid_to.is_(None))
        .values(valid_from=on)
    )
    log.info("service.started", service_id=service_id, on=on, reported_at=now)
    return service_by_id(tx=tx, service_id=service_id)


def renew_term(*, tx: Connection, service_id: int, on: date, months: int) -> None:
    """Let the term of a service move on from its end, or from a later day (domain 3.3, RENEW).

    Raises:
        ServiceStateConflict: The service is not In Service.
        TermNotOver: Its present term ends later.
    """
    present = lock_service(tx=tx, service_id=service_id)
    if present.state is not ServiceState.IN_SERVICE:
        raise ServiceStateConflict(
            number=present.number, present=present.state, wanted=ServiceState.IN_SERVICE
        )
    ends_on = tx.scalar(select(service.c.current_term_end_on).where(service.c.id == service_id))
    check_renewal(name=present.number, last_day=ends_on, on=on)
    tx.execute(
        update(service)
        .where(service.c.id == service_id)
        .values(term_months=months, **term_from(on, months))
    )
    log.info("service.renewed", service_id=service_id, on=on, months=months)


def check_renewal(*, name: str, last_day: date | None, on: date) -> None:
    """Do nothing when a term whose last day is known can be renewed on a day.

    Raises:
        TermNotOver: It ends later.
    """
    if last_day is not None and on <= last_day:
        raise TermNotOver(f"The term of {name} lasts until {last_day}; it is not renewed on {on}.")


def cancel_unstarted(*, tx: Connection, service_ids: Collection[int]) -> int:
    """Give up services that never went live: Order Canceled, their numbers free again."""
    if not service_ids:
        return 0
    canceled = (
        tx.execute(
            update(service)
            .where(service.c.id.in_(service_ids), service.c.state == ServiceState.NEW)
            .values(state=ServiceState.ORDER_CANCELED)
            .returning(service.c.id)
        )
        .scalars()
        .all()
    )
    tx.execute(
        update(service_alias)
        .where(service_alias.c.service_id.in_(canceled), service_alias.c.valid_to.is_(None))
        .values(valid_to=service_alias.c.valid_from)
    )
    return len(canceled)


def move_services(*, tx: Connection, from_account_id: int, to_account_id: int) -> int:
    """Give the services of one customer to another, as after a merge; return how many.

    Who is billed for each stays as it is.
    """
    moved: int = tx.execute(
        update(service)
        .where(service.c.account_id == from_account_id)
        .values(account_id=to_account_id)
    ).rowcount
    return moved


def term_from(start: date, months: int) -> dict[str, date | None]:
    """Return the columns of a service whose term, and equal ones after it, count from a day."""
    return {
        "term_anchor_on": start,
        "current_term_start_on": start,
        "current_term_end_on": term_end(start, months),
    }


def term_end(start: date, months: int) -> date | None:
    """Return the last day of a term, or None when the service runs month to month."""
    return add_months(start, months) - timedelta(days=1) if months else None


def _read(tx: Connection, service_id: int, *, lock: bool) -> Service:
    query = select(service).where(service.c.id == service_id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UnknownService(f"There is no service {service_id}.")
    return _service(row)


def _service(row: Row[Any]) -> Service:
    return Service(
        id=row.id,
        number=row.number,
        state=ServiceState(row.state),
        account_id=row.account_id,
        billing_account_id=row.billing_account_id,
        product_id=row.product_id,
        quantity=row.quantity,
        mr_price=row.mr_price,
        mr_cost=row.mr_cost,
        currency=row.currency,
        term_months=row.term_months,
        renewal_type=row.renewal_type,
        service_start_on=row.service_start_on,
        service_end_on=row.service_end_on,
        location_id=row.location_id,
    )
