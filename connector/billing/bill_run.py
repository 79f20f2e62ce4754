"""The bill run: every payer whose billing month begins on a day gets its documents, once."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import structlog
from sqlalchemy import Connection

from connector.billing import queries
from connector.billing.ask_taxes import ask_taxes
from connector.billing.chunk import HORIZON, Problem, Tally, bill_next_chunk, documents_of
from connector.billing.compose import compose
from connector.billing.documents import DocumentRenderer, render_missing
from connector.billing.draft import DocumentDraft
from connector.billing.earned_discounts import with_earned_discounts
from connector.billing.run_plan import Mode, Plan, due_page, end_run, open_run
from connector.billing.tax_answers import TaxProvider
from connector.billing.workforce import bill_chunks
from connector.errors import InvalidInput, StateConflict, TransientFailure
from connector.store.engine import Store

log = structlog.get_logger(__name__)

CHUNK_ACCOUNTS = 500  # per transaction: a crash repeats at most so many
PAGES_MAX = 100_000  # fifty million accounts in one preview
DAYS_AHEAD_MAX = 40  # a bill for next month is usual, one for next year is a typing mistake
DAYS_BACK_MAX = 31


class BillRunTooEarly(InvalidInput):
    """The day up to which should be billed lies too far ahead."""

    code = "billing.too_early"
    remedy = "Check the year and the month of the day."


class NothingToPreview(StateConflict):
    """The payer has no billing period that begins on the day, or does not exist."""

    code = "billing.nothing_to_preview"


class ChunkHeld(TransientFailure):
    """What is left of a bill run is held by somebody who may be dead."""

    code = "billing.chunk_held"
    remedy = "Look how far it is: l2c bill runs. The next run takes up what was left."


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


def run_cycle(
    *,
    store: Store,
    billed_to: date,
    now: datetime,
    render: DocumentRenderer | None = None,
    keep_drafts: bool = False,
    chunk_accounts: int = CHUNK_ACCOUNTS,
    processes: int | None = None,
    provider: TaxProvider | None = None,
) -> BillRunReport:
    """Bill every payer whose billing month begins on the day, and finalise the documents.

    Recurring charges are billed for the month that begins, in advance, and for unbilled parts of
    earlier ones; usage and one-time charges for what lies before the day. Payers go in chunks, one
    transaction each: a run that was interrupted is run again and goes on where it was; several at
    once share the chunks. A payer that cannot be billed is recorded with the reason and does not
    stop the others. Documents are rendered after the commit; one that is missing is made by the
    next run.

    A tax provider is asked first, for what it has not answered before.

    With `keep_drafts` the documents stay drafts for review: no number, no journal, nothing pushed;
    the next run computes them anew.

    Raises:
        BillRunTooEarly: The day lies more than 40 days ahead.
    """
    mode = Mode.DRAFT if keep_drafts else Mode.BILL
    if provider is not None:
        ask_taxes(store=store, provider=provider, billed_to=billed_to, now=now)
    with store.transaction() as tx:
        plan = plan_run(tx, billed_to=billed_to, now=now, mode=mode, chunk_accounts=chunk_accounts)
    return work_off(
        store=store,
        plan=plan,
        billed_to=billed_to,
        now=now,
        render=render,
        processes=processes,
    )


def plan_run(
    tx: Connection,
    *,
    billed_to: date,
    now: datetime,
    mode: Mode = Mode.BILL,
    chunk_accounts: int = CHUNK_ACCOUNTS,
) -> Plan:
    """Cut the accounts that are due into chunks, for whoever bills them.

    Raises:
        BillRunTooEarly: The day lies more than 40 days ahead.
    """
    if billed_to > now.date() + timedelta(days=DAYS_AHEAD_MAX):
        raise BillRunTooEarly(f"{billed_to} is too far ahead of {now.date()} for a bill.")
    return open_run(tx, billed_to=billed_to, mode=mode, chunk_accounts=chunk_accounts, now=now)


def work_off(
    *,
    store: Store,
    plan: Plan,
    billed_to: date,
    now: datetime,
    render: DocumentRenderer | None = None,
    processes: int | None = None,
) -> BillRunReport:
    """Bill the chunks of a plan that nobody else bills, and end the run when all are done.

    Large runs use several processes; `processes` says how many instead.
    """
    tally = bill_chunks(
        store=store, run_id=plan.run_id, chunks=plan.chunks, now=now, processes=processes
    )
    with store.transaction() as tx:
        end_run(tx, run_id=plan.run_id, now=now)
    documents = 0 if render is None else render_missing(store=store, render=render, now=now)
    report = _report(tally, billed_to=billed_to, accounts=plan.accounts, documents=documents)
    log.info(
        "bill_run.finished",
        billed_to=str(billed_to),
        accounts=report.accounts,
        invoices=report.invoices,
        credit_notes=report.credit_notes,
        problems=len(report.problems),
    )
    return report


def work_off_one(*, store: Store, run_id: int, now: datetime) -> bool:
    """Bill one chunk of a run, as a job of its own; return whether the run ended with it.

    Raises:
        ChunkHeld: Chunks are left and somebody holds them all: come back, it may have died.
    """
    done = bill_next_chunk(store=store, run_id=run_id, now=now)
    with store.transaction() as tx:
        if end_run(tx, run_id=run_id, now=now):
            return True
        if done is None and queries.is_running(tx, run_id=run_id):
            raise ChunkHeld(f"The chunks that are left of bill run {run_id} are held by others.")
    return False


def _report(tally: Tally, *, billed_to: date, accounts: int, documents: int) -> BillRunReport:
    return BillRunReport(
        billed_to=billed_to,
        accounts=accounts,
        already_billed=tally.already_billed,
        invoices=tally.invoices,
        credit_notes=tally.credit_notes,
        totals=tally.totals,
        allocations=tally.allocations,
        documents=documents,
        problems=tuple(tally.problems),
    )


def run_due_cycles(
    *,
    store: Store,
    today: date,
    now: datetime,
    render: DocumentRenderer | None = None,
    provider: TaxProvider | None = None,
) -> list[BillRunReport]:
    """Bill every day that is due: today, days nobody ran the bills on, and runs with problems.

    Looks back 31 days at most; a cycle that was missed for longer is billed by the next one. A run
    whose drafts somebody reviews is left to that person.
    """
    since = today - timedelta(days=DAYS_BACK_MAX)
    with store.read() as tx:
        last = queries.last_run(tx, today=today)
        days = queries.unsettled_runs(tx, since=since, today=today) | {today}
        reviewed = queries.reviewed_runs(tx)
    if last is not None:
        first = max(last + timedelta(days=1), since)
        days |= {first + timedelta(days=n) for n in range((today - first).days)}
    return [
        run_cycle(store=store, billed_to=day, now=now, render=render, provider=provider)
        for day in sorted(days - reviewed)
    ]


def preview_run(*, tx: Connection, billed_to: date, now: datetime) -> BillRunReport:
    """Return what a run would make, writing nothing and holding up nobody.

    Raises:
        BillRunTooEarly: The day lies more than 40 days ahead.
    """
    if billed_to > now.date() + timedelta(days=DAYS_AHEAD_MAX):
        raise BillRunTooEarly(f"{billed_to} is too far ahead of {now.date()} for a bill.")
    tally, accounts, after_id = Tally(), 0, 0
    for _ in range(PAGES_MAX):
        ids = due_page(tx, billed_to=billed_to, after_id=after_id, limit=CHUNK_ACCOUNTS)
        if not ids:
            break
        done = queries.already_billed(tx, ids=ids, billed_to=billed_to)
        left = [one for one in ids if one not in done]
        taxes = queries.load_taxes(tx, ids=left)
        books = queries.load_books(tx, ids=left, horizon=billed_to + HORIZON, lock=False)
        for book in with_earned_discounts(tx, books=books, billed_to=billed_to, keep=False):
            tally.count(documents_of(book, taxes, billed_to, tally.problems) or ())
        tally.already_billed += len(done)
        accounts += len(ids)
        after_id = ids[-1]
    return _report(tally, billed_to=billed_to, accounts=accounts, documents=0)


def preview(*, tx: Connection, billing_account_id: int, billed_to: date) -> list[DocumentDraft]:
    """Return the documents a payer would get on a day, writing nothing.

    Raises:
        NothingToPreview: There is no such billing account, or its period begins on another day.
        NoTaxRate: A line's tax is not known.
    """
    books = queries.load_books(
        tx, ids=[billing_account_id], horizon=billed_to + HORIZON, lock=False
    )
    if not books:
        raise NothingToPreview(f"There is no billing account {billing_account_id}.")
    (book,) = with_earned_discounts(tx, books=books, billed_to=billed_to, keep=False)
    begins = book.payer.cycle.period_of(billed_to).start
    if begins != billed_to:
        raise NothingToPreview(
            f"Billing account {book.payer.number} is not due on {billed_to}.",
            remedy=f"Its billing period begins on {begins}.",
        )
    taxes = queries.load_taxes(tx, ids=[billing_account_id])
    return list(compose(book.payer, book.charges, book.booked, taxes, billed_to))
