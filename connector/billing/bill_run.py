"""The bill run: every payer whose billing month begins on a day gets its documents, once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import psycopg
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from connector.billing import queries
from connector.billing.allocate import allocate_open
from connector.billing.compose import compose
from connector.billing.documents import DocumentRenderer, render_missing
from connector.billing.draft import DocumentDraft
from connector.billing.earned_discounts import with_earned_discounts
from connector.billing.finalise import finalise
from connector.billing.queries import PayerBook
from connector.billing.tax import TaxTable
from connector.errors import ConnectorError, InvalidInput, StateConflict
from connector.kernel.period import billing_month
from connector.store.engine import Store, to_json

log = structlog.get_logger(__name__)

CHUNK_PAYERS = 500  # payers per transaction: a crash repeats at most so many
DAYS_AHEAD_MAX = 40  # a bill for next month is usual, one for next year is a typing mistake
DAYS_BACK_MAX = 31
HORIZON = timedelta(days=31)  # charges that begin later cannot be in the month billed in advance


class BillRunTooEarly(InvalidInput):
    """The day up to which should be billed lies too far ahead."""

    code = "billing.too_early"
    remedy = "Check the year and the month of the day."


class NothingToPreview(StateConflict):
    """The payer has no billing month that begins on the day, or does not exist."""

    code = "billing.nothing_to_preview"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a payer got no bill."""

    billing_account_id: int
    code: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class BillRunReport:
    """What a bill run did."""

    billed_to: date
    accounts: int
    already_billed: int
    invoices: int
    credit_notes: int
    totals: dict[str, Decimal]
    allocations: int
    documents: int
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        sums = ", ".join(f"{total} {currency}" for currency, total in sorted(self.totals.items()))
        text = (
            f"{self.accounts} billing accounts due on {self.billed_to}: {self.invoices} invoices"
            f" and {self.credit_notes} credit notes" + (f", {sums}" if sums else "")
        )
        if self.already_billed:
            text += f"; {self.already_billed} were billed before"
        if self.problems:
            text += f"; {len(self.problems)} could not be billed"
        return text


@dataclass(frozen=True, slots=True)
class _Run:
    """What every chunk of a run shares."""

    id: int
    taxes: TaxTable
    billed_to: date
    now: datetime
    keep_drafts: bool


@dataclass(slots=True)
class _Tally:
    """What the chunks of a run add up to."""

    already_billed: int = 0
    documents: int = 0
    credit_notes: int = 0
    allocations: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, done: "_ChunkResult") -> None:
        self.already_billed += done.already_billed
        self.allocations += done.allocations
        self.problems += done.problems
        for document in done.documents:
            self.documents += 1
            self.credit_notes += document.type == "Credit Note"
            currency = document.payer.currency
            self.totals[currency] = self.totals.get(currency, Decimal(0)) + document.total


@dataclass(frozen=True, slots=True)
class _ChunkResult:
    documents: tuple[DocumentDraft, ...]
    problems: tuple[Problem, ...]
    already_billed: int
    allocations: int


def run_cycle(
    *,
    store: Store,
    billed_to: date,
    now: datetime,
    render: DocumentRenderer | None = None,
    keep_drafts: bool = False,
) -> BillRunReport:
    """Bill every payer whose billing month begins on the day, and finalise the documents.

    Recurring charges are billed for the month that begins, in advance, and for unbilled parts of
    earlier ones; usage and one-time charges for what lies before the day. Payers go in chunks, one
    transaction each: a run that was interrupted is run again and finds what it has done. A payer
    that cannot be billed is recorded with the reason and does not stop the others. Documents are
    rendered after the commit; one that is missing is made by the next run.

    With `keep_drafts` the documents stay drafts for review: no number, no journal, nothing pushed;
    the next run computes them anew.

    Raises:
        BillRunTooEarly: The day lies more than 40 days ahead.
    """
    if billed_to > now.date() + timedelta(days=DAYS_AHEAD_MAX):
        raise BillRunTooEarly(f"{billed_to} is too far ahead of {now.date()} for a bill.")
    with store.transaction() as tx:
        run_id = queries.start_run(tx, key=f"cycle:{billed_to}", billed_to=billed_to, now=now)
        ids = queries.due_accounts(
            tx, billed_to=billed_to, is_last_day=(billed_to + timedelta(days=1)).day == 1
        )
        taxes = queries.load_taxes(tx)
    run = _Run(run_id, taxes, billed_to, now, keep_drafts)
    tally = _Tally()
    for start in range(0, len(ids), CHUNK_PAYERS):
        chunk = ids[start : start + CHUNK_PAYERS]
        for result in _bill(store, chunk, run):
            tally.add(result)
    with store.transaction() as tx:
        queries.end_run(
            tx,
            run_id=run_id,
            accounts=len(ids),
            problems_json=to_json([_problem_json(one) for one in tally.problems]).decode(),
            now=now,
        )
    documents = 0 if render is None else render_missing(store=store, render=render, now=now)
    report = BillRunReport(
        billed_to=billed_to,
        accounts=len(ids),
        already_billed=tally.already_billed,
        invoices=tally.documents - tally.credit_notes,
        credit_notes=tally.credit_notes,
        totals=tally.totals,
        allocations=tally.allocations,
        documents=documents,
        problems=tuple(tally.problems),
    )
    log.info(
        "bill_run.finished",
        billed_to=str(billed_to),
        accounts=report.accounts,
        invoices=report.invoices,
        credit_notes=report.credit_notes,
        problems=len(report.problems),
    )
    return report


def run_due_cycles(
    *, store: Store, today: date, now: datetime, render: DocumentRenderer | None = None
) -> list[BillRunReport]:
    """Bill every day that is due: today, days nobody ran the bills on, and runs with problems.

    Looks back 31 days at most; a cycle that was missed for longer is billed by the next one.
    """
    since = today - timedelta(days=DAYS_BACK_MAX)
    with store.read() as tx:
        last = queries.last_run(tx, today=today)
        days = queries.unsettled_runs(tx, since=since, today=today) | {today}
    if last is not None:
        first = max(last + timedelta(days=1), since)
        days |= {first + timedelta(days=n) for n in range((today - first).days)}
    return [run_cycle(store=store, billed_to=day, now=now, render=render) for day in sorted(days)]


def preview(*, tx: Connection, billing_account_id: int, billed_to: date) -> list[DocumentDraft]:
    """Return the documents a payer would get on a day, writing nothing.

    Raises:
        NothingToPreview: There is no such billing account, or its month begins on another day.
        NoTaxRate: A line's tax is not known.
    """
    books = queries.load_books(tx, ids=[billing_account_id], horizon=billed_to + HORIZON)
    if not books:
        raise NothingToPreview(f"There is no billing account {billing_account_id}.")
    (book,) = with_earned_discounts(tx, books=books, billed_to=billed_to, keep=False)
    begins = billing_month(billed_to, book.payer.anchor_day).start
    if begins != billed_to:
        raise NothingToPreview(
            f"Billing account {book.payer.number} is not due on {billed_to}.",
            remedy=f"Its billing month begins on {begins}.",
        )
    return list(_compose(book, queries.load_taxes(tx), billed_to))


def _bill(store: Store, ids: Sequence[int], run: _Run) -> list[_ChunkResult]:
    """Bill a chunk; when the database refuses it, bill its payers one by one to find the broken."""
    try:
        with store.transaction() as tx:
            return [_bill_chunk(tx, ids, run)]
    except (DBAPIError, psycopg.Error) as error:  # COPY raises psycopg's own
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, psycopg.IntegrityError | psycopg.DataError):
            raise  # not about a payer's data: the store itself has a problem
        if len(ids) == 1:
            log.error("bill_run.refused", billing_account_id=ids[0], error=type(cause).__name__)
            reason = str(cause).splitlines()[0]
            refused = Problem(ids[0], "billing.refused_by_store", reason, "Report this as a bug.")
            return [_ChunkResult((), (refused,), 0, 0)]
    return [result for one in ids for result in _bill(store, [one], run)]


def _bill_chunk(tx: Connection, ids: Sequence[int], run: _Run) -> _ChunkResult:
    books = queries.load_books(tx, ids=ids, horizon=run.billed_to + HORIZON)
    done = queries.already_billed(tx, ids=ids, billed_to=run.billed_to)
    due = [book for book in books if book.payer.billing_account_id not in done]
    due = with_earned_discounts(tx, books=due, billed_to=run.billed_to, keep=not run.keep_drafts)
    queries.drop_drafts(tx, ids=[one for one in ids if one not in done])
    documents: list[DocumentDraft] = []
    problems: list[Problem] = []
    for book in due:
        try:
            documents += _compose(book, run.taxes, run.billed_to)
        except (ConnectorError, ArithmeticError, LookupError, ValueError) as error:
            problems.append(_problem(book, error))
    drafts = queries.insert_drafts(tx, documents=documents, bill_run_id=run.id, now=run.now)
    allocations = 0
    if not run.keep_drafts:
        finalise(tx=tx, drafts=list(zip(drafts, documents, strict=True)), now=run.now)
        payers = [document.payer.billing_account_id for document in documents]
        allocations = allocate_open(tx=tx, billing_account_ids=payers, now=run.now)
    return _ChunkResult(tuple(documents), tuple(problems), len(done), allocations)


def _compose(book: PayerBook, taxes: TaxTable, billed_to: date) -> tuple[DocumentDraft, ...]:
    return compose(book.payer, book.charges, book.booked, taxes, billed_to)


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


def _problem_json(problem: Problem) -> dict[str, object]:
    return {
        "billing_account_id": problem.billing_account_id,
        "code": problem.code,
        "reason": problem.reason,
        "remedy": problem.remedy,
    }
