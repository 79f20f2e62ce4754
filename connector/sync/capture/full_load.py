"""First load: everything the mappings pull, by Bulk API snapshots (design 4, fact sheet E.4).

Records that nobody here has met are entered at once: the snapshot can be read again, so the inbox
need not keep them. All others go through the same inbox and the same apply as a sweep's pages. The
job and the place reached in its result are remembered, so a load that was broken off goes on there;
a page taken twice changes nothing. The cursor is set to before the snapshot began, so the next
sweep brings what changed since.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text

from connector.adapters.salesforce.bulk import PAGES_MAX, Bulk, ResultPage
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.errors import InvalidInput
from connector.store.engine import Store
from connector.sync.apply.attributes import news_of
from connector.sync.apply.gone import news_of_life
from connector.sync.apply.intents import new_asks
from connector.sync.apply.newcomers import Newcomers, enter, newcomers_among
from connector.sync.apply.run import hold_off_passes
from connector.sync.budget.usage import record_calls
from connector.sync.capture.bulk_cells import read_columns
from connector.sync.capture.cursors import Kind, Position, advance, look_back
from connector.sync.capture.read_ahead import read_ahead
from connector.sync.capture.refusals import condition_or_fields, refusal
from connector.sync.capture.sweep import ASKS_LOOK_BACK, OVERLAP
from connector.sync.inbox.arrivals import (
    DELETED,
    OrgRow,
    fields_to_read,
    objects_to_watch,
    rules_of,
)
from connector.sync.inbox.columns import RecordColumns, columns_of
from connector.sync.inbox.store import store_page
from connector.sync.mapping.definition import Mappings

log = structlog.get_logger(__name__)

# Of the inbox: small, since fifty pages are applied at once.
ROWS_PER_STORED_PAGE = 400
ROWS_PER_BLOCK = 5_000  # a transaction
BLOCKS_AHEAD = 2  # read while the store works
ROWS_PER_RESULT_PAGE = 50_000

_OPEN = text("SELECT object, job, locator, began_at, rows FROM full_load WHERE object = :object")
_BEGIN = text("INSERT INTO full_load (object, job, began_at) VALUES (:object, :job, :began_at)")
_REACHED = text("""
    UPDATE full_load SET locator = :locator, rows = rows + :rows WHERE object = :object
""")
# For records the snapshot still holds. The place in it is committed behind them and does wait,
# which takes them to the disk as well: if the server falls before, they are read again.
_NEED_NOT_WAIT = text("SET LOCAL synchronous_commit = off")
_END = text("DELETE FROM full_load WHERE object = :object")


class NotPulled(InvalidInput):
    """No mapping takes attributes of the object into the hub."""

    code = "sync.not_pulled"


@dataclass(frozen=True, slots=True)
class FullLoadReport:
    """What was read: `seen`, of it `entered` in the hub at once, `stored` in the inbox to apply.

    `refused` says why the org did not show an object, and which lines of the mappings ask for it.
    """

    calls: int
    seen: Mapping[str, int]
    entered: Mapping[str, int]
    stored: Mapping[str, int]
    resumed: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Counts:
    seen: dict[str, int] = field(default_factory=dict)
    entered: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    resumed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def load_fully(
    *,
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    now_org: datetime,
    objects: Sequence[str] = (),
    overlap: timedelta = OVERLAP,
    rows_per_result_page: int = ROWS_PER_RESULT_PAGE,
) -> FullLoadReport:
    """Take in everything the mappings pull, or of the named objects; not what was asked long ago.

    `now_org` is the org's present instant. Asks of the last 24 hours come along, as in a first
    sweep.

    What the org refuses of one object is told and does not hold up the others.

    Raises:
        NotPulled: A named object has no attributes that come in.
        TransientFailure: The org did not answer; another call goes on where this one stopped.
    """
    calls_before = org.calls
    counts = _Counts()
    load = _Load(store, org, mappings, counts, rows_per_result_page)
    try:
        for name in _wanted(mappings, objects):
            try:
                load.run(name, began_at=now_org - overlap)
            except OrgRefused as error:  # the others are not held up
                counts.refused[name] = refusal(error, mappings, name, condition_or_fields)
                log.warning("sync.load_refused", object=name, code=error.error_code)
    finally:
        with store.transaction() as tx:
            record_calls(tx=tx, calls=org.calls - calls_before, limit=org.limit_info, now=now_org)
    calls = org.calls - calls_before
    entered, stored = sum(counts.entered.values()), sum(counts.stored.values())
    log.info("sync.loaded", calls=calls, entered=entered, stored=stored)
    return FullLoadReport(
        calls=calls,
        seen=counts.seen,
        entered=counts.entered,
        stored=counts.stored,
        resumed=tuple(counts.resumed),
        refused=counts.refused,
    )


def _wanted(mappings: Mappings, objects: Sequence[str]) -> tuple[str, ...]:
    pulled = tuple(
        name
        for name in objects_to_watch(mappings)
        if any(mapping.pull for mapping in mappings.of_object(name))
    )
    for name in objects:
        if name not in pulled:
            raise NotPulled(
                f"No mapping takes fields of {name} into the hub.",
                remedy=f"Name one of {', '.join(pulled)}; what others ask for, a sweep finds.",
            )
    return tuple(name for name in pulled if not objects or name in objects)


@dataclass(frozen=True, slots=True)
class _Load:
    store: Store
    org: OrgClient
    mappings: Mappings
    counts: _Counts
    rows_per_result_page: int

    @property
    def bulk(self) -> Bulk:
        return Bulk(self.org)

    def run(self, name: str, *, began_at: datetime) -> None:
        """Take the snapshot of one object, from where a former load stopped."""
        organization_id = self.org.identity()
        under_way = self._under_way(name, began_at)
        self.counts.seen[name] = int(under_way.rows)
        self.counts.entered[name] = self.counts.stored[name] = 0
        taken = 0
        blocks = read_ahead(self._blocks(name, under_way), ahead=BLOCKS_AHEAD)
        with closing(blocks):
            for block in blocks:
                if block.records is not None:
                    self._take(block.records, block.newcomers, under_way, organization_id)
                taken += len(block.records or ())
                if not block.ends_page:
                    continue
                self.counts.seen[name] += taken
                with self.store.transaction() as tx:
                    if block.following is None:
                        tx.execute(_END, {"object": name})
                        advance(tx, Kind.CHANGES, name, Position(under_way.began_at))
                        # What was deleted while nobody knew it yet has been passed over.
                        look_back(tx, Kind.DELETIONS, name, to=under_way.began_at)
                    else:
                        reached = {"object": name, "locator": block.following, "rows": taken}
                        tx.execute(_REACHED, reached)
                taken = 0

    def _blocks(self, name: str, load: Row[Any]) -> Iterator["_Block"]:
        """Read the result from where a former load stopped."""
        types = {one["name"]: one["type"] for one in self.org.describe(name)["fields"]}
        locator: str | None = load.locator
        for _ in range(PAGES_MAX):
            assert locator is not None
            with self.bulk.result_page(
                load.job, locator=locator, rows_per_page=self.rows_per_result_page
            ) as page:
                while records := self._records(name, page, types):
                    yield _Block(records, self._newcomers(name, records))
                locator = page.following
            yield _Block(ends_page=True, following=locator)
            if locator is None:
                return

    def _records(
        self, name: str, page: ResultPage, types: Mapping[str, str]
    ) -> RecordColumns | None:
        """Read the next records of a page; None behind the last."""
        values = read_columns(page.names, islice(page.lines, ROWS_PER_BLOCK), types)
        records = columns_of(name, values, source="bulk") if values else None
        return records or None

    def _newcomers(self, name: str, records: RecordColumns) -> Newcomers | None:
        pulled = [mapping for mapping in self.mappings.of_object(name) if mapping.pull is not None]
        # Of one object, records of several entities are told apart when they are compared.
        if len(pulled) != 1:
            return None
        with self.store.read() as tx:
            return newcomers_among(tx, pulled[0], records)

    def _under_way(self, name: str, began_at: datetime) -> Row[Any]:
        """Return the load that was broken off if its result is still there, else a new one."""
        with self.store.read() as tx:
            former = tx.execute(_OPEN, {"object": name}).one_or_none()
        if former is not None:
            with suppress(OrgRefused):  # its result is kept for seven days
                self.bulk.finish_query(former.job)
                self.counts.resumed.append(name)
                return former
            with self.store.transaction() as tx:
                tx.execute(_END, {"object": name})
        job = self.bulk.open_query(load_query(self.mappings, name), include_deleted=True)
        with self.store.transaction() as tx:
            tx.execute(_BEGIN, {"object": name, "job": job, "began_at": began_at})
            begun = tx.execute(_OPEN, {"object": name}).one()
        self.bulk.finish_query(job)
        return begun

    def _take(
        self,
        arrived: RecordColumns,
        newcomers: Newcomers | None,
        load: Row[Any],
        organization_id: str,
    ) -> None:
        """Enter the records nobody here has met, and store what is news of the others."""
        name, since = arrived.object_name, load.began_at - ASKS_LOOK_BACK
        with self.store.transaction() as tx:
            tx.execute(_NEED_NOT_WAIT)
            asked = self._asked(tx, arrived, since)
            entered = self._entered(tx, newcomers, asked)
            left = arrived.rows(
                place for place, sfid in enumerate(arrived.sfids) if sfid not in entered
            )
            news = self._news(tx, name, left)
            wanted = news.keys() | asked
            whole = {
                row.sfid: row.values for row in left if row.version >= since and row.sfid in wanted
            }
            records = list((news | whole).values())
            for start in range(0, len(records), ROWS_PER_STORED_PAGE):
                store_page(
                    tx,
                    object_name=name,
                    organization_id=organization_id,
                    records=records[start : start + ROWS_PER_STORED_PAGE],
                    source="bulk",
                )
        self.counts.entered[name] += len(entered)
        self.counts.stored[name] += len(records)

    def _asked(self, tx: Connection, arrived: RecordColumns, since: datetime) -> Set[str]:
        """Return the records changed since then that ask for something new, by id."""
        if not rules_of(self.mappings, arrived.object_name):
            return frozenset()
        recent = (place for place, stamp in enumerate(arrived.versions) if stamp >= since)
        return {row.sfid for row in new_asks(tx, self.mappings, arrived.rows(recent))}

    def _entered(self, tx: Connection, arrived: Newcomers | None, asked: Set[str]) -> Set[str]:
        """Enter the newcomers; return their ids, none if that has to be done on the other way."""
        if arrived is None or arrived.sfids & asked or not hold_off_passes(tx):
            return frozenset()
        return arrived.sfids if enter(tx, arrived) else frozenset()

    def _news(
        self, tx: Connection, name: str, rows: Sequence[OrgRow]
    ) -> dict[str, Mapping[str, Any]]:
        """Return what is new to the hub, by id; what old records ask for is left out."""
        if not rows:
            return {}
        asking = _asking_fields(self.mappings, name)
        news: dict[str, Mapping[str, Any]] = {}
        for mapping in self.mappings.of_object(name):
            if mapping.pull is not None:
                found = news_of(tx, mapping, [row for row in rows if not row.is_deleted])
                news |= {one.sfid: _without(one.values, asking) for one in found}
        return news | {row.sfid: row.values for row in news_of_life(tx, rows)}


@dataclass(frozen=True, slots=True)
class _Block:
    """Some records of a result; behind the last of a page, where the next one begins."""

    records: RecordColumns | None = None
    newcomers: Newcomers | None = None
    ends_page: bool = False
    following: str | None = None


def _asking_fields(mappings: Mappings, object_name: str) -> frozenset[str]:
    """Return the fields that only ask: what old records ask for was asked before we were there."""
    return frozenset(
        rule.when.field
        for mapping, rule in rules_of(mappings, object_name)
        if mapping.pull is None or rule.when.field not in mapping.pull.fields
    )


def _without(values: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    if not names:
        return values
    return {name: value for name, value in values.items() if name not in names}


def _names(mappings: Mappings, object_name: str) -> tuple[str, ...]:
    return (*fields_to_read(mappings, object_name), DELETED)


def load_query(mappings: Mappings, object_name: str) -> str:
    """Return the query of the Bulk job that shows what the mappings pull of an object."""
    names = ", ".join(_names(mappings, object_name))
    conditions = mappings.conditions_of(object_name)
    where = " WHERE " + " AND ".join(f"({one})" for one in conditions) if conditions else ""
    return f"SELECT {names} FROM {object_name}{where}"  # noqa: S608 - SOQL of checked mappings
