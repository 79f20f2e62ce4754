"""Reads again what changes without a stamp: formulas and roll-ups (fact sheet H.1).

A mapping names such fields with the relationship their value comes through. When a record at its
end moves, those that look at it are read again; besides, every few minutes the next records by Id,
one page an object, so that what has no parent to move is seen in time, at a bounded cost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import urlencode

import structlog

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.adapters.salesforce.payload import instant_text
from connector.store.engine import Store
from connector.sync.capture.cursors import Kind, Position, advance, positions
from connector.sync.capture.pages import store_news
from connector.sync.capture.report import SweepReport
from connector.sync.inbox.arrivals import ID, STAMP, OrgRow, fields_to_read, row_of
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.findings import halted

log = structlog.get_logger(__name__)

# A parent's transaction may be open as long; what is read twice says nothing new.
LOOK_BACK = timedelta(minutes=10)
ROUND_EVERY = timedelta(minutes=5)
PAGE = 2_000
PAGES_MAX = 100  # of children of moved parents, of one object in one sweep


def sweep_unstamped(
    store: Store, org: OrgClient, mappings: Mappings, report: SweepReport, *, now_org: datetime
) -> None:
    """Store the records whose unstamped fields say something new."""
    with store.read() as tx:
        kept = positions(tx, Kind.UNSTAMPED)
        still = halted(tx, "pull")
    reader = _Reader(store, org, mappings, report)
    moving = [
        name
        for name in _objects(mappings)
        if not any(mapping.entity in still for mapping in mappings.of_object(name))
    ]
    for object_name, path in _paths(mappings):
        place = f"{object_name}.{path}"
        since = kept.get(place, Position(None)).at
        if object_name not in moving:
            continue
        with _refusals_noted(report, place):
            if since is not None:
                reader.follow(object_name, path, since - LOOK_BACK)
            with store.transaction() as tx:
                advance(tx, Kind.UNSTAMPED, place, Position(now_org))
    for object_name in moving:
        last = kept.get(object_name, Position(now_org - ROUND_EVERY))
        if last.at is not None and last.at <= now_org - ROUND_EVERY:
            with _refusals_noted(report, object_name):
                reader.next_page(object_name, last.sfid, now_org)


@contextmanager
def _refusals_noted(report: SweepReport, place: str) -> Iterator[None]:
    """What the org refuses keeps its place until it is repaired; the others are not held up."""
    try:
        yield
    except OrgRefused as error:
        report.refused[place] = error.message
        log.warning("sync.unstamped_refused", place=place, code=error.error_code)


class _Reader:
    def __init__(
        self, store: Store, org: OrgClient, mappings: Mappings, report: SweepReport
    ) -> None:
        self._store, self._org, self._mappings, self._report = store, org, mappings, report

    def follow(self, object_name: str, path: str, since: datetime) -> None:
        """Read the records whose parent at the end of the path moved."""
        after = ""
        for _ in range(PAGES_MAX):
            moved = f"{path}.{STAMP} >= {instant_text(since)}"
            rows = self._read(object_name, after, moved)
            self._keep(object_name, rows)
            if len(rows) < PAGE:
                return
            after = rows[-1].sfid

    def next_page(self, object_name: str, after: str, now_org: datetime) -> None:
        """Read the next records by Id, beginning anew after the last."""
        rows = self._read(object_name, after)
        after = rows[-1].sfid if len(rows) == PAGE else ""
        self._keep(object_name, rows, Position(now_org, after))

    def _read(self, object_name: str, after: str, condition: str | None = None) -> list[OrgRow]:
        of_object = self._mappings.of_object(object_name)
        conditions = [m.pull.where for m in of_object if m.pull and m.pull.where]
        conditions += [condition] if condition else []
        conditions += [f"{ID} > '{after}'"] if after else []
        where = " WHERE " + " AND ".join(f"({one})" for one in conditions) if conditions else ""
        names = ", ".join(fields_to_read(self._mappings, object_name))
        soql = f"SELECT {names} FROM {object_name}{where} ORDER BY {ID} LIMIT {PAGE}"  # noqa: S608
        (answer,) = self._org.composite(
            [Subrequest("GET", f"query?{urlencode({'q': soql})}", "q0")]
        )
        answer.raise_for_status()
        return [row_of(object_name, record) for record in answer.body["records"]]

    def _keep(self, object_name: str, rows: list[OrgRow], place: Position | None = None) -> None:
        with self._store.transaction() as tx:
            stored = store_news(
                tx,
                self._mappings,
                object_name,
                rows,
                organization_id=self._org.identity(),
            )
            if place is not None:
                advance(tx, Kind.UNSTAMPED, object_name, place)
        self._report.count(object_name, seen=0, stored=stored)


def _objects(mappings: Mappings) -> list[str]:
    return list(dict.fromkeys(m.object for m in mappings if m.pull and m.pull.unstamped))


def _paths(mappings: Mappings) -> Iterator[tuple[str, str]]:
    pairs = [
        (mapping.object, path)
        for mapping in mappings
        if mapping.pull
        for path in mapping.pull.unstamped.values()
        if path is not None
    ]
    yield from dict.fromkeys(pairs)
