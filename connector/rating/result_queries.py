"""What rating writes into the hub: runs, summaries, and usage that waits for a price."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, MetaData, Table, and_, insert, select, text, update

from connector.errors import StateConflict
from connector.kernel.period import Period
from connector.store.engine import copy_rows
from connector.store.tables.inventory import service, service_alias
from connector.store.tables.usage import rating_run, usage_summary


class UnknownServiceNumber(StateConflict):
    """No service has this number."""

    code = "rating.unknown_service"
    remedy = "See the numbers with: l2c services list"


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A usage summary to write."""

    service_id: int
    usage_class: str
    unit: str
    units: Decimal
    included_units: Decimal
    rated_amount: Decimal
    cost_amount: Decimal
    currency: str
    records: int
    derivation: dict[str, Any]


def published_run(tx: Connection, period: Period) -> Any:
    """Return the published run of a period, or None."""
    return tx.execute(
        select(rating_run).where(
            rating_run.c.period_start == period.start,
            rating_run.c.period_end == period.end,
            rating_run.c.state == "published",
        )
    ).one_or_none()


def add_run(
    *,
    tx: Connection,
    period: Period,
    input_hash: str,
    snapshot: dict[str, Any],
    records: int,
    unrated: int,
    now: datetime,
) -> int:
    """Record a run as the published one of its period; the one before is replaced."""
    tx.execute(
        update(rating_run)
        .where(
            and_(
                rating_run.c.period_start == period.start,
                rating_run.c.period_end == period.end,
                rating_run.c.state == "published",
            )
        )
        .values(state="replaced")
    )
    return int(
        tx.execute(
            insert(rating_run)
            .values(
                period_start=period.start,
                period_end=period.end,
                input_hash=input_hash,
                snapshot=snapshot,
                records=records,
                unrated=unrated,
                published_at=now,
            )
            .returning(rating_run.c.id)
        ).scalar_one()
    )


_MAKE_RESULT = text("""
    CREATE TEMP TABLE rating_result (
        service_id bigint, usage_class text, unit text, units numeric, included_units numeric,
        rated_amount numeric, cost_amount numeric, currency text, records bigint, derivation jsonb
    ) ON COMMIT DROP
""")
_RESULT = Table("rating_result", MetaData())
_RESULT_COLUMNS = (
    "service_id",
    "usage_class",
    "unit",
    "units",
    "included_units",
    "rated_amount",
    "cost_amount",
    "currency",
    "records",
    "derivation",
)
# Records that come after a summary was final count as late; the amounts follow at once, and the
# bill books the difference to what it has booked.
_UPSERT_SUMMARIES = text("""
    INSERT INTO usage_summary AS s (
        brand_id, service_id, usage_class, period_start, period_end, unit, units, included_units,
        rated_amount, cost_amount, currency, records, is_final, rating_run_id, derivation)
    SELECT v.brand_id, r.service_id, r.usage_class, :period_start, :period_end, r.unit, r.units,
           r.included_units, r.rated_amount, r.cost_amount, r.currency, r.records, :is_final,
           :run_id, r.derivation
      FROM rating_result r JOIN service v ON v.id = r.service_id
    ON CONFLICT (service_id, usage_class, period_start) DO UPDATE SET
        unit = excluded.unit, units = excluded.units, included_units = excluded.included_units,
        rated_amount = excluded.rated_amount, cost_amount = excluded.cost_amount,
        currency = excluded.currency, records = excluded.records,
        late_records = s.late_records + CASE WHEN s.is_final
            THEN greatest(0, excluded.records - s.records) ELSE 0 END,
        is_final = s.is_final OR excluded.is_final,
        rating_run_id = excluded.rating_run_id, derivation = excluded.derivation
""")
# A service that has no usage of the class any more keeps its summary, at zero: what was charged
# for it is given back by the same difference.
_CLEAR_SUMMARIES = text("""
    UPDATE usage_summary s
       SET units = 0, included_units = 0, rated_amount = 0, cost_amount = 0, records = 0,
           rating_run_id = :run_id,
           derivation = jsonb_build_object('records', 0, 'snapshot', CAST(:snapshot_id AS text))
     WHERE s.period_start = :period_start AND s.rating_run_id <> :run_id
""")


def write_summaries(
    *,
    tx: Connection,
    period: Period,
    run_id: int,
    snapshot_id: str,
    is_final: bool,
    rows: Iterable[SummaryRow],
) -> None:
    """Write the summaries of a run over those of the period's runs before."""
    tx.execute(_MAKE_RESULT)
    copy_rows(
        tx,
        _RESULT,
        _RESULT_COLUMNS,
        (tuple(getattr(row, name) for name in _RESULT_COLUMNS) for row in rows),
    )
    values = {
        "run_id": run_id,
        "period_start": period.start,
        "period_end": period.end,
        "is_final": is_final,
        "snapshot_id": snapshot_id,
    }
    tx.execute(_UPSERT_SUMMARIES, values)
    tx.execute(_CLEAR_SUMMARIES, values)
    tx.execute(text("DROP TABLE rating_result"))


def summaries(tx: Connection, period_start: date) -> list[Any]:
    """Return the summaries of a period with the number of their service."""
    return list(
        tx.execute(
            select(usage_summary, service.c.number.label("service_number"))
            .join(service, service.c.id == usage_summary.c.service_id)
            .where(usage_summary.c.period_start == period_start)
            .order_by(service.c.number, usage_summary.c.usage_class)
        )
    )


_MAKE_UNRATED = text("""
    CREATE TEMP TABLE rating_unrated (
        usage_file_id bigint, line_no bigint, reason_code text, reason text, raw text
    ) ON COMMIT DROP
""")
_UNRATED = Table("rating_unrated", MetaData())
_RELEASE = text("""
    UPDATE suspense s SET state = 'replayed'
     WHERE s.stage = 'rating' AND s.period_start = :period_start AND s.state = 'open'
       AND NOT EXISTS (SELECT FROM rating_unrated u
                        WHERE u.usage_file_id = s.usage_file_id AND u.line_no = s.line_no)
""")
_HOLD = text("""
    INSERT INTO suspense (
        usage_file_id, line_no, stage, period_start, reason_code, reason, raw, created_at)
    SELECT usage_file_id, line_no, 'rating', :period_start, reason_code, reason, raw, :now
      FROM rating_unrated
    ON CONFLICT (usage_file_id, line_no, stage) DO UPDATE SET
        state = 'open', reason_code = excluded.reason_code, reason = excluded.reason
""")


def hold_unrated(
    *,
    tx: Connection,
    period: Period,
    rows: Iterable[tuple[int, int, str, str, str]],
    now: datetime,
) -> int:
    """Keep exactly these records of a period in suspense (file, line, code, reason, raw)."""
    tx.execute(_MAKE_UNRATED)
    columns = ("usage_file_id", "line_no", "reason_code", "reason", "raw")
    held = copy_rows(tx, _UNRATED, columns, rows)
    values = {"period_start": period.start, "now": now}
    tx.execute(_RELEASE, values)
    tx.execute(_HOLD, values)
    tx.execute(text("DROP TABLE rating_unrated"))
    return held


def service_currencies(tx: Connection) -> dict[int, str]:
    """Return the currency of every service that usage can be guided to."""
    rows = tx.execute(
        select(service.c.id, service.c.currency).where(
            service.c.id.in_(select(service_alias.c.service_id))
        )
    )
    return {row.id: row.currency for row in rows}


_MONTHS_TO_RATE = text("""
    WITH touched AS (
        SELECT f.id, generate_series(
                   date_trunc('month', f.period_start::timestamp),
                   (f.period_end - 1)::timestamp, interval '1 month')::date AS month
          FROM lake_file f WHERE f.dataset = 'usage')
    SELECT DISTINCT t.month FROM touched t
     WHERE NOT EXISTS (
        SELECT FROM rating_run r
         WHERE r.period_start = t.month AND r.state = 'published'
           AND r.snapshot -> 'files' @> to_jsonb(t.id))
     ORDER BY t.month
""")


def months_with_new_usage(tx: Connection) -> list[date]:
    """Return the first days of the months that have usage no published run has seen."""
    return list(tx.execute(_MONTHS_TO_RATE).scalars())


def service_id_of(tx: Connection, number: str) -> int:
    """Return the id of the service with this number.

    Raises:
        UnknownServiceNumber: There is none.
    """
    found = tx.execute(select(service.c.id).where(service.c.number == number)).scalar_one_or_none()
    if found is None:
        raise UnknownServiceNumber(f"There is no service {number}.")
    return int(found)
