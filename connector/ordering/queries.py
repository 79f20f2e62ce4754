"""Ordering's reads: what a line is about, and lists for people."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from connector.inventory.states import ServiceState
from connector.ordering.orders import UnknownOrder
from connector.ordering.tasks import BILLING_MILESTONES

LIST_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class TargetAddOn:
    """An add-on that a service has."""

    name: str
    product_key: str


@dataclass(frozen=True, slots=True)
class Target:
    """A service that a line wants to change.

    `open_order` is an order that is about to change it, `scheduled` a dated change that waits for
    its day, such as "CANCEL on 2026-08-01".
    """

    id: int
    number: str
    state: ServiceState
    account_id: int
    product_id: int
    product_key: str
    quantity: Decimal
    currency: str
    open_order: str | None
    scheduled: str | None
    mr_price: Decimal
    mr_cost: Decimal
    pricing: dict[str, Any] | None
    location_id: int | None
    renewal_type: str
    add_ons: tuple[TargetAddOn, ...]


@dataclass(frozen=True, slots=True)
class LineFacts:
    """What the flows need to know to carry out a line; prices per unit, `mr` per month."""

    id: int
    order_id: int
    request_type: str
    account_id: int
    billing_account_id: int
    currency: str
    product_id: int
    product_name: str
    service_id: int | None  # its own, or else the one it is about
    target_service_id: int | None
    location_id: int | None
    ordering_payer_id: int  # who pays for the order, which may not be who pays for the service
    quantity: Decimal
    mr_price: Decimal
    nr_price: Decimal
    mr_cost: Decimal
    nr_cost: Decimal
    term_months: int
    renewal_type: str
    requested_on: date | None
    anchor_day: int
    cycle: str
    timezone: str
    pricing: dict[str, Any] | None = None
    add_ons: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order in a list."""

    id: int
    number: str
    account: str
    state: str
    progress_pct: int
    tasks_total: int
    tasks_done: int
    next_step: str | None
    blocker: str | None
    created_at: datetime
    expected_end_at: datetime | None
    actual_end_at: datetime | None


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line of an order."""

    id: int
    sequence: int
    request_type: str
    product: str
    quantity: Decimal
    mr_price: Decimal
    nr_price: Decimal
    state: str
    service: str | None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task of an order's plan."""

    number: str
    line: int
    work_order: str
    name: str
    kind: str
    queue: str | None
    state: str
    milestone_of: str | None
    after: tuple[str, ...]
    effective_on: date | None
    expected_end_at: datetime | None
    actual_end_at: datetime | None
    error_message: str | None
    why_in_plan: str


def targets(*, tx: Connection, ids: Collection[int]) -> dict[int, Target]:
    """Return services that lines want to change, each with the open order about it, if any."""
    rows = tx.execute(_TARGETS, {"ids": list(ids)})
    return {
        row.id: Target(
            **dict(row._mapping)
            | {
                "state": ServiceState(row.state),
                "add_ons": tuple(TargetAddOn(**one) for one in row.add_ons),
            }
        )
        for row in rows
    }


_TARGETS = text("""
    SELECT s.id, s.number, s.state, s.account_id, s.product_id, p.key AS product_key, s.quantity,
           s.currency, s.mr_price, s.mr_cost, s.pricing, busy.number AS open_order,
           waiting.scheduled, s.location_id,
           s.renewal_type,
           ARRAY(SELECT jsonb_build_object('name', a.name, 'product_key', part.key)
                   FROM add_on a JOIN product part ON part.id = a.product_id
                  WHERE a.service_id = s.id AND a.end_on IS NULL ORDER BY a.name) AS add_ons
      FROM service s
      JOIN product p ON p.id = s.product_id
      LEFT JOIN LATERAL (
        SELECT o.number
          FROM order_line l
          JOIN customer_order o ON o.id = l.order_id
          JOIN v_order_line_state state ON state.order_line_id = l.id
         WHERE l.target_service_id = s.id AND l.request_type <> 'SERVICE_REQUEST'
           AND state.state NOT IN ('Completed', 'Canceled')
           AND NOT EXISTS (SELECT 1 FROM service_change c WHERE c.order_line_id = l.id)
         ORDER BY o.id LIMIT 1) busy ON true
      LEFT JOIN LATERAL (
        SELECT c.type || ' on ' || c.effective_on AS scheduled
          FROM service_change c
         WHERE c.service_id = s.id AND c.state = 'Scheduled'
         ORDER BY c.type = 'CANCEL' DESC, c.effective_on LIMIT 1) waiting ON true
     WHERE s.id = ANY(:ids)
""")


def line_facts(*, tx: Connection, order_line_id: int) -> LineFacts:
    """Return what carrying out a line takes; its service is its own or the one it is about."""
    row = tx.execute(_LINE_FACTS, {"order_line_id": order_line_id}).one()
    return LineFacts(**dict(row._mapping) | {"add_ons": tuple(row.add_ons or ())})


_LINE_FACTS = text("""
    SELECT l.id, l.order_id, l.request_type, o.account_id,
           coalesce(s.billing_account_id, o.billing_account_id) AS billing_account_id, o.currency,
           l.product_id, p.display_name AS product_name, s.id AS service_id, l.quantity,
           l.mr_price, l.nr_price, l.mr_cost, l.nr_cost, l.term_months, l.renewal_type,
           l.requested_on,
           b.anchor_day, b.cycle, b.timezone, l.pricing, l.target_service_id, l.location_id,
           o.billing_account_id AS ordering_payer_id, l.add_ons
      FROM order_line l
      JOIN customer_order o ON o.id = l.order_id
      JOIN product p ON p.id = l.product_id
      LEFT JOIN service made ON made.created_by_line_id = l.id
      LEFT JOIN service s ON s.id = coalesce(made.id, l.target_service_id)
      JOIN billing_account b ON b.id = coalesce(s.billing_account_id, o.billing_account_id)
     WHERE l.id = :order_line_id
""")


def list_orders(
    *, tx: Connection, account_sfid: str | None = None, state: str | None = None, limit: int = 100
) -> tuple[OrderRow, ...]:
    """Return orders, newest first, at most `limit` and never more than a thousand."""
    rows = tx.execute(
        text(
            _ORDER_ROWS + " WHERE (CAST(:sfid AS text) IS NULL OR a.sfid = :sfid)"
            " AND (CAST(:state AS text) IS NULL OR v.state = :state)"
            " ORDER BY o.id DESC LIMIT :limit"
        ),
        {"sfid": account_sfid, "state": state, "limit": min(limit, LIST_LIMIT)},
    )
    return tuple(OrderRow(**row._mapping) for row in rows)


def order_by_number(*, tx: Connection, number: str) -> OrderRow:
    """Return one order with its state.

    Raises:
        UnknownOrder: There is none of this number.
    """
    row = tx.execute(
        text(_ORDER_ROWS + " WHERE o.number = :number"), {"number": number}
    ).one_or_none()
    if row is None:
        raise UnknownOrder(f"There is no order {number}.")
    return OrderRow(**row._mapping)


_ORDER_ROWS = """
    SELECT o.id, o.number, a.name AS account, v.state, v.progress_pct, v.tasks_total, v.tasks_done,
           v.next_step, v.blocker, o.created_at, v.expected_end_at, v.actual_end_at
      FROM customer_order o
      JOIN account a ON a.id = o.account_id
      JOIN v_order_state v ON v.order_id = o.id
"""


def lines_of(*, tx: Connection, order_id: int) -> tuple[LineRow, ...]:
    """Return the lines of an order in their order."""
    rows = tx.execute(
        text("""
            SELECT l.id, l.sequence, l.request_type, p.key AS product, l.quantity, l.mr_price,
                   l.nr_price, v.state, s.number AS service
              FROM order_line l
              JOIN product p ON p.id = l.product_id
              JOIN v_order_line_state v ON v.order_line_id = l.id
              LEFT JOIN service made ON made.created_by_line_id = l.id
              LEFT JOIN service s ON s.id = coalesce(made.id, l.target_service_id)
             WHERE l.order_id = :order_id ORDER BY l.sequence
        """),
        {"order_id": order_id},
    )
    return tuple(LineRow(**row._mapping) for row in rows)


@dataclass(frozen=True, slots=True)
class OrderTotal:
    """What an order comes to, or what one vendor supplies of it; costs are what we pay."""

    lines: int
    monthly: Decimal
    once: Decimal
    monthly_cost: Decimal
    once_cost: Decimal
    currency: str
    vendor: str | None = None  # None: the whole order; empty: nobody's but our own


def totals_of(*, tx: Connection, order_id: int) -> tuple[OrderTotal, tuple[OrderTotal, ...]]:
    """Return what an order comes to, and that by vendor (row B6).

    A month: what its services cost from then on; one that ends costs nothing.
    """
    rows = tx.execute(_TOTALS, {"order_id": order_id}).all()
    found = tuple(OrderTotal(**row._mapping) for row in rows)
    (whole,) = (one for one in found if one.vendor is None)
    return whole, tuple(one for one in found if one.vendor is not None)


_TOTALS = text("""
    SELECT CASE WHEN grouping(p.vendor) = 0 THEN p.vendor END AS vendor, count(l.id) AS lines,
           o.currency, coalesce(sum(l.mr_price * l.quantity), 0) AS monthly,
           coalesce(sum(l.nr_price * l.quantity), 0) AS once,
           coalesce(sum(l.mr_cost * l.quantity), 0) AS monthly_cost,
           coalesce(sum(l.nr_cost * l.quantity), 0) AS once_cost
      FROM customer_order o
      JOIN order_line l ON l.order_id = o.id
      JOIN product p ON p.id = l.product_id
     WHERE o.id = :order_id
     GROUP BY o.currency, ROLLUP (p.vendor) ORDER BY p.vendor
""")


def plan_of(*, tx: Connection, order_id: int) -> tuple[TaskRow, ...]:
    """Return every task of an order in the order of the plan, each with what it comes after."""
    rows = tx.execute(
        text("""
            SELECT t.number, l.sequence AS line, w.number AS work_order, t.name, t.kind, t.queue,
                   t.state, t.milestone_of, t.effective_on, t.expected_end_at, t.actual_end_at,
                   t.error_message, t.why_in_plan,
                   coalesce((SELECT array_agg(p.number ORDER BY p.sequence)
                               FROM task_dependency d JOIN task p ON p.id = d.predecessor_id
                              WHERE d.successor_id = t.id), '{}') AS after
              FROM order_line l
              JOIN work_order w ON w.order_line_id = l.id
              JOIN task t ON t.work_order_id = w.id
             WHERE l.order_id = :order_id ORDER BY l.sequence, w.id, t.sequence
        """),
        {"order_id": order_id},
    )
    return tuple(TaskRow(**(dict(row._mapping) | {"after": tuple(row.after)})) for row in rows)


def lines_worked_by_people(*, tx: Connection, order_id: int) -> frozenset[int]:
    """Return the lines of an order that take effect only after somebody did something.

    A line that is not among them takes effect by itself as soon as the order starts, for whatever
    day it asks.
    """
    rows = tx.execute(
        text("""
            WITH RECURSIVE earlier AS (
                SELECT w.order_line_id, t.id, t.kind
                  FROM order_line l
                  JOIN work_order w ON w.order_line_id = l.id
                  JOIN task t ON t.work_order_id = w.id
                 WHERE l.order_id = :order_id AND t.milestone_of = ANY(:milestones)
                UNION
                SELECT e.order_line_id, t.id, t.kind
                  FROM earlier e
                  JOIN task_dependency d ON d.successor_id = e.id
                  JOIN task t ON t.id = d.predecessor_id)
            SELECT DISTINCT order_line_id FROM earlier WHERE kind IN ('Manual', 'Wait')
        """),
        {"order_id": order_id, "milestones": list(BILLING_MILESTONES)},
    )
    return frozenset(row.order_line_id for row in rows)
