"""The story of one account, from opportunity to balance, each step with its state in the CRM."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, TextClause, text

from connector.billing.explain import explain_line
from connector.sync.reconcile.scores import AccountScore, read_scores
from connector.web.console.chain import Link, read_chain
from connector.web.console.sync_state import SyncState, summed, sync_states

# The newest of each kind are shown; an account with more is looked at through the command line.
ROWS_MAX = 200
LINES_AN_INVOICE_MAX = 100
TASKS_AN_ORDER_MAX = 200


@dataclass(frozen=True, slots=True)
class Told:
    """A row of the hub with its state in the CRM and what belongs to it."""

    row: Any
    sync: SyncState
    parts: Sequence[Any] = ()
    opportunity: SyncState | None = None  # of an order that came from one


@dataclass(frozen=True, slots=True)
class Line:
    """An invoice line and the text that explains its amount."""

    row: Any
    explanation: str


@dataclass(frozen=True, slots=True)
class UsageMonth:
    """The usage summaries of one period, and what they come to."""

    start: date
    end: date
    records: int
    sums: tuple[tuple[str, Decimal], ...]  # by currency
    sync: SyncState | None
    parts: Sequence[Told]


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the account page shows."""

    account: Any
    sync: SyncState
    chain: Sequence[Link]
    balances: Sequence[Any]
    orders: Sequence[Told]
    services: Sequence[Told]
    usage: Sequence[UsageMonth]
    invoices: Sequence[Told]
    payments: Sequence[Told]
    parked: Sequence[Any]
    score: AccountScore | None  # of the last comparison, if it knew the account

    @property
    def usage_is_cut(self) -> bool:
        """Whether there may be more summaries than are shown."""
        return sum(len(month.parts) for month in self.usage) >= ROWS_MAX


ACCOUNT = text(
    "SELECT a.*, b.name AS brand FROM account a JOIN brand b ON b.id = a.brand_id "
    "WHERE a.id = :account_id"
)
BALANCES = text(
    "SELECT b.number, b.currency, b.status, v.* FROM billing_account b "
    "JOIN v_billing_account_balance v ON v.billing_account_id = b.id "
    "WHERE b.account_id = :account_id ORDER BY b.id"
)
ORDERS = text(
    "SELECT o.*, v.state, v.progress_pct, v.next_step, v.blocker, v.tasks_done, v.tasks_total, "
    "v.expected_end_at, v.actual_end_at FROM customer_order o "
    "JOIN v_order_state v ON v.order_id = o.id WHERE o.account_id = :account_id "
    "ORDER BY o.id DESC LIMIT :most"
)
TASKS = text(
    "SELECT * FROM (SELECT l.order_id, w.number AS work_order, w.role, p.display_name AS product, "
    "t.number, t.name, t.kind, t.state, t.queue, t.effective_on, t.error_message, "
    "row_number() OVER (PARTITION BY l.order_id ORDER BY l.sequence, w.id, t.sequence) AS position "
    "FROM order_line l JOIN work_order w ON w.order_line_id = l.id "
    "JOIN task t ON t.work_order_id = w.id JOIN product p ON p.id = l.product_id "
    "WHERE l.order_id = ANY(:orders)) AS numbered WHERE position <= :most "
    "ORDER BY order_id, position"
)
SERVICES = text(
    "SELECT s.*, p.display_name AS product, p.vendor, l.name AS location, "
    "s.quantity * s.mr_price AS mrr, v.billed_through_on FROM service s "
    "JOIN product p ON p.id = s.product_id LEFT JOIN location l ON l.id = s.location_id "
    "LEFT JOIN v_service_billing v ON v.service_id = s.id "
    "WHERE s.account_id = :account_id ORDER BY s.id LIMIT :most"
)
USAGE = text(
    "SELECT u.*, s.number AS service FROM usage_summary u JOIN service s ON s.id = u.service_id "
    "WHERE s.account_id = :account_id "
    "ORDER BY u.period_start DESC, u.period_end, s.id, u.usage_class LIMIT :most"
)
INVOICES = text(
    "SELECT i.*, v.paid, v.credited, v.balance, v.status, c.number AS corrects, "
    "EXISTS (SELECT FROM invoice_document d WHERE d.invoice_id = i.id) AS has_pdf "
    "FROM invoice i JOIN v_invoice_balance v ON v.invoice_id = i.id "
    "JOIN billing_account b ON b.id = i.billing_account_id "
    "LEFT JOIN invoice c ON c.id = i.corrects_invoice_id "
    "WHERE b.account_id = :account_id ORDER BY i.invoice_on DESC, i.id DESC LIMIT :most"
)
LINES = text(
    "SELECT * FROM (SELECT l.*, row_number() OVER (PARTITION BY l.invoice_id ORDER BY l.line_no) "
    "AS position FROM invoice_line l WHERE l.invoice_id = ANY(:invoices)) AS numbered "
    "WHERE position <= :most ORDER BY invoice_id, position"
)
PAYMENTS = text(
    "SELECT p.*, u.unapplied, (SELECT string_agg(i.number || ' ' || round(a.amount, 2), ', ' "
    "ORDER BY a.id) FROM allocation a JOIN invoice i ON i.id = a.invoice_id "
    "WHERE a.payment_id = p.id AND NOT a.is_reversed) AS applied_to FROM payment p "
    "JOIN v_payment_unapplied u ON u.payment_id = p.id "
    "JOIN billing_account b ON b.id = p.billing_account_id "
    "WHERE b.account_id = :account_id ORDER BY p.received_on DESC, p.id DESC LIMIT :most"
)
# What the CRM asked about this account's records and what has not been done yet.
PARKED = text(
    "SELECT flow, object, sfid, state, reason, remedy FROM intent WHERE state <> 'done' "
    "AND (sfid = :sfid OR facts ->> 'AccountId' = :sfid OR sfid IN ("
    "SELECT o.opportunity_sfid FROM customer_order o WHERE o.account_id = :account_id UNION ALL "
    "SELECT r.sfid FROM customer_order o JOIN crm_record r ON r.entity = 'customer_order' "
    "AND r.hub_id = o.id WHERE o.account_id = :account_id UNION ALL "
    "SELECT r.sfid FROM customer_order o JOIN order_line l ON l.order_id = o.id "
    "JOIN work_order w ON w.order_line_id = l.id JOIN task t ON t.work_order_id = w.id "
    "JOIN crm_record r ON r.entity = 'task' AND r.hub_id = t.id "
    "WHERE o.account_id = :account_id)) ORDER BY id LIMIT :most"
)
PDF = text(
    "SELECT i.number, d.content FROM invoice_document d JOIN invoice i ON i.id = d.invoice_id "
    "WHERE d.invoice_id = :invoice_id AND d.media_type = 'application/pdf'"
)


def read_story(*, tx: Connection, account_id: int) -> Story | None:
    """Read the story of an account, or None when there is no such account."""
    of_account = {"account_id": account_id, "most": ROWS_MAX}
    account = tx.execute(ACCOUNT, of_account).one_or_none()
    if account is None:
        return None
    orders = tx.execute(ORDERS, of_account).all()
    invoices = tx.execute(INVOICES, of_account).all()
    told = {
        "customer_order": _orders(tx, orders),
        "service": _told(tx, "service", tx.execute(SERVICES, of_account).all()),
        "usage_summary": _told(tx, "usage_summary", tx.execute(USAGE, of_account).all()),
        "invoice": _told(tx, "invoice", invoices, _explained_lines(tx, invoices)),
        "payment": _told(tx, "payment", tx.execute(PAYMENTS, of_account).all()),
    }
    states = {entity: [one.sync for one in shown] for entity, shown in told.items()}
    return Story(
        account=account,
        sync=sync_states(tx, "account", [account_id])[account_id],
        chain=read_chain(tx=tx, account_id=account_id, states=states),
        balances=tx.execute(BALANCES, of_account).all(),
        orders=told["customer_order"],
        services=told["service"],
        usage=_months(told["usage_summary"]),
        invoices=told["invoice"],
        payments=told["payment"],
        parked=tx.execute(PARKED, of_account | {"sfid": account.sfid}).all(),
        score=next(iter(read_scores(tx=tx, account_id=account_id)), None),
    )


def read_pdf(*, tx: Connection, invoice_id: int) -> tuple[str, bytes] | None:
    """Return number and PDF of an invoice, or None when there is none yet."""
    row = tx.execute(PDF, {"invoice_id": invoice_id}).one_or_none()
    return (row.number, bytes(row.content)) if row is not None else None


def _orders(tx: Connection, orders: Sequence[Any]) -> list[Told]:
    # The CRM's opportunity shows its order's progress: it is pushed under the order's id.
    won = [order.id for order in orders if order.opportunity_sfid]
    opportunities = sync_states(tx, "opportunity", won)
    return [
        replace(told, opportunity=opportunities.get(told.row.id))
        for told in _told(tx, "customer_order", orders, _tasks(tx, orders))
    ]


def _tasks(tx: Connection, orders: Sequence[Any]) -> dict[int, list[Any]]:
    wanted = {"orders": [order.id for order in orders], "most": TASKS_AN_ORDER_MAX}
    return _grouped(tx, TASKS, wanted, "order_id")


def _explained_lines(tx: Connection, invoices: Sequence[Any]) -> dict[int, list[Line]]:
    wanted = {"invoices": [one.id for one in invoices], "most": LINES_AN_INVOICE_MAX}
    lines = _grouped(tx, LINES, wanted, "invoice_id")
    currency = {one.id: one.currency for one in invoices}
    return {
        invoice_id: [
            Line(row, explain_line(row._mapping, currency=currency[invoice_id])) for row in rows
        ]
        for invoice_id, rows in lines.items()
    }


def _months(summaries: Sequence[Told]) -> tuple[UsageMonth, ...]:
    months = []
    for (start, end), group in groupby(
        summaries, key=lambda told: (told.row.period_start, told.row.period_end)
    ):
        parts = tuple(group)
        sums: dict[str, Decimal] = {}
        for told in parts:
            sums[told.row.currency] = sums.get(told.row.currency, Decimal(0)) + (
                told.row.rated_amount
            )
        months.append(
            UsageMonth(
                start=start,
                end=end,
                records=sum(told.row.records for told in parts),
                sums=tuple(sorted(sums.items())),
                sync=summed(told.sync for told in parts),
                parts=parts,
            )
        )
    return tuple(months)


def _told(
    tx: Connection, entity: str, rows: Sequence[Any], parts: dict[int, list[Any]] | None = None
) -> list[Told]:
    states = sync_states(tx, entity, [row.id for row in rows])
    return [Told(row, states[row.id], (parts or {}).get(row.id, ())) for row in rows]


def _grouped(
    tx: Connection, query: TextClause, wanted: dict[str, object], by: str
) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = {}
    for row in tx.execute(query, wanted):
        groups.setdefault(getattr(row, by), []).append(row)
    return groups
