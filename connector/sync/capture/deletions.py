"""Finds records that are gone from the CRM: by its delete log, else by asking for every id.

`getDeleted` reaches back 15 days at most and may have been purged (fact sheet H.2). Over REST the
questions of up to 25 objects are one counted call, over SOAP each would be one. Each object keeps
its own place, with the tombstones stored, so a deletion seen is applied however often the process
dies. Where the log does not reach back to the place kept, every id the hub knows is asked for,
10,000 a call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

import structlog

from connector.adapters.salesforce.answers import Subrequest, SubResponse
from connector.adapters.salesforce.client import SUBREQUESTS_PER_CALL, OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.adapters.salesforce.ids import to_18
from connector.adapters.salesforce.payload import instant_text, read_instant
from connector.store.engine import Store
from connector.sync.apply.gone import known_alive
from connector.sync.capture.all_ids import Missing, find_missing
from connector.sync.capture.covering import covered_by, covering
from connector.sync.capture.cursors import Kind, Position, advance, move_on, positions
from connector.sync.capture.report import SweepReport
from connector.sync.inbox.arrivals import DELETED, ID, MASTER, STAMP
from connector.sync.inbox.store import store_page
from connector.sync.mapping.definition import Mappings

log = structlog.get_logger(__name__)

# Salesforce asks not to poll more often (fact sheet H.2).
EVERY = timedelta(minutes=5)
LOG_REACH = timedelta(days=15)
_MARGIN = timedelta(hours=1)
_ALL = "*"  # when all were asked last: an object that is held back is not asked more often
_NARROWEST = timedelta(minutes=2)  # start and end lie in different whole minutes
_MANY = 10
_UNSEEN = (
    " So many at once: does the connector's user see all records of the object (View All)? "
    "`l2c sync pull --full` links again those that are seen."
)
WINDOWS_MAX = 50  # of one object in one sweep, after EXCEEDED_ID_LIMIT


def sweep_deletions(
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    report: SweepReport,
    *,
    now_org: datetime,
    overlap: timedelta,
) -> None:
    """Store a tombstone for every record of ours that was deleted since the last time."""
    objects = list(dict.fromkeys(mapping.object for mapping in mappings))
    latest = now_org - overlap
    with store.transaction() as tx:
        kept = positions(tx, Kind.DELETIONS)
        asked_at = kept[_ALL].at if _ALL in kept else None
        if asked_at is not None and asked_at > now_org - EVERY:
            return
        for name in objects:
            if name not in kept:
                # Nothing older concerns us: what is known here was alive when it was read.
                advance(tx, Kind.DELETIONS, name, Position(latest))
        advance(tx, Kind.DELETIONS, _ALL, Position(now_org))
    due = {
        name: since
        for name in objects
        if name in kept and (since := kept[name].at) is not None and since < latest
    }
    finder = _Finder(store, org, mappings, report, now_org, latest)
    too_old = [n for n, since in due.items() if since < now_org - LOG_REACH + _MARGIN]
    for name in too_old:
        why = f"last asked on {due[name]:%Y-%m-%d %H:%M}, the delete log reaches back 15 days"
        finder.compare(name, due[name], why)
    finder.ask([(name, since) for name, since in due.items() if name not in too_old])


@dataclass(frozen=True, slots=True)
class _Finder:
    store: Store
    org: OrgClient
    mappings: Mappings
    report: SweepReport
    now_org: datetime
    latest: datetime  # no place is kept beyond

    def ask(self, windows: Sequence[tuple[str, datetime]]) -> None:
        """Read the delete log of objects from an instant to now."""
        for start in range(0, len(windows), SUBREQUESTS_PER_CALL):
            part = windows[start : start + SUBREQUESTS_PER_CALL]
            answers = self.org.composite(
                [
                    Subrequest("GET", _path(name, since, self.now_org), f"d{place}")
                    for place, (name, since) in enumerate(part)
                ]
            )
            for (name, since), answer in zip(part, answers, strict=True):
                if _code(answer) == "EXCEEDED_ID_LIMIT":
                    self._narrower(name, since)
                else:
                    self._take(name, since, answer)

    def _narrower(self, name: str, since: datetime) -> None:
        """Read the log in windows short enough for one answer each."""
        until = since + (self.now_org - since) / 2
        for _ in range(WINDOWS_MAX):
            if until - since < _NARROWEST:
                self.compare(
                    name, since, "more was deleted at once than the log tells in one answer"
                )
                return
            path = _path(name, since, until)
            (answer,) = self.org.composite([Subrequest("GET", path, "d0")])
            if _code(answer) == "EXCEEDED_ID_LIMIT":
                until = since + (until - since) / 2
                continue
            reached = self._take(name, since, answer, until=until)
            if reached is None:
                return
            self.report.notes.append(f"{name}: read the delete log up to {reached:%Y-%m-%d %H:%M}.")
            if reached >= self.latest or reached <= since:
                return
            since, until = reached, min(reached + (until - since), self.now_org)

    def _take(
        self, name: str, since: datetime, answer: SubResponse, *, until: datetime | None = None
    ) -> datetime | None:
        """Store what an answer tells and return how far it reached; None where it told nothing."""
        if _code(answer) == "INVALID_REPLICATION_DATE":
            why = f"the delete log does not reach back to {since:%Y-%m-%d %H:%M}"
            self.compare(name, since, why)
            return None
        try:
            answer.raise_for_status()
        except OrgRefused as error:
            self.report.notes.append(f"{name}: its deletions cannot be read: {error.message}")
            log.warning("sync.deletions_refused", object=name, code=error.error_code)
            return None
        begins = read_instant(answer.body["earliestDateAvailable"])
        if begins > since + timedelta(minutes=1):
            why = f"the delete log reaches back to {begins:%Y-%m-%d %H:%M} only"
            self.compare(name, since, why)
            return None
        reached = read_instant(answer.body["latestDateCovered"])
        reached = min(reached, self.latest, until or self.latest)
        tombstones = {
            to_18(one["id"]): Missing(to_18(one["id"]), read_instant(one["deletedDate"]))
            for one in answer.body["deletedRecords"]
        }
        self._store(name, list(tombstones.values()), since, reached)
        return reached

    def compare(self, name: str, since: datetime, why: str) -> None:
        """Ask for every id of an object that the hub knows."""
        # First: what an open transaction deletes is not seen by the comparison.
        (answer,) = self.org.composite([covering(name, self.now_org, reference="u0")])
        covered = covered_by(name, answer) or self.latest
        found = find_missing(self.store, self.org, self.mappings, name, now_org=self.now_org)
        merged = sum(one.master is not None for one in found.missing)
        self.report.notes.append(
            f"{name}: {why}; compared all {found.known} known ids: {len(found.missing)} gone"
            + (f", {merged} of them merged." if merged else ".")
            + (_UNSEEN if found.known >= _MANY and 2 * len(found.missing) > found.known else "")
        )
        self._store(name, found.missing, since, min(covered, self.latest))

    def _store(
        self, name: str, missing: Sequence[Missing], since: datetime, reached: datetime
    ) -> None:
        with self.store.transaction() as tx:
            ours = known_alive(tx, name, [one.sfid for one in missing])
            tombstones = [_tombstone(one) for one in missing if one.sfid in ours]
            if tombstones:
                store_page(
                    tx,
                    object_name=name,
                    organization_id=self.org.identity(),
                    records=tombstones,
                )
            move_on(tx, Kind.DELETIONS, name, before=since, after=max(since, reached))
        self.report.count_deleted(name, len(tombstones))


def _tombstone(one: Missing) -> dict[str, object]:
    tombstone: dict[str, object] = {
        ID: one.sfid,
        STAMP: instant_text(one.deleted_at),
        DELETED: True,
    }
    return tombstone | ({MASTER: one.master} if one.master else {})


def _path(name: str, since: datetime, until: datetime) -> str:
    window = {"start": instant_text(since), "end": instant_text(until)}
    return f"sobjects/{name}/deleted?{urlencode(window)}"


def _code(answer: SubResponse) -> str | None:
    if answer.is_success or not isinstance(answer.body, list) or not answer.body:
        return None
    return str(answer.body[0].get("errorCode"))
