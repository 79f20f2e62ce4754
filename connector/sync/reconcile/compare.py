"""Compares both sides in full: keys, mapped fields, sums of money.

Per entity the CRM's rows are copied into a temporary table of one database session, between the
pages of the query and outside any transaction; then one full outer join with the push view finds
what is missing, extra or different. What the push queue still owes is pending, not drift.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import structlog
from psycopg.types.json import Jsonb
from sqlalchemy import Column, Connection, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.adapters.salesforce.client import OrgClient
from connector.store.engine import Store, copy_rows
from connector.store.tables.sync import reconcile_report
from connector.sync.budget.usage import record_calls
from connector.sync.mapping.currencies import with_currencies
from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.mapping.transforms import crm_value, literal
from connector.sync.push.collapse import collapse
from connector.sync.push.state import state_sql

log = structlog.get_logger(__name__)

SAMPLE = 20
_PAGE = 2_000
_IDS_PER_QUERY = 400  # an address may have 16,384 bytes

_SNAPSHOT = Table(
    "crm_snapshot",
    MetaData(),
    Column("external_key", Text),
    Column("sfid", Text),
    Column("shown", JSONB),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True, slots=True)
class Drifted:
    """One record that differs; `hub_id` is None for one the hub does not know."""

    kind: str
    hub_id: int | None
    sfid: str | None
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """The amounts of one currency on both sides."""

    currency: str
    hub: Decimal
    crm: Decimal


@dataclass(frozen=True, slots=True)
class EntityReport:
    """One entity compared; `fields` counts differing records per field and names its owner."""

    entity: str
    object: str
    hub_rows: int
    crm_rows: int
    missing: int
    extra: int
    differing: int
    pending: int
    fields: dict[str, dict[str, int | str]]
    sums: tuple[Sums, ...]
    sample: tuple[Drifted, ...]

    @property
    def drift(self) -> int:
        """Return how many records are not as they should be."""
        return self.missing + self.extra + self.differing


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """Both sides compared."""

    made_at: datetime
    drift: int
    repaired: int
    api_calls: int
    entities: tuple[EntityReport, ...]


def reconcile(
    *,
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    now: datetime,
    repair: bool = False,
) -> ReconcileReport:
    """Compare every pushed entity; with `repair`, owe the CRM what is missing or differs there.

    A record the CRM has and the hub does not is reported and left alone.
    """
    calls_before = org.calls
    with store.read() as tx:
        mappings = with_currencies(tx, mappings)
    entities: list[EntityReport] = []
    repaired = 0
    with store.engine.connect() as connection:
        session = connection.execution_options(isolation_level="AUTOCOMMIT")
        session.execute(text("DROP TABLE IF EXISTS crm_snapshot, crm_drift"))
        _SNAPSHOT.create(session)
        try:
            for mapping in mappings.pushed:
                _take_snapshot(session, org, mapping)
                with store.transaction() as tx:
                    collapse(tx=tx)  # what changed meanwhile is then seen as owed
                entities.append(_compare(session, mapping, mappings))
                repaired += _repair(session, mapping) if repair else 0
        finally:
            session.execute(text("DROP TABLE IF EXISTS crm_snapshot, crm_drift"))
    report = ReconcileReport(
        made_at=now,
        drift=sum(one.drift for one in entities),
        repaired=repaired,
        api_calls=org.calls - calls_before,
        entities=tuple(entities),
    )
    with store.transaction() as tx:
        record_calls(tx=tx, calls=report.api_calls, limit=org.limit_info, now=now)
        tx.execute(
            reconcile_report.insert().values(
                made_at=now, drift=report.drift, content=[asdict(one) for one in entities]
            )
        )
    log.info("reconcile.done", drift=report.drift, repaired=repaired, api_calls=report.api_calls)
    return report


def _take_snapshot(session: Connection, org: OrgClient, mapping: Mapping) -> None:
    session.execute(text("DELETE FROM crm_snapshot"))
    rows = iter(_shown(org, mapping, _queries(session, mapping)))
    while page := list(islice(rows, _PAGE)):
        copy_rows(session, _SNAPSHOT, ("external_key", "sfid", "shown"), page)
    session.execute(text("ANALYZE crm_snapshot"))


def _queries(session: Connection, mapping: Mapping) -> Iterator[str]:
    push = mapping.pushed
    names = ["Id", *_compared(mapping)]
    if push.is_keyed:
        yield _soql([*names, push.key], mapping, f"{push.key} != null")
        return
    column = push.sfid
    sfids = (
        session.execute(
            text(f'SELECT "{column}" FROM "{mapping.push_view}" ORDER BY 1')  # noqa: S608 - checked
        )
        .scalars()
        .all()
    )
    for start in range(0, len(sfids), _IDS_PER_QUERY):
        listed = ", ".join(f"'{sfid}'" for sfid in sfids[start : start + _IDS_PER_QUERY])
        yield _soql(names, mapping, f"Id IN ({listed})")


def _soql(names: list[str], mapping: Mapping, where: str) -> str:
    return f"SELECT {', '.join(names)} FROM {mapping.object} WHERE {where}"  # noqa: S608 - SOQL


def _compared(mapping: Mapping) -> list[str]:
    fields = [name for name, field in mapping.fields.items() if not field.only_at_birth]
    return [name for name in (*mapping.parents, *fields) if name != mapping.pushed.key]


def _shown(
    org: OrgClient, mapping: Mapping, queries: Iterator[str]
) -> Iterator[tuple[str | None, str, Jsonb | dict[str, Any]]]:
    key = mapping.pushed.key if mapping.pushed.is_keyed else None
    for query in queries:
        for row in org.query(query):
            values = {name: row.get(name) for name in mapping.parents} | {
                name: crm_value(field, row.get(name))
                for name, field in mapping.fields.items()
                if not field.only_at_birth
            }
            yield (row.get(key) if key else None), row["Id"], values


def _compare(session: Connection, mapping: Mapping, mappings: Mappings) -> EntityReport:
    session.execute(text("DROP TABLE IF EXISTS crm_drift"))
    source = f'"{mapping.push_view}" v'
    is_given_once = str(mapping.pushed.verb == "create").lower()  # the CRM's from then on
    pair = "s.external_key = h.external_key"
    if not mapping.pushed.is_keyed:
        pair = "s.sfid = h.sfid"
    session.execute(
        text(
            f"""
            CREATE TEMPORARY TABLE crm_drift AS
            WITH hub AS (SELECT v.id, {state_sql(mapping, mappings, source=source, by_key=False)}),
            pairs AS (
                SELECT h.id AS hub_id, coalesce(s.sfid, h.sfid) AS sfid, h.state, s.shown,
                       h.id IS NULL AS is_extra, s.sfid IS NULL AS is_missing,
                       EXISTS (SELECT FROM push_queue q JOIN push_entity e ON e.code = q.entity
                                WHERE e.name = {literal(mapping.entity)} AND q.key = h.id)
                           AS is_owed
                  FROM hub h FULL JOIN crm_snapshot s ON {pair})
            SELECT hub_id, sfid, state, shown, is_owed,
                   CASE WHEN is_extra THEN 'extra' WHEN is_missing THEN 'missing'
                        ELSE 'differing' END AS kind,
                   CASE WHEN is_extra OR is_missing OR {is_given_once}
                       THEN '{{}}'\\:\\:text[] ELSE ARRAY(
                       SELECT f.key FROM jsonb_each(state) f
                        WHERE f.value IS DISTINCT FROM shown -> f.key ORDER BY 1) END AS fields
              FROM pairs"""  # noqa: S608 - names come from checked mappings
        )
    )
    counts = session.execute(_COUNTS).one()
    fields = {
        row.field: {"records": row.records, "owner": _owner(mapping, row.field)}
        for row in session.execute(_FIELDS)
    }
    return EntityReport(
        entity=mapping.entity,
        object=mapping.object,
        hub_rows=counts.hub_rows,
        crm_rows=counts.crm_rows,
        missing=counts.missing,
        extra=counts.extra,
        differing=counts.differing,
        pending=counts.pending,
        fields=fields,
        sums=_sums(session, mapping),
        sample=tuple(
            Drifted(row.kind, row.hub_id, row.sfid, tuple(row.fields))
            for row in session.execute(_SAMPLE, {"limit": SAMPLE})
        ),
    )


_IS_DRIFT = "NOT is_owed AND (kind <> 'differing' OR cardinality(fields) > 0)"
_COUNTS = text(f"""
    SELECT count(*) FILTER (WHERE kind <> 'extra') AS hub_rows,
           count(*) FILTER (WHERE kind <> 'missing') AS crm_rows,
           count(*) FILTER (WHERE {_IS_DRIFT} AND kind = 'missing') AS missing,
           count(*) FILTER (WHERE {_IS_DRIFT} AND kind = 'extra') AS extra,
           count(*) FILTER (WHERE {_IS_DRIFT} AND kind = 'differing') AS differing,
           count(*) FILTER (WHERE is_owed) AS pending
      FROM crm_drift
""")  # noqa: S608 - constants
_FIELDS = text(f"""
    SELECT f.field, count(*) AS records FROM crm_drift, unnest(fields) AS f (field)
     WHERE {_IS_DRIFT} GROUP BY f.field ORDER BY f.field
""")  # noqa: S608 - constants
_SAMPLE = text(f"""
    SELECT kind, hub_id, sfid, fields FROM crm_drift WHERE {_IS_DRIFT}
     ORDER BY kind, hub_id LIMIT :limit
""")  # noqa: S608 - constants
# A missing record is sent whole; of a differing one the differing values count as unknown.
_FORGET_MISSING = text(f"""
    UPDATE crm_record r SET sfid = NULL, known = '{{}}', status = 'Pending' FROM crm_drift d
     WHERE {_IS_DRIFT} AND d.kind = 'missing'
       AND r.entity = :entity AND r.hub_id = d.hub_id AND r.born = 'hub'
""")  # noqa: S608 - constants
_FORGET_DIFFERING = text(f"""
    UPDATE crm_record r SET sfid = d.sfid, known = r.known - d.fields FROM crm_drift d
     WHERE {_IS_DRIFT} AND d.kind = 'differing' AND r.entity = :entity AND r.hub_id = d.hub_id
""")  # noqa: S608 - constants
_OWE = text(f"""
    INSERT INTO push_log (entity, keys)
    SELECT e.code, array_agg(d.hub_id) FROM crm_drift d JOIN push_entity e ON e.name = :entity
     WHERE {_IS_DRIFT} AND d.kind <> 'extra' GROUP BY e.code
    RETURNING cardinality(keys)
""")  # noqa: S608 - constants


def _owner(mapping: Mapping, name: str) -> str:
    return mapping.fields[name].owner.value if name in mapping.fields else "connector"


def _sums(session: Connection, mapping: Mapping) -> tuple[Sums, ...]:
    if mapping.totals is None:
        return ()
    amount, currency = mapping.totals.amount, mapping.totals.currency
    rows = session.execute(
        text("""
            SELECT currency, sum(hub) AS hub, sum(crm) AS crm FROM (
                SELECT state ->> :currency AS currency,
                       (state ->> :amount)\\:\\:numeric AS hub, 0 AS crm
                  FROM crm_drift WHERE kind <> 'extra'
                UNION ALL
                SELECT shown ->> :currency, 0, (shown ->> :amount)\\:\\:numeric
                  FROM crm_drift WHERE kind <> 'missing') AS both_sides
             GROUP BY currency ORDER BY currency"""),
        {"amount": amount, "currency": currency},
    )
    return tuple(
        Sums(row.currency or "", row.hub or Decimal(0), row.crm or Decimal(0)) for row in rows
    )


def _repair(session: Connection, mapping: Mapping) -> int:
    session.execute(_FORGET_MISSING, {"entity": mapping.entity})
    session.execute(_FORGET_DIFFERING, {"entity": mapping.entity})
    return int(session.execute(_OWE, {"entity": mapping.entity}).scalar() or 0)
