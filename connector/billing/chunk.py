"""A chunk of a bill run: hundreds of payers billed in one transaction by a fixed number of queries.

A chunk that the database refuses is billed again payer by payer inside the same transaction, so the
broken one is found and noted and the others are billed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import psycopg
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from connector.billing.allocate import allocate_open
from connector.billing.compose import compose
from connector.billing.draft import DocumentDraft
from connector.billing.earned_discounts import with_earned_discounts
from connector.billing.finalise import finalise
from connector.billing.queries import (
    PayerBook,
    already_billed,
    drop_drafts,
    insert_drafts,
    load_books,
    load_taxes,
    stored_drafts,
)
from connector.billing.run_plan import CHANGED, Chunk, Mode, accounts_of, claim_chunk, finish_chunk
from connector.billing.tax import TaxSource
from connector.errors import ConnectorError
from connector.store.engine import Store

log = structlog.get_logger(__name__)

HORIZON = timedelta(days=366)  # charges that begin later cannot be in a period billed in advance

# What is checked at commit (the journal balances) is checked here, where a retry can answer it.
_CHECK_NOW = text("SET CONSTRAINTS ALL IMMEDIATE")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a payer got no bill."""

    billing_account_id: int
    code: str
    reason: str
    remedy: str

    def as_json(self) -> dict[str, object]:
        """Return it as the run keeps it."""
        return {
            "billing_account_id": self.billing_account_id,
            "code": self.code,
            "reason": self.reason,
            "remedy": self.remedy,
        }


@dataclass(slots=True)
class Tally:
    """What the chunks of a run add up to."""

    already_billed: int = 0
    invoices: int = 0
    credit_notes: int = 0
    allocations: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def count(self, documents: Iterable[DocumentDraft]) -> None:
        """Count documents and their totals."""
        for document in documents:
            is_credit = document.type == "Credit Note"
            self.credit_notes += is_credit
            self.invoices += not is_credit
            currency = document.payer.currency
            self.totals[currency] = self.totals.get(currency, Decimal(0)) + document.total

    def add(self, other: "Tally") -> None:
        """Add what another chunk came to."""
        self.already_billed += other.already_billed
        self.invoices += other.invoices
        self.credit_notes += other.credit_notes
        self.allocations += other.allocations
        self.problems += other.problems
        for currency, total in other.totals.items():
            self.totals[currency] = self.totals.get(currency, Decimal(0)) + total


def bill_next_chunk(*, store: Store, run_id: int, now: datetime) -> Tally | None:
    """Bill the next range of a run that nobody works on; None when there is none."""
    with store.transaction() as tx:
        chunk = claim_chunk(tx, run_id=run_id)
        if chunk is None:
            return None
        ids = accounts_of(tx, chunk)
        tally = _bill(tx, ids, chunk, load_taxes(tx, ids=ids), now)
        problems = [problem.as_json() for problem in tally.problems]
        finish_chunk(tx, chunk=chunk, problems=problems, now=now)
    return tally


def _bill(
    tx: Connection, ids: Sequence[int], chunk: Chunk, taxes: TaxSource, now: datetime
) -> Tally:
    """Bill payers; when the database refuses them, one by one to find the broken."""
    try:
        with tx.begin_nested():
            tally = _bill_together(tx, ids, chunk, taxes, now)
            tx.execute(_CHECK_NOW)
            return tally
    except (DBAPIError, psycopg.Error) as error:  # COPY raises psycopg's own
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, psycopg.IntegrityError | psycopg.DataError):
            raise  # not about a payer's data: the store itself has a problem
        if len(ids) == 1:
            log.error("bill_run.refused", billing_account_id=ids[0], error=type(cause).__name__)
            reason = str(cause).splitlines()[0]
            refused = Problem(ids[0], "billing.refused_by_store", reason, "Report this as a bug.")
            return Tally(problems=[refused])
    together = Tally()
    for one in ids:
        together.add(_bill(tx, [one], chunk, taxes, now))
    return together


def _bill_together(
    tx: Connection, ids: Sequence[int], chunk: Chunk, taxes: TaxSource, now: datetime
) -> Tally:
    books = load_books(tx, ids=ids, horizon=chunk.billed_to + HORIZON)
    done = already_billed(tx, ids=ids, billed_to=chunk.billed_to)
    is_review = chunk.mode is Mode.FINALISE
    reviewed = stored_drafts(tx, ids=ids, run_id=chunk.run_id) if is_review else {}
    kept: list[tuple[int, DocumentDraft]] = []  # drafts that still hold, with their ids
    fresh: list[DocumentDraft] = []
    tally = Tally(already_billed=len(done))
    left = [book for book in books if book.payer.billing_account_id not in done]
    left = with_earned_discounts(
        tx, books=left, billed_to=chunk.billed_to, keep=chunk.mode is Mode.BILL
    )
    for book in left:
        documents = documents_of(book, taxes, chunk.billed_to, tally.problems)
        if is_review and documents is not None:
            drafts = reviewed.get(book.payer.billing_account_id, {})
            if {d.run_key: d.fingerprint for d in documents} == {
                key: draft.fingerprint for key, draft in drafts.items()
            }:
                kept += [(drafts[document.run_key].id, document) for document in documents]
                continue
            tally.problems.append(_changed(book))
        fresh += documents or ()
    standing = {document.payer.billing_account_id for _, document in kept}
    if is_review:  # what earned a discount is settled with the drafts that hold
        settled = [book for book in left if book.payer.billing_account_id in standing]
        with_earned_discounts(tx, books=settled, billed_to=chunk.billed_to, keep=True)
    stale = [book.payer.billing_account_id for book in left]
    drop_drafts(tx, ids=[one for one in stale if one not in standing])
    made = insert_drafts(tx, documents=fresh, bill_run_id=chunk.run_id, now=now)
    if chunk.mode is Mode.BILL:
        kept = list(zip(made, fresh, strict=True))
    if chunk.mode is not Mode.DRAFT:
        finalise(tx=tx, drafts=kept, now=now)
        payers = [document.payer.billing_account_id for _, document in kept]
        tally.allocations = allocate_open(tx=tx, billing_account_ids=payers, now=now)
    tally.count(fresh if chunk.mode is Mode.DRAFT else (document for _, document in kept))
    return tally


def documents_of(
    book: PayerBook, taxes: TaxSource, billed_to: date, problems: list[Problem]
) -> tuple[DocumentDraft, ...] | None:
    """Return the documents of a payer; None and a problem more when they cannot be computed."""
    try:
        return compose(book.payer, book.charges, book.booked, taxes, billed_to)
    except (ConnectorError, ArithmeticError, LookupError, ValueError) as error:
        problems.append(_problem(book, error))
        return None


def _problem(book: PayerBook, error: Exception) -> Problem:
    payer = book.payer
    if isinstance(error, ConnectorError):
        problem = Problem(payer.billing_account_id, error.code, error.message, error.remedy or "")
    else:
        log.exception("bill_run.broken_account", billing_account_id=payer.billing_account_id)
        reason = f"Billing account {payer.number} cannot be computed: {error!r}"
        problem = Problem(
            payer.billing_account_id, "billing.broken_account", reason, "Report this as a bug."
        )
    log.warning("bill_run.problem", billing_account_id=payer.billing_account_id, code=problem.code)
    return problem


def _changed(book: PayerBook) -> Problem:
    return Problem(
        book.payer.billing_account_id,
        CHANGED,
        f"What billing account {book.payer.number} owes has changed since its draft was made.",
        "The draft was made anew: review it and finalise the run again.",
    )
