"""What rating reads from the hub and writes into it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, MetaData, Table, and_, insert, or_, select, text, update

from connector.catalog.domain import BlockPrice
from connector.kernel.period import Period
from connector.mediation.aliases import normalized_alias
from connector.store.engine import copy_rows
from connector.store.tables.catalog import (
    allowance,
    meter_price,
    product,
    rate,
    rate_deck,
    rate_plan,
)
from connector.store.tables.inventory import service, service_alias, service_change
from connector.store.tables.usage import rating_run, usage_summary


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A rate plan."""

    id: int
    key: str
    currency: str
    deck_key: str | None


@dataclass(frozen=True, slots=True)
class DeckRow:
    """A version of a deck."""

    id: int
    key: str
    version: int
    currency: str
    valid_from: date
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class AliasRow:
    """An alias, normalised, and the currency its service is billed in."""

    kind: str
    value: str
    service_id: int
    currency: str
    valid_from: date
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class PlanSpan:
    """The days on which a service had a plan; None is none."""

    days: Period
    plan_id: int | None


@dataclass(frozen=True, slots=True)
class RateRow:
    """A rate of a deck."""

    deck_id: int
    prefix: str
    destination: str
    usage_class: str
    price: BlockPrice
    minimum_s: int
    increment_s: int


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter price of a plan."""

    plan_id: int
    meter: str
    usage_class: str
    unit: str
    price: BlockPrice
    valid_from: date
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class AllowanceRow:
    """An allowance of a plan as the catalogue states it."""

    plan_id: int
    usage_class: str
    included: int


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


def plans(tx: Connection) -> list[PlanRow]:
    """Return every rate plan."""
    columns = (rate_plan.c.id, rate_plan.c.key, rate_plan.c.currency, rate_plan.c.deck_key)
    return [PlanRow(**row._mapping) for row in tx.execute(select(*columns))]


def decks(tx: Connection, period: Period) -> list[DeckRow]:
    """Return the deck versions in force on a day of the period."""
    columns = (
        rate_deck.c.id,
        rate_deck.c.key,
        rate_deck.c.version,
        rate_deck.c.currency,
        rate_deck.c.valid_from,
        rate_deck.c.valid_to,
    )
    rows = tx.execute(
        select(*columns)
        .where(
            rate_deck.c.valid_from < period.end,
            or_(rate_deck.c.valid_to.is_(None), rate_deck.c.valid_to > period.start),
        )
        .order_by(rate_deck.c.key, rate_deck.c.version)
    )
    return [DeckRow(**row._mapping) for row in rows]


def aliases(tx: Connection) -> list[AliasRow]:
    """Return every alias."""
    rows = tx.execute(
        select(
            service_alias.c.kind,
            service_alias.c.value,
            service_alias.c.service_id,
            service.c.currency,
            service_alias.c.valid_from,
            service_alias.c.valid_to,
        ).join(service, service.c.id == service_alias.c.service_id)
    )
    return [
        AliasRow(
            kind=row.kind,
            value=normalized_alias(row.kind, row.value),
            service_id=row.service_id,
            currency=row.currency,
            valid_from=row.valid_from,
            valid_to=row.valid_to,
        )
        for row in rows
    ]


def plan_spans(tx: Connection) -> dict[int, list[PlanSpan]]:
    """Return for each service with an alias which plan it had when, from its dated changes."""
    plan_of_product = {
        row.product_id: row.plan_id
        for row in tx.execute(
            select(product.c.id.label("product_id"), rate_plan.c.id.label("plan_id")).outerjoin(
                rate_plan, rate_plan.c.key == product.c.rate_plan_key
            )
        )
    }
    changes: dict[int, list[tuple[date, int, int]]] = defaultdict(list)
    for row in tx.execute(
        select(
            service_change.c.service_id,
            service_change.c.effective_on,
            service_change.c.old["product_id"].astext.label("old"),
            service_change.c.new["product_id"].astext.label("new"),
        )
        .where(
            service_change.c.state.in_(("Applied", "Scheduled")),
            service_change.c.old.has_key("product_id"),
            service_change.c.new.has_key("product_id"),
        )
        .order_by(service_change.c.effective_on, service_change.c.id)
    ):
        changes[row.service_id].append((row.effective_on, int(row.old), int(row.new)))
    with_alias = select(service_alias.c.service_id)
    return {
        row.id: _spans(row.product_id, changes[row.id], plan_of_product)
        for row in tx.execute(
            select(service.c.id, service.c.product_id).where(service.c.id.in_(with_alias))
        )
    }


def _spans(
    product_id: int,
    changes: Sequence[tuple[date, int, int]],
    plan_of_product: dict[int, int | None],
) -> list[PlanSpan]:
    first = changes[0][1] if changes else product_id
    starts = [(date.min, first), *((on, new) for on, _, new in changes)]
    spans: list[PlanSpan] = []
    for number, (start, of_product) in enumerate(starts):
        end = starts[number + 1][0] if number + 1 < len(starts) else None
        if end is None or end > start:
            spans.append(PlanSpan(Period(start, end), plan_of_product.get(of_product)))
    return spans


def rates(tx: Connection, deck_ids: Sequence[int]) -> list[RateRow]:
    """Return every rate of the decks."""
    rows = tx.execute(select(rate).where(rate.c.rate_deck_id.in_(deck_ids)))
    return [_rate_row(row) for row in rows]


def longest_rate(
    *, tx: Connection, deck_key: str, number: str, on: date
) -> tuple[DeckRow, RateRow] | None:
    """Return the rate of the longest prefix of a number in the deck version of a day."""
    prefixes = [number[:length] for length in range(1, len(number) + 1)]
    row = tx.execute(
        select(
            rate,
            rate_deck.c.key,
            rate_deck.c.version,
            rate_deck.c.currency,
            rate_deck.c.valid_from,
            rate_deck.c.valid_to,
        )
        .join(rate_deck, rate_deck.c.id == rate.c.rate_deck_id)
        .where(
            rate_deck.c.key == deck_key,
            rate_deck.c.valid_from <= on,
            or_(rate_deck.c.valid_to.is_(None), rate_deck.c.valid_to > on),
            rate.c.prefix.in_(prefixes),
        )
        .order_by(text("length(rate.prefix) DESC"))
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    deck = DeckRow(
        id=row.rate_deck_id,
        key=row.key,
        version=row.version,
        currency=row.currency,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
    )
    return deck, _rate_row(row)


def _rate_row(row: Any) -> RateRow:
    return RateRow(
        deck_id=row.rate_deck_id,
        prefix=row.prefix,
        destination=row.destination,
        usage_class=row.usage_class,
        price=BlockPrice(
            sell=row.sell_units,
            cost=row.cost_units,
            connection=row.connection_units,
            scale=row.scale,
            block=row.block_s,
        ),
        minimum_s=row.minimum_s,
        increment_s=row.increment_s,
    )


def meter_prices(tx: Connection, period: Period) -> list[MeterRow]:
    """Return the meter prices in force on a day of the period."""
    rows = tx.execute(
        select(meter_price)
        .where(
            meter_price.c.valid_from < period.end,
            or_(meter_price.c.valid_to.is_(None), meter_price.c.valid_to > period.start),
        )
        .order_by(meter_price.c.rate_plan_id, meter_price.c.meter, meter_price.c.valid_from)
    )
    return [
        MeterRow(
            plan_id=row.rate_plan_id,
            meter=row.meter,
            usage_class=row.usage_class,
            unit=row.unit,
            price=BlockPrice(
                sell=row.sell_units,
                cost=row.cost_units,
                connection=0,
                scale=row.scale,
                block=row.block,
            ),
            valid_from=row.valid_from,
            valid_to=row.valid_to,
        )
        for row in rows
    ]


def allowances(tx: Connection, period: Period) -> list[AllowanceRow]:
    """Return the allowances in force on the last day of the period: they are the whole month's."""
    rows = tx.execute(
        select(allowance)
        .where(
            allowance.c.valid_from < period.end,
            or_(allowance.c.valid_to.is_(None), allowance.c.valid_to >= period.end),
        )
        .order_by(allowance.c.rate_plan_id, allowance.c.usage_class)
    )
    return [
        AllowanceRow(
            plan_id=row.rate_plan_id, usage_class=row.usage_class, included=int(row.included)
        )
        for row in rows
    ]


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
