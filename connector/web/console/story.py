"""The story of one account, from opportunity to balance, each step with its state in the CRM."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from connector.billing.explain import explain_line

ROWS_MAX = 500  # of each kind; an account with more is looked at through the command line


@dataclass(frozen=True, slots=True)
class SyncState:
    """Whether the CRM shows what the hub knows."""

    word: str
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A row of the hub with its state in the CRM and what belongs to it."""

    row: Any
    sync: SyncState
    parts: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """An invoice line and the text that explains its amount."""

    row: Any
    explanation: str


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the account page shows."""

    account: Any
    sync: SyncState
    balances: Sequence[Any]
    orders: Sequence[Told]
    services: Sequence[Told]
    usage: Sequence[Told]
    invoices: Sequence[Told]
    payments: Sequence[Told]
    parked: Sequence[Any]


ACCOUNT = text(
    "SELECT a.*, b.name AS brand, b.colour FROM account a JOIN brand b ON b.id = a.brand_id "
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
    "ORDER BY o.id LIMIT :most"
)
TASKS = text(
    "SELECT l.order_id, w.number AS work_order, w.role, p.name AS product, t.number, t.name, "
    "t.kind, t.state, t.queue, t.effective_on, t.actual_end_at, t.error_message "
    "FROM order_line l JOIN work_order w ON w.order_line_id = l.id "
    "JOIN task t ON t.work_order_id = w.id JOIN product p ON p.id = l.product_id "
    "JOIN customer_order o ON o.id = l.order_id WHERE o.account_id = :account_id "
    "ORDER BY l.order_id, w.id, t.sequence LIMIT 10 * :most"
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
    "WHERE s.account_id = :account_id ORDER BY u.period_start DESC, s.id, u.usage_class LIMIT :most"
)
INVOICES = text(
    "SELECT i.*, v.paid, v.credited, v.balance, v.status, c.number AS corrects, "
    "EXISTS (SELECT FROM invoice_document d WHERE d.invoice_id = i.id) AS has_pdf "
    "FROM invoice i JOIN v_invoice_balance v ON v.invoice_id = i.id "
    "JOIN billing_account b ON b.id = i.billing_account_id "
    "LEFT JOIN invoice c ON c.id = i.corrects_invoice_id "
    "WHERE b.account_id = :account_id ORDER BY i.invoice_on, i.id LIMIT :most"
)
LINES = text(
    "SELECT l.* FROM invoice_line l WHERE l.invoice_id = ANY(:invoices) "
    "ORDER BY l.invoice_id, l.line_no LIMIT 20 * :most"
)
PAYMENTS = text(
    "SELECT p.*, u.unapplied, (SELECT string_agg(i.number || ' ' || round(a.amount, 2), ', ' "
    "ORDER BY a.id) FROM allocation a JOIN invoice i ON i.id = a.invoice_id "
    "WHERE a.payment_id = p.id AND NOT a.is_reversed) AS applied_to FROM payment p "
    "JOIN v_payment_unapplied u ON u.payment_id = p.id "
    "JOIN billing_account b ON b.id = p.billing_account_id "
    "WHERE b.account_id = :account_id ORDER BY p.received_on, p.id LIMIT :most"
)
PARKED = text(
    "SELECT flow, object, sfid, state, reason, remedy FROM intent "
    "WHERE state <> 'done' AND (facts ->> 'AccountId' = :sfid OR sfid = :sfid) ORDER BY id LIMIT 50"
)
SYNC_STATES = text(
    "SELECT k.key, r.status, r.error, r.remedy, q.key IS NOT NULL AS is_queued "
    "FROM unnest(CAST(:keys AS bigint[])) AS k(key) "
    "LEFT JOIN crm_record r ON r.entity = :entity AND r.hub_id = k.key "
    "LEFT JOIN push_entity e ON e.name = :entity "
    "LEFT JOIN push_queue q ON q.entity = e.code AND q.key = k.key"
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
    tasks = _grouped(tx.execute(TASKS, of_account).all(), "order_id")
    invoices = tx.execute(INVOICES, of_account).all()
    return Story(
        account=account,
        sync=_sync_states(tx, "account", [account_id])[account_id],
        balances=tx.execute(BALANCES, of_account).all(),
        orders=_told(tx, "customer_order", tx.execute(ORDERS, of_account).all(), tasks),
        services=_told(tx, "service", tx.execute(SERVICES, of_account).all()),
        usage=_told(tx, "usage_summary", tx.execute(USAGE, of_account).all()),
        invoices=_told(tx, "invoice", invoices, _explained_lines(tx, invoices)),
        payments=_told(tx, "payment", tx.execute(PAYMENTS, of_account).all()),
        parked=tx.execute(PARKED, {"sfid": account.sfid}).all(),
    )


def read_pdf(*, tx: Connection, invoice_id: int) -> tuple[str, bytes] | None:
    """Return number and PDF of an invoice, or None when there is none yet."""
    row = tx.execute(PDF, {"invoice_id": invoice_id}).one_or_none()
    return (row.number, bytes(row.content)) if row is not None else None


def _explained_lines(tx: Connection, invoices: Sequence[Any]) -> dict[int, list[Line]]:
    rows = tx.execute(LINES, {"invoices": [i.id for i in invoices], "most": ROWS_MAX}).all()
    currency = {invoice.id: invoice.currency for invoice in invoices}
    explained: dict[int, list[Line]] = {}
    for row in rows:
        text_of_it = explain_line(row.explanation, currency=currency[row.invoice_id])
        explained.setdefault(row.invoice_id, []).append(Line(row, text_of_it))
    return explained


def _told(
    tx: Connection, entity: str, rows: Sequence[Any], parts: dict[int, list[Any]] | None = None
) -> list[Told]:
    states = _sync_states(tx, entity, [row.id for row in rows])
    return [Told(row, states[row.id], (parts or {}).get(row.id, ())) for row in rows]


def _sync_states(tx: Connection, entity: str, keys: list[int]) -> dict[int, SyncState]:
    rows = tx.execute(SYNC_STATES, {"entity": entity, "keys": keys}).all()
    return {row.key: _sync_state(row) for row in rows}


def _sync_state(row: Any) -> SyncState:
    if row.status in ("Error", "Conflict"):
        return SyncState("failed", row.error or "", row.remedy or "")
    if row.is_queued or row.status in (None, "Pending"):
        return SyncState("pending")
    return SyncState("in step")


def _grouped(rows: Sequence[Any], by: str) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = {}
    for row in rows:
        groups.setdefault(getattr(row, by), []).append(row)
    return groups
