"""Compares both sides in full: keys, mapped fields, sums of money.

Per entity the CRM's rows are copied into a temporary table of one database session, between the
pages of the query and outside any transaction; then one full outer join with the push view finds
what is missing, extra or different. What the push queue still owes is pending, not drift, and so is
what was pushed after the CRM was asked: the copy may be older than it. A field in open conflict is
left alone until somebody decides; where it differs, its record is told as in conflict.
"""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal

import structlog
from sqlalchemy import Connection, text

from connector.adapters.salesforce.client import OrgClient
from connector.store.engine import Store
from connector.store.tables.sync import reconcile_report
from connector.sync.budget.usage import record_calls
from connector.sync.mapping.currencies import with_currencies
from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.mapping.state_sql import state_sql
from connector.sync.mapping.transforms import literal
from connector.sync.push.collapse import collapse
from connector.sync.reconcile.extras import Extra, delete_extras, extras_of
from connector.sync.reconcile.report import Drifted, EntityReport, ReconcileReport, Sums
from connector.sync.reconcile.scores import Scores, account_sql
from connector.sync.reconcile.snapshot import BULK_FROM, create_snapshot, row_counts, take_snapshot

log = structlog.get_logger(__name__)

SAMPLE = 20
_DROP = text("DROP TABLE IF EXISTS crm_snapshot, crm_drift")


def reconcile(
    *,
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    now: datetime,
    repair: bool = False,
    delete_extra: bool = False,
    bulk_from: int = BULK_FROM,
) -> ReconcileReport:
    """Compare every pushed entity; with `repair`, owe the CRM what is missing or differs there.

    A record with a key of ours that the hub does not have is reported and left alone; with
    `delete_extra` it is deleted, but for documents of money. Objects of at least `bulk_from` rows
    are read by the Bulk API.

    Raises:
        TransientFailure: The org did not answer; nothing is reported or repaired.
    """
    calls_before = org.calls
    with store.read() as tx:
        mappings = with_currencies(tx, mappings)
    entities: list[EntityReport] = []
    extras: dict[str, list[Extra]] = {}
    repaired = 0
    counts = row_counts(org, mappings)
    with store.engine.connect() as connection:
        session = connection.execution_options(isolation_level="AUTOCOMMIT")
        session.execute(_DROP)
        create_snapshot(session)
        scores = Scores(session, mappings)
        try:
            for mapping in mappings.pushed:
                began = session.execute(_NEXT_TRANSACTION).scalar_one()
                source = take_snapshot(
                    session,
                    org,
                    mapping,
                    crm_rows=counts.get(mapping.object, 0),
                    bulk_from=bulk_from,
                )
                with store.transaction() as tx:
                    collapse(tx=tx)  # what changed meanwhile is then seen as owed
                _join(session, mapping, mappings, began=began)
                entities.append(_told(session, mapping, source))
                scores.add(mapping)
                if delete_extra:
                    extras[mapping.entity] = extras_of(session)
                repaired += _repair(session, mapping) if repair else 0
            scores.keep(now=now)
        finally:
            scores.drop()
            session.execute(_DROP)
    deleted, kept = delete_extras(org, mappings, extras)
    report = ReconcileReport(
        made_at=now,
        drift=sum(one.drift for one in entities),
        repaired=repaired,
        api_calls=org.calls - calls_before,
        entities=tuple(entities),
        deleted=deleted,
        kept=kept,
    )
    _keep(store, org, report)
    return report


def _keep(store: Store, org: OrgClient, report: ReconcileReport) -> None:
    with store.transaction() as tx:
        record_calls(tx=tx, calls=report.api_calls, limit=org.limit_info, now=report.made_at)
        tx.execute(
            reconcile_report.insert().values(
                made_at=report.made_at,
                drift=report.drift,
                content=[asdict(one) for one in report.entities],
            )
        )
    log.info(
        "reconcile.done",
        drift=report.drift,
        repaired=report.repaired,
        api_calls=report.api_calls,
    )


# A record whose row was written by this transaction or a later one moved while the CRM was read.
_NEXT_TRANSACTION = text("SELECT pg_snapshot_xmax(pg_current_snapshot())\\:\\:text")


def _join(session: Connection, mapping: Mapping, mappings: Mappings, *, began: str) -> None:
    """Make the table of all pairs, `crm_drift`."""
    session.execute(text("DROP TABLE IF EXISTS crm_drift"))
    source = f'"{mapping.push_view}" v'
    # Of an object whose records are found by id, the copy may hold those of others.
    pair, join = "s.external_key = h.external_key", "FULL"
    if not mapping.pushed.is_keyed:
        pair, join = "s.sfid = h.sfid", "LEFT"
    is_given_once = str(mapping.pushed.verb == "create").lower()  # the CRM's from then on
    account, account_joins = account_sql(mapping, mappings)
    state = state_sql(mapping, mappings, source=source, by_key=False)
    key_of_extra = f"substring(s.external_key from {literal(f'^l2c:{mapping.entity}:([0-9]+)$')})"
    session.execute(
        text(
            f"""
            CREATE TEMPORARY TABLE crm_drift AS
            WITH owed AS MATERIALIZED (
                SELECT q.key FROM push_queue q JOIN push_entity e ON e.code = q.entity
                 WHERE e.name = {literal(mapping.entity)}
                UNION
                SELECT r.hub_id FROM crm_record r
                 WHERE r.entity = {literal(mapping.entity)}
                   AND age(r.xmin) <= age(CAST(:began AS xid))),
            hub AS (SELECT v.id, {account} AS account_id, {state} {account_joins}),
            pairs AS (
                SELECT h.id AS hub_id, h.account_id, coalesce(s.sfid, h.sfid) AS sfid, h.state,
                       s.shown, coalesce(h.in_conflict, '{{}}') AS in_conflict,
                       h.id IS NULL AS is_extra, s.sfid IS NULL AS is_missing,
                       coalesce(h.id, CAST({key_of_extra} AS numeric)) AS owed_key
                  FROM hub h {join} JOIN crm_snapshot s ON {pair}),
            told AS (
                SELECT pairs.*, CASE WHEN is_extra OR is_missing OR {is_given_once}
                           THEN '{{}}'\\:\\:text[] ELSE ARRAY(
                           SELECT f.key FROM jsonb_each(state) f
                            WHERE f.value IS DISTINCT FROM shown -> f.key ORDER BY 1) END AS differ
                  FROM pairs)
            SELECT hub_id, account_id, sfid, state, shown, owed.key IS NOT NULL AS is_owed,
                   CASE WHEN is_extra THEN 'extra' WHEN is_missing THEN 'missing'
                        ELSE 'differing' END AS kind,
                   ARRAY(SELECT f FROM unnest(differ) f WHERE f <> ALL (in_conflict)) AS fields,
                   differ && in_conflict AS is_in_conflict
              FROM told LEFT JOIN owed ON owed.key = owed_key"""  # noqa: S608 - checked names
        ),
        {"began": began},
    )


def _told(session: Connection, mapping: Mapping, source: str) -> EntityReport:
    counts = session.execute(_COUNTS).one()
    fields = {
        row.field: {"records": row.records, "owner": _owner(mapping, row.field)}
        for row in session.execute(_FIELDS)
    }
    return EntityReport(
        entity=mapping.entity,
        object=mapping.object,
        source=source,
        hub_rows=counts.hub_rows,
        crm_rows=counts.crm_rows,
        missing=counts.missing,
        extra=counts.extra,
        differing=counts.differing,
        pending=counts.pending,
        in_conflict=counts.in_conflict,
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
           count(*) FILTER (WHERE is_owed) AS pending,
           count(*) FILTER (WHERE is_in_conflict AND NOT is_owed) AS in_conflict
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
