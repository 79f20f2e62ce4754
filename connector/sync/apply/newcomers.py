"""Records of the CRM that nobody here has met, entered by COPY: most of a first load.

A record that is known in any way needs the comparison of `attributes.py`; of a newcomer there is
nothing to compare. What is written is the same on both ways.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, text

from connector.store.engine import copy_rows, to_json
from connector.store.tables import metadata
from connector.store.tables.sync import crm_record
from connector.sync.apply.kinds import owe_again
from connector.sync.apply.pull_plan import column_writer, record_reader
from connector.sync.apply.pulled_values import KEEP
from connector.sync.inbox.arrivals import DELETED, trail_of
from connector.sync.inbox.columns import RecordColumns
from connector.sync.mapping.definition import HUB_KEY_FIELD
from connector.sync.mapping.definition import Mapping as EntityMapping
from connector.sync.mapping.keys import hub_id_of

log = structlog.get_logger(__name__)

# The sequence is looked up once, not for each id: that costs as much as to enter a row.
_NEXT_IDS = text(
    """
    WITH s AS MATERIALIZED (SELECT pg_get_serial_sequence(:table_name, 'id') AS name)
    SELECT array_agg(nextval((SELECT name FROM s))) AS ids, CAST(now() AS text) AS now
      FROM generate_series(1, :how_many)
    """
)
_MERGED_AWAY = text(
    "SELECT EXISTS (SELECT FROM crm_alias WHERE sfid = ANY(string_to_array(:sfids, ',')))"
)
_REMEMBERED = (
    "entity", "hub_id", "object", "sfid", "born", "system_modstamp", "known_from", "known",
    "status", "synced_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Records nobody here has met, with all that their rows will hold but for ids and instants."""

    mapping: EntityMapping
    records: RecordColumns
    columns: Sequence[str]
    values: Sequence[Sequence[Any]]  # of each of `columns`, for all records
    known: Sequence[str]  # JSON, for each record

    @property
    def sfids(self) -> Set[str]:
        """Return their Salesforce ids."""
        return frozenset(self.records.sfids)


def newcomers_among(
    tx: Connection, mapping: EntityMapping, records: RecordColumns
) -> Newcomers | None:
    """Pick the records that the hub has no trace of, and work out what to enter; None if none.

    A record that carries a key of the hub is none: it is found by the key. Of records that came
    twice none is picked.
    """
    fresh = records.only(_unmet(tx, mapping, records))
    if not fresh:
        return None
    columns = record_reader(tx, mapping).columns(fresh)
    # As PostgreSQL keeps them, shorter names first: else it sorts them anew for each record.
    names = sorted(columns, key=lambda name: (len(name), name))
    said = [
        {name: value for name, value in zip(names, values, strict=True) if value is not KEEP}
        for values in zip(*(columns[name] for name in names), strict=True)
    ]
    writer = column_writer(tx, mapping, said)
    return Newcomers(
        mapping=mapping,
        records=fresh,
        columns=tuple(writer.when_new),
        values=writer.new_columns(columns, len(fresh)),
        known=[to_json(one).decode() for one in said],
    )


def _unmet(tx: Connection, mapping: EntityMapping, records: RecordColumns) -> list[int]:
    """Return the places of the records that are met for the first time."""
    if mapping.born != "crm" or "sfid" not in metadata.tables[mapping.table].c:
        return []
    if len(set(records.sfids)) < len(records):
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
    met = set(tx.scalars(statement, {"sfids": ",".join(records.sfids)}))
    asked = zip(records.sfids, records.of(DELETED), records.of(HUB_KEY_FIELD), strict=True)
    return [
        place
        for place, (sfid, is_deleted, key) in enumerate(asked)
        if sfid not in met and not is_deleted and not (key and _is_our_key(mapping, key))
    ]


def _is_our_key(mapping: EntityMapping, key: object) -> bool:
    return hub_id_of(mapping.entity, str(key)) is not None


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
    mapping, records = arrived.mapping, arrived.records
    taken = tx.execute(_NEXT_IDS, {"table_name": mapping.table, "how_many": len(records)}).one()
    entered = zip(taken.ids, records.sfids, *arrived.values, strict=True)
    copy_rows(tx, metadata.tables[mapping.table], ("id", "sfid", *arrived.columns), entered)
    if mapping.kind_fields:
        owe_again(tx, mapping, taken.ids)
    # Few: records of one transaction have one stamp. As texts: psycopg takes longer over an
    # instant than over the rest of a row.
    trails = {
        version: (version.isoformat(), to_json({"*": trail_of(records.source, version)}).decode())
        for version in set(records.versions)
    }
    remembered = (
        (
            mapping.entity, number, mapping.object, sfid, mapping.born, *trails[version],
            known, "In Sync", taken.now,
        )
        for number, sfid, version, known in zip(
            taken.ids, records.sfids, records.versions, arrived.known, strict=True
        )
    )  # fmt: skip
    copy_rows(tx, crm_record, _REMEMBERED, remembered)
