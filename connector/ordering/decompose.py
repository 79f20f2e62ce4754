"""From order lines to work: services, work orders and tasks, by the template of each price."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row, insert, select

from connector.errors import StateConflict
from connector.inventory.services import NewService, create_services
from connector.ordering.orders import OrderFinal, lock_order
from connector.ordering.request_types import MAKES_SERVICE, request_of
from connector.ordering.templates import NoTemplate, Templates, WorkOrderTemplate
from connector.parties.numbering import Reserved, reserve
from connector.store.tables.catalog import price_entry, product
from connector.store.tables.inventory import service
from connector.store.tables.ordering import (
    customer_order,
    order_line,
    task,
    task_dependency,
    work_order,
)

log = structlog.get_logger(__name__)


class WrongTemplate(StateConflict):
    """The template of the price entry is made for another kind of work."""

    code = "ordering.wrong_template"
    remedy = "Correct the template of the price entry in the catalogue."


@dataclass(frozen=True, slots=True)
class Decomposed:
    """How much work an order turned into; zeros when it had been done before."""

    services: int
    work_orders: int
    tasks: int


@dataclass(frozen=True, slots=True)
class _Planned:
    line: Row[Any]
    template: WorkOrderTemplate
    service_id: int | None
    after: "_Planned | None" = None  # begins when the other one's milestone is passed


def template_for(
    *, templates: Templates, key: str | None, request_type: str, product_key: str
) -> WorkOrderTemplate:
    """Return the template that delivers a product for a request type.

    Raises:
        UnsupportedRequest: The request type is not delivered.
        NoTemplate: The price entry names none, or one that no file defines.
        WrongTemplate: It is made for another kind of work.
    """
    request = request_of(request_type)
    if key is None:
        raise NoTemplate(f"The price of '{product_key}' for {request_type} names no template.")
    template = templates.get(key)
    if template.role != request.role:
        raise WrongTemplate(
            f"Template '{key}' is for role {template.role}; "
            f"{request_type} of '{product_key}' needs {request.role}."
        )
    return template


def decompose_order(
    *, tx: Connection, order_id: int, templates: Templates, now: datetime
) -> Decomposed:
    """Make the services and work orders of every line that has none yet.

    Raises:
        NoTemplate: A line has no template; nothing is made.
        WrongTemplate: A template does not fit its line; nothing is made.
        OrderFinal: The order was cancelled.
    """
    order = lock_order(tx=tx, order_id=order_id)
    if order.cancel_requested_at is not None:
        raise OrderFinal(f"Order {order.number} was cancelled; nothing is made for it any more.")
    lines = tx.execute(_LINES_WITHOUT_WORK.where(order_line.c.order_id == order_id)).all()
    chosen = [
        template_for(
            templates=templates,
            key=line.work_order_template,
            request_type=line.request_type,
            product_key=line.product_key,
        )
        for line in lines
    ]
    starting = [line for line in lines if request_of(line.request_type).effect in MAKES_SERVICE]
    created = create_services(tx=tx, new=[_new_service(line) for line in starting])
    service_of = {line.id: made.id for line, made in zip(starting, created, strict=True)}
    planned: list[_Planned] = []
    for line, template in zip(lines, chosen, strict=True):
        service_id = service_of.get(line.id, line.target_service_id)
        planned.append(_Planned(line, template, service_id))
        if template.followed_by is not None:
            follower = templates.get(template.followed_by)
            planned.append(_Planned(line, follower, line.target_service_id, after=planned[-1]))
    tasks = _write(tx, planned, now) if planned else 0
    log.info("order.decomposed", order_id=order_id, work_orders=len(planned), tasks=tasks)
    return Decomposed(services=len(created), work_orders=len(planned), tasks=tasks)


_LINES_WITHOUT_WORK = (
    select(
        order_line,
        customer_order.c.brand_id,
        customer_order.c.account_id,
        customer_order.c.billing_account_id,
        customer_order.c.currency,
        price_entry.c.work_order_template,
        product.c.key.label("product_key"),
        # What replaces a service goes on where that is and for who pays for it.
        service.c.billing_account_id.label("payer_of_target"),
        service.c.location_id.label("place_of_target"),
    )
    .join(customer_order, customer_order.c.id == order_line.c.order_id)
    .join(product, product.c.id == order_line.c.product_id)
    .outerjoin(price_entry, price_entry.c.id == order_line.c.price_entry_id)
    .outerjoin(service, service.c.id == order_line.c.target_service_id)
    .where(~select(work_order.c.id).where(work_order.c.order_line_id == order_line.c.id).exists())
    .order_by(order_line.c.sequence)
)


def _new_service(line: Row[Any]) -> NewService:
    return NewService(
        brand_id=line.brand_id,
        account_id=line.account_id,
        billing_account_id=line.payer_of_target or line.billing_account_id,
        product_id=line.product_id,
        location_id=line.location_id or line.place_of_target,
        created_by_line_id=line.id,
        customer_service_name=line.description or None,
        quantity=line.quantity,
        mr_price=line.mr_price,
        pricing=line.pricing,
        mr_cost=line.mr_cost,
        currency=line.currency,
        term_months=line.term_months,
        renewal_type=line.renewal_type,
    )


def _write(tx: Connection, planned: Sequence[_Planned], now: datetime) -> int:
    orders = reserve(tx=tx, table=work_order, prefix="WO", count=len(planned))
    total = sum(len(one.template.tasks) for one in planned)
    numbers = iter(reserve(tx=tx, table=task, prefix="TSK", count=total))
    tasks: list[dict[str, Any]] = []
    edges: list[dict[str, int]] = []
    milestones: dict[int, int] = {}
    for one, owner in zip(planned, orders, strict=True):
        taken = {step.name: next(numbers) for step in one.template.tasks}
        tasks.extend(_task_rows(one.template, owner.id, taken))
        edges.extend(
            {"predecessor_id": taken[before].id, "successor_id": taken[step.name].id}
            for step in one.template.tasks
            for before in step.after
        )
        if one.after is not None:
            edges.extend(
                {"predecessor_id": milestones[one.line.id], "successor_id": taken[step.name].id}
                for step in one.template.tasks
                if not step.after
            )
        milestones[one.line.id] = taken[one.template.milestone].id
    tx.execute(
        insert(work_order),
        [
            {
                "id": owner.id,
                "number": owner.number,
                "order_line_id": one.line.id,
                "service_id": one.service_id,
                "role": one.template.role,
                "template": one.template.key,
                "created_at": now,
            }
            for one, owner in zip(planned, orders, strict=True)
        ],
    )
    tx.execute(insert(task), tasks)
    if edges:
        tx.execute(insert(task_dependency), edges)
    return total


def _task_rows(
    template: WorkOrderTemplate, work_order_id: int, taken: dict[str, Reserved]
) -> list[dict[str, Any]]:
    return [
        {
            "id": taken[step.name].id,
            "number": taken[step.name].number,
            "work_order_id": work_order_id,
            "sequence": sequence,
            "name": step.name,
            "kind": step.kind,
            "code_ref": step.code,
            "queue": step.queue,
            "phase": step.phase,
            "duration_days": step.duration_days,
            "milestone_of": step.milestone_of,
            "why_in_plan": f"template {template.key}",
        }
        for sequence, step in enumerate(template.tasks, start=1)
    ]
