"""Facts of a foreign billing system become accounts, documents, payments and allocations.

One statement judges and writes a whole chunk: a fact that does not fit is held with its reason and
tried again by the next pull; the others go on. Nothing is posted to the journal: the books are
theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from connector.billing import fact_queries
from connector.billing.facts import Stream
from connector.store.engine import Store

log = structlog.get_logger(__name__)

CHUNK_FACTS = 2_000

_OPEN = text(
    "SELECT id FROM foreign_fact WHERE system = :system AND stream = :stream "
    "   AND state IN ('pending', 'held') AND id > :after ORDER BY id LIMIT :limit"
)
_REFUSED = text("UPDATE foreign_fact SET state = 'held', reason = :reason WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the open facts of a stream."""

    applied: int
    held: int


@dataclass(frozen=True, slots=True)
class _Judge:
    """The statements of a stream; what judges comes first and returns both counts."""

    before: tuple[str, ...]
    write: tuple[str, ...]
    after: tuple[str, ...] = ()
    passes: int = 1


_JUDGES = {
    Stream.ACCOUNT: _Judge(
        (fact_queries.FORGET_GONE["account"],), (fact_queries.ACCOUNTS, fact_queries.LINK)
    ),
    # A credit note may correct an invoice of the same pull: what is held is judged once more.
    Stream.INVOICE: _Judge(
        (fact_queries.FORGET_GONE["invoice"], fact_queries.REOPEN_INVOICES),
        (fact_queries.INVOICES, fact_queries.LINES, fact_queries.LINES_DONE),
        (fact_queries.ORPHAN_LINES,),
        passes=2,
    ),
    Stream.PAYMENT: _Judge((fact_queries.FORGET_GONE["payment"],), (fact_queries.PAYMENTS,)),
    Stream.ALLOCATION: _Judge(
        (fact_queries.FORGET_GONE["allocation"],), (fact_queries.ALLOCATIONS,)
    ),
}
APPLIED_STREAMS = tuple(_JUDGES)  # lines come with their invoices


def apply_facts(*, store: Store, system: str, stream: Stream, now: datetime) -> Applied:
    """Write every open fact of a stream into the hub; return how many went and how many are held.

    Each chunk is one transaction, so an interrupted run is simply run again.
    """
    judge = _JUDGES[stream]
    _run(store, judge.before, system, now)
    totals = Applied(0, 0)
    for turn in range(judge.passes):
        after, held = 0, 0
        while ids := _open_ids(store, system, stream, after):
            with store.transaction() as tx:
                done = _write(tx, judge.write, system, ids, now)
            totals = Applied(totals.applied + done.applied, 0)
            held += done.held
            after = ids[-1]
        totals = Applied(totals.applied, held)
        if held == 0 or turn + 1 == judge.passes:
            break
    _run(store, judge.after, system, now)
    return totals


def _open_ids(store: Store, system: str, stream: Stream, after: int) -> list[int]:
    with store.read() as tx:
        values = {"system": system, "stream": stream, "after": after, "limit": CHUNK_FACTS}
        return list(tx.scalars(_OPEN, values))


def _run(store: Store, statements: Sequence[str], system: str, now: datetime) -> None:
    for statement in statements:
        with store.transaction() as tx:
            tx.execute(text(statement), {"system": system, "now": now})


def _write(
    tx: Connection, statements: Sequence[str], system: str, ids: Sequence[int], now: datetime
) -> Applied:
    """Write a chunk; one that the store refuses is halved until the one row is found."""
    values = {"system": system, "ids": list(ids), "now": now}
    try:
        with tx.begin_nested():
            judged = tx.execute(text(statements[0]), values).one()
            for statement in statements[1:]:
                tx.execute(text(statement), values)
        return Applied(judged.applied, judged.held)
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError):
            raise
        if len(ids) == 1:
            reason = _refusal(error)
            tx.execute(_REFUSED, {"ids": list(ids), "reason": reason})
            log.warning("billing.fact_refused", system=system, fact_id=ids[0], reason=reason)
            return Applied(0, 1)
    middle = len(ids) // 2
    first = _write(tx, statements, system, ids[:middle], now)
    second = _write(tx, statements, system, ids[middle:], now)
    return Applied(first.applied + second.applied, first.held + second.held)


def _refusal(error: DBAPIError) -> str:
    if isinstance(error.orig, psycopg.errors.UniqueViolation):
        return f"Another row has the same number ({error.orig.diag.constraint_name})."
    if isinstance(error.orig, psycopg.errors.CardinalityViolation):
        return "Two of its lines have the same number."
    if isinstance(error.orig, psycopg.Error) and error.orig.diag.message_primary:
        return f"The store refuses it: {error.orig.diag.message_primary}."
    return f"The store refuses it: {type(error.orig).__name__}."
