"""The chain from lead to cash in one line: how far an account has come, counted and summed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from connector.web.console.sync_state import SyncState, summed
from connector.web.console.words import amount, exact, quantity


@dataclass(frozen=True, slots=True)
class Link:
    """One step of the chain; `anchor` is the section that tells it in full."""

    title: str
    anchor: str
    said: str
    more: str
    sync: SyncState | None


COUNTS = text(
    """
    SELECT (SELECT count(DISTINCT opportunity_sfid) FROM customer_order
             WHERE account_id = :account_id) AS won,
           o.orders, o.tasks_done, o.tasks_total,
           (SELECT count(*) FROM service
             WHERE account_id = :account_id AND state = 'In Service') AS services
      FROM (SELECT count(*) AS orders, coalesce(sum(v.tasks_done), 0) AS tasks_done,
                   coalesce(sum(v.tasks_total), 0) AS tasks_total
              FROM customer_order o JOIN v_order_state v ON v.order_id = o.id
             WHERE o.account_id = :account_id) o
    """
)
# One row per step and currency: amounts of different currencies do not add up.
SUMS = text(
    """
    SELECT 'services' AS step, currency, count(*) AS count, sum(quantity * mr_price) AS total
      FROM service WHERE account_id = :account_id AND state = 'In Service' GROUP BY currency
    UNION ALL
    SELECT 'usage', u.currency, sum(u.records), sum(u.rated_amount)
      FROM usage_summary u JOIN service s ON s.id = u.service_id
     WHERE s.account_id = :account_id GROUP BY u.currency
    UNION ALL
    SELECT 'invoices', i.currency, count(*), sum(i.total)
      FROM invoice i JOIN billing_account b ON b.id = i.billing_account_id
     WHERE b.account_id = :account_id AND i.state = 'finalised' GROUP BY i.currency
    UNION ALL
    SELECT 'payments', p.currency, count(*), sum(p.amount)
      FROM payment p JOIN billing_account b ON b.id = p.billing_account_id
     WHERE b.account_id = :account_id AND p.state = 'Processed' GROUP BY p.currency
     ORDER BY 1, 2
    """
)


def read_chain(
    *, tx: Connection, account_id: int, states: Mapping[str, Iterable[SyncState]]
) -> tuple[Link, ...]:
    """Read the chain; `states` are the sync states of the records shown, by entity."""
    counts = tx.execute(COUNTS, {"account_id": account_id}).one()
    sums: dict[str, list[Any]] = {}
    for row in tx.execute(SUMS, {"account_id": account_id}):
        sums.setdefault(row.step, []).append(row)
    of = {step: sum(row.count for row in rows) for step, rows in sums.items()}
    sync = {entity: summed(shown) for entity, shown in states.items()}
    return (
        Link(
            "Won",
            "orders",
            _counted(counts.won, "opportunity", "opportunities"),
            _counted(counts.orders, "order", "orders"),
            sync["customer_order"],
        ),
        Link(
            "Delivered",
            "orders",
            f"{counts.tasks_done} of {counts.tasks_total}",
            "tasks done",
            None,
        ),
        Link(
            "In service",
            "services",
            _counted(counts.services, "service", "services"),
            _amounts(sums.get("services", ()), after=" a month"),
            sync["service"],
        ),
        Link(
            "Used",
            "usage",
            _counted(of.get("usage", 0), "record", "records"),
            ", ".join(f"{row.currency} {exact(row.total)}" for row in sums.get("usage", ())),
            sync["usage_summary"],
        ),
        Link(
            "Billed",
            "invoices",
            _amounts(sums.get("invoices", ())) or "nothing yet",
            _counted(of.get("invoices", 0), "document", "documents"),
            sync["invoice"],
        ),
        Link(
            "Paid",
            "payments",
            _amounts(sums.get("payments", ())) or "nothing yet",
            _counted(of.get("payments", 0), "payment", "payments"),
            sync["payment"],
        ),
    )


def _counted(count: int | Decimal, one: str, many: str) -> str:
    return f"{quantity(count)} {one if count == 1 else many}"


def _amounts(rows: Iterable[Any], *, after: str = "") -> str:
    return ", ".join(f"{row.currency} {amount(row.total)}{after}" for row in rows)
