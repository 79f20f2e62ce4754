"""The billing boundary (design D14): what ordering may ask of billing, whoever does the billing.

Four commands (open account, start, change, end) and the one-time charge. Each is harmless when it
is repeated for the same order line. Nothing here commits.
"""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, select

from connector.charging.charges import OneTimeCharge, charge_one_time
from connector.charging.recurring import (
    RecurringPrice,
    change_recurring,
    end_recurring,
    start_recurring,
)
from connector.errors import StateConflict
from connector.parties.billing_accounts import PayerTerms, open_billing_account
from connector.store.tables.parties import billing_account


class ForeignCurrency(StateConflict):
    """The billing account has another currency than the charge."""

    code = "billing.foreign_currency"
    remedy = "Open a billing account in the charge's currency."


def open_account(
    *, tx: Connection, account_id: int, currency: str, terms: PayerTerms, now: datetime
) -> int:
    """Return the customer's billing account in this currency, opening it when there is none."""
    return open_billing_account(
        tx=tx, account_id=account_id, currency=currency, terms=terms, now=now
    )


def start_service_billing(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> int:
    """Bill a service at its own quantity and price from a local day on; return the charge's id."""
    return start_recurring(
        tx=tx, service_id=service_id, order_line_id=order_line_id, on=on, now=now
    )


def change_service_billing(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    quantity: Decimal,
    mr_price: Decimal,
    mr_cost: Decimal,
    product_id: int,
    now: datetime,
) -> int:
    """Bill a service at another product, quantity or price from a day on; return the charge's id.

    The day may lie back; days billed at the old price are credited by the next bill.
    """
    price = RecurringPrice(product_id, quantity, mr_price, mr_cost)
    return change_recurring(
        tx=tx, service_id=service_id, order_line_id=order_line_id, on=on, price=price, now=now
    )


def end_service_billing(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> bool:
    """Bill a service up to, not including, a day; return whether that changed anything.

    Days billed ahead are given back by a credit note of the next bill run.
    """
    return end_recurring(tx=tx, service_id=service_id, order_line_id=order_line_id, on=on, now=now)


def charge_once(
    *,
    tx: Connection,
    billing_account_id: int,
    order_line_id: int,
    service_id: int | None,
    product_id: int,
    description: str,
    quantity: Decimal,
    unit_price: Decimal,
    unit_cost: Decimal,
    currency: str,
    on: date,
    now: datetime,
) -> int:
    """Charge an order line once; return the charge's id.

    Raises:
        ForeignCurrency: The billing account is kept in another currency.
    """
    owner = tx.execute(
        select(
            billing_account.c.brand_id, billing_account.c.currency, billing_account.c.number
        ).where(billing_account.c.id == billing_account_id)
    ).one_or_none()
    if owner is None:
        raise StateConflict(f"There is no billing account {billing_account_id}.")
    if owner.currency != currency:
        raise ForeignCurrency(
            f"Billing account {owner.number} is in {owner.currency}, the charge in {currency}."
        )
    sold = OneTimeCharge(
        billing_account_id=billing_account_id,
        order_line_id=order_line_id,
        service_id=service_id,
        product_id=product_id,
        description=description,
        quantity=quantity,
        unit_price=unit_price,
        unit_cost=unit_cost,
        currency=currency,
        on=on,
    )
    return charge_one_time(tx=tx, sold=sold, brand_id=owner.brand_id, now=now)
