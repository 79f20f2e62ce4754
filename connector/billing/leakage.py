"""Revenue that leaks: what is delivered and not charged, charged and not delivered, used unpriced.

The checks, on a day, for accounts the built-in billing bills:

- `service_without_charge`: a service that is delivered and has a price, and no recurring charge;
- `charge_without_service`: a recurring charge of a service that nobody has any more;
- `charge_never_billed`: a recurring charge two billing months old of which no invoice knows;
- `resold_without_price`: a charge of a reseller's customer, and none of the reseller;
- `usage_without_price`: usage that waits for a rate or a rate plan;
- `usage_without_charge`: rated usage of an ended month that never became a charge.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

FINDINGS_MAX = 10_000  # listed; the largest amounts of each check come first
NEVER_BILLED_AFTER = timedelta(days=62)

_LIVING = "('In Service', 'Suspended for Non-Pay')"

_FINDINGS = text(
    f"""
    WITH found AS (
    SELECT 'service_without_charge' AS check_name, s.number AS what, s.billing_account_id,
           s.service_start_on AS since, s.quantity * s.mr_price AS amount, s.currency,
           'delivered since ' || s.service_start_on || ', no charge' AS reason
      FROM service s
     WHERE s.state IN {_LIVING} AND s.service_start_on <= :on AND s.quantity * s.mr_price > 0
       AND NOT EXISTS (SELECT 1 FROM charge c WHERE c.service_id = s.id AND c.kind = 'recurring'
                          AND c.starts_on <= :on AND (c.ends_on IS NULL OR c.ends_on > :on))
    UNION ALL
    SELECT 'charge_without_service', s.number, c.billing_account_id,
           coalesce(s.service_end_on, c.starts_on),
           c.quantity * c.unit_price * (100 - c.discount_percent) / 100, c.currency,
           'charged as ' || c.description || ', the service is ' || s.state
      FROM charge c JOIN service s ON s.id = c.service_id
     WHERE c.kind = 'recurring' AND c.starts_on <= :on AND (c.ends_on IS NULL OR c.ends_on > :on)
       AND s.state NOT IN {_LIVING}
    UNION ALL
    SELECT 'charge_never_billed', coalesce(s.number, c.description), c.billing_account_id,
           c.starts_on, c.quantity * c.unit_price * (100 - c.discount_percent) / 100, c.currency,
           'charged since ' || c.starts_on || ', on no invoice'
      FROM charge c LEFT JOIN service s ON s.id = c.service_id
     WHERE c.kind = 'recurring' AND c.starts_on <= :never_billed
       AND c.ends_on IS DISTINCT FROM c.starts_on AND c.quantity * c.unit_price > 0
       AND c.discount_percent < 100
       AND NOT EXISTS (SELECT 1 FROM reseller r WHERE r.brand_id = c.brand_id AND r.bills_itself)
       AND NOT EXISTS (SELECT 1 FROM invoice_line l JOIN invoice i ON i.id = l.invoice_id
                        WHERE l.charge_id = c.id AND i.state = 'finalised')
    UNION ALL
    SELECT 'resold_without_price', coalesce(s.number, c.description), c.billing_account_id,
           c.starts_on, c.quantity * c.unit_price, c.currency,
           'sold as ' || c.description || ', no wholesale price'
      FROM charge c JOIN reseller r ON r.brand_id = c.brand_id
      LEFT JOIN service s ON s.id = c.service_id
     WHERE c.key NOT LIKE '%\\:early-termination' AND c.starts_on <= :on
       AND c.ends_on IS DISTINCT FROM CASE c.kind WHEN 'recurring' THEN c.starts_on END
       AND NOT EXISTS (SELECT 1 FROM charge w WHERE w.key = 'wholesale:' || c.key)
    UNION ALL
    SELECT 'usage_without_charge', s.number, s.billing_account_id, u.period_start,
           u.rated_amount, u.currency, u.usage_class || ' of ' || u.period_start || ', no charge'
      FROM usage_summary u JOIN service s ON s.id = u.service_id
     WHERE u.rated_amount > 0 AND u.period_end <= :on
       AND NOT EXISTS (SELECT 1 FROM charge c WHERE c.usage_summary_id = u.id)
    )
    SELECT f.check_name, f.what, b.number AS account, a.name AS customer, f.since, f.amount,
           f.currency, f.reason
      FROM found f JOIN billing_account b ON b.id = f.billing_account_id AND b.system = 'builtin'
      JOIN account a ON a.id = b.account_id
    UNION ALL
    SELECT 'usage_without_price', f.name, '', '', s.period_start, NULL, '',
           count(*) || ' records wait: ' || s.reason_code
      FROM suspense s JOIN usage_file f ON f.id = s.usage_file_id
     WHERE s.state = 'open' AND s.stage = 'rating'
     GROUP BY f.id, s.period_start, s.reason_code
     ORDER BY check_name, amount DESC NULLS LAST, what, since
     LIMIT :most
    """  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that should be on an invoice and is not, or the other way round.

    `amount` is a month's worth, or the whole of usage; nobody knows it of usage without a price.
    """

    check_name: str
    what: str
    account: str
    customer: str
    since: date
    amount: Decimal | None
    currency: str
    reason: str


def find_leaks(*, tx: Connection, on: date) -> list[Leak]:
    """Return what leaks on a day, by check, the largest amounts first."""
    values = {"on": on, "never_billed": on - NEVER_BILLED_AFTER, "most": FINDINGS_MAX}
    return [Leak(**row._mapping) for row in tx.execute(_FINDINGS, values)]


def sums_of(leaks: Iterable[Leak]) -> dict[str, dict[str, Decimal]]:
    """Return what each check comes to by currency."""
    sums: dict[str, dict[str, Decimal]] = {}
    for leak in leaks:
        of_check = sums.setdefault(leak.check_name, {})
        if leak.amount is not None:
            of_check[leak.currency] = of_check.get(leak.currency, Decimal(0)) + leak.amount
    return sums
