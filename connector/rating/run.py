"""Rates a month: snapshot, engine, summaries and charges, published in one transaction."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

import structlog
from sqlalchemy import Connection

from connector.charging.charges import UsageCharge, upsert_usage_charges
from connector.errors import InvalidInput
from connector.kernel.period import Period
from connector.rating import result_queries
from connector.rating.class_prices import (
    ClassPrices,
    class_prices,
    priced_units,
    with_class_prices,
)
from connector.rating.engine import FAULTS, EngineResult, RatingEngine
from connector.rating.snapshot import Snapshot, take_snapshot
from connector.rating.summaries import described, summarize
from connector.store.engine import Store, advisory_lock
from connector.store.lake import Draft, Lake, LakeFile

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RatingReport:
    """What a run made of a period."""

    rating_run_id: int
    period_start: date
    period_end: date
    records: int
    unrated: int
    summaries: int
    snapshot: str
    was_up_to_date: bool

    def as_dict(self) -> dict[str, int | str | bool]:
        """Return it for JSON."""
        return asdict(self) | {
            "period_start": self.period_start.isoformat(),
            "period_end": self.period_end.isoformat(),
        }


def rate_period(
    *,
    store: Store,
    lake: Lake,
    engine: RatingEngine,
    period_start: date,
    period_end: date,
    now: datetime,
) -> RatingReport:
    """Rate the usage of a calendar month, by the customers' local days, and charge it.

    The same input again changes nothing; other input replaces the run before. Summaries are final
    once the month is over; what arrives later counts as late and is booked as a difference.

    Raises:
        InvalidInput: The period is not a calendar month.
    """
    period = Period(period_start, period_end)
    if period_start.day != 1 or period_end != _next_month(period_start):
        raise InvalidInput(f"Usage is rated by calendar month, not from {period}.")
    with store.transaction() as tx:
        lake.remove_orphans(tx=tx)
    with store.transaction() as tx:
        advisory_lock(tx, f"rating.run:{period_start}")
        snapshot = take_snapshot(tx=tx, period=period)
        files = lake.usage_files(tx=tx, period_start=period_start, period_end=period_end)
        is_final = period_end <= now.date()
        prices = class_prices(tx, period)
        input_hash = _input_hash(snapshot, files, prices, is_final=is_final)
        before = result_queries.published_run(tx, period)
        if before is not None and before.input_hash == input_hash:
            return RatingReport(
                rating_run_id=before.id,
                period_start=period_start,
                period_end=period_end,
                records=before.records,
                unrated=before.unrated,
                summaries=len(result_queries.summaries(tx, period_start)),
                snapshot=before.snapshot["id"],
                was_up_to_date=True,
            )
        report = _run(
            tx=tx,
            lake=lake,
            engine=engine,
            snapshot=snapshot,
            files=files,
            prices=prices,
            input_hash=input_hash,
            is_final=is_final,
            now=now,
        )
    log.info("usage.rated", **report.as_dict())
    return report


def _run(
    *,
    tx: Connection,
    lake: Lake,
    engine: RatingEngine,
    snapshot: Snapshot,
    files: tuple[LakeFile, ...],
    prices: ClassPrices,
    input_hash: str,
    is_final: bool,
    now: datetime,
) -> RatingReport:
    period = snapshot.period
    assert period.end is not None
    draft = lake.begin(tx=tx, dataset="rated", month=period.start)
    unrated_file = draft.path.with_name(f"{draft.path.name}.unrated")
    try:
        result = engine.rate(
            snapshot=snapshot,
            usage=[one.path for one in files],
            rated_file=draft.path,
            unrated_file=unrated_file,
        )
        run_id = result_queries.add_run(
            tx=tx,
            period=period,
            input_hash=input_hash,
            snapshot=snapshot.as_json() | {"files": [one.id for one in files]},
            records=result.rated,
            unrated=result.unrated,
            now=now,
        )
        unrated = _unrated_rows(engine, unrated_file) if result.unrated else iter(())
        result_queries.hold_unrated(tx=tx, period=period, rows=unrated, now=now)
        summaries = _write_summaries(tx, snapshot, result, prices, run_id, is_final, now)
        _publish(tx, lake, draft, result, run_id, period, now)
    finally:
        lake.discard(draft)
        unrated_file.unlink(missing_ok=True)
    return RatingReport(
        rating_run_id=run_id,
        period_start=period.start,
        period_end=period.end,
        records=result.rated,
        unrated=result.unrated,
        summaries=summaries,
        snapshot=snapshot.id,
        was_up_to_date=False,
    )


def _unrated_rows(
    engine: RatingEngine, unrated_file: Path
) -> Iterator[tuple[int, int, str, str, str]]:
    for one in engine.unrated(unrated_file):
        yield (one.usage_file_id, one.line_no, one.fault, FAULTS[one.fault], one.raw)


def _write_summaries(
    tx: Connection,
    snapshot: Snapshot,
    result: EngineResult,
    prices: ClassPrices,
    run_id: int,
    is_final: bool,
    now: datetime,
) -> int:
    period = snapshot.period
    assert period.end is not None
    rows = summarize(
        result.groups, currencies=result_queries.service_currencies(tx), snapshot_id=snapshot.id
    )
    result_queries.write_summaries(
        tx=tx,
        period=period,
        run_id=run_id,
        snapshot_id=snapshot.id,
        is_final=is_final,
        rows=with_class_prices(rows, prices),
    )
    stored = result_queries.summaries(tx, period.start)
    upsert_usage_charges(
        tx=tx,
        summaries=[
            UsageCharge(
                summary_id=row.id,
                service_id=row.service_id,
                usage_class=row.usage_class,
                period_start=row.period_start,
                period_end=row.period_end,
                amount=row.rated_amount,
                cost=row.cost_amount,
                currency=row.currency,
                units=priced_units(
                    prices,
                    service_id=row.service_id,
                    usage_class=row.usage_class,
                    units=row.units,
                    included=row.included_units,
                ),
                description=described(
                    usage_class=row.usage_class,
                    unit=row.unit,
                    units=row.units,
                    records=row.records,
                ),
            )
            for row in stored
        ],
        now=now,
    )
    return len(rows)


def _publish(
    tx: Connection,
    lake: Lake,
    draft: Draft,
    result: EngineResult,
    run_id: int,
    period: Period,
    now: datetime,
) -> None:
    assert period.end is not None
    lake.publish(
        tx=tx,
        draft=draft,
        rows=result.rated,
        period_start=period.start,
        period_end=period.end,
        now=now,
        rating_run_id=run_id,
    )


def _input_hash(
    snapshot: Snapshot, files: tuple[LakeFile, ...], prices: ClassPrices, *, is_final: bool
) -> str:
    listed = ",".join(str(one.id) for one in files)
    text = f"{snapshot.id} {snapshot.period} {is_final} {listed}"
    for (service_id, usage_class), pricing in prices.items():
        text += f" {service_id} {usage_class} {pricing.document!r}"
    return sha256(text.encode()).hexdigest()


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
