"""Writes mapped attributes of CRM records into the hub, many at a time.

A three-way comparison: what the CRM says now, what it said when both sides last agreed
(`crm_record.known`), what the hub has. A record that says nothing new is an echo and touches
nothing; one older than the version known is dropped (design D3, D4).
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from connector.store.engine import violated_constraint
from connector.store.tables import metadata
from connector.sync.apply.kinds import owe_again
from connector.sync.apply.pull_plan import ColumnWriter, column_writer, record_reader
from connector.sync.apply.pulled_values import found_nothing
from connector.sync.inbox.arrivals import OrgRow, heard_from
from connector.sync.mapping.definition import HUB_KEY_FIELD, IS_PERSON, RECORD_TYPE
from connector.sync.mapping.definition import Mapping as EntityMapping
from connector.sync.mapping.keys import hub_id_of

log = structlog.get_logger(__name__)

_KNOWN = text(
    """
    SELECT sfid, hub_id, system_modstamp, known FROM crm_record
     WHERE entity = :entity AND sfid = ANY(:sfids)
    """
)
_REMEMBER = text(
    """
    INSERT INTO crm_record (entity, hub_id, object, sfid, born, system_modstamp, known, status,
                            synced_at, known_from)
    SELECT :entity, n.hub_id, :object, n.sfid, :born, n.version, n.known, 'In Sync', now(),
           n.known_from
      FROM jsonb_to_recordset(:rows)
           AS n(hub_id bigint, sfid text, version timestamptz, known jsonb, known_from jsonb)
     ORDER BY n.hub_id
        ON CONFLICT (entity, hub_id) DO UPDATE
       SET sfid = coalesce(crm_record.sfid, excluded.sfid),
           known = crm_record.known || excluded.known,
           known_from = crm_record.known_from || excluded.known_from,
           system_modstamp = greatest(crm_record.system_modstamp, excluded.system_modstamp)
    """
).bindparams(bindparam("rows", type_=JSONB))

_KINDS = frozenset({IS_PERSON, RECORD_TYPE})

# An echo says nothing new, but what is older than it must not be taken for news any more.
_SEEN = text(
    """
    UPDATE crm_record r SET system_modstamp = n.version
      FROM jsonb_to_recordset(:rows) AS n(sfid text, version timestamptz)
     WHERE r.entity = :entity AND r.sfid = n.sfid
       AND (r.system_modstamp IS NULL OR r.system_modstamp < n.version)
    """
).bindparams(bindparam("rows", type_=JSONB))


@dataclass(frozen=True, slots=True)
class Written:
    """What became of some records of one entity."""

    changed: int = 0
    echoes: int = 0
    stale: int = 0
    unknown: int = 0  # of an entity born in the hub, but not one of ours
    problems: Mapping[str, str] = field(default_factory=dict)  # Salesforce id -> why refused


@dataclass(slots=True)
class _News:
    row: OrgRow
    hub_id: int | None
    said: dict[str, Any]  # canonical values by API name
    changed: Set[str]  # names whose value is another than when both sides last agreed


def news_of(tx: Connection, mapping: EntityMapping, rows: Sequence[OrgRow]) -> list[OrgRow]:
    """Return the records that say something the hub has not heard from the CRM yet."""
    news, _, _ = _sorted_out(tx, mapping, rows)
    return [one.row for one in news]


def write_attributes(tx: Connection, mapping: EntityMapping, rows: Sequence[OrgRow]) -> Written:
    """Write what is new; a record the store refuses does not hold up the others."""
    news, echoes, stale = _sorted_out(tx, mapping, rows)
    if echoes:
        tx.execute(_SEEN, {"entity": mapping.entity, "rows": echoes})
    news = _found(tx, mapping, news)
    ours = [one for one in news if one.hub_id is not None or mapping.born == "crm"]
    unknown = len(news) - len(ours)
    problems: dict[str, str] = {}
    changed = _write_what_can_be(tx, mapping, ours, problems) if ours else 0
    return Written(changed, len(echoes), stale, unknown, problems)


def _sorted_out(
    tx: Connection, mapping: EntityMapping, rows: Sequence[OrgRow]
) -> tuple[list[_News], list[dict[str, Any]], int]:
    """Split off what repeats the version known, and count what is older."""
    assert mapping.pull is not None
    found = tx.execute(_KNOWN, {"entity": mapping.entity, "sfids": [row.sfid for row in rows]})
    known = {row.sfid: row for row in found}
    news: list[_News] = []
    echoes: list[dict[str, Any]] = []
    stale = 0
    reader = record_reader(tx, mapping)
    for row in rows:
        before = known.get(row.sfid)
        if before is None:
            said = reader.said(row)
            news.append(_News(row, None, said, said.keys()))
            continue
        if before.system_modstamp and before.system_modstamp > row.version:
            stale += 1
            continue
        said = reader.said(row)
        agreed = before.known
        changed = {
            name for name, value in said.items() if name not in agreed or agreed[name] != value
        }
        if not changed and not row.is_deleted:
            echoes.append({"sfid": row.sfid, "version": row.version})
            continue
        news.append(_News(row, before.hub_id, said, changed))
    return news, echoes, stale


def _found(tx: Connection, mapping: EntityMapping, news: list[_News]) -> list[_News]:
    """Find the hub rows by Salesforce id, or by the key the hub gave them."""
    table = metadata.tables[mapping.table]
    by_sfid: dict[str, int] = {}
    if "sfid" in table.c:
        statement = text(f'SELECT sfid, id FROM "{table.name}" WHERE sfid = ANY(:sfids)')  # noqa: S608
        rows = tx.execute(statement, {"sfids": [one.row.sfid for one in news]})
        by_sfid = {row.sfid: row.id for row in rows}
    unmet = [one for one in news if one.hub_id is None and one.row.sfid not in by_sfid]
    by_key = {one.row.sfid: key for one in unmet if (key := _key_of(mapping, one)) is not None}
    statement = text(f'SELECT id FROM "{table.name}" WHERE id = ANY(:ids)')  # noqa: S608 - of our own tables
    # A person may write any key; only one that the hub has given leads to a row.
    given = set(tx.scalars(statement, {"ids": list(by_key.values())})) if by_key else set()
    for one in news:
        if one.hub_id is None:
            key = by_key.get(one.row.sfid)
            one.hub_id = by_sfid.get(one.row.sfid) or (key if key in given else None)
    return news


def _key_of(mapping: EntityMapping, one: _News) -> int | None:
    return hub_id_of(mapping.entity, str(one.row.values.get(HUB_KEY_FIELD) or ""))


def _write_what_can_be(
    tx: Connection, mapping: EntityMapping, news: list[_News], problems: dict[str, str]
) -> int:
    """Write all at once, else by halves: of thousands of records, one refused costs few tries."""
    try:
        with tx.begin_nested():
            return _write(tx, mapping, news)
    except DBAPIError as error:
        if len(news) == 1:
            problems[news[0].row.sfid] = _told(mapping, news[0].row, error)
            return 0
    middle = len(news) // 2
    first = _write_what_can_be(tx, mapping, news[:middle], problems)
    return first + _write_what_can_be(tx, mapping, news[middle:], problems)


def _write(tx: Connection, mapping: EntityMapping, news: list[_News]) -> int:
    writer = column_writer(tx, mapping, [one.said for one in news])
    entered = _insert_new(tx, mapping, [one for one in news if one.hub_id is None], writer)
    ids = {one.row.sfid: one.hub_id or entered.ids[one.row.sfid] for one in news}
    changed = len(entered.new) + _update(
        tx,
        mapping,
        [
            {"id": ids[one.row.sfid]} | writer.values(one.row, one.said, one.changed)
            for one in news
            if one.row.sfid not in entered.new
        ],
    )
    owe_again(
        tx, mapping, [ids[one.row.sfid] for one in news if not _KINDS.isdisjoint(one.changed)]
    )
    tx.execute(
        _REMEMBER,
        {
            "entity": mapping.entity,
            "object": mapping.object,
            "born": mapping.born,
            "rows": [
                {
                    "hub_id": ids[one.row.sfid],
                    "sfid": one.row.sfid,
                    "version": one.row.version,
                    "known": one.said,
                    "known_from": _trail(one, is_new=one.row.sfid in entered.new),
                }
                for one in news
            ],
        },
    )
    return changed


def _trail(one: _News, *, is_new: bool) -> dict[str, Any]:
    """Say what told of the values: once for a record that came as a whole."""
    heard = heard_from(one.row)
    return {"*": heard} if is_new else dict.fromkeys(one.changed, heard)


@dataclass(frozen=True, slots=True)
class _Entered:
    ids: Mapping[str, int]  # by Salesforce id
    new: Set[str]  # not those that somebody else has entered since we looked


def _insert_new(
    tx: Connection, mapping: EntityMapping, news: list[_News], writer: ColumnWriter
) -> _Entered:
    """Enter rows for records of the CRM the hub meets for the first time."""
    if not news:
        return _Entered({}, frozenset())
    when_new = {"sfid": None, **writer.when_new}
    rows = [
        when_new | {"sfid": one.row.sfid} | writer.values(one.row, one.said, one.changed)
        for one in news
    ]
    columns = ", ".join(f'"{name}"' for name in when_new)
    # A row that was locked for the update, not inserted, has an xmax.
    statement = text(
        f"""
        INSERT INTO "{mapping.table}" ({columns})
        SELECT {columns} FROM jsonb_populate_recordset(NULL\\:\\:"{mapping.table}", :rows)
            ON CONFLICT (sfid) DO UPDATE SET sfid = excluded.sfid
        RETURNING sfid, id, xmax = 0 AS is_new
        """  # noqa: S608 - names come from checked mappings
    ).bindparams(bindparam("rows", type_=JSONB))
    found = tx.execute(statement, {"rows": rows}).all()
    return _Entered(
        {sfid: number for sfid, number, _ in found}, {sfid for sfid, _, is_new in found if is_new}
    )


def _update(tx: Connection, mapping: EntityMapping, rows: list[dict[str, Any]]) -> int:
    """Update rows where a column really differs, one statement for each set of columns."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        by_columns.setdefault(tuple(name for name in row if name != "id"), []).append(row)
    changed = 0
    for columns, alike in by_columns.items():
        if not columns:
            continue
        ours = ", ".join(f't."{name}"' for name in columns)
        theirs = ", ".join(f'n."{name}"' for name in columns)
        assignments = ", ".join(f'"{name}" = n."{name}"' for name in columns)
        statement = text(
            f"""
            UPDATE "{mapping.table}" t SET {assignments}
              FROM jsonb_populate_recordset(NULL\\:\\:"{mapping.table}", :rows) n
             WHERE t.id = n.id AND ({ours}) IS DISTINCT FROM ({theirs})
            """  # noqa: S608 - names come from checked mappings
        ).bindparams(bindparam("rows", type_=JSONB))
        changed += tx.execute(statement, {"rows": alike}).rowcount
    return changed


def _told(mapping: EntityMapping, row: OrgRow, error: DBAPIError) -> str:
    reason = violated_constraint(error) or type(error.orig).__name__
    if isinstance(error.orig, psycopg.errors.NotNullViolation):
        reason = _what_is_missing(mapping, row, error.orig.diag.column_name)
    log.warning("sync.record_refused", entity=mapping.entity, sfid=row.sfid, reason=reason)
    return f"{mapping.object} {row.sfid}: the hub refuses it ({reason})"


def _what_is_missing(mapping: EntityMapping, row: OrgRow, column: str | None) -> str:
    """Say which row of the hub a field leads to in vain, else which column stays empty."""
    for name, pulled in mapping.pull.fields.items() if mapping.pull else ():
        nothing = found_nothing(pulled, row.values.get(name))
        if pulled.to == column and nothing is not None:
            return f"{name}: {nothing}"
    return f"{column} is missing"
