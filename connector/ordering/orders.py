"""The birth of an order and what may be asked of it as a whole."""

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, Row, insert, select, update

from connector.errors import StateConflict
from connector.inventory.services import cancel_unstarted
from connector.ordering.forecasts import forecast_order
from connector.ordering.policy import DeliveryPolicy
from connector.ordering.release import release_roots
from connector.ordering.request_types import RequestType
from connector.ordering.task_states import FINAL
from connector.parties.numbering import reserve
from connector.store.engine import advisory_lock
from connector.store.tables.inventory import service
from connector.store.tables.ordering import customer_order, order_line, task, work_order

log = structlog.get_logger(__name__)

_NUMBER_PREFIX = "ORD"
_NO_WAY_BACK = ("PONR", "Billing start", "Service end")


class UnknownOrder(StateConflict):
    """There is no such order."""

    code = "ordering.unknown_order"
    remedy = "List them: l2c orders list."


class EmptyOrder(StateConflict):
    """The order has no line."""

    code = "ordering.empty_order"
    remedy = "Give it at least one line."


class PastPointOfNoReturn(StateConflict):
    """A step is done that cannot be taken back."""

    code = "ordering.past_point_of_no_return"
    remedy = "Let the order be delivered, then cancel the service by a CANCEL order."


class OrderFinal(StateConflict):
    """The order is completed or canceled."""

    code = "ordering.order_final"


@dataclass(frozen=True, slots=True)
class LineDraft:
    """One line as sold; prices per unit, `mr` per month."""

    request_type: RequestType
    product_id: int
    price_entry_id: int
    quantity: Decimal = Decimal(1)
    mr_price: Decimal = Decimal(0)
    nr_price: Decimal = Decimal(0)
    mr_cost: Decimal = Decimal(0)
    nr_cost: Decimal = Decimal(0)
    term_months: int = 0
    renewal_type: str = "Month-to-month"
    target_service_id: int | None = None
    location_id: int | None = None
    requested_on: date | None = None
    origin_line_sfid: str | None = None
    description: str = ""
    pricing: dict[str, Any] | None = None  # prices the quantity, in place of so much a unit
    add_ons: list[dict[str, Any]] | None = None  # what is added to and removed from the service


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """An order as it is asked for; `origin_key` names what it came from, and makes it once."""

    brand_id: int
    account_id: int
    billing_account_id: int
    origination: str
    origin_key: str
    currency: str
    lines: tuple[LineDraft, ...]
    opportunity_sfid: str | None = None
    quote_sfid: str | None = None
    po_number: str | None = None
    requested_on: date | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An order and what has been asked of it; its state is derived (`v_order_state`)."""

    id: int
    number: str
    started_at: datetime | None
    held_at: datetime | None
    cancel_requested_at: datetime | None


def order_by_origin(*, tx: Connection, origin_key: str) -> int | None:
    """Return the order that came from this origin, or None; the key stays locked until commit.

    Two deliveries of one won deal wait for each other here, so the second sees the first's order.
    """
    advisory_lock(tx, f"ordering.origin:{origin_key}")
    found: int | None = tx.scalar(
        select(customer_order.c.id).where(customer_order.c.origin_key == origin_key)
    )
    return found


def create_order(*, tx: Connection, draft: OrderDraft, now: datetime) -> int:
    """Enter an order with its lines in the order given; the same origin again is the same order.

    Raises:
        EmptyOrder: There is no line.
    """
    if not draft.lines:
        raise EmptyOrder(f"The order from {draft.origin_key} has no line.")
    standing = order_by_origin(tx=tx, origin_key=draft.origin_key)
    if standing is not None:
        return standing
    (reserved,) = reserve(tx=tx, table=customer_order, prefix=_NUMBER_PREFIX, count=1)
    head = asdict(replace(draft, lines=()))
    del head["lines"]
    tx.execute(
        insert(customer_order).values(
            id=reserved.id, number=reserved.number, created_at=now, **head
        )
    )
    tx.execute(
        insert(order_line),
        [
            asdict(line) | {"order_id": reserved.id, "sequence": sequence}
            for sequence, line in enumerate(draft.lines, start=1)
        ],
    )
    log.info("order.created", order_id=reserved.id, lines=len(draft.lines))
    return reserved.id


def lock_order(*, tx: Connection, order_id: int) -> Order:
    """Return an order and keep others from moving it or its tasks until the transaction ends.

    Raises:
        UnknownOrder: There is none with this id.
    """
    row = tx.execute(
        select(customer_order)
        .where(customer_order.c.id == order_id)
        .with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise UnknownOrder(f"There is no order {order_id}.")
    return _order(row)


def start_order(*, tx: Connection, order_id: int, policy: DeliveryPolicy, now: datetime) -> bool:
    """Start delivery: the first tasks become Ready and get dates. False when it had started.

    Raises:
        OrderFinal: It was cancelled.
    """
    order = lock_order(tx=tx, order_id=order_id)
    if order.cancel_requested_at is not None:
        raise OrderFinal(f"Order {order.number} was cancelled and cannot start.")
    if order.started_at is not None:
        return False
    _set(tx, order_id, started_at=now)
    release_roots(tx=tx, order_id=order_id, now=now)
    forecast_order(tx=tx, order_id=order_id, policy=policy, now=now)
    log.info("order.started", order_id=order_id)
    return True


def hold_order(*, tx: Connection, order_id: int, now: datetime) -> bool:
    """Let nothing of the order move until it is released. False when it was held already.

    Raises:
        OrderFinal: Nothing is left to hold.
    """
    order = lock_order(tx=tx, order_id=order_id)
    _check_open(tx, order)
    if order.held_at is not None:
        return False
    _set(tx, order_id, held_at=now)
    log.info("order.held", order_id=order_id)
    return True


def release_order(*, tx: Connection, order_id: int, policy: DeliveryPolicy, now: datetime) -> bool:
    """Let a held order go on; its dates move. False when it was not held."""
    order = lock_order(tx=tx, order_id=order_id)
    if order.held_at is None:
        return False
    _set(tx, order_id, held_at=None)
    if order.started_at is not None:
        forecast_order(tx=tx, order_id=order_id, policy=policy, now=now)
    log.info("order.released", order_id=order_id)
    return True


def cancel_order(*, tx: Connection, order_id: int, now: datetime) -> bool:
    """Cancel what is not done; services that never began are Order Canceled. False when it was.

    Nothing is deleted; numbers that were kept for the services are free again.

    Raises:
        PastPointOfNoReturn: A service began, ended or was billed, or a step said there is no
            way back (domain 3.1).
        OrderFinal: Everything is done.
    """
    order = lock_order(tx=tx, order_id=order_id)
    if order.cancel_requested_at is not None:
        return False
    _check_open(tx, order)
    passed = tx.execute(
        _tasks_of(order_id)
        .where(task.c.state == "Completed", task.c.milestone_of.in_(_NO_WAY_BACK))
        .order_by(task.c.id)
        .limit(1)
    ).one_or_none()
    if passed is not None:
        raise PastPointOfNoReturn(
            f"Order {order.number} cannot be cancelled: "
            f"task {passed.number} '{passed.name}' is done."
        )
    _set(tx, order_id, cancel_requested_at=now)
    of_order = _tasks_of(order_id).with_only_columns(task.c.id)
    tx.execute(
        update(task)
        .where(task.c.id.in_(of_order), task.c.state.not_in(FINAL))
        .values(state="Canceled", actual_end_at=now, next_attempt_at=None)
    )
    begun = tx.scalars(
        select(service.c.id)
        .join(order_line, order_line.c.id == service.c.created_by_line_id)
        .where(order_line.c.order_id == order_id)
    ).all()
    cancel_unstarted(tx=tx, service_ids=begun)
    log.info("order.canceled", order_id=order_id)
    return True


def move_orders(*, tx: Connection, from_account_id: int, to_account_id: int) -> int:
    """Give the orders of one customer to another, as after a merge; return how many."""
    moved: int = tx.execute(
        update(customer_order)
        .where(customer_order.c.account_id == from_account_id)
        .values(account_id=to_account_id)
    ).rowcount
    return moved


def _check_open(tx: Connection, order: Order) -> None:
    states = tx.scalars(_tasks_of(order.id).with_only_columns(task.c.state)).all()
    if states and all(state in FINAL for state in states):
        raise OrderFinal(f"Order {order.number} is done; nothing is left to hold or cancel.")


def _tasks_of(order_id: int) -> Any:
    return (
        select(task.c.id, task.c.number, task.c.name)
        .join(work_order, work_order.c.id == task.c.work_order_id)
        .join(order_line, order_line.c.id == work_order.c.order_line_id)
        .where(order_line.c.order_id == order_id)
    )


def _set(tx: Connection, order_id: int, **values: datetime | None) -> None:
    tx.execute(update(customer_order).where(customer_order.c.id == order_id).values(values))


def _order(row: Row[Any]) -> Order:
    return Order(
        id=row.id,
        number=row.number,
        started_at=row.started_at,
        held_at=row.held_at,
        cancel_requested_at=row.cancel_requested_at,
    )
