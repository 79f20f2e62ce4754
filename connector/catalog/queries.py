"""The catalogue's reads."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, or_, select, text

from connector.catalog.domain import PriceEntry, Product
from connector.errors import StateConflict
from connector.store.tables.catalog import price_entry, product, tax_rate


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


def products_by_keys(tx: Connection, keys: Iterable[str]) -> dict[str, Product]:
    """Return the products of these keys; a key nobody knows is left out."""
    rows = tx.execute(_PRODUCT.where(product.c.key.in_(tuple(keys))))
    return {row.key: _as_product(row) for row in rows}


def prices_on(
    *, tx: Connection, product_ids: Collection[int], currency: str, on: date
) -> dict[tuple[int, str], tuple[PriceEntry, ...]]:
    """Return every price of these products in force on a day, by product and request type.

    The prices of one product and request type come in the order of their terms.
    """
    columns = [column for column in price_entry.c if column.name not in ("brand_id", "slot")]
    rows = tx.execute(
        select(*columns)
        .where(
            price_entry.c.product_id.in_(product_ids),
            price_entry.c.currency == currency,
            price_entry.c.valid_from <= on,
            or_(price_entry.c.valid_to.is_(None), price_entry.c.valid_to > on),
        )
        .order_by(price_entry.c.term_months)
    )
    found: dict[tuple[int, str], tuple[PriceEntry, ...]] = {}
    for row in rows:
        entry = PriceEntry(**row._mapping)
        key = (entry.product_id, entry.request_type)
        found[key] = (*found.get(key, ()), entry)
    return found


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A recurring price of a unit from somebody's own list: an amount, or a markup on the cost."""

    price: Decimal | None
    markup: Decimal | None

    def of_unit(self, cost: Decimal) -> Decimal:
        """Return what a unit costs that was bought at a cost."""
        if self.price is not None:
            return self.price
        assert self.markup is not None
        return cost * (1 + self.markup)


# The last row of a product counts: the most particular list, a price before a markup, the newest.
_OWN_PRICES = text("""
    SELECT p.id AS product_id, d.price, d.markup
      FROM discount d
      JOIN product p ON (d.products = '[]' OR d.products @> to_jsonb(p.key))
           AND (d.vendor IS NULL OR d.vendor = p.vendor)
     WHERE p.id = ANY(:product_ids)
       AND (d.markup IS NOT NULL OR (d.price IS NOT NULL AND d.currency = :currency))
       AND d.valid_from <= :on AND (d.valid_to IS NULL OR d.valid_to > :on)
       AND (d.brands = '[]' OR d.brands @> (SELECT to_jsonb(key) FROM brand WHERE id = :brand_id))
       AND (d.customers = '[]' OR d.customers @> to_jsonb(CAST(:account_sfid AS text))
            OR EXISTS (SELECT FROM billing_account b JOIN account a ON a.id = b.account_id
                        WHERE a.sfid = :account_sfid AND d.customers @> to_jsonb(b.number)))
     ORDER BY d.customers <> '[]', d.brands <> '[]', d.price IS NOT NULL, d.valid_from, d.id
""")


def own_prices_on(
    *,
    tx: Connection,
    account_sfid: str,
    brand_id: int,
    product_ids: Collection[int],
    currency: str,
    on: date,
) -> dict[int, OwnPrice]:
    """Return what takes the place of the list price for a customer, by product (row B8).

    A list that names the customer goes before one of its reseller, that one before one for
    everybody; in each a price before a markup, and the latest before older ones.
    """
    values = {
        "account_sfid": account_sfid, "brand_id": brand_id, "product_ids": list(product_ids),
        "currency": currency, "on": on,
    }  # fmt: skip
    return {
        row.product_id: OwnPrice(row.price, row.markup) for row in tx.execute(_OWN_PRICES, values)
    }


def tax_percent(*, tx: Connection, country: str, category: str, on: date) -> Decimal:
    """Return the tax rate in percent on a day, for customers without a rate of their own kind.

    Raises:
        NoTaxRate: None is in force.
    """
    percent = tx.execute(
        select(tax_rate.c.percent).where(
            tax_rate.c.country == country,
            tax_rate.c.category == category,
            tax_rate.c.customer == "any",
            tax_rate.c.valid_from <= on,
            or_(tax_rate.c.valid_to.is_(None), tax_rate.c.valid_to > on),
        )
    ).scalar_one_or_none()
    if percent is None:
        raise NoTaxRate(f"There is no tax rate for {country}, {category} on {on}.")
    return Decimal(percent)
