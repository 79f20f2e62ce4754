"""The dated reference snapshot a rating run uses: who, which plan, which prices, on which days."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from connector.catalog.domain import BlockPrice
from connector.kernel.period import Period
from connector.rating import queries
from connector.rating.domain import METER_UNIT
from connector.rating.prefixes import disjoint_ranges


@dataclass(frozen=True, slots=True)
class Guide:
    """Usage under an alias on these days belongs to the service and is priced by plan and deck.

    `fault` names why such usage cannot be rated.
    """

    kind: str
    alias: str
    service_id: int
    from_on: date
    to_on: date
    plan_id: int | None
    deck_id: int | None
    has_allowance: bool
    fault: str | None


@dataclass(frozen=True, slots=True)
class CallPrice:
    """Calls to numbers whose key lies in the range."""

    deck_id: int
    low: int
    high: int
    prefix: str
    usage_class: str
    price: BlockPrice
    minimum_s: int
    increment_s: int


@dataclass(frozen=True, slots=True)
class MeterPrice:
    """A meter of a plan on these days."""

    plan_id: int
    meter: str
    usage_class: str
    unit: str
    price: BlockPrice
    from_on: date
    to_on: date


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the month includes, in seconds or in millionths of a meter's unit."""

    plan_id: int
    usage_class: str
    is_meter: bool
    included: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a run may look up; the same content has the same `id`."""

    period: Period
    guides: tuple[Guide, ...]
    calls: tuple[CallPrice, ...]
    meters: tuple[MeterPrice, ...]
    allowances: tuple[Allowance, ...]
    decks: tuple[str, ...]  # "key version n", for people
    id: str

    def as_json(self) -> dict[str, Any]:
        """Return what the run remembers of it."""
        return {
            "id": self.id,
            "decks": list(self.decks),
            "aliases": len(self.guides),
            "call_prices": len(self.calls),
            "meter_prices": len(self.meters),
            "allowances": len(self.allowances),
        }


def take_snapshot(*, tx: Connection, period: Period) -> Snapshot:
    """Return what is in force in a period, day by day, as the store says now."""
    assert period.end is not None
    plans = {plan.id: plan for plan in queries.plans(tx)}
    decks = queries.decks(tx, period)
    by_key: dict[str, list[queries.DeckRow]] = defaultdict(list)
    for deck in decks:
        by_key[deck.key].append(deck)
    meters = _meters(tx, period)
    allowances = _allowances(tx, period, {(one.plan_id, one.usage_class) for one in meters})
    generous = frozenset(one.plan_id for one in allowances)
    guides = _guides(tx, period, plans, by_key, generous)
    used = {guide.deck_id for guide in guides}
    shown = tuple(f"{deck.key} version {deck.version}" for deck in decks if deck.id in used)
    calls = _calls(tx, [deck.id for deck in decks if deck.id in used])
    digest = sha256()
    for part in (guides, calls, meters, allowances):
        for item in part:
            digest.update(repr(item).encode())
    return Snapshot(
        period=period,
        guides=guides,
        calls=calls,
        meters=meters,
        allowances=allowances,
        decks=shown,
        id=digest.hexdigest()[:16],
    )


def _guides(
    tx: Connection,
    period: Period,
    plans: dict[int, queries.PlanRow],
    decks: dict[str, list[queries.DeckRow]],
    generous: frozenset[int],
) -> tuple[Guide, ...]:
    plan_spans = queries.plan_spans(tx)
    guides: list[Guide] = []
    for alias in queries.aliases(tx):
        days = Period(alias.valid_from, alias.valid_to).intersection(period)
        for span in () if days is None else plan_spans[alias.service_id]:
            on_plan = span.days.intersection(days) if days is not None else None
            if on_plan is None or on_plan.end is None:
                continue
            plan = plans.get(span.plan_id) if span.plan_id is not None else None
            guides += _on_decks(alias, on_plan, plan, decks, generous)
    return tuple(sorted(guides, key=lambda one: (one.kind, one.alias, one.from_on)))


def _on_decks(
    alias: queries.AliasRow,
    days: Period,
    plan: queries.PlanRow | None,
    decks: dict[str, list[queries.DeckRow]],
    generous: frozenset[int],
) -> Iterable[Guide]:
    """Split the days of one plan by the versions of its deck."""

    def guide(part: Period, deck: queries.DeckRow | None) -> Guide:
        assert part.end is not None
        fault = None
        if plan is None:
            fault = "no_rate_plan"
        elif plan.currency != alias.currency or (deck and deck.currency != plan.currency):
            fault = "wrong_currency"
        return Guide(
            kind=alias.kind,
            alias=alias.value,
            service_id=alias.service_id,
            from_on=part.start,
            to_on=part.end,
            plan_id=None if plan is None else plan.id,
            deck_id=None if deck is None else deck.id,
            has_allowance=plan is not None and plan.id in generous,
            fault=fault,
        )

    versions = decks.get(plan.deck_key, []) if plan is not None and plan.deck_key else []
    position = days.start
    assert days.end is not None
    for deck in sorted(versions, key=lambda one: one.valid_from):
        part = Period(deck.valid_from, deck.valid_to).intersection(days)
        if part is None or part.end is None:
            continue
        if position < part.start:
            yield guide(Period(position, part.start), None)
        yield guide(part, deck)
        position = part.end
    if position < days.end:
        yield guide(Period(position, days.end), None)


def _calls(tx: Connection, deck_ids: Sequence[int]) -> tuple[CallPrice, ...]:
    rates: dict[int, dict[str, queries.RateRow]] = defaultdict(dict)
    for rate in queries.rates(tx, deck_ids):
        rates[rate.deck_id][rate.prefix] = rate
    return tuple(
        CallPrice(
            deck_id=deck_id,
            low=part.low,
            high=part.high,
            prefix=part.prefix,
            usage_class=by_prefix[part.prefix].usage_class,
            price=by_prefix[part.prefix].price,
            minimum_s=by_prefix[part.prefix].minimum_s,
            increment_s=by_prefix[part.prefix].increment_s,
        )
        for deck_id, by_prefix in sorted(rates.items())
        for part in disjoint_ranges(by_prefix)
    )


def _meters(tx: Connection, period: Period) -> tuple[MeterPrice, ...]:
    assert period.end is not None
    return tuple(
        MeterPrice(
            plan_id=row.plan_id,
            meter=row.meter,
            usage_class=row.usage_class,
            unit=row.unit,
            price=row.price,
            from_on=row.valid_from,
            to_on=min(row.valid_to or period.end, period.end),
        )
        for row in queries.meter_prices(tx, period)
    )


def _allowances(
    tx: Connection, period: Period, meter_classes: set[tuple[int, str]]
) -> tuple[Allowance, ...]:
    return tuple(
        Allowance(
            plan_id=row.plan_id,
            usage_class=row.usage_class,
            is_meter=(row.plan_id, row.usage_class) in meter_classes,
            included=row.included
            * (METER_UNIT if (row.plan_id, row.usage_class) in meter_classes else 1),
        )
        for row in queries.allowances(tx, period)
    )
