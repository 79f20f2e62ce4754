"""Posting: balanced entries, one per document, written in bulk."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from connector.errors import InvalidInput
from connector.store.engine import copy_rows
from connector.store.tables.ledger import journal_entry, journal_line

_RESERVE_IDS = text(
    "SELECT nextval(pg_get_serial_sequence('journal_entry', 'id')) FROM generate_series(1, :count)"
)
_BALANCES = text(
    "SELECT l.account_code, e.currency, sum(l.debit) AS debit, sum(l.credit) AS credit, "
    "       sum(l.debit) - sum(l.credit) AS balance "
    "  FROM journal_line l JOIN journal_entry e ON e.id = l.entry_id "
    " WHERE CAST(:brand_id AS bigint) IS NULL OR e.brand_id = :brand_id "
    " GROUP BY l.account_code, e.currency ORDER BY l.account_code, e.currency"
)


class UnbalancedEntry(InvalidInput):
    """The two sides of an entry differ."""

    code = "ledger.unbalanced"


@dataclass(frozen=True, slots=True)
class Posting:
    """An amount on one account: above zero on the debit side, below zero on the credit side."""

    account_code: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Entry:
    """What one document does to the accounts.

    Raises:
        UnbalancedEntry: The postings do not sum to zero.
    """

    brand_id: int | None
    document_type: str  # invoice, credit_note, write_off, payment, allocation, payment_assignment
    document_id: int
    posted_on: date
    currency: str
    text: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        difference = sum((posting.amount for posting in self.postings), Decimal(0))
        if difference != 0:
            raise UnbalancedEntry(
                f"The entry of {self.document_type} {self.document_id} is off by {difference}."
            )


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """What an account of the ledger has seen in one currency."""

    account_code: str
    currency: str
    debit: Decimal
    credit: Decimal
    balance: Decimal


def post(*, tx: Connection, entries: Sequence[Entry], now: datetime) -> int:
    """Write the entries of new documents; return how many.

    A document is posted once: the table refuses a second entry for it. Postings of nothing are
    left out, and so is an entry without any.
    """
    moving = [
        (entry, [posting for posting in entry.postings if posting.amount != 0]) for entry in entries
    ]
    moving = [(entry, postings) for entry, postings in moving if postings]
    if not moving:
        return 0
    ids = list(tx.scalars(_RESERVE_IDS, {"count": len(moving)}))
    copy_rows(
        tx,
        journal_entry,
        (
            "id",
            "brand_id",
            "document_type",
            "document_id",
            "posted_on",
            "currency",
            "text",
            "created_at",
        ),
        (
            (
                entry_id,
                entry.brand_id,
                entry.document_type,
                entry.document_id,
                entry.posted_on,
                entry.currency,
                entry.text,
                now,
            )
            for entry_id, (entry, _) in zip(ids, moving, strict=True)
        ),
    )
    copy_rows(
        tx,
        journal_line,
        ("entry_id", "line_no", "account_code", "debit", "credit"),
        (
            (
                entry_id,
                line_no,
                posting.account_code,
                max(posting.amount, Decimal(0)),
                max(-posting.amount, Decimal(0)),
            )
            for entry_id, (_, postings) in zip(ids, moving, strict=True)
            for line_no, posting in enumerate(postings, start=1)
        ),
    )
    return len(moving)


def balances(*, tx: Connection, brand_id: int | None = None) -> tuple[AccountBalance, ...]:
    """Return the balance of every account per currency; debits above zero.

    Each brand is an issuer with books of its own: with `brand_id` only they count.
    """
    return tuple(
        AccountBalance(**row._mapping) for row in tx.execute(_BALANCES, {"brand_id": brand_id})
    )
