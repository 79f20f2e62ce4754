"""The add-ons of a service: dated rows, each with a name of its own in its service."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, insert, or_, select, update

from connector.errors import StateConflict
from connector.store.tables.inventory import add_on


class NoSuchAddOn(StateConflict):
    """The service has no add-on of this name to remove."""

    code = "inventory.no_such_add_on"
    remedy = "Name one that the service has on that day."


class AddOnStands(StateConflict):
    """The service has an add-on of this name already."""

    code = "inventory.add_on_stands"
    remedy = "Give the new one another name, or remove the old one."


@dataclass(frozen=True, slots=True)
class NewAddOn:
    """A part that is added to a service; its price is per unit and month."""

    name: str
    product_id: int
    quantity: Decimal
    unit_mr_price: Decimal


def put_add_on(
    *, tx: Connection, service_id: int, order_line_id: int, new: NewAddOn, on: date
) -> int:
    """Enter an add-on from a day on; return its id. The same order line again changes nothing.

    Raises:
        AddOnStands: The service has one of this name on that day.
    """
    own = (add_on.c.service_id == service_id) & (add_on.c.name == new.name)
    known = tx.scalar(select(add_on.c.id).where(own, add_on.c.order_line_id == order_line_id))
    if known is not None:
        return int(known)
    standing = tx.scalar(
        select(add_on.c.start_on).where(own, or_(add_on.c.end_on.is_(None), add_on.c.end_on > on))
    )
    if standing is not None:
        raise AddOnStands(f"The service has an add-on '{new.name}' from {standing} on.")
    return int(
        tx.execute(
            insert(add_on)
            .values(
                service_id=service_id,
                order_line_id=order_line_id,
                product_id=new.product_id,
                name=new.name,
                quantity=new.quantity,
                unit_mr_price=new.unit_mr_price,
                start_on=on,
            )
            .returning(add_on.c.id)
        ).scalar_one()
    )


def swap_add_on(
    *, tx: Connection, service_id: int, order_line_id: int, new: NewAddOn, on: date
) -> int:
    """Let an add-on be another from a day on, under its name; return the id of what it is then.

    The same order line again changes nothing.

    Raises:
        NoSuchAddOn: The service has none of this name on that day.
    """
    own = (add_on.c.service_id == service_id) & (add_on.c.name == new.name)
    known = tx.scalar(select(add_on.c.id).where(own, add_on.c.order_line_id == order_line_id))
    if known is not None:
        return int(known)
    take_add_on(tx=tx, service_id=service_id, name=new.name, on=on)
    return put_add_on(tx=tx, service_id=service_id, order_line_id=order_line_id, new=new, on=on)


def take_add_on(*, tx: Connection, service_id: int, name: str, on: date) -> bool:
    """End an add-on: `on` is its first day without it. False when it ends on that day already.

    Raises:
        NoSuchAddOn: The service has none of this name on that day.
    """
    row = tx.execute(
        select(add_on.c.id, add_on.c.start_on, add_on.c.end_on)
        .where(add_on.c.service_id == service_id, add_on.c.name == name)
        .order_by(add_on.c.start_on.desc())
        .limit(1)
    ).one_or_none()
    if row is not None and row.end_on == on:
        return False
    if row is None or row.start_on > on or (row.end_on is not None and row.end_on < on):
        raise NoSuchAddOn(f"The service has no add-on '{name}' on {on}.")
    tx.execute(update(add_on).where(add_on.c.id == row.id).values(end_on=on))
    return True
