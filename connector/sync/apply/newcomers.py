"""Records of the CRM that nobody here has met, entered by COPY: most of a first load.

A record that is known in any way needs the comparison of `attributes.py`; of a newcomer there is
nothing to compare. What is written is the same on both ways.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, text

from connector.store.engine import copy_rows, to_json
from connector.store.tables import metadata
from connector.store.tables.sync import crm_record
from connector.sync.apply.kinds import owe_again
from connector.sync.apply.pull_plan import column_writer, record_reader
from connector.sync.inbox.arrivals import OrgRow, heard_from, newest
from connector.sync.mapping.definition import HUB_KEY_FIELD
from connector.sync.mapping.definition import Mapping as EntityMapping
from connector.sync.mapping.keys import hub_id_of

log = structlog.get_logger(__name__)

# The sequence is looked up once, not for each id: that costs as much as to enter a row.
_NEXT_IDS = text(
    """
    WITH s AS MATERIALIZED (SELECT pg_get_serial_sequence(:table_name, 'id') AS name)
    SELECT nextval((SELECT name FROM s)) AS id, now() AS now FROM generate_series(1, :how_many)
    """
)
_MERGED_AWAY = text(
    "SELECT EXISTS (SELECT FROM crm_alias WHERE sfid = ANY(string_to_array(:sfids, ',')))"
)
_REMEMBERED = (
    "entity", "hub_id", "object", "sfid", "born", "system_modstamp", "known", "status",
    "synced_at", "known_from",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Records nobody here has met, with all that their rows will hold but for ids and instants."""

    mapping: EntityMapping
    rows: Sequence[OrgRow]
    columns: Sequence[str]
    values: Sequence[Sequence[Any]]  # of `columns`, for each record
    known: Sequence[str]  # JSON, for each record

    @property
    def sfids(self) -> Set[str]:
        """Return their Salesforce ids."""
        return {row.sfid for row in self.rows}


def newcomers_among(
    tx: Connection, mapping: EntityMapping, rows: Sequence[OrgRow]
) -> Newcomers | None:
    """Pick the records that the hub has no trace of, and work out what to enter; None if none.

    A record that carries a key of the hub is none: it is found by the key.
    """
    fresh = _unmet(tx, mapping, rows)
    if not fresh:
        return None
    reader = record_reader(tx, mapping)
    said = [reader.said(row) for row in fresh]
    writer = column_writer(tx, mapping, said)
    return Newcomers(
        mapping=mapping,
        rows=fresh,
        columns=tuple(writer.when_new),
        values=[writer.new_row(one) for one in said],
        known=[to_json(one).decode() for one in said],
    )


def _unmet(tx: Connection, mapping: EntityMapping, rows: Sequence[OrgRow]) -> list[OrgRow]:
    if mapping.born != "crm" or "sfid" not in metadata.tables[mapping.table].c:
        return []
    statement = text(
        f"""
        WITH asked AS (SELECT string_to_array(:sfids, ',') AS sfids)
        SELECT sfid FROM crm_record WHERE sfid = ANY((SELECT sfids FROM asked)\\:\\:text[])
        UNION ALL
        SELECT sfid FROM crm_alias WHERE sfid = ANY((SELECT sfids FROM asked)\\:\\:text[])
        UNION ALL
        SELECT sfid FROM "{mapping.table}"
         WHERE sfid = ANY((SELECT sfids FROM asked)\\:\\:text[])
        """  # noqa: S608 - a name of checked mappings
    )
    met = set(tx.scalars(statement, {"sfids": ",".join(row.sfid for row in rows)}))
    return [
        row
        for row in newest(rows)
        if row.sfid not in met and not row.is_deleted and not _has_our_key(mapping, row)
    ]


def _has_our_key(mapping: EntityMapping, row: OrgRow) -> bool:
    key = row.values.get(HUB_KEY_FIELD)
    return bool(key) and hub_id_of(mapping.entity, str(key)) is not None


def enter(tx: Connection, arrived: Newcomers) -> bool:
    """Enter newcomers and remember what they say; return False if that cannot be done for all.

    Then nothing is entered. One of them may have been met since they were looked for, or the store
    refuses one: the way that every record takes finds out.
    """
    if tx.execute(_MERGED_AWAY, {"sfids": ",".join(arrived.sfids)}).scalar_one():
        return False
    try:
        with tx.begin_nested():
            _enter(tx, arrived)
    except psycopg.OperationalError:
        raise  # the store is away
    except psycopg.Error as error:
        log.info(
            "sync.newcomers_refused", entity=arrived.mapping.entity, reason=type(error).__name__
        )
        return False
    return True


def _enter(tx: Connection, arrived: Newcomers) -> None:
    mapping, rows = arrived.mapping, arrived.rows
    taken = tx.execute(_NEXT_IDS, {"table_name": mapping.table, "how_many": len(rows)}).all()
    ids, now = sorted(one.id for one in taken), taken[0].now
    entered = (
        (number, row.sfid, *values)
        for number, row, values in zip(ids, rows, arrived.values, strict=True)
    )
    copy_rows(tx, metadata.tables[mapping.table], ("id", "sfid", *arrived.columns), entered)
    if mapping.kind_fields:
        owe_again(tx, mapping, ids)
    heard: dict[datetime, str] = {}  # few: records of one transaction have one stamp
    for row in rows:
        if row.version not in heard:
            heard[row.version] = to_json({"*": heard_from(row)}).decode()
    remembered = (
        (
            mapping.entity, number, mapping.object, row.sfid, mapping.born, row.version, known,
            "In Sync", now, heard[row.version],
        )
        for number, row, known in zip(ids, rows, arrived.known, strict=True)
    )  # fmt: skip
    copy_rows(tx, crm_record, _REMEMBERED, remembered)
