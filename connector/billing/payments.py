"""Money in: each payment once, set against invoices, or held where everybody sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text

from connector.billing.allocate import allocate_open
from connector.errors import InvalidInput, StateConflict
from connector.kernel.money import Money
from connector.ledger import chart
from connector.ledger.journal import Entry, Posting, post

log = structlog.get_logger(__name__)

TEXT_LENGTH_MAX = 200

_FIND_INVOICES = text(
    "SELECT i.number, i.type, i.billing_account_id, i.brand_id, i.currency FROM invoice i "
    " WHERE i.number = ANY(:numbers) AND i.state = 'finalised' AND i.system = 'builtin'"
)
_FIND_ACCOUNTS = text(
    "SELECT number, id AS billing_account_id, brand_id, currency FROM billing_account "
    " WHERE number = ANY(:numbers) AND system = 'builtin'"
)
_INSERT = text(
    """
    INSERT INTO payment (id, brand_id, number, source, reference, billing_account_id, received_on,
                         amount, currency, method, told_invoice, hold_reason, created_at)
    SELECT n.id, p.brand_id, 'PAY-' || lpad(n.id::text, 6, '0'), p.source, p.reference,
           p.billing_account_id, p.received_on, p.amount, p.currency, p.method, p.told_invoice,
           p.hold_reason, :now
      FROM unnest(CAST(:brands AS bigint[]), CAST(:sources AS text[]),
                  CAST(:references AS text[]), CAST(:accounts AS bigint[]), CAST(:days AS date[]),
                  CAST(:amounts AS numeric[]), CAST(:currencies AS text[]),
                  CAST(:methods AS text[]), CAST(:told AS text[]), CAST(:reasons AS text[]))
           WITH ORDINALITY AS p(brand_id, source, reference, billing_account_id, received_on,
                                amount, currency, method, told_invoice, hold_reason, position)
      CROSS JOIN LATERAL (
          -- naming the position makes it a number per payment, not one for all
          SELECT nextval(pg_get_serial_sequence('payment', 'id')) + 0 * p.position AS id
      ) n
     ORDER BY p.position
    ON CONFLICT (source, reference) WHERE system = 'builtin' DO NOTHING
    RETURNING id, source, reference
    """
)
_FIND_PAYMENTS = text(
    "SELECT p.id, p.source, p.reference, p.amount, p.currency FROM payment p "
    "  JOIN unnest(CAST(:sources AS text[]), CAST(:references AS text[])) "
    "       AS w(source, reference) ON w.source = p.source AND w.reference = p.reference "
    " WHERE p.system = 'builtin'"
)
_HELD = text(
    "SELECT id, number, amount, currency FROM payment "
    " WHERE number = :number AND billing_account_id IS NULL FOR UPDATE"
)
_CLAIM = text(
    "UPDATE payment SET billing_account_id = :account, brand_id = :brand, told_invoice = :told, "
    "       hold_reason = NULL WHERE id = :id"
)


class PaymentDiffers(StateConflict):
    """A payment with this reference is known with another amount."""

    code = "billing.payment_differs"
    remedy = "Ask the sender: a reference belongs to one payment only."


class NotAHeldPayment(StateConflict):
    """There is no held payment with this number."""

    code = "billing.not_held"
    remedy = "List them: l2c payments list --held."


@dataclass(frozen=True, slots=True)
class PaymentNotice:
    """What a bank or a gateway says about a payment.

    Raises:
        InvalidInput: The amount is not above zero, has too many places, or a text is missing.
    """

    source: str  # csv, webhook
    reference: str
    received_on: date
    amount: Decimal
    currency: str
    method: str = "Bank transfer"
    invoice_number: str | None = None
    account_number: str | None = None

    def __post_init__(self) -> None:
        if not self.reference or len(self.reference) > TEXT_LENGTH_MAX:
            raise InvalidInput(f"A payment needs a reference of 1 to {TEXT_LENGTH_MAX} characters.")
        if not self.amount.is_finite() or self.amount <= 0:
            raise InvalidInput(f"{self.amount} is not an amount that can be paid.")
        if self.amount >= Decimal(10) ** 14:
            raise InvalidInput(f"{self.amount} is more than an account can hold.")
        object.__setattr__(self, "amount", Money(self.amount, self.currency).amount)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a payment."""

    payment_id: int
    reference: str
    is_new: bool
    hold_reason: str | None


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose money it is, or why nobody knows."""

    billing_account_id: int | None
    brand_id: int | None
    hold_reason: str | None


def record_payment(*, tx: Connection, notice: PaymentNotice, now: datetime) -> int:
    """Record a payment and set it against invoices; return its id.

    The same source and reference again changes nothing and returns the same id.

    Raises:
        PaymentDiffers: The reference is known with another amount or currency.
    """
    recorded = record_payments(tx=tx, notices=[notice], now=now)[0]
    return recorded.payment_id


def record_payments(
    *, tx: Connection, notices: Sequence[PaymentNotice], now: datetime
) -> list[Recorded]:
    """Record payments in bulk, in a handful of statements whatever their number.

    An unknown invoice or payer, or another currency than the invoice's, leaves a payment held: the
    money is booked and visible, and belongs to nobody yet.

    Raises:
        PaymentDiffers: A reference is known with another amount or currency.
    """
    if not notices:
        return []
    owners = _owners(tx, notices)
    made = {
        (row.source, row.reference): row.id for row in _insert(tx, notices, owners, now).fetchall()
    }
    known = _known(tx, notices)
    results = []
    for notice, owner in zip(notices, owners, strict=True):
        row = known[notice.source, notice.reference]
        if (row.amount, row.currency) != (notice.amount, notice.currency):
            raise PaymentDiffers(
                f"Payment '{notice.reference}' is known with {row.amount} {row.currency}, "
                f"now it says {notice.amount} {notice.currency}."
            )
        is_new = made.pop((notice.source, notice.reference), None) is not None
        results.append(Recorded(row.id, notice.reference, is_new, owner.hold_reason))
    fresh = [
        (recorded, notice, owner)
        for recorded, notice, owner in zip(results, notices, owners, strict=True)
        if recorded.is_new
    ]
    post(tx=tx, entries=[_entry(*one) for one in fresh], now=now)
    payers = [
        owner.billing_account_id for _, _, owner in fresh if owner.billing_account_id is not None
    ]
    allocate_open(tx=tx, billing_account_ids=payers, now=now)
    log.info("payments.recorded", payments=len(fresh), repeated=len(results) - len(fresh))
    return results


def assign_held_payment(
    *, tx: Connection, payment_number: str, invoice_number: str, now: datetime
) -> int:
    """Give a held payment to the payer of an invoice and set it against that; return its id.

    Raises:
        NotAHeldPayment: There is no held payment with this number.
        StateConflict: The invoice is unknown or in another currency.
    """
    held = tx.execute(_HELD, {"number": payment_number}).one_or_none()
    if held is None:
        raise NotAHeldPayment(f"No held payment has the number {payment_number}.")
    owner = _owner(
        invoice_number, None, held.currency, _by_number(tx, _FIND_INVOICES, [invoice_number]), {}
    )
    if owner.billing_account_id is None:
        raise StateConflict(f"Payment {payment_number} cannot be assigned: {owner.hold_reason}")
    tx.execute(
        _CLAIM,
        {
            "id": held.id,
            "account": owner.billing_account_id,
            "brand": owner.brand_id,
            "told": invoice_number,
        },
    )
    entry = Entry(
        brand_id=owner.brand_id,
        document_type="payment_assignment",
        document_id=held.id,
        posted_on=now.date(),
        currency=held.currency,
        text=f"Payment {payment_number} assigned to {invoice_number}",
        postings=(
            Posting(chart.HELD_PAYMENTS, held.amount),
            Posting(chart.CUSTOMER_CREDITS, -held.amount),
        ),
    )
    post(tx=tx, entries=[entry], now=now)
    allocate_open(tx=tx, billing_account_ids=[owner.billing_account_id], now=now)
    return int(held.id)


def _owners(tx: Connection, notices: Sequence[PaymentNotice]) -> list[_Owner]:
    invoices = _by_number(tx, _FIND_INVOICES, [n.invoice_number for n in notices])
    accounts = _by_number(tx, _FIND_ACCOUNTS, [n.account_number for n in notices])
    return [
        _owner(n.invoice_number, n.account_number, n.currency, invoices, accounts) for n in notices
    ]


def _owner(
    invoice_number: str | None,
    account_number: str | None,
    currency: str,
    invoices: dict[str, Row[Any]],
    accounts: dict[str, Row[Any]],
) -> _Owner:
    found = invoices.get(invoice_number or "")
    if found is None:
        found = accounts.get(account_number or "")
    if found is None:
        named = [
            f"{what} {number}"
            for what, number in (("invoice", invoice_number), ("account", account_number))
            if number
        ]
        reason = f"Unknown {' and '.join(named)}." if named else "It names no invoice, no account."
        return _Owner(None, None, reason)
    if found.currency != currency:
        reason = f"It is in {currency}, but {found.number} is in {found.currency}."
        return _Owner(None, None, reason)
    return _Owner(found.billing_account_id, found.brand_id, None)


def _by_number(tx: Connection, query: Any, numbers: Sequence[str | None]) -> dict[str, Row[Any]]:
    wanted = sorted({number for number in numbers if number})
    if not wanted:
        return {}
    return {row.number: row for row in tx.execute(query, {"numbers": wanted})}


def _insert(
    tx: Connection, notices: Sequence[PaymentNotice], owners: Sequence[_Owner], now: datetime
) -> Any:
    return tx.execute(
        _INSERT,
        {
            "now": now,
            "brands": [owner.brand_id for owner in owners],
            "sources": [notice.source for notice in notices],
            "references": [notice.reference for notice in notices],
            "accounts": [owner.billing_account_id for owner in owners],
            "days": [notice.received_on for notice in notices],
            "amounts": [notice.amount for notice in notices],
            "currencies": [notice.currency for notice in notices],
            "methods": [notice.method for notice in notices],
            "told": [notice.invoice_number for notice in notices],
            "reasons": [owner.hold_reason for owner in owners],
        },
    )


def _known(tx: Connection, notices: Sequence[PaymentNotice]) -> dict[tuple[str, str], Row[Any]]:
    rows = tx.execute(
        _FIND_PAYMENTS,
        {
            "sources": [notice.source for notice in notices],
            "references": [notice.reference for notice in notices],
        },
    )
    return {(row.source, row.reference): row for row in rows}


def _entry(recorded: Recorded, notice: PaymentNotice, owner: _Owner) -> Entry:
    """The bank against what we owe the customer, or against held money."""
    other = chart.HELD_PAYMENTS if owner.billing_account_id is None else chart.CUSTOMER_CREDITS
    return Entry(
        brand_id=owner.brand_id,
        document_type="payment",
        document_id=recorded.payment_id,
        posted_on=notice.received_on,
        currency=notice.currency,
        text=f"Payment {notice.reference}",
        postings=(Posting(chart.BANK, notice.amount), Posting(other, -notice.amount)),
    )
