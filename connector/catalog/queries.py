"""The catalogue's reads."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from connector.catalog.domain import PriceEntry, Product
from connector.errors import StateConflict
from connector.store.tables.catalog import price_entry, product, tax_rate


class UnknownProduct(StateConflict):
    """The catalogue has no product of this key."""

    code = "catalog.unknown_product"
    remedy = "Load a catalogue that has it, or correct the product of the line."


class NoPrice(StateConflict):
    """No price entry is in force for what is asked."""

    code = "catalog.no_price"
    remedy = "Add a price entry for it to the catalogue and load it."


class NoTaxRate(StateConflict):
    """No tax rate is in force for what is asked."""

    code = "catalog.no_tax_rate"
    remedy = "Add the tax rate to the catalogue and load it."


_PRODUCT = select(
    product.c.id,
    product.c.brand_id,
    product.c.key,
    product.c.name,
    product.c.display_name,
    product.c.kind,
    product.c.vendor,
    product.c.service_class,
    product.c.is_location_based,
    product.c.change_policy,
    product.c.tax_category,
    product.c.accounting_code,
    product.c.rate_plan_key,
)


def _as_product(row: Row[*tuple[Any, ...]]) -> Product:
    return Product(**row._mapping)


def product_by_key(tx: Connection, key: str) -> Product:
    """Return a product.

    Raises:
        UnknownProduct: There is none of that key.
    """
    found = products_by_keys(tx, (key,))
    if key not in found:
        raise UnknownProduct(f"The catalogue has no product '{key}'.")
    return found[key]


def product_by_id(tx: Connection, product_id: int) -> Product:
    """Return a product by its id.

    Raises:
        UnknownProduct: There is none of that id.
    """
    row = tx.execute(_PRODUCT.where(product.c.id == product_id)).one_or_none()
    if row is None:
        raise UnknownProduct(f"The catalogue has no product number {product_id}.")
    return _as_product(row)


def products_by_keys(tx: Connection, keys: Iterable[str]) -> dict[str, Product]:
    """Return the products of these keys; a key nobody knows is left out."""
    rows = tx.execute(_PRODUCT.where(product.c.key.in_(tuple(keys))))
    return {row.key: _as_product(row) for row in rows}


def price_in_force(
    *,
    tx: Connection,
    product_id: int,
    request_type: str,
    term_months: int,
    currency: str,
    on: date,
) -> PriceEntry:
    """Return the price of a product on a day.

    Raises:
        NoPrice: None is in force.
    """
    columns = [column for column in price_entry.c if column.name not in ("brand_id", "slot")]
    row = tx.execute(
        select(*columns).where(
            price_entry.c.product_id == product_id,
            price_entry.c.request_type == request_type,
            price_entry.c.term_months == term_months,
            price_entry.c.currency == currency,
            price_entry.c.valid_from <= on,
            or_(price_entry.c.valid_to.is_(None), price_entry.c.valid_to > on),
        )
    ).one_or_none()
    if row is None:
        key = tx.execute(select(product.c.key).where(product.c.id == product_id)).scalar()
        raise NoPrice(
            f"Product '{key}' has no price for {request_type}, {term_months} months, {currency} "
            f"on {on}."
        )
    return PriceEntry(**row._mapping)


def tax_percent(*, tx: Connection, country: str, category: str, on: date) -> Decimal:
    """Return the tax rate in percent on a day.

    Raises:
        NoTaxRate: None is in force.
    """
    percent = tx.execute(
        select(tax_rate.c.percent).where(
            tax_rate.c.country == country,
            tax_rate.c.category == category,
            tax_rate.c.valid_from <= on,
            or_(tax_rate.c.valid_to.is_(None), tax_rate.c.valid_to > on),
        )
    ).scalar_one_or_none()
    if percent is None:
        raise NoTaxRate(f"There is no tax rate for {country}, {category} on {on}.")
    return Decimal(percent)
