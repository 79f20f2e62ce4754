"""What rating reads from the hub: who had which plan when, and what it cost."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, or_, select, text

from connector.catalog.domain import BlockPrice
from connector.kernel.period import Period
from connector.mediation.aliases import normalized_alias
from connector.store.tables.catalog import (
    allowance,
    meter_price,
    product,
    rate,
    rate_deck,
    rate_plan,
)
from connector.store.tables.inventory import service, service_alias, service_change


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
