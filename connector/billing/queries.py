"""The SQL of a bill run: bulk reads for many payers at once, COPY for what it writes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Row, text

from connector.billing import several_taxes
from connector.billing.draft import (
    FOR_GOOD,
    BillableCharge,
    BilledUsage,
    BookedLine,
    DocumentDraft,
    Fingerprint,
    LineMark,
    Payer,
    TaxShare,
)
from connector.billing.tax import TaxRate, TaxSource, TaxTable, Treatment
from connector.billing.tax_answers import KeptTaxes, chosen_provider, kept_answers
from connector.catalog.pricing.document import optional_pricing
from connector.charging.granted import read_discounts
from connector.charging.policy import ProrationPolicy
from connector.charging.value import Discount
from connector.kernel.money import round_to_currency
from connector.kernel.period import Interval
from connector.store.engine import copy_rows, from_json
from connector.store.tables.billing import invoice, invoice_line, invoice_tax

POLICIES_KEPT = 1_024  # different policies, or discounts, kept parsed at once

# Commands that change charges take the same lock: a payer's charges stand still while it is billed.
_PAYERS = (
    "SELECT b.id AS billing_account_id, b.number, b.brand_id, r.invoice_prefix, b.currency, "
    "       b.anchor_day, b.cycle AS every, b.payment_terms_days, a.country, a.is_tax_exempt, "
    "       a.kind AS customer_kind, r.invoice_sections, "
    "       coalesce(a.postal_code, '') AS postal_code, coalesce(a.city, '') AS city, "
    "       coalesce(a.street, '') AS street "
    "  FROM billing_account b JOIN account a ON a.id = b.account_id "
    "  JOIN brand r ON r.id = b.brand_id "
    " WHERE b.id = ANY(:ids) ORDER BY b.id"
)
_READ_PAYERS = text(_PAYERS)
_LOCK_PAYERS = text(f"{_PAYERS} FOR NO KEY UPDATE OF b")

_ALREADY_BILLED = text(
    "SELECT DISTINCT billing_account_id FROM invoice "
    " WHERE billing_account_id = ANY(:ids) AND state = 'finalised' "
    "   AND run_key LIKE 'cycle:' || billing_account_id || ':' || :billed_to || ':%'"
)

_ORDER_DOCUMENTS = text(
    "SELECT count(*) FROM invoice WHERE billing_account_id = :id "
    "   AND run_key LIKE 'order:' || :id || ':' || :on || ':%'"
)

_DRAFTS = text(
    "SELECT id FROM invoice "
    " WHERE billing_account_id = ANY(:ids) AND state = 'draft' AND run_key LIKE 'cycle:%'"
)
_DROP_DRAFTS = (
    text("DELETE FROM invoice_tax WHERE invoice_id = ANY(:ids)"),
    text("DELETE FROM invoice_line WHERE invoice_id = ANY(:ids)"),
    text("DELETE FROM invoice WHERE id = ANY(:ids)"),
)
_STORED_DRAFTS = text(
    "SELECT i.id, i.billing_account_id, i.run_key, i.type, l.charge_id, l.amount, l.tax_amount, "
    "       l.service_from, l.service_to "
    "  FROM invoice i JOIN invoice_line l ON l.invoice_id = i.id "
    " WHERE i.billing_account_id = ANY(:ids) AND i.state = 'draft' AND i.bill_run_id = :run_id "
    " ORDER BY i.id, l.line_no"
)

_CHARGES = text(
    "SELECT c.id, c.kind, c.billing_account_id, c.service_id, "
    "       coalesce(s.number, c.source ->> 'service_number', '') AS service_number, "
    "       coalesce(c.source ->> 'customer', '') AS customer, coalesce(l.name, '') AS site, "
    "       p.vendor, c.product_id, "
    "       p.key AS product_key, c.order_line_id, c.description, c.quantity, c.unit_price, "
    "       c.unit_cost, c.discount_percent, c.currency, c.starts_on, c.ends_on, c.tax_category, "
    "       c.accounting_code, CAST(c.policy AS text), c.pricing, "
    "       CAST(c.discounts AS text), u.id AS summary_id, "
    "       u.usage_class, u.units, u.included_units, u.unit, u.records, u.rating_run_id, "
    "       CASE WHEN l.country ~ '^[A-Z]{2}$' THEN l.country ELSE '' END AS tax_country "
    "  FROM charge c JOIN product p ON p.id = c.product_id "
    "  LEFT JOIN service s ON s.id = c.service_id "
    "  LEFT JOIN order_line o ON o.id = c.order_line_id "
    "  LEFT JOIN location l ON l.id = coalesce(c.location_id, s.location_id, o.location_id) "
    "  LEFT JOIN usage_summary u ON u.id = c.usage_summary_id "
    " WHERE c.billing_account_id = ANY(:ids) AND c.starts_on < :horizon ORDER BY c.id"
)

# Credits come along with the lines they name; a join to find them went wrong by a factor of a
# hundred on tables that were never analysed.
_BOOKED = text(
    "SELECT i.billing_account_id, l.id AS line_id, l.corrects_line_id, l.charge_id, l.invoice_id, "
    "       i.number AS invoice_number, l.line_no, l.service_from, l.service_to, l.tax_category, "
    "       l.tax_percent, l.tax_treatment, i.currency, l.tax_amount, "
    "       i.reason, l.taxes, "
    "       CASE l.tax_treatment WHEN 'inclusive' THEN l.amount + l.tax_amount ELSE l.amount END "
    "           AS amount "
    "  FROM invoice i JOIN invoice_line l ON l.invoice_id = i.id "
    " WHERE i.billing_account_id = ANY(:ids) AND i.state = 'finalised' "
    "   AND l.charge_id IS NOT NULL ORDER BY l.id"
)

_TAX_RATES = text(
    "SELECT country, category, percent, valid_from, valid_to, customer, treatment FROM tax_rate"
)

_INVOICE_IDS = text(
    "SELECT nextval(pg_get_serial_sequence('invoice', 'id')) FROM generate_series(1, :count)"
)

_LAST_RUN = text(
    "SELECT max(billed_to) FROM bill_run WHERE finished_at IS NOT NULL AND billed_to <= :today"
)

_UNSETTLED_RUNS = text(
    "SELECT billed_to FROM bill_run WHERE billed_to BETWEEN :since AND :today "
    "   AND (finished_at IS NULL OR problems <> '[]'::jsonb)"
)

_REVIEWED_RUNS = text(
    "SELECT r.billed_to FROM bill_run r "
    " WHERE r.mode <> 'bill' AND (r.finished_at IS NULL OR EXISTS "
    "   (SELECT 1 FROM invoice i WHERE i.bill_run_id = r.id AND i.state = 'draft'))"
)

_IS_RUNNING = text("SELECT finished_at IS NULL FROM bill_run WHERE id = :run_id")


@dataclass(frozen=True, slots=True)
class PayerBook:
    """Everything a payer's bill is made from."""

    payer: Payer
    charges: tuple[BillableCharge, ...]
    booked: tuple[BookedLine, ...]


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """A draft in the store, by what a reader of it would approve."""

    id: int
    fingerprint: Fingerprint


def last_run(tx: Connection, *, today: date) -> date | None:
    """Return the day of the latest finished run that does not lie ahead."""
    found: date | None = tx.scalar(_LAST_RUN, {"today": today})
    return found


def unsettled_runs(tx: Connection, *, since: date, today: date) -> set[date]:
    """Return the days of runs that were interrupted or left somebody out."""
    return set(tx.scalars(_UNSETTLED_RUNS, {"since": since, "today": today}))


def reviewed_runs(tx: Connection) -> set[date]:
    """Return the days of runs whose drafts wait for a person."""
    return set(tx.scalars(_REVIEWED_RUNS))


def is_running(tx: Connection, *, run_id: int) -> bool:
    """Return whether chunks of a run are left."""
    return bool(tx.scalar(_IS_RUNNING, {"run_id": run_id}))


def load_books(
    tx: Connection, *, ids: Sequence[int], horizon: date, lock: bool = True
) -> list[PayerBook]:
    """Return the payers with their charges and booked lines, in three queries.

    They are locked until the transaction ends, unless it only looks.
    """
    payers_query = _LOCK_PAYERS if lock else _READ_PAYERS
    payers = [_payer(row) for row in tx.execute(payers_query, {"ids": list(ids)})]
    charges: dict[int, list[BillableCharge]] = {}
    found = tx.execute(_CHARGES, {"ids": list(ids), "horizon": horizon})
    fields = _of_charge(tuple(found.keys()))
    for row in found:
        charges.setdefault(row.billing_account_id, []).append(_charge(row, fields))
    lines = tx.execute(_BOOKED, {"ids": list(ids)}).all()
    nothing = (Decimal(0), Decimal(0), Decimal(0))
    credited: dict[int, tuple[Decimal, Decimal, Decimal]] = {}
    taxes: dict[int, list[tuple[TaxShare, ...]]] = {}  # given back, where there are several
    for row in lines:
        if row.corrects_line_id is not None:
            amount, tax, for_good = credited.get(row.corrects_line_id, nothing)
            if row.reason in FOR_GOOD:
                for_good -= row.amount
            credited[row.corrects_line_id] = (amount + row.amount, tax + row.tax_amount, for_good)
            if row.taxes is not None:
                given = several_taxes.from_json(row.taxes)
                taxes.setdefault(row.corrects_line_id, []).append(given)
    booked: dict[int, list[BookedLine]] = {}
    for row in lines:
        if row.corrects_line_id is None:
            line = _booked(row, *credited.get(row.line_id, nothing))
            if row.taxes is not None:
                own = several_taxes.from_json(row.taxes)
                each = several_taxes.left_of_each(own, taxes.get(row.line_id, ()))
                line = replace(line, taxes=each)
            booked.setdefault(row.billing_account_id, []).append(line)
    return [
        PayerBook(
            payer,
            tuple(charges.get(payer.billing_account_id, ())),
            tuple(booked.get(payer.billing_account_id, ())),
        )
        for payer in payers
    ]


def already_billed(tx: Connection, *, ids: Sequence[int], billed_to: date) -> set[int]:
    """Return the payers that have a finalised document of this cycle."""
    values = {"ids": list(ids), "billed_to": str(billed_to)}
    return set(tx.scalars(_ALREADY_BILLED, values))


def free_order_key(tx: Connection, *, billing_account_id: int, on: date) -> str:
    """Return what the documents of the next order of a day have in common.

    The caller holds the payer's lock, so nobody takes the key meanwhile.
    """
    values = {"id": billing_account_id, "on": str(on)}
    return f"order:{billing_account_id}:{on}:{tx.scalar(_ORDER_DOCUMENTS, values)}"


def drop_drafts(tx: Connection, *, ids: Sequence[int]) -> None:
    """Delete the payers' drafts: a draft is recomputed, never credited (domain 3.4, golden 15)."""
    drafts = list(tx.scalars(_DRAFTS, {"ids": list(ids)}))
    if drafts:
        for statement in _DROP_DRAFTS:
            tx.execute(statement, {"ids": drafts})


def stored_drafts(
    tx: Connection, *, ids: Sequence[int], run_id: int
) -> dict[int, dict[str, StoredDraft]]:
    """Return the drafts of payers that a run made, by payer and run key."""
    rows: dict[tuple[int, str, str, int], list[LineMark]] = {}
    for row in tx.execute(_STORED_DRAFTS, {"ids": list(ids), "run_id": run_id}):
        document = (row.billing_account_id, row.run_key, row.type, row.id)
        mark = (row.charge_id, row.amount, row.tax_amount, row.service_from, row.service_to)
        rows.setdefault(document, []).append(mark)
    drafts: dict[int, dict[str, StoredDraft]] = {}
    for (payer_id, key, kind, invoice_id), marks in rows.items():
        drafts.setdefault(payer_id, {})[key] = StoredDraft(invoice_id, (kind, tuple(marks)))
    return drafts


def load_taxes(tx: Connection, *, ids: Sequence[int]) -> TaxSource:
    """Return where the bills of payers find their taxes: the table, or a provider's answers."""
    provider = chosen_provider(tx)
    if provider is not None:
        return KeptTaxes(kept_answers(tx, provider=provider, ids=ids))
    return TaxTable(
        TaxRate(**dict(row._mapping) | {"treatment": Treatment(row.treatment)})
        for row in tx.execute(_TAX_RATES)
    )


def insert_drafts(
    tx: Connection, *, documents: Sequence[DocumentDraft], bill_run_id: int | None, now: datetime
) -> list[int]:
    """Write documents as drafts with their lines and taxes; return their ids in order."""
    if not documents:
        return []
    ids = list(tx.scalars(_INVOICE_IDS, {"count": len(documents)}))
    numbered = list(zip(ids, documents, strict=True))
    copy_rows(
        tx, invoice, _INVOICE_COLUMNS, (_invoice(i, d, bill_run_id, now) for i, d in numbered)
    )
    copy_rows(tx, invoice_line, _LINE_COLUMNS, (row for i, d in numbered for row in _lines(i, d)))
    copy_rows(
        tx,
        invoice_tax,
        ("invoice_id", "category", "name", "percent", "treatment", "basis", "tax"),
        (
            (i, t.category, t.name, t.percent, t.treatment, t.basis, t.tax)
            for i, d in numbered
            for t in d.taxes
        ),
    )
    return ids


_INVOICE_COLUMNS = (
    "id",
    "brand_id",
    "billing_account_id",
    "type",
    "run_key",
    "bill_run_id",
    "currency",
    "invoice_on",
    "due_on",
    "period_start",
    "period_end",
    "subtotal",
    "tax",
    "total",
    "corrects_invoice_id",
    "reason",
    "created_at",
)

_LINE_COLUMNS = (
    "invoice_id",
    "line_no",
    "charge_id",
    "service_id",
    "product_id",
    "corrects_line_id",
    "kind",
    "description",
    "section",
    "quantity",
    "unit",
    "unit_price",
    "amount",
    "cost",
    "tax_category",
    "tax_percent",
    "tax_treatment",
    "tax_amount",
    "taxes",
    "service_from",
    "service_to",
    "accounting_code",
    "explanation",
)


def _invoice(
    invoice_id: int, document: DocumentDraft, bill_run_id: int | None, now: datetime
) -> tuple[object, ...]:
    return (
        invoice_id,
        document.payer.brand_id,
        document.payer.billing_account_id,
        document.type,
        document.run_key,
        bill_run_id,
        document.payer.currency,
        document.invoice_on,
        document.due_on,
        document.period_start,
        document.period_end,
        document.subtotal,
        document.tax,
        document.total,
        document.corrects_invoice_id,
        document.reason,
        now,
    )


def _lines(invoice_id: int, document: DocumentDraft) -> list[tuple[object, ...]]:
    return [
        (
            invoice_id,
            taxed.line_no,
            taxed.line.charge.id,
            taxed.line.charge.service_id,
            taxed.line.charge.product_id,
            taxed.line.credits.line_id if taxed.line.credits else None,
            taxed.line.kind,
            taxed.line.description,
            taxed.section,
            taxed.line.quantity,
            taxed.line.unit,
            taxed.line.unit_price,
            taxed.line.amount,
            taxed.line.cost,
            taxed.tax_category,
            taxed.tax_percent,
            taxed.tax_treatment,
            taxed.tax_amount,
            Jsonb(several_taxes.as_json(taxed.taxes)) if taxed.taxes else None,
            taxed.line.service_from,
            taxed.line.service_to,
            taxed.line.charge.accounting_code,
            taxed.line.explanation,
        )
        for taxed in document.lines
    ]


def _payer(row: Row[Any]) -> Payer:
    return Payer(**dict(row._mapping) | {"every": Interval(row.every)})


_BILLABLE: Callable[..., BillableCharge] = BillableCharge


def _charge(row: Row[Any], fields: Callable[[Row[Any]], tuple[Any, ...]]) -> BillableCharge:
    usage = None
    if row.summary_id is not None:
        usage = BilledUsage(
            summary_id=row.summary_id,
            usage_class=row.usage_class,
            units=row.units,
            included_units=row.included_units,
            unit=row.unit,
            records=row.records,
            rating_run_id=row.rating_run_id,
        )
    return _BILLABLE(
        *fields(row),
        policy=_policy(row.policy),
        usage=usage,
        customer=row.customer,
        pricing=optional_pricing(row.pricing),
        discounts=_discounts(row.discounts),
        tax_country=row.tax_country,
    )


def _of_charge(columns: tuple[str, ...]) -> Callable[[Row[Any]], tuple[Any, ...]]:
    """Return what picks a charge's fields, in their order, from a row with these columns."""
    return itemgetter(*(columns.index(name) for name in _CHARGE_FIELDS))


@lru_cache(maxsize=POLICIES_KEPT)
def _policy(kept: str) -> ProrationPolicy:
    """Return a policy as a charge keeps it; most charges of a run share a few."""
    return ProrationPolicy.from_json(from_json(kept))


@lru_cache(maxsize=POLICIES_KEPT)
def _discounts(kept: str) -> tuple[Discount, ...]:
    """Return discounts as a charge keeps them; most charges of a run share a few."""
    return read_discounts(from_json(kept))


# Given by name; what the store does not keep of a charge is what a bill assumes of every one.
_NOT_STORED = ("policy", "customer", "usage", "pricing", "discounts", "minimum", "tax_country")
_CHARGE_FIELDS = tuple(
    name for name in BillableCharge.__dataclass_fields__ if name not in _NOT_STORED
)


def _booked(row: Row[Any], credited: Decimal, tax: Decimal, for_good: Decimal) -> BookedLine:
    return BookedLine(
        line_id=row.line_id,
        charge_id=row.charge_id,
        invoice_id=row.invoice_id,
        invoice_number=row.invoice_number,
        line_no=row.line_no,
        service_from=row.service_from,
        service_to=row.service_to,
        tax_category=row.tax_category,
        tax_percent=row.tax_percent,
        left=round_to_currency(row.amount + credited, row.currency),
        tax_left=round_to_currency(row.tax_amount + tax, row.currency),
        tax_treatment=row.tax_treatment,
        given_for_good=round_to_currency(for_good, row.currency),
    )
