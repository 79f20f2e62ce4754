"""Which products' services began and ended, month by month, and what that costs (row G13)."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, text

from connector.errors import InvalidInput
from connector.kernel.period import add_months

MONTHS_MAX = 120


class BadMonths(InvalidInput):
    """The months of a report are none."""

    code = "inventory.bad_months"
    remedy = f"Ask for 1 to {MONTHS_MAX} months: from the first day of one to that of a later one."


@dataclass(frozen=True, slots=True)
class Churn:
    """A product in a month and currency.

    Amounts are recurring prices a month, add-ons counted, before dated discounts and tax. `percent`
    is `ended` of `at_start`.
    """

    month: date
    product_key: str
    product: str
    currency: str
    at_start: int  # in service when the month begins
    started: int
    ended: int
    replaced: int  # ended too, but another service came in their place
    revenue_lost: Decimal  # of those that ended and were not replaced
    percent: Decimal | None


# A service that ends on the first day of a month ran until the day before, and is lost to the month
# it is missing in. One that ended on its first day was never there.
_CHURN = text("""
    WITH lived AS (
      SELECT s.id, s.product_id, s.currency, s.service_start_on AS begins_on,
             s.service_end_on AS ends_on,
             EXISTS (SELECT 1 FROM order_line l
                       JOIN service_change c ON c.order_line_id = l.id AND c.service_id = s.id
                      WHERE l.request_type = 'REPLACE' AND l.target_service_id = s.id
                        AND c.type = 'CANCEL' AND c.state = 'Applied') AS is_replaced,
             s.quantity * s.mr_price + coalesce((
               SELECT sum(a.quantity * a.unit_mr_price) FROM add_on a
                WHERE a.service_id = s.id AND a.start_on < s.service_end_on
                  AND (a.end_on IS NULL OR a.end_on >= s.service_end_on)), 0) AS monthly
        FROM service s
       WHERE s.service_start_on < :until
         AND (s.service_end_on IS NULL
              OR (s.service_end_on >= :since AND s.service_end_on > s.service_start_on))),
    counted AS (
      SELECT CAST(m AS date) AS month, l.product_id, l.currency,
             count(*) FILTER (WHERE begins_on < m AND (ends_on IS NULL OR ends_on >= m))
                 AS at_start,
             count(*) FILTER (WHERE begins_on >= m AND begins_on < m + interval '1 month')
                 AS started,
             count(*) FILTER (WHERE is_gone AND NOT is_replaced) AS ended,
             count(*) FILTER (WHERE is_gone AND is_replaced) AS replaced,
             coalesce(sum(monthly) FILTER (WHERE is_gone AND NOT is_replaced), 0) AS lost
        FROM generate_series(CAST(:since AS timestamp), CAST(:until AS timestamp)
                             - interval '1 day', interval '1 month') m
        CROSS JOIN lateral (
          SELECT *, ends_on IS NOT NULL AND ends_on >= m
                    AND ends_on < m + interval '1 month' AS is_gone FROM lived) l
       GROUP BY m, l.product_id, l.currency)
    SELECT c.month, p.key AS product_key, p.name AS product, c.currency, at_start, started, ended,
           replaced, round(lost, 2) AS revenue_lost,
           round(100.0 * ended / nullif(at_start, 0), 1) AS percent
      FROM counted c JOIN product p ON p.id = c.product_id
     WHERE at_start + started + ended + replaced > 0
     ORDER BY c.month, p.key, c.currency
""")


def churn(*, tx: Connection, since: date, until: date) -> tuple[Churn, ...]:
    """Return how many services of each product began and ended in the months of a time.

    A service counts under the product it is today, or was when it ended: an upgrade is no loss.
    `until` is the first day that is not looked at.

    Raises:
        BadMonths: The days begin no months, or there are none or too many between them.
    """
    if (since.day, until.day) != (1, 1) or not since < until <= add_months(since, MONTHS_MAX):
        raise BadMonths(f"From {since} to before {until} are no months to report.")
    rows = tx.execute(_CHURN, {"since": since, "until": until})
    return tuple(Churn(**row._mapping) for row in rows)
