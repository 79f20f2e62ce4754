"""Looking at the drafts of a bill run before they are finalised: what differs from last time.

The rule, for each billing account and currency, this run against its last bill before it:

- `credit`: it would get money back;
- `missing`: it had a bill in the run before and has none now;
- `jump`: the totals differ by at least so many percent *and* at least so much money;
- `first`: it never had a bill (told, but no reason to look).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

from connector.errors import StateConflict

JUMP_PERCENT = Decimal(50)
JUMP_AMOUNT = Decimal(10)  # in the currency of the bill: what is less is not worth a look
OUTLIERS_MAX = 1_000  # shown; all are counted
LOOK_BACK = timedelta(days=62)  # the run before lies at most two months back

_RUNS = text(
    "SELECT r.id, r.billed_to, r.mode, r.started_at, r.finished_at, r.accounts, "
    "       jsonb_array_length(r.problems) AS problems, c.chunks, c.done, "
    "       (SELECT count(*) FROM invoice i WHERE i.bill_run_id = r.id AND i.state = 'draft') "
    "           AS drafts, "
    "       (SELECT count(*) FROM invoice i WHERE i.bill_run_id = r.id AND i.state = 'finalised') "
    "           AS finalised "
    "  FROM bill_run r CROSS JOIN LATERAL ("
    "       SELECT count(*) AS chunks, count(b.finished_at) AS done "
    "         FROM bill_chunk b WHERE b.bill_run_id = r.id) c "
    " WHERE CAST(:billed_to AS date) IS NULL OR r.billed_to = :billed_to "
    " ORDER BY r.billed_to DESC LIMIT :limit"
)

# Payers of this run, and those of the last day before on which the same payers had bills.
_COMPARED = text(
    "WITH now AS ("
    "  SELECT billing_account_id, currency, sum(total) AS total FROM invoice "
    "   WHERE bill_run_id = :run_id GROUP BY billing_account_id, currency), "
    "last AS ("
    "  SELECT DISTINCT ON (i.billing_account_id, i.currency) i.billing_account_id, i.currency, "
    "         sum(i.total) AS total "
    "    FROM invoice i JOIN billing_account b ON b.id = i.billing_account_id "
    "   WHERE i.state = 'finalised' AND i.run_key LIKE 'cycle:%' AND i.invoice_on < :billed_to "
    "     AND i.invoice_on >= :since "
    "     AND (b.anchor_day = :day OR (b.anchor_day > :day AND :is_last_day)) "
    "   GROUP BY i.billing_account_id, i.currency, i.invoice_on "
    "   ORDER BY i.billing_account_id, i.currency, i.invoice_on DESC) "
    "SELECT b.number AS account, a.name AS customer, "
    "       coalesce(now.currency, last.currency) AS currency, now.total, last.total AS before "
    "  FROM now FULL JOIN last USING (billing_account_id, currency) "
    "  JOIN billing_account b ON b.id = billing_account_id JOIN account a ON a.id = b.account_id "
    " ORDER BY b.id, currency"
)


class UnknownRun(StateConflict):
    """No bill run has this day."""

    code = "billing.unknown_run"
    remedy = "List them: l2c bill runs."


@dataclass(frozen=True, slots=True)
class BillRun:
    """A bill run and how far it is."""

    id: int
    billed_to: date
    mode: str
    started_at: object
    finished_at: object
    accounts: int
    problems: int
    chunks: int
    done: int
    drafts: int
    finalised: int


@dataclass(frozen=True, slots=True)
class Compared:
    """What a billing account gets, and what it got last time."""

    account: str
    customer: str
    currency: str
    total: Decimal | None
    before: Decimal | None
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """A bill run beside the bills before it."""

    run: BillRun
    totals: dict[str, Decimal]
    before: dict[str, Decimal]
    flags: dict[str, int]
    outliers: tuple[Compared, ...]


def list_runs(*, tx: Connection, billed_to: date | None = None, limit: int = 50) -> list[BillRun]:
    """Return bill runs, the latest day first."""
    rows = tx.execute(_RUNS, {"billed_to": billed_to, "limit": limit})
    return [BillRun(**row._mapping) for row in rows]


def run_of(*, tx: Connection, billed_to: date) -> BillRun:
    """Return the bill run of a day.

    Raises:
        UnknownRun: There is none.
    """
    found = list_runs(tx=tx, billed_to=billed_to, limit=1)
    if not found:
        raise UnknownRun(f"There is no bill run of {billed_to}.")
    return found[0]


def review(
    *,
    tx: Connection,
    billed_to: date,
    jump_percent: Decimal = JUMP_PERCENT,
    jump_amount: Decimal = JUMP_AMOUNT,
) -> Review:
    """Compare a run's documents, drafts or not, with the bills before it.

    Raises:
        UnknownRun: There is no run of this day.
    """
    run = run_of(tx=tx, billed_to=billed_to)
    values = {
        "run_id": run.id,
        "billed_to": billed_to,
        "since": billed_to - LOOK_BACK,
        "day": billed_to.day,
        "is_last_day": (billed_to + timedelta(days=1)).day == 1,
    }
    rows = [Compared(**row._mapping) for row in tx.execute(_COMPARED, values)]
    return _reviewed(run, rows, jump_percent, jump_amount)


def flag_of(
    *, total: Decimal | None, before: Decimal | None, jump_percent: Decimal, jump_amount: Decimal
) -> str:
    """Return why a total is worth a look, or nothing."""
    if total is None:
        return "missing"
    if total < 0:
        return "credit"
    if before is None:
        return "first"
    change = abs(total - before)
    if change >= jump_amount and change * 100 >= jump_percent * abs(before):
        return "jump"
    return ""


def _reviewed(
    run: BillRun, rows: Sequence[Compared], jump_percent: Decimal, jump_amount: Decimal
) -> Review:
    totals: dict[str, Decimal] = {}
    before: dict[str, Decimal] = {}
    flags: dict[str, int] = {}
    outliers: list[Compared] = []
    for row in rows:
        totals[row.currency] = totals.get(row.currency, Decimal(0)) + (row.total or 0)
        before[row.currency] = before.get(row.currency, Decimal(0)) + (row.before or 0)
        flag = flag_of(
            total=row.total,
            before=row.before,
            jump_percent=jump_percent,
            jump_amount=jump_amount,
        )
        if not flag:
            continue
        flags[flag] = flags.get(flag, 0) + 1
        if flag != "first" and len(outliers) < OUTLIERS_MAX:
            outliers.append(
                Compared(row.account, row.customer, row.currency, row.total, row.before, flag)
            )
    return Review(run, totals, before, flags, tuple(outliers))
