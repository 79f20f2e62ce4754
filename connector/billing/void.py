"""Credit notes by hand: over everything that is left of an invoice, or of some of its lines."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection, Row, text

from connector.billing.allocate import allocate_open
from connector.billing.finalise import Unnumbered, finalise_stored
from connector.billing.invoices import UnknownInvoice
from connector.errors import InvalidInput, StateConflict
from connector.kernel.money import minor_digits, round_to_currency
from connector.store.engine import Store

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
    "       :on, i.period_start, i.period_end, -l.amount, -l.tax, -l.amount - l.tax, i.id, "
    "       :reason, :now "
    "  FROM invoice i CROSS JOIN LATERAL ("
    "       SELECT sum(v.amount_left) AS amount, sum(v.tax_left) AS tax "
    "         FROM v_invoice_line_left v WHERE v.invoice_id = i.id "
    "         AND (CAST(:lines AS integer[]) IS NULL OR v.line_no = ANY(:lines))) l "
    " WHERE i.id = :id AND l.amount IS NOT NULL "
    "RETURNING id, -total AS given_back"
)

# A line that gave something back is taken back in turn, on the line it had corrected.
_LINES = text(
    "INSERT INTO invoice_line (invoice_id, line_no, charge_id, service_id, product_id, "
    "       corrects_line_id, kind, description, section, quantity, unit, unit_price, amount, "
    "       cost, tax_category, tax_percent, tax_treatment, tax_amount, service_from, service_to, "
    "       accounting_code, explanation) "
    "SELECT :credit_id, row_number() OVER (ORDER BY l.line_no), l.charge_id, l.service_id, "
    "       l.product_id, coalesce(l.corrects_line_id, l.id), 'Credit', l.description, l.section, "
    "       round(-l.quantity * v.amount_left / nullif(l.amount, 0), 6), l.unit, l.unit_price, "
    "       -v.amount_left, round(-l.cost * v.amount_left / nullif(l.amount, 0), 9), "
    "       l.tax_category, l.tax_percent, l.tax_treatment, -v.tax_left, l.service_from, "
    "       l.service_to, l.accounting_code, jsonb_build_object("
    "           'kind', 'void', "
    "           'inputs', jsonb_build_object('text', 'all that is left of the line'), "
    "           'credits', jsonb_build_object("
    "               'invoice', CAST(:number AS text), 'line', l.line_no), "
    "           'parts', jsonb_build_array(jsonb_build_object("
    "               'text', 'given back of ' || CAST(:number AS text) || ' line ' || l.line_no, "
    "               'amount', round(-v.amount_left, CAST(:digits AS integer))::text))) "
    "  FROM invoice_line l JOIN v_invoice_line_left v ON v.line_id = l.id "
    " WHERE v.invoice_id = :id "
    "   AND (CAST(:lines AS integer[]) IS NULL OR v.line_no = ANY(:lines))"
)
_UNKNOWN_LINES = text(
    "SELECT n FROM unnest(CAST(:lines AS integer[])) n WHERE NOT EXISTS ("
    "  SELECT 1 FROM invoice_line l WHERE l.invoice_id = :id AND l.line_no = n) ORDER BY n"
)
_CREDITS = text("SELECT count(*) FROM invoice WHERE corrects_invoice_id = :id")

_TAXES = text(
    "INSERT INTO invoice_tax (invoice_id, category, percent, treatment, basis, tax) "
    "SELECT invoice_id, tax_category, tax_percent, tax_treatment, sum(amount), sum(tax_amount) "
    "  FROM invoice_line WHERE invoice_id = :credit_id "
    " GROUP BY invoice_id, tax_category, tax_percent, tax_treatment"
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


def void_invoice(*, store: Store, number: str, reason: str, now: datetime) -> str:
    """Give back all that is left of an invoice by a credit note; return the note's number.

    The invoice itself stays as it is and shows as void. Each line is credited what earlier credits
    left of it, tax included, so the cents agree. The credit is set against the invoice first;
    what had been paid becomes a credit balance. What the invoice billed counts as not billed any
    more: the next bill run bills it anew, unless its charges were ended or changed.

    Raises:
        UnknownInvoice: There is no finalised document with this number.
        NotVoidable: It is a credit note, it was written off, or another billing system issued it.
        NothingLeft: It was voided, or credited in full, before.
    """
    return _give_back(store, number, None, reason, now)


def credit_lines(
    *, store: Store, number: str, lines: Sequence[int], reason: str, now: datetime
) -> str:
    """Give back all that is left of some lines of an invoice; return the credit note's number.

    As `void_invoice` does it for all of them: what the lines billed is billed anew when it is still
    due.

    Raises:
        UnknownInvoice: There is no finalised document with this number.
        UnknownLine: The invoice has no such line.
        NotVoidable: It is a credit note, it was written off, or another billing system issued it.
        NothingLeft: The lines were given back before.
    """
    return _give_back(store, number, sorted(set(lines)), reason, now)


def _give_back(
    store: Store, number: str, lines: list[int] | None, reason: str, now: datetime
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
        key = f"void:{invoice.id}"
        if lines is not None:
            if unknown := list(tx.scalars(_UNKNOWN_LINES, which)):
                raise UnknownLine(f"Invoice {number} has no line {unknown[0]}.")
            key = f"credit:{invoice.id}:{tx.scalar(_CREDITS, which)}"
        values = {"run_key": key, "on": now.date(), "reason": reason, "now": now}
        note = tx.execute(_DOCUMENT, which | values).one_or_none()
        if note is None:
            of = "invoice" if lines is None else "these lines of invoice"
            raise NothingLeft(f"Nothing is left of {of} {number}.")
        if note.given_back < 0:
            raise NotVoidable(
                f"What is left of {number} gives back more than it bills: no credit note can.",
                remedy="Void the invoices that its lines correct.",
            )
        digits = minor_digits(invoice.currency)
        tx.execute(_LINES, which | {"credit_id": note.id, "number": number, "digits": digits})
        tx.execute(_TAXES, {"credit_id": note.id})
        (done,) = finalise_stored(tx=tx, drafts=[_unnumbered(tx, invoice, note.id, now)], now=now)
        allocate_open(tx=tx, billing_account_ids=[invoice.billing_account_id], now=now)
    log.info("invoice.given_back", invoice_id=invoice.id, credit_note_id=note.id, lines=lines)
    return done.number


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
