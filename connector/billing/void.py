"""Credit notes by hand: over an invoice, some of its lines, or an amount or quantity of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text

from connector.billing import several_taxes
from connector.billing.allocate import allocate_open
from connector.billing.draft import TaxShare
from connector.billing.finalise import Unnumbered, finalise_stored
from connector.billing.given_back import (
    BadPart,
    GivenLine,
    LineLeft,
    all_of,
    amount_of,
    quantity_of,
)
from connector.billing.invoices import UnknownInvoice
from connector.errors import InvalidInput, StateConflict
from connector.kernel.money import round_to_currency
from connector.store.engine import Store, to_json

log = structlog.get_logger(__name__)

# The payer's lock first, as everybody who bills takes it.
_LOCK = text(
    "SELECT i.id, i.billing_account_id, i.brand_id, i.type, i.system, i.currency, r.invoice_prefix "
    "  FROM invoice i JOIN billing_account b ON b.id = i.billing_account_id "
    "  JOIN brand r ON r.id = i.brand_id "
    " WHERE i.number = :number AND i.state = 'finalised' FOR NO KEY UPDATE OF b"
)

_DOCUMENT = text(
    "INSERT INTO invoice (brand_id, billing_account_id, type, run_key, currency, invoice_on, "
    "                     due_on, period_start, period_end, subtotal, tax, total, "
    "                     corrects_invoice_id, reason, created_at) "
    "SELECT i.brand_id, i.billing_account_id, 'Credit Note', :run_key, i.currency, :on, "
    "       :on, i.period_start, i.period_end, -:amount, -:tax, -:total, i.id, :reason, :now "
    "  FROM invoice i WHERE i.id = :id RETURNING id"
)

_LEFT = text(
    "SELECT l.line_no, l.quantity, l.amount, l.cost, v.amount_left, v.tax_left, l.taxes, "
    "       CASE WHEN l.taxes IS NOT NULL THEN (SELECT jsonb_agg(g.taxes) FROM invoice_line g "
    "            JOIN invoice n ON n.id = g.invoice_id AND n.state = 'finalised' "
    "           WHERE g.corrects_line_id = l.id) END AS taxes_given "
    "  FROM v_invoice_line_left v JOIN invoice_line l ON l.id = v.line_id "
    " WHERE v.invoice_id = :id "
    "   AND (CAST(:lines AS integer[]) IS NULL OR v.line_no = ANY(:lines)) ORDER BY v.line_no"
)

# A line that gave something back is taken back in turn, on the line it had corrected.
_LINES = text(
    "INSERT INTO invoice_line (invoice_id, line_no, charge_id, service_id, product_id, "
    "       corrects_line_id, kind, description, section, quantity, unit, unit_price, amount, "
    "       cost, tax_category, tax_percent, tax_treatment, tax_amount, taxes, service_from, "
    "       service_to, accounting_code, explanation) "
    "SELECT :credit_id, :place, l.charge_id, l.service_id, l.product_id, "
    "       coalesce(l.corrects_line_id, l.id), 'Credit', l.description, l.section, :quantity, "
    "       l.unit, l.unit_price, :amount, :cost, l.tax_category, l.tax_percent, "
    "       l.tax_treatment, :tax, CAST(:taxes AS jsonb), l.service_from, l.service_to, "
    "       l.accounting_code, "
    "       CAST(:explanation AS jsonb) "
    "  FROM invoice_line l WHERE l.invoice_id = :id AND l.line_no = :line_no"
)
_UNKNOWN_LINES = text(
    "SELECT n FROM unnest(CAST(:lines AS integer[])) n WHERE NOT EXISTS ("
    "  SELECT 1 FROM invoice_line l WHERE l.invoice_id = :id AND l.line_no = n) ORDER BY n"
)
_CREDITS = text("SELECT count(*) FROM invoice WHERE corrects_invoice_id = :id")

_TAXES = text(
    "INSERT INTO invoice_tax (invoice_id, category, name, percent, treatment, basis, tax) "
    "SELECT l.invoice_id, l.tax_category, t.name, t.percent, l.tax_treatment, sum(l.amount), "
    "       sum(t.tax) "
    "  FROM invoice_line l CROSS JOIN LATERAL ("
    "       SELECT '' AS name, l.tax_percent AS percent, l.tax_amount AS tax WHERE l.taxes IS NULL "
    "        UNION ALL SELECT * FROM jsonb_to_recordset(l.taxes) "
    "                       AS x(name text, percent numeric, tax numeric)) t "
    " WHERE l.invoice_id = :credit_id "
    " GROUP BY l.invoice_id, l.tax_category, t.name, t.percent, l.tax_treatment"
)

_REVENUE = text(
    "SELECT accounting_code, sum(amount) AS amount FROM invoice_line WHERE invoice_id = :id "
    " GROUP BY accounting_code ORDER BY accounting_code"
)
_IS_WRITTEN_OFF = text("SELECT EXISTS (SELECT 1 FROM write_off WHERE invoice_id = :id)")
_TOTALS = text("SELECT total, tax FROM invoice WHERE id = :id")


class NotVoidable(StateConflict):
    """The document is none that can be voided."""

    code = "billing.not_voidable"


class UnknownLine(InvalidInput):
    """The invoice has no line with this number."""

    code = "billing.unknown_line"
    remedy = "Look at its lines: l2c invoices show."


class NothingLeft(StateConflict):
    """Everything on the invoice was given back before."""

    code = "billing.nothing_left"
    remedy = "Nothing needs to be done."


@dataclass(frozen=True, slots=True)
class Part:
    """What is given back when it is not all that is left: an amount before tax, or a quantity."""

    amount: Decimal | None = None
    quantity: Decimal | None = None


def void_invoice(*, store: Store, number: str, reason: str, now: datetime) -> str:
    """Give back all that is left of an invoice by a credit note; return the note's number.

    The invoice itself stays as it is and shows as void. Each line is credited what earlier credits
    left of it, tax included, so the cents agree. The credit is set against the invoice first;
    what had been paid becomes a credit balance. What the invoice billed counts as not billed any
    more: the next bill run bills it anew, unless its charges were ended or changed, or the reason
    is one of `FOR_GOOD`.

    Raises:
        UnknownInvoice: There is no finalised document with this number.
        NotVoidable: It is a credit note, it was written off, or another billing system issued it.
        NothingLeft: It was voided, or credited in full, before.
    """
    return _give_back(store, number, None, None, reason, now)


def credit_lines(
    *,
    store: Store,
    number: str,
    lines: Sequence[int] = (),
    part: Part | None = None,
    reason: str,
    now: datetime,
) -> str:
    """Give back lines of an invoice, or a part of them; return the credit note's number.

    Without a part it is all that is left of the lines. An amount before tax is shared out to the
    lines, or to all of the invoice where none is named; a quantity is one of a single line. Tax
    goes along in proportion. What the lines billed is billed anew when it is still due, unless
    the reason is one of `FOR_GOOD`.

    Raises:
        UnknownInvoice: There is no finalised document with this number.
        UnknownLine: The invoice has no such line.
        NotVoidable: It is a credit note, it was written off, or another billing system issued it.
        NothingLeft: The lines were given back before.
        MoreThanLeft: The part is more than earlier credits left.
        BadPart: The part is none.
    """
    one_quantity = part is not None and part.quantity is not None
    if (not lines and part is None) or (one_quantity and len(set(lines)) != 1):
        raise BadPart("Name the lines to give back: a quantity is one of a single line.")
    return _give_back(store, number, sorted(set(lines)) or None, part, reason, now)


def _give_back(
    store: Store,
    number: str,
    lines: list[int] | None,
    part: Part | None,
    reason: str,
    now: datetime,
) -> str:
    with store.transaction() as tx:
        invoice = tx.execute(_LOCK, {"number": number}).one_or_none()
        if invoice is None:
            raise UnknownInvoice(f"There is no invoice {number}.")
        _require_voidable(invoice, number)
        if tx.scalar(_IS_WRITTEN_OFF, {"id": invoice.id}):
            raise NotVoidable(
                f"{number} was written off: a credit would pay out what nobody paid in.",
                remedy="Nothing needs to be done: nobody owes it any more.",
            )
        which = {"id": invoice.id, "lines": lines}
        if lines is not None and (unknown := list(tx.scalars(_UNKNOWN_LINES, which))):
            raise UnknownLine(f"Invoice {number} has no line {unknown[0]}.")
        left = [_left(row) for row in tx.execute(_LEFT, which)]
        if not left:
            of = "invoice" if lines is None else "these lines of invoice"
            raise NothingLeft(f"Nothing is left of {of} {number}.")
        given = _given(left, part, invoice.currency)
        if sum(one.amount + one.tax for one in given) < 0:
            raise NotVoidable(
                f"What is left of {number} gives back more than it bills: no credit note can.",
                remedy="Void the invoices that its lines correct.",
            )
        is_void = lines is None and part is None
        nth = tx.scalar(_CREDITS, which)
        key = f"void:{invoice.id}" if is_void else f"credit:{invoice.id}:{nth}"
        note_id = _write(tx, invoice, number, given, {"run_key": key, "reason": reason}, now)
        (done,) = finalise_stored(tx=tx, drafts=[_unnumbered(tx, invoice, note_id, now)], now=now)
        allocate_open(tx=tx, billing_account_ids=[invoice.billing_account_id], now=now)
    log.info("invoice.given_back", invoice_id=invoice.id, credit_note_id=note_id, lines=lines)
    return done.number


def _left(row: Row[Any]) -> LineLeft:
    given = (several_taxes.from_json(one) for one in row.taxes_given or ())
    taxes = several_taxes.left_of_each(several_taxes.from_json(row.taxes), given)
    return LineLeft(
        row.line_no, row.quantity, row.amount, row.cost, row.amount_left, row.tax_left, taxes
    )


def _given(left: list[LineLeft], part: Part | None, currency: str) -> tuple[GivenLine, ...]:
    if part is None:
        return all_of(left)
    if part.quantity is not None:
        return quantity_of(left[0], part.quantity, currency)
    assert part.amount is not None
    return amount_of(left, part.amount, currency)


def _write(
    tx: Connection,
    invoice: Row[Any],
    number: str,
    given: tuple[GivenLine, ...],
    about: dict[str, str],
    now: datetime,
) -> int:
    amount = sum((one.amount for one in given), Decimal(0))
    tax = sum((one.tax for one in given), Decimal(0))
    values = {"amount": amount, "tax": tax, "total": amount + tax, "on": now.date(), "now": now}
    note_id: int = tx.execute(_DOCUMENT, {"id": invoice.id} | values | about).scalar_one()
    tx.execute(
        _LINES,
        [
            {
                "credit_id": note_id,
                "id": invoice.id,
                "place": place,
                "line_no": one.of.line_no,
                "quantity": -one.quantity,
                "amount": -one.amount,
                "cost": -one.cost,
                "tax": -one.tax,
                "taxes": _negative(one.taxes),
                "explanation": to_json(one.explanation(number, invoice.currency)).decode(),
            }
            for place, one in enumerate(given, start=1)
        ],
    )
    tx.execute(_TAXES, {"credit_id": note_id})
    return note_id


def _negative(taxes: Sequence[TaxShare]) -> str | None:
    turned = [replace(one, tax=-one.tax) for one in taxes]
    return to_json(several_taxes.as_json(turned)).decode() if turned else None


def _require_voidable(invoice: Row[tuple[object, ...]], number: str) -> None:
    if invoice.system != "builtin":
        raise NotVoidable(
            f"The billing system {invoice.system} issued {number}.", remedy="Void it there."
        )
    if invoice.type == "Credit Note":
        raise NotVoidable(
            f"{number} is a credit note.", remedy="What it gave back by mistake: bill it again."
        )


def _unnumbered(
    tx: Connection, invoice: Row[tuple[object, ...]], note_id: int, now: datetime
) -> Unnumbered:
    totals = tx.execute(_TOTALS, {"id": note_id}).one()
    return Unnumbered(
        note_id,
        "Credit Note",
        invoice.invoice_prefix,
        invoice.brand_id,
        now.date(),
        invoice.currency,
        round_to_currency(totals.total, invoice.currency),
        round_to_currency(totals.tax, invoice.currency),
        tuple((row.accounting_code, row.amount) for row in tx.execute(_REVENUE, {"id": note_id})),
    )
