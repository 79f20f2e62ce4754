"""Sweeps the org for changes no message told about, by SystemModstamp (fact sheet H.1, D4).

Two positions: within a sweep the pages follow (SystemModstamp, Id) to the end; what is kept for the
next sweep stays an overlap behind the org's time, and behind the oldest transaction that is still
open there (`latestDateCovered`): a record becomes visible only when its transaction commits, later
than its stamp. What is read twice is recognised by its values and not stored again.

The question for `latestDateCovered` travels in the same composite call as the queries, before them,
so it costs no call of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

import structlog
from sqlalchemy import Connection

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import COLLECTIONS_PER_CALL, OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.adapters.salesforce.payload import instant_text
from connector.store.engine import Store
from connector.sync.budget.usage import record_calls
from connector.sync.capture.covering import covered_by, covering
from connector.sync.capture.cursors import Kind, Position, advance, positions
from connector.sync.capture.deletions import sweep_deletions
from connector.sync.capture.pages import store_news
from connector.sync.capture.refusals import condition_or_fields, refusal
from connector.sync.capture.report import SweepReport
from connector.sync.capture.unstamped import sweep_unstamped
from connector.sync.inbox.arrivals import (
    DELETED,
    ID,
    MASTER,
    STAMP,
    OrgRow,
    fields_to_read,
    is_read_whole,
    objects_to_watch,
    row_of,
)
from connector.sync.mapping.definition import Mappings, When
from connector.sync.mapping.findings import halted

log = structlog.get_logger(__name__)

OVERLAP = timedelta(seconds=120)
# What was asked before the connector was there is not for it to do; an outbound message lives 24 h.
ASKS_LOOK_BACK = timedelta(hours=24)
PAGE = 2_000
PAGES_PER_SWEEP_MAX = 500
MERGEABLE = frozenset({"Account", "Contact", "Lead"})  # fact sheet F.5


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
    swept from the beginning the first time, asks from a day before. What was deleted is asked for
    every few minutes; so are the fields whose change stamps nothing, where mappings name some.
    """
    report = SweepReport()
    calls_before = org.calls
    organization_id = org.identity()
    _sweep_changes(store, org, mappings, report, now_org=now_org, overlap=overlap)
    sweep_unstamped(store, org, mappings, report, now_org=now_org)
    sweep_deletions(store, org, mappings, report, now_org=now_org, overlap=overlap)
    report.calls = org.calls - calls_before
    with store.transaction() as tx:
        record_calls(tx=tx, calls=report.calls, limit=org.limit_info, now=now_org)
    log.info(
        "sync.swept",
        organization_id=organization_id,
        calls=report.calls,
        stored=report.stored_total,
        notes=report.notes,
    )
    return report


@dataclass(slots=True)
class _Asked:
    """One composite call: the next pages of some objects."""

    positions: Mapping[str, Position]
    uncovered: Sequence[str]  # objects whose latestDateCovered is not known yet
    pages: dict[str, list[OrgRow]] = field(default_factory=dict)
    covered: dict[str, datetime | None] = field(default_factory=dict)


def _sweep_changes(
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    report: SweepReport,
    *,
    now_org: datetime,
    overlap: timedelta,
) -> None:
    with store.read() as tx:
        kept = positions(tx, Kind.CHANGES)
        still = halted(tx, "pull")
    open_objects = {
        name: kept.get(name, _first_position(mappings, name, now_org))
        for name in objects_to_watch(mappings)
        if not any(mapping.entity in still for mapping in mappings.of_object(name))
    }
    latest: dict[str, datetime] = {}
    for _ in range(PAGES_PER_SWEEP_MAX):
        asked = dict(list(open_objects.items())[:COLLECTIONS_PER_CALL])
        if not asked:
            break
        answer = _Asked(asked, [name for name in asked if name not in latest])
        _read(org, mappings, answer, report, now_org=now_org)
        for name, covered in answer.covered.items():
            latest[name] = min(now_org - overlap, covered or now_org)
        for name in asked.keys() - answer.pages.keys():
            del open_objects[name]  # it keeps its place until it is repaired
        for name, rows in answer.pages.items():
            position = _behind(rows, asked[name])
            with store.transaction() as tx:
                stored = store_news(tx, mappings, name, rows, organization_id=org.identity())
                _keep_place(tx, name, position, latest=latest[name])
            report.count(name, seen=len(rows), stored=stored)
            if len(rows) < PAGE:
                del open_objects[name]
            else:
                open_objects[name] = position


def _first_position(mappings: Mappings, object_name: str, now_org: datetime) -> Position:
    has_attributes = any(mapping.pull for mapping in mappings.of_object(object_name))
    return Position(None if has_attributes else now_org - ASKS_LOOK_BACK)


def _read(
    org: OrgClient,
    mappings: Mappings,
    asked: _Asked,
    report: SweepReport,
    *,
    now_org: datetime,
) -> None:
    # In this order: what was visible when the org said how far it has come is in the pages.
    how_far = [
        covering(name, now_org, reference=f"u{place}") for place, name in enumerate(asked.uncovered)
    ]
    queries = [
        Subrequest("GET", _query(mappings, name, position), f"q{place}")
        for place, (name, position) in enumerate(asked.positions.items())
    ]
    answers = org.composite([*how_far, *queries])
    for name, answer in zip(asked.uncovered, answers, strict=False):
        asked.covered[name] = covered_by(name, answer)
    for name, answer in zip(asked.positions, answers[len(how_far) :], strict=True):
        try:
            answer.raise_for_status()
        except OrgRefused as error:
            # A field this org does not show halts its object; the others are not held up.
            report.refused[name] = refusal(error, mappings, name, condition_or_fields)
            log.warning("sync.sweep_refused", object=name, code=error.error_code)
            continue
        asked.pages[name] = [row_of(name, record) for record in answer.body["records"]]


def _query(mappings: Mappings, object_name: str, position: Position) -> str:
    is_whole = is_read_whole(mappings, object_name)
    names = list(fields_to_read(mappings, object_name))
    conditions = list(mappings.conditions_of(object_name))
    if is_whole:
        names += [DELETED, MASTER] if object_name in MERGEABLE else [DELETED]
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
    return f"{'queryAll' if is_whole else 'query'}?{urlencode({'q': soql})}"


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


def _behind(rows: Sequence[OrgRow], before: Position) -> Position:
    return Position(rows[-1].version, rows[-1].sfid) if rows else before


def _keep_place(tx: Connection, object_name: str, position: Position, *, latest: datetime) -> None:
    """Keep the place for the next sweep, never closer to the org's time than `latest`."""
    if position.at is None or position.at >= latest:
        position = Position(latest)
    advance(tx, Kind.CHANGES, object_name, position)
