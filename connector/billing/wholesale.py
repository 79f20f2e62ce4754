"""Charges of resellers: what their customers are charged, at the reseller's price.

One price per tier (domain 3.11): a customer's charge has the price the reseller asks, its shadow
the price the reseller pays, and where that one buys from a distributor, the shadow has one too.
They are charges as any other, so bill runs, proration, credits and tax treat them as any other.
All that one tier's charge has of the other's is the days, the quantity, the service's number and
the name of the seller's own customer.
"""

from datetime import datetime

import structlog
from sqlalchemy import Connection, text

from connector.billing.wholesale_terms import WholesaleTerms, keep_resellers
from connector.store.engine import Store, to_json

log = structlog.get_logger(__name__)

TIERS_MAX = 5  # vendor, distributor, reseller, its reseller, customer

_LOCK = text(
    "SELECT id FROM billing_account WHERE id IN (SELECT billing_account_id FROM reseller) "
    " ORDER BY id FOR NO KEY UPDATE"
)

# A price that was agreed stays, as on any charge; usage is a part of what is charged for it by now.
_FOLLOW = text(
    """
    INSERT INTO charge (brand_id, key, kind, billing_account_id, product_id, description, quantity,
                        unit_price, unit_cost, currency, starts_on, ends_on, tax_category,
                        accounting_code, policy, source, created_at, changed_at)
    SELECT b.brand_id, 'wholesale:' || c.key, c.kind, b.id, c.product_id, p.name,
           CASE c.kind WHEN 'usage' THEN 1 ELSE c.quantity END, w.unit_price, c.unit_cost,
           c.currency, c.starts_on, c.ends_on, c.tax_category, c.accounting_code, c.policy,
           jsonb_build_object('wholesale_of', c.id, 'customer', a.name,
               'service_number', coalesce(s.number, c.source ->> 'service_number', '')),
           :now, :now
      FROM reseller r
      JOIN brand k ON k.id = r.brand_id
      JOIN billing_account b ON b.id = r.billing_account_id
      JOIN charge c ON c.brand_id = r.brand_id AND c.currency = b.currency
      JOIN billing_account o ON o.id = c.billing_account_id
      JOIN account a ON a.id = o.account_id
      JOIN product p ON p.id = c.product_id
      LEFT JOIN service s ON s.id = c.service_id
      CROSS JOIN LATERAL (
          SELECT CASE c.kind WHEN 'recurring' THEN l.monthly WHEN 'one_time' THEN l.once
                     ELSE round(c.unit_price * l.usage_percent / 100, 9) END AS unit_price
            FROM jsonb_to_recordset(CAST(:prices AS jsonb))
                 AS l(brand text, product text, currency text, monthly numeric, once numeric,
                      usage_percent numeric, valid_from date)
           WHERE l.brand = k.key AND l.product = p.key AND l.currency = c.currency
             AND l.valid_from <= c.starts_on
           ORDER BY l.valid_from DESC LIMIT 1) w
     WHERE w.unit_price IS NOT NULL AND c.key NOT LIKE '%\\:early-termination'
    ON CONFLICT (key) DO UPDATE
       SET quantity = excluded.quantity, starts_on = excluded.starts_on,
           ends_on = excluded.ends_on, source = excluded.source, changed_at = excluded.changed_at,
           unit_cost = excluded.unit_cost,
           unit_price = CASE charge.kind WHEN 'usage' THEN excluded.unit_price
                             ELSE charge.unit_price END
     WHERE (charge.quantity, charge.starts_on, charge.ends_on, charge.source, charge.unit_cost)
           IS DISTINCT FROM (excluded.quantity, excluded.starts_on, excluded.ends_on,
                             excluded.source, excluded.unit_cost)
        OR (charge.kind = 'usage' AND charge.unit_price <> excluded.unit_price)
    """
)


def charge_resellers(*, store: Store, terms: WholesaleTerms, now: datetime) -> int:
    """Charge resellers for what their customers are charged by now; return what was new or changed.

    To be called before a bill run; again, it changes nothing.

    Raises:
        BadReseller: The terms name a brand or a billing account that is none.
    """
    with store.transaction() as tx:
        changed = follow_customers(tx, terms=terms, now=now)
    log.info("resellers.charged", resellers=len(terms.resellers), charges=changed)
    return changed


def follow_customers(tx: Connection, *, terms: WholesaleTerms, now: datetime) -> int:
    """Charge resellers in a transaction of the caller; return what was new or changed."""
    keep_resellers(tx, terms)
    if not terms.resellers:
        return 0
    tx.execute(_LOCK)  # while a reseller is billed its charges stand still
    changed = 0
    prices = to_json(terms.prices()).decode()
    for _ in range(TIERS_MAX):
        rows = tx.execute(_FOLLOW, {"prices": prices, "now": now}).rowcount
        changed += rows
        if not rows:
            break
    return changed
