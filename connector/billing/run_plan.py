"""What a bill run has to do: its accounts in ranges of ids, each done by one worker at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

from connector.store.engine import to_json

CHANGED = "billing.changed_since_review"

# One run per day; opening it waits for whoever opens it at the same time.
_OPEN = text(
    "INSERT INTO bill_run (key, billed_to, mode, started_at) "
    "VALUES ('cycle:' || :day, :billed_to, :mode, :now) "
    "ON CONFLICT (key) DO UPDATE SET billed_to = excluded.billed_to RETURNING id, mode"
)
_UNFINISHED = text(
    "SELECT count(*) AS chunks, coalesce(sum(accounts), 0) AS accounts FROM bill_chunk "
    " WHERE bill_run_id = :run_id AND finished_at IS NULL"
)
_FORGET = text("DELETE FROM bill_chunk WHERE bill_run_id = :run_id")

_DUE = (
    "SELECT b.id FROM billing_account b "
    " WHERE b.system = 'builtin' AND b.status <> 'Closed' "
    "   AND CASE b.cycle WHEN 'week' THEN b.anchor_day = :weekday "
    "       ELSE (b.anchor_day = :day OR (b.anchor_day > :day AND :is_last_day)) "
    "            AND (:month - 1) % CASE b.cycle WHEN 'year' THEN 12 WHEN 'half_year' THEN 6 "
    "                                            WHEN 'quarter' THEN 3 ELSE 1 END = 0 END "
    "   AND b.id > :after_id AND b.id <= :last_id "
    "   AND NOT EXISTS (SELECT 1 FROM reseller r WHERE r.brand_id = b.brand_id AND r.bills_itself) "
    "   AND EXISTS (SELECT 1 FROM charge c WHERE c.billing_account_id = b.id)"
)
_DRAFTED = (
    "SELECT DISTINCT billing_account_id AS id FROM invoice "
    " WHERE bill_run_id = :run_id AND state = 'draft' "
    "   AND billing_account_id > :after_id AND billing_account_id <= :last_id"
)


_PLAN_OF = (
    "INSERT INTO bill_chunk (bill_run_id, after_id, last_id, accounts) "
    "SELECT :run_id, coalesce(lag(last_id) OVER (ORDER BY last_id), 0), last_id, accounts "
    "  FROM (SELECT max(id) AS last_id, count(*) AS accounts "
    "          FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / :size AS page "
    "                  FROM ({}) due) paged GROUP BY page) pages"
)
# By whether the run finalises drafts, and so has to do with those who have some.
_ACCOUNTS = {False: text(f"{_DUE} ORDER BY b.id"), True: text(f"{_DRAFTED} ORDER BY 1")}
_PLAN = {False: text(_PLAN_OF.format(_DUE)), True: text(_PLAN_OF.format(_DRAFTED))}
_DUE_PAGE = text(f"{_DUE} ORDER BY b.id LIMIT :limit")

# Who had no draft to finalise keeps the reason; who had one is judged anew.
_BEGIN = text(
    "UPDATE bill_run r SET mode = :mode, started_at = :now, finished_at = NULL, "
    "       problems = CASE WHEN :mode = 'finalise' THEN r.problems ELSE '[]' END, "
    "       accounts = (SELECT coalesce(sum(c.accounts), 0) FROM bill_chunk c "
    "                    WHERE c.bill_run_id = r.id) "
    " WHERE id = :run_id RETURNING accounts"
)
_CLAIM = text(
    "SELECT c.id, c.after_id, c.last_id, r.billed_to, r.mode, r.id AS run_id "
    "  FROM bill_chunk c JOIN bill_run r ON r.id = c.bill_run_id "
    " WHERE c.bill_run_id = :run_id AND c.finished_at IS NULL "
    " ORDER BY c.after_id LIMIT 1 FOR UPDATE OF c SKIP LOCKED"
)
_FINISH = text(
    "UPDATE bill_chunk SET finished_at = :now, problems = CAST(:problems AS jsonb) WHERE id = :id"
)
_END = text(
    "UPDATE bill_run r SET finished_at = :now, problems = coalesce(("
    "           SELECT jsonb_agg(p.problem) FROM jsonb_array_elements(r.problems) AS p(problem) "
    "            WHERE p.problem ->> 'code' <> :changed), '[]') || coalesce(("
    "           SELECT jsonb_agg(p.problem ORDER BY c.after_id, p.position) FROM bill_chunk c "
    "           CROSS JOIN jsonb_array_elements(c.problems) WITH ORDINALITY "
    "                      AS p(problem, position) "
    "            WHERE c.bill_run_id = r.id), '[]') "
    " WHERE r.id = :run_id AND r.finished_at IS NULL AND NOT EXISTS ("
    "   SELECT 1 FROM bill_chunk c WHERE c.bill_run_id = r.id AND c.finished_at IS NULL) "
    "RETURNING r.id"
)
_EVERYBODY = (1 << 63) - 1  # no id lies behind it


class Mode(StrEnum):
    """What a run does with the documents it computes."""

    BILL = "bill"  # finalises them at once
    DRAFT = "draft"  # keeps them for review
    FINALISE = "finalise"  # finalises the drafts that were reviewed


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that was opened: how much there is left of it."""

    run_id: int
    accounts: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of accounts that this worker alone may bill until its transaction ends."""

    id: int
    run_id: int
    billed_to: date
    mode: Mode
    after_id: int
    last_id: int


def open_run(
    tx: Connection, *, billed_to: date, mode: Mode, chunk_accounts: int, now: datetime
) -> Plan:
    """Plan the run of a day, or find the plan of one that was interrupted or is going on.

    A plan for another purpose is dropped, once nobody works on it.
    """
    values = {"day": str(billed_to), "billed_to": billed_to, "mode": str(mode), "now": now}
    opened = tx.execute(_OPEN, values).one()
    left = tx.execute(_UNFINISHED, {"run_id": opened.id}).one()
    if left.chunks and opened.mode == mode:
        return Plan(opened.id, left.accounts, left.chunks)
    tx.execute(_FORGET, {"run_id": opened.id})
    everybody = {"after_id": 0, "last_id": _EVERYBODY, "size": chunk_accounts}
    planned = tx.execute(
        _PLAN[mode is Mode.FINALISE], _who(opened.id, billed_to) | everybody
    ).rowcount
    accounts = tx.scalar(_BEGIN, {"run_id": opened.id, "mode": str(mode), "now": now})
    return Plan(opened.id, int(accounts or 0), planned)


def claim_chunk(tx: Connection, *, run_id: int) -> Chunk | None:
    """Take the first range nobody works on, until the transaction ends; None when there is none."""
    row = tx.execute(_CLAIM, {"run_id": run_id}).one_or_none()
    return None if row is None else Chunk(**dict(row._mapping) | {"mode": Mode(row.mode)})


def accounts_of(tx: Connection, chunk: Chunk) -> list[int]:
    """Return the accounts of a range, in the order of their ids."""
    who = _who(chunk.run_id, chunk.billed_to)
    reach = {"after_id": chunk.after_id, "last_id": chunk.last_id}
    return list(tx.scalars(_ACCOUNTS[chunk.mode is Mode.FINALISE], who | reach))


def due_page(tx: Connection, *, billed_to: date, after_id: int, limit: int) -> list[int]:
    """Return the next accounts due on a day, behind an id."""
    reach = {"after_id": after_id, "last_id": _EVERYBODY, "limit": limit}
    return list(tx.scalars(_DUE_PAGE, _who(0, billed_to) | reach))


def finish_chunk(
    tx: Connection, *, chunk: Chunk, problems: Sequence[dict[str, object]], now: datetime
) -> None:
    """Note that a range is done and who was left out of it."""
    values = {"id": chunk.id, "problems": to_json(list(problems)).decode(), "now": now}
    tx.execute(_FINISH, values)


def end_run(tx: Connection, *, run_id: int, now: datetime) -> bool:
    """End a run whose last range is done; return whether that was us."""
    return tx.execute(_END, {"run_id": run_id, "changed": CHANGED, "now": now}).rowcount == 1


def _who(run_id: int, billed_to: date) -> dict[str, Any]:
    next_day = billed_to + timedelta(days=1)
    return {
        "run_id": run_id,
        "day": billed_to.day,
        "is_last_day": next_day.day == 1,
        "weekday": billed_to.isoweekday(),
        "month": billed_to.month,
    }
