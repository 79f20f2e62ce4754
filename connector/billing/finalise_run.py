"""Finalising the drafts of a bill run once somebody has looked at them."""

from datetime import date, datetime

from sqlalchemy import Connection

from connector.billing.bill_run import CHUNK_ACCOUNTS, BillRunReport, plan_run, work_off
from connector.billing.documents import DocumentRenderer
from connector.billing.review import run_of
from connector.billing.run_plan import Mode, Plan
from connector.errors import StateConflict
from connector.store.engine import Store


class RunAlreadyFinalised(StateConflict):
    """Every document of the run has its number."""

    code = "billing.run_already_finalised"
    remedy = "Correct a finalised invoice by a credit note: l2c invoices void."


class RunStillDrafting(StateConflict):
    """Chunks of the run have no drafts yet."""

    code = "billing.run_still_drafting"
    remedy = "Wait for the workers, or go on with: l2c bill run --to DAY --draft."


class NothingDrafted(StateConflict):
    """The run has no documents."""

    code = "billing.nothing_drafted"
    remedy = "Make drafts with: l2c bill run --to DAY --draft."


def finalise_run(
    *,
    store: Store,
    billed_to: date,
    now: datetime,
    render: DocumentRenderer | None = None,
    chunk_accounts: int = CHUNK_ACCOUNTS,
) -> BillRunReport:
    """Number the drafts of a run and make them immutable, chunk by chunk.

    Everything is computed again first. Where it comes out as it was drafted, that draft is
    finalised. Where a price, a service or a tax rate changed meanwhile, the draft is made anew and
    stays one, with the problem `billing.changed_since_review`: nothing goes out that nobody saw.
    Interrupted, it is called again and goes on.

    Raises:
        UnknownRun: There is no run of this day.
        RunStillDrafting: Not every chunk has its drafts.
        RunAlreadyFinalised: There are no drafts left.
        NothingDrafted: There never were any documents.
    """
    with store.transaction() as tx:
        plan = plan_finalising(tx, billed_to=billed_to, now=now, chunk_accounts=chunk_accounts)
    return work_off(store=store, plan=plan, billed_to=billed_to, now=now, render=render)


def plan_finalising(
    tx: Connection, *, billed_to: date, now: datetime, chunk_accounts: int = CHUNK_ACCOUNTS
) -> Plan:
    """Cut the drafts of a run into chunks, for whoever finalises them.

    Raises:
        UnknownRun: There is no run of this day.
        RunStillDrafting: Not every chunk has its drafts.
        RunAlreadyFinalised: There are no drafts left.
        NothingDrafted: There never were any documents.
    """
    run = run_of(tx=tx, billed_to=billed_to)
    if run.mode == Mode.DRAFT and run.finished_at is None:
        raise RunStillDrafting(
            f"{run.done} of {run.chunks} chunks of the bill run of {billed_to} are drafted."
        )
    if not run.drafts and (run.finished_at is not None or run.mode != Mode.FINALISE):
        if run.finalised:
            raise RunAlreadyFinalised(
                f"The bill run of {billed_to} is finalised: {run.finalised} documents."
            )
        raise NothingDrafted(f"The bill run of {billed_to} has no drafts.")
    return plan_run(
        tx, billed_to=billed_to, now=now, mode=Mode.FINALISE, chunk_accounts=chunk_accounts
    )
