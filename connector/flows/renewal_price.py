"""What a service costs in the term that follows, where the catalogue has a price for RENEW.

The source of the rule is domain 3.3, RENEW.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, text

from connector.billing.commands import change_service_billing
from connector.catalog.domain import price_for_term
from connector.catalog.queries import own_prices_on, prices_on
from connector.flows.sold_price import SoldPrice, listed_price
from connector.inventory.renewals import RENEW, Renewed, set_price

log = structlog.get_logger(__name__)

_SERVICE = text("""
    SELECT s.id, s.product_id, s.quantity, s.currency, s.mr_price, s.mr_cost, s.pricing,
           s.brand_id, a.sfid AS account_sfid,
           EXISTS (SELECT FROM service_change c
                    WHERE c.service_id = s.id AND c.state = 'Applied' AND c.type <> 'RENEW'
                      AND c.new ? 'mr_price' AND c.effective_on >= :on) AS is_agreed
      FROM service s JOIN account a ON a.id = s.account_id
     WHERE s.id = :id
""")


@dataclass(frozen=True, slots=True)
class _Standing:
    """A service and its price as they are; `is_agreed`: somebody ordered one for this term."""

    id: int
    product_id: int
    quantity: Decimal
    currency: str
    mr_price: Decimal
    mr_cost: Decimal
    pricing: dict[str, Any] | None
    brand_id: int
    account_sfid: str
    is_agreed: bool


def renew_price(*, tx: Connection, renewed: Renewed, now: datetime) -> bool:
    """Let a service cost what the catalogue says for RENEW over the new term on its first day.

    The customer's own list goes before the catalogue's price (row B8). Returns whether the price
    changed: it stays where there is none for this term, and where one was ordered for that day or
    a later one.

    Raises:
        StateConflict: The service cannot be billed otherwise from that day; the error says why.
    """
    values = {"id": renewed.service_id, "on": renewed.on}
    standing = _Standing(**tx.execute(_SERVICE, values).one()._mapping)
    price = None if standing.is_agreed else _price(tx, standing, renewed.months, renewed.on)
    if price is None or (price.mr_price, price.mr_cost, price.pricing) == (
        standing.mr_price,
        standing.mr_cost,
        standing.pricing,
    ):
        return False
    set_price(
        tx=tx,
        renewed=renewed,
        mr_price=price.mr_price,
        mr_cost=price.mr_cost,
        pricing=price.pricing,
    )
    change_service_billing(
        tx=tx,
        service_id=standing.id,
        order_line_id=None,
        on=renewed.on,
        quantity=standing.quantity,
        mr_price=price.mr_price,
        mr_cost=price.mr_cost,
        product_id=standing.product_id,
        pricing=price.pricing,
        now=now,
    )
    log.info("service.price_renewed", service_id=standing.id, on=renewed.on)
    return True


def _price(tx: Connection, standing: _Standing, months: int, on: date) -> SoldPrice | None:
    ids, currency = [standing.product_id], standing.currency
    offered = prices_on(tx=tx, product_ids=ids, currency=currency, on=on)
    entry = price_for_term(offered.get((standing.product_id, RENEW), ()), months)
    if entry is None:
        return None
    own = own_prices_on(
        tx=tx,
        account_sfid=standing.account_sfid,
        brand_id=standing.brand_id,
        product_ids=ids,
        currency=currency,
        on=on,
    ).get(standing.product_id)
    return listed_price(
        entry=entry,
        quantity=standing.quantity,
        own=own.of_unit(entry.mr_cost) if own else None,
    )
