"""The register's reads for people: lists and one service with its history."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select

from connector.inventory.services import UnknownService
from connector.store.tables.catalog import product
from connector.store.tables.inventory import service, service_alias, service_change
from connector.store.tables.parties import account, location

LIST_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service in a list; `mr_price` is per unit and month."""

    id: int
    number: str
    account: str
    product: str
    location: str | None
    state: str
    quantity: Decimal
    mr_price: Decimal
    currency: str
    service_start_on: date | None
    service_end_on: date | None


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One dated change of a service."""

    type: str
    effective_on: date
    state: str
    old: dict[str, Any]
    new: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServiceDetail:
    """A service with its term, its aliases and its history; without a term end month to month."""

    service: ServiceRow
    term_end_on: date | None
    renewal_type: str
    aliases: tuple[str, ...]
    changes: tuple[ChangeRow, ...]


def list_services(
    *, tx: Connection, account_sfid: str | None = None, state: str | None = None, limit: int = 100
) -> tuple[ServiceRow, ...]:
    """Return services by number, at most `limit` and never more than a thousand."""
    query = _rows().order_by(service.c.number).limit(min(limit, LIST_LIMIT))
    if account_sfid is not None:
        query = query.where(account.c.sfid == account_sfid)
    if state is not None:
        query = query.where(service.c.state == state)
    return tuple(ServiceRow(**row._mapping) for row in tx.execute(query))


def service_by_number(*, tx: Connection, number: str) -> ServiceDetail:
    """Return a service with its aliases and changes.

    Raises:
        UnknownService: There is none of this number.
    """
    row = tx.execute(_rows().where(service.c.number == number)).one_or_none()
    if row is None:
        raise UnknownService(f"There is no service {number}.")
    found = ServiceRow(**row._mapping)
    term = tx.execute(
        select(service.c.current_term_end_on, service.c.renewal_type).where(
            service.c.id == found.id
        )
    ).one()
    aliases = tx.scalars(
        select(service_alias.c.value)
        .where(service_alias.c.service_id == found.id)
        .where(func.coalesce(service_alias.c.valid_to > service_alias.c.valid_from, True))
        .order_by(service_alias.c.value)
    )
    changes = tx.execute(
        select(
            service_change.c.type,
            service_change.c.effective_on,
            service_change.c.state,
            service_change.c.old,
            service_change.c.new,
        )
        .where(service_change.c.service_id == found.id)
        .order_by(service_change.c.effective_on, service_change.c.id)
    )
    return ServiceDetail(
        service=found,
        term_end_on=term.current_term_end_on,
        renewal_type=term.renewal_type,
        aliases=tuple(aliases),
        changes=tuple(ChangeRow(**change._mapping) for change in changes),
    )


def _rows() -> Any:
    return (
        select(
            service.c.id,
            service.c.number,
            account.c.name.label("account"),
            product.c.key.label("product"),
            location.c.name.label("location"),
            service.c.state,
            service.c.quantity,
            service.c.mr_price,
            service.c.currency,
            service.c.service_start_on,
            service.c.service_end_on,
        )
        .join(account, account.c.id == service.c.account_id)
        .join(product, product.c.id == service.c.product_id)
        .outerjoin(location, location.c.id == service.c.location_id)
    )
