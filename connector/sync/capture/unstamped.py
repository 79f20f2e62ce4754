"""Reads again what changes without a stamp: formulas and roll-ups (fact sheet H.1).

A mapping names such fields with the relationship their value comes through. When a record at its
end moves, those that look at it are read again; besides, every few minutes the next records by Id,
one page an object, so that what has no parent to move is seen in time, at a bounded cost.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import structlog

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.adapters.salesforce.payload import instant_text, read_instant
from connector.store.engine import Store
from connector.sync.capture.cursors import Kind, Position, positions, put
from connector.sync.capture.pages import store_news
from connector.sync.capture.refusals import Asks, condition_or_fields, path_of, refusal
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
        if object_name not in moving:
            continue
        followed = _Followed(object_name, path)
        with _refusals_noted(report, mappings, followed.name, object_name, path_of(path)):
            reader.follow(followed, kept.get(followed.name), now_org)
    for object_name in moving:
        last = kept.get(object_name, Position(now_org - ROUND_EVERY))
        if last.at is not None and last.at <= now_org - ROUND_EVERY:
            with _refusals_noted(report, mappings, object_name, object_name, condition_or_fields):
                reader.next_page(object_name, last.sfid, now_org)


@contextmanager
def _refusals_noted(
    report: SweepReport, mappings: Mappings, place: str, object_name: str, asks: Asks
) -> Iterator[None]:
    """What the org refuses keeps its place until it is repaired; the others are not held up."""
    try:
        yield
    except OrgRefused as error:
        report.refused[place] = refusal(error, mappings, object_name, asks)
        log.warning("sync.unstamped_refused", place=place, code=error.error_code)


@dataclass(frozen=True, slots=True)
class _Followed:
    """Records of an object, and the way to the parent whose moves concern them."""

    object_name: str
    path: str

    @property
    def name(self) -> str:
        """Return what its place is kept under."""
        return f"{self.object_name}.{self.path}"

    @property
    def stamp(self) -> str:
        """Return the path to the parent's stamp."""
        return f"{self.path}.{STAMP}"

    def moved_at(self, row: OrgRow) -> datetime:
        """Return the parent's stamp of a record that was read with it."""
        value: Any = row.values
        for step in self.stamp.casefold().split("."):
            value = next(one for name, one in value.items() if name.casefold() == step)
        return read_instant(value)


class _Reader:
    def __init__(
        self, store: Store, org: OrgClient, mappings: Mappings, report: SweepReport
    ) -> None:
        self._store, self._org, self._mappings, self._report = store, org, mappings, report

    def follow(self, followed: _Followed, kept: Position | None, now_org: datetime) -> None:
        """Read the records whose parent moved, in the order of the moves.

        Where a sweep reads no more of them, the next one goes on.
        """
        if kept is None or kept.at is None:
            self._keep(followed.object_name, [], followed.name, Position(now_org))
            return
        # An id in the place: the last sweep stopped halfway, among the children of one move.
        position = kept if kept.sfid else Position(kept.at - LOOK_BACK)
        for _ in range(PAGES_MAX):
            rows = self._read_moved(followed, position)
            if len(rows) < PAGE:
                self._keep(followed.object_name, rows, followed.name, Position(now_org))
                return
            position = Position(followed.moved_at(rows[-1]), rows[-1].sfid)
            self._keep(followed.object_name, rows, followed.name, position)
        self._report.notes.append(
            f"{followed.object_name}: {PAGE * PAGES_MAX} records or more look at a parent that "
            f"moved ({followed.path}); the next sweep goes on with the others."
        )

    def _read_moved(self, followed: _Followed, position: Position) -> list[OrgRow]:
        assert position.at is not None
        stamp, at = followed.stamp, instant_text(position.at)
        moved = f"{stamp} >= {at}"
        if position.sfid:
            moved = f"{stamp} > {at} OR ({stamp} = {at} AND {ID} > '{position.sfid}')"
        return self._read(followed.object_name, moved, f"{stamp}, {ID}", (stamp,))

    def next_page(self, object_name: str, after: str, now_org: datetime) -> None:
        """Read the next records by Id, beginning anew after the last."""
        rows = self._read(object_name, f"{ID} > '{after}'" if after else "", ID)
        after = rows[-1].sfid if len(rows) == PAGE else ""
        self._keep(object_name, rows, object_name, Position(now_org, after))

    def _read(
        self, object_name: str, condition: str, order: str, besides: Sequence[str] = ()
    ) -> list[OrgRow]:
        conditions = [*self._mappings.conditions_of(object_name), *filter(None, [condition])]
        where = " WHERE " + " AND ".join(f"({one})" for one in conditions) if conditions else ""
        names = ", ".join((*fields_to_read(self._mappings, object_name), *besides))
        soql = f"SELECT {names} FROM {object_name}{where} ORDER BY {order} LIMIT {PAGE}"  # noqa: S608 - of checked mappings
        (answer,) = self._org.composite(
            [Subrequest("GET", f"query?{urlencode({'q': soql})}", "q0")]
        )
        answer.raise_for_status()
        return [row_of(object_name, record) for record in answer.body["records"]]

    def _keep(
        self, object_name: str, rows: Sequence[OrgRow], place: str, position: Position
    ) -> None:
        with self._store.transaction() as tx:
            stored = store_news(
                tx,
                self._mappings,
                object_name,
                rows,
                organization_id=self._org.identity(),
            )
            # Among the moves that are looked back at, a place may lie behind the one before.
            put(tx, Kind.UNSTAMPED, place, position)
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
