"""Reads again what events failed to tell: bounded sweeps of one object from an instant on.

A lost event is known by its place in time only: an overflow, a replay id that has expired, an event
nobody can read. Every record stamped since then becomes a hint and is read again by apply, in the
fewest calls; what says nothing new changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import structlog
from sqlalchemy import Connection, Row, text

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.adapters.salesforce.payload import instant_text
from connector.store.engine import Store
from connector.sync.budget.usage import record_calls
from connector.sync.inbox.arrivals import DELETED, ID, STAMP, objects_to_watch, row_of
from connector.sync.inbox.hints import Hint, store_hints
from connector.sync.mapping.definition import Mappings

log = structlog.get_logger(__name__)

# A record is stamped within its transaction, which may be that much older than its commit (fact
# sheet H.1); one that overflows is a long one.
LONG_TRANSACTION = timedelta(minutes=10)
PAGE = 2_000
PAGES_MAX = 500  # of one pass; the rest is owed to the next

_OWE = text(
    """
    INSERT INTO owed_sweep (object, position_at, reason, owed_at)
    VALUES (:object, :since, :reason, now())
        ON CONFLICT (object) DO UPDATE
       SET position_id = '', reason = excluded.reason, owed_at = excluded.owed_at,
           position_at = least(owed_sweep.position_at, excluded.position_at)
    """
)
_OWED = text("SELECT * FROM owed_sweep ORDER BY object")
# One that was owed anew in the meantime keeps its place: what was read is older than its reason.
_GO_ON = text(
    """
    UPDATE owed_sweep SET position_at = :position_at, position_id = :position_id
     WHERE object = :object AND owed_at = :owed_at
    """
)
_DONE = text("DELETE FROM owed_sweep WHERE object = :object AND owed_at = :owed_at")


@dataclass(slots=True)
class OwedReport:
    """What was read again, by object, and the reasons."""

    calls: int = 0
    found: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def found_total(self) -> int:
        """Return how many records are to be read again."""
        return sum(self.found.values())


def owe_sweep(tx: Connection, objects: Iterable[str], *, since: datetime, reason: str) -> None:
    """Owe a sweep of objects from an instant of the org on; an earlier one stays as it is."""
    for name in sorted(objects):
        tx.execute(_OWE, {"object": name, "since": since, "reason": reason})
        log.info("events.sweep_owed", object=name, since=since, reason=reason)


def sweep_owed(
    *, store: Store, org: OrgClient, mappings: Mappings, now_org: datetime
) -> OwedReport:
    """Make hints of every record that changed since its object's events were lost.

    Each page is one transaction together with its place: a crash repeats a page at most.
    """
    report = OwedReport()
    with store.read() as tx:
        owed = tx.execute(_OWED).all()
    if not owed:
        return report
    watched = objects_to_watch(mappings)
    for debt in owed:
        if debt.object in watched:
            _sweep_one(store, org, debt, report)
        else:
            with store.transaction() as tx:
                tx.execute(_DONE, {"object": debt.object, "owed_at": debt.owed_at})
    with store.transaction() as tx:
        record_calls(tx=tx, calls=report.calls, limit=org.limit_info, now=now_org)
    return report


def _sweep_one(store: Store, org: OrgClient, debt: Row[Any], report: OwedReport) -> None:
    organization_id = org.identity()
    at, sfid = debt.position_at, debt.position_id
    this = {"object": debt.object, "owed_at": debt.owed_at}
    report.reasons[debt.object] = debt.reason
    while report.calls < PAGES_MAX:
        try:
            hints = _page(org, debt.object, at, sfid)
        except OrgRefused as error:
            # The other objects must not wait for the repair of this one.
            log.warning("events.sweep_refused", object=debt.object, code=error.code)
            return
        report.calls += 1
        report.found[debt.object] = report.found.get(debt.object, 0) + len(hints)
        with store.transaction() as tx:
            if hints:
                store_hints(tx, topic=debt.object, organization_id=organization_id, hints=hints)
                at, sfid = hints[-1].commit_at, hints[-1].sfid
            if len(hints) < PAGE:
                tx.execute(_DONE, this)
            else:
                tx.execute(_GO_ON, this | {"position_at": at, "position_id": sfid})
        if len(hints) < PAGE:
            found = report.found[debt.object]
            log.info("events.swept", object=debt.object, found=found, reason=debt.reason)
            return


def _page(org: OrgClient, object_name: str, at: datetime, sfid: str) -> list[Hint]:
    """Return the next records by (SystemModstamp, Id), those in the recycle bin included."""
    instant = instant_text(at)
    after = f"{STAMP} >= {instant}"
    if sfid:
        after = f"{STAMP} > {instant} OR ({STAMP} = {instant} AND {ID} > '{sfid}')"
    soql = (
        f"SELECT {ID}, {STAMP}, {DELETED} FROM {object_name} WHERE {after} "  # noqa: S608
        f"ORDER BY {STAMP}, {ID} LIMIT {PAGE}"
    )
    (answer,) = org.composite([Subrequest("GET", f"queryAll?{urlencode({'q': soql})}", "q0")])
    answer.raise_for_status()
    rows = [row_of(object_name, record) for record in answer.body["records"]]
    return [
        Hint(object_name, row.sfid, "DELETE" if row.is_deleted else "SWEEP", row.version)
        for row in rows
    ]
