"""Which discounts were given on what, and what of the list price came in (mission row G13)."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, text

from connector.billing.draft import FOR_GOOD


@dataclass(frozen=True, slots=True)
class Realisation:
    """A product in a currency: list price, what came off it, what was invoiced, net of tax."""

    product_key: str
    product: str
    currency: str
    listed: Decimal
    agreed_off: Decimal  # sold below the list price; negative above it
    discounts: Decimal
    net: Decimal
    percent: Decimal | None  # net of listed


# The newest line of a charge and period tells what it is worth after all corrections so far. A
# document that was given back by hand has no derivation of its own: nothing is left of it. A part
# that was given back for good is one more discount; any other part is billed anew, or not due.
_REALISATION = text("""
    WITH told AS (
      SELECT l.id, l.charge_id, l.product_id, l.amount, i.currency, i.reason, told.begins_on,
             l.explanation ->> 'kind' = 'part' AS is_part,
             l.explanation #> '{inputs,steps}' AS steps
        FROM invoice_line l
        JOIN invoice i ON i.id = l.invoice_id
        LEFT JOIN invoice_line given ON given.id = l.corrects_line_id
        CROSS JOIN LATERAL (SELECT coalesce(
            l.explanation #>> '{inputs,period_from}', l.explanation #>> '{inputs,on}',
            given.explanation #>> '{inputs,period_from}', given.explanation #>> '{inputs,on}',
            l.service_from::text)::date AS begins_on) told
       WHERE i.number IS NOT NULL AND l.charge_id IS NOT NULL
         AND told.begins_on >= :begins_on AND told.begins_on < :ends_on),
    newest AS (
      SELECT DISTINCT ON (charge_id, begins_on) *
        FROM told WHERE NOT is_part ORDER BY charge_id, begins_on, id DESC),
    for_good AS (
      SELECT charge_id, begins_on, -sum(amount) AS amount
        FROM told WHERE is_part AND reason = ANY(:for_good) GROUP BY charge_id, begins_on),
    worth AS (
      SELECT n.product_id, n.currency,
             (steps ->> 'listed')::numeric + (steps ->> 'scheme')::numeric AS gross,
             coalesce(g.amount, 0) - (steps ->> 'discount')::numeric AS discounts,
             CASE WHEN c.pricing IS NULL AND c.source ->> 'part' IS NULL
                   AND (steps ->> 'listed')::numeric <> 0 AND e.id IS NOT NULL
                  THEN c.quantity * (CASE c.kind WHEN 'recurring' THEN e.mr_price
                                                 WHEN 'one_time' THEN e.nr_price
                                                 ELSE c.unit_price END - c.unit_price)
                       * ((steps ->> 'listed')::numeric + (steps ->> 'scheme')::numeric)
                       / (steps ->> 'listed')::numeric
                  ELSE 0 END AS agreed_off
        FROM newest n
        JOIN charge c ON c.id = n.charge_id
        LEFT JOIN for_good g ON g.charge_id = n.charge_id AND g.begins_on = n.begins_on
        LEFT JOIN order_line o ON o.id = c.order_line_id
        LEFT JOIN price_entry e ON e.id = o.price_entry_id
             AND CASE c.kind WHEN 'one_time' THEN e.nr_pricing ELSE e.pricing END IS NULL
             AND CASE c.kind WHEN 'one_time' THEN e.nr_price ELSE e.mr_price END > 0
       WHERE steps IS NOT NULL)
    SELECT p.key AS product_key, p.name AS product, w.currency,
           round(sum(gross + agreed_off), 2) AS listed, round(sum(agreed_off), 2) AS agreed_off,
           round(sum(w.discounts), 2) AS discounts, round(sum(gross - w.discounts), 2) AS net,
           round(100 * sum(gross - w.discounts) / nullif(sum(gross + agreed_off), 0), 1) AS percent
      FROM worth w
      JOIN product p ON p.id = w.product_id
     GROUP BY p.key, p.name, w.currency
     ORDER BY p.key, w.currency
""")


def realisation(*, tx: Connection, begins_on: date, ends_on: date) -> tuple[Realisation, ...]:
    """Return the price realisation of each product over billing periods.

    Counted are the periods, and the sales, that began on or after the first day and before the
    last one, as they stand after all corrections so far. Amounts have two places.
    """
    rows = tx.execute(
        _REALISATION, {"begins_on": begins_on, "ends_on": ends_on, "for_good": sorted(FOR_GOOD)}
    )
    return tuple(Realisation(**row._mapping) for row in rows)
