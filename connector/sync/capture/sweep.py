"""Sweeps the org for changes no message told about, by SystemModstamp (fact sheet H.1, D4).

Two positions: within a sweep the pages follow (SystemModstamp, Id) to the end; what is kept for the
next sweep stays an overlap behind the org's time, because a record becomes visible only when its
transaction commits, later than its stamp. What the overlap brings twice is recognised by its
values and not stored again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import structlog
from sqlalchemy import Connection, text

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import COLLECTIONS_PER_CALL, OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.adapters.salesforce.payload import instant_text
from connector.store.engine import Store
from connector.sync.apply.attributes import news_of
from connector.sync.apply.intents import new_asks
from connector.sync.budget.usage import record_calls
from connector.sync.inbox.arrivals import (
    DELETED,
    ID,
    STAMP,
    OrgRow,
    fields_to_read,
    objects_to_watch,
    row_of,
)
from connector.sync.inbox.store import store_page
from connector.sync.mapping.definition import Mappings, When
from connector.sync.mapping.findings import halted

log = structlog.get_logger(__name__)

OVERLAP = timedelta(seconds=120)
# What was asked before the connector was there is not for it to do; an outbound message lives 24 h.
ASKS_LOOK_BACK = timedelta(hours=24)
PAGE = 2_000
PAGES_PER_SWEEP_MAX = 500

_POSITIONS = text("SELECT object, position_at, position_id FROM sync_cursor")
_ADVANCE = text(
    """
    INSERT INTO sync_cursor (object, position_at, position_id)
    VALUES (:object, :position_at, :position_id)
        ON CONFLICT (object) DO UPDATE
       SET position_at = excluded.position_at, position_id = excluded.position_id
     WHERE (sync_cursor.position_at, sync_cursor.position_id)
           < (excluded.position_at, excluded.position_id)
    """
)


@dataclass(slots=True)
class SweepReport:
    """What a sweep saw."""

    calls: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # object -> why the org did not answer it
    held: str = ""  # why nothing was asked at all

    @property
    def stored_total(self) -> int:
        """Return how many records wait in the inbox because of this sweep."""
        return sum(self.stored.values())


@dataclass(frozen=True, slots=True)
class _Position:
    at: datetime | None
    sfid: str = ""


def sweep(
    *,
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    now_org: datetime,
    overlap: timedelta = OVERLAP,
) -> SweepReport:
    """Store every record that changed since the last sweep and says something new.

    Up to five objects are asked in one call. `now_org` is the org's present instant; attributes are
    swept from the beginning the first time, asks from a day before.
    """
    report = SweepReport()
    organization_id = org.identity()
    with store.read() as tx:
        kept = {
            row.object: _Position(row.position_at, row.position_id)
            for row in tx.execute(_POSITIONS)
        }
        still = halted(tx, "pull")
    open_objects = {
        name: kept.get(name, _first_position(mappings, name, now_org))
        for name in objects_to_watch(mappings)
        if not any(mapping.entity in still for mapping in mappings.of_object(name))
    }
    for _ in range(PAGES_PER_SWEEP_MAX):
        asked = dict(list(open_objects.items())[:COLLECTIONS_PER_CALL])
        if not asked:
            break
        pages = _read(org, mappings, asked, report)
        report.calls += 1
        for name in asked.keys() - pages.keys():
            del open_objects[name]  # it keeps its place until it is repaired
        for name, rows in pages.items():
            position = _behind(rows, asked[name])
            with store.transaction() as tx:
                _store(tx, mappings, name, rows, organization_id, report)
                _advance(tx, name, position, latest=now_org - overlap)
            if len(rows) < PAGE:
                del open_objects[name]
            else:
                open_objects[name] = position
    with store.transaction() as tx:
        record_calls(tx=tx, calls=report.calls, limit=org.limit_info, now=now_org)
    log.info("sync.swept", calls=report.calls, stored=report.stored_total)
    return report


def _first_position(mappings: Mappings, object_name: str, now_org: datetime) -> _Position:
    has_attributes = any(mapping.pull for mapping in mappings.of_object(object_name))
    return _Position(None if has_attributes else now_org - ASKS_LOOK_BACK)


def _read(
    org: OrgClient,
    mappings: Mappings,
    positions: Mapping[str, _Position],
    report: SweepReport,
) -> dict[str, list[OrgRow]]:
    answers = org.composite(
        [
            Subrequest("GET", _query(mappings, name, position), f"q{place}")
            for place, (name, position) in enumerate(positions.items())
        ]
    )
    pages: dict[str, list[OrgRow]] = {}
    for name, answer in zip(positions, answers, strict=True):
        try:
            answer.raise_for_status()
        except OrgRefused as error:
            # A field this org does not show halts its object; the others are not held up.
            report.refused[name] = error.message
            log.warning("sync.sweep_refused", object=name, code=error.error_code)
            continue
        pages[name] = [row_of(name, record) for record in answer.body["records"]]
    return pages


def _query(mappings: Mappings, object_name: str, position: _Position) -> str:
    of_object = mappings.of_object(object_name)
    has_attributes = any(mapping.pull for mapping in of_object)
    names = list(fields_to_read(mappings, object_name))
    conditions = [
        mapping.pull.where for mapping in of_object if mapping.pull and mapping.pull.where
    ]
    if has_attributes:
        names.append(DELETED)
    else:
        conditions.append(_any_ask(mappings, object_name))
    if position.at is not None:
        at = instant_text(position.at)
        after = f"{STAMP} > {at}"
        if position.sfid:
            after += f" OR ({STAMP} = {at} AND {ID} > '{position.sfid}')"
        else:
            after = f"{STAMP} >= {at}"
        conditions.append(after)
    where = " WHERE " + " AND ".join(f"({one})" for one in conditions) if conditions else ""
    soql = (
        f"SELECT {', '.join(names)} FROM {object_name}{where} ORDER BY {STAMP}, {ID} LIMIT {PAGE}"  # noqa: S608
    )
    return f"{'queryAll' if has_attributes else 'query'}?{urlencode({'q': soql})}"


def _any_ask(mappings: Mappings, object_name: str) -> str:
    rules = [rule for mapping in mappings.of_object(object_name) for rule in mapping.intents]
    return " OR ".join(_condition(rule.when) for rule in rules)


def _condition(when: When) -> str:
    if when.set:
        return f"{when.field} != null"
    if isinstance(when.becomes, bool):
        return f"{when.field} = {str(when.becomes).lower()}"
    quoted = str(when.becomes).replace("\\", "\\\\").replace("'", "\\'")
    return f"{when.field} = '{quoted}'"


def _behind(rows: Sequence[OrgRow], before: _Position) -> _Position:
    return _Position(rows[-1].version, rows[-1].sfid) if rows else before


def _store(
    tx: Connection,
    mappings: Mappings,
    object_name: str,
    rows: Sequence[OrgRow],
    organization_id: str,
    report: SweepReport,
) -> None:
    fresh: dict[str, Mapping[str, Any]] = {}
    for mapping in mappings.of_object(object_name):
        if mapping.pull is not None and rows:
            fresh |= {row.sfid: row.values for row in news_of(tx, mapping, rows)}
    fresh |= {row.sfid: row.values for row in new_asks(tx, mappings, rows)}
    report.seen[object_name] = report.seen.get(object_name, 0) + len(rows)
    report.stored[object_name] = report.stored.get(object_name, 0) + len(fresh)
    if fresh:
        store_page(
            tx,
            object_name=object_name,
            organization_id=organization_id,
            records=list(fresh.values()),
        )


def _advance(tx: Connection, object_name: str, position: _Position, *, latest: datetime) -> None:
    """Keep the place for the next sweep, never closer to the org's time than the overlap."""
    if position.at is None or position.at >= latest:
        position = _Position(latest)
    tx.execute(
        _ADVANCE,
        {"object": object_name, "position_at": position.at, "position_id": position.sfid},
    )
