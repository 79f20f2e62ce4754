"""Applies rate plans and tax rates to the store."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from connector.catalog.dating import Stored, Wanted, dated_changes
from connector.catalog.domain import BlockPrice
from connector.catalog.drafts import (
    AllowanceDraft,
    ClassPriceDraft,
    MeterDraft,
    PlanDraft,
    TaxDraft,
)
from connector.catalog.prices import close_entries, refusal
from connector.catalog.pricing.document import Pricing, read_pricing
from connector.catalog.source import BadFile
from connector.store.tables.catalog import (
    allowance,
    class_price,
    meter_price,
    rate_plan,
    tax_rate,
)

MeterContent = tuple[str, str, BlockPrice]  # class, unit, price


def load_plans(tx: Connection, drafts: Iterable[PlanDraft], *, known_decks: frozenset[str]) -> int:
    """Write the plans with their meter prices and allowances; return how many entries opened.

    Raises:
        BadFile: A plan names a deck nobody has, or rewrites what has begun.
    """
    opened = 0
    for draft in drafts:
        if draft.deck_key is not None and draft.deck_key not in known_decks:
            raise BadFile(
                path=draft.path,
                line=draft.line,
                problem=f"Plan '{draft.key}' names the deck '{draft.deck_key}', which nobody has.",
            )
        plan_id = _upsert_plan(tx, draft)
        opened += _load_meters(tx, plan_id, draft)
        opened += _load_allowances(tx, plan_id, draft)
        opened += _load_class_prices(tx, plan_id, draft)
    return opened


def _upsert_plan(tx: Connection, draft: PlanDraft) -> int:
    values = {
        "name": draft.name,
        "currency": draft.currency,
        "deck_key": draft.deck_key,
    }
    statement = upsert(rate_plan).values(key=draft.key, **values)
    written = tx.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_=values).returning(
            rate_plan.c.id
        )
    )
    return int(written.scalar_one())


def _load_meters(tx: Connection, plan_id: int, draft: PlanDraft) -> int:
    stored: dict[str, list[Stored[MeterContent]]] = defaultdict(list)
    for row in tx.execute(select(meter_price).where(meter_price.c.rate_plan_id == plan_id)):
        price = BlockPrice(
            sell=row.sell_units,
            cost=row.cost_units,
            connection=0,
            scale=row.scale,
            block=row.block,
        )
        content = (row.usage_class, row.unit, price)
        stored[row.meter].append(Stored(row.id, row.valid_from, row.valid_to, content))
    by_meter: dict[str, list[MeterDraft]] = defaultdict(list)
    for one in draft.meters:
        by_meter[one.meter].append(one)
    rows: list[dict[str, Any]] = []
    for meter, meters in by_meter.items():
        changes = dated_changes(
            stored[meter],
            [
                Wanted(one.valid_from, None, (one.usage_class, one.unit, one.price), one.line)
                for one in meters
            ],
            refusal(draft.path, f"price of meter '{meter}' in plan '{draft.key}'"),
        )
        close_entries(tx, meter_price, changes.closed)
        rows += [_meter_row(plan_id, meter, want) for want in changes.opened]
    if rows:
        tx.execute(insert(meter_price), rows)
    return len(rows)


def _meter_row(plan_id: int, meter: str, want: Wanted[MeterContent]) -> dict[str, Any]:
    usage_class, unit, price = want.content
    return {
        "rate_plan_id": plan_id,
        "meter": meter,
        "usage_class": usage_class,
        "unit": unit,
        "sell_units": price.sell,
        "cost_units": price.cost,
        "scale": price.scale,
        "block": price.block,
        "valid_from": want.valid_from,
        "valid_to": want.valid_to,
    }


def _load_allowances(tx: Connection, plan_id: int, draft: PlanDraft) -> int:
    stored: dict[str, list[Stored[int]]] = defaultdict(list)
    for row in tx.execute(select(allowance).where(allowance.c.rate_plan_id == plan_id)):
        stored[row.usage_class].append(
            Stored(row.id, row.valid_from, row.valid_to, int(row.included))
        )
    by_class: dict[str, list[AllowanceDraft]] = defaultdict(list)
    for one in draft.allowances:
        by_class[one.usage_class].append(one)
    rows: list[dict[str, Any]] = []
    for usage_class, allowances in by_class.items():
        changes = dated_changes(
            stored[usage_class],
            [Wanted(one.valid_from, None, one.included, one.line) for one in allowances],
            refusal(draft.path, f"allowance of '{usage_class}' in plan '{draft.key}'"),
        )
        close_entries(tx, allowance, changes.closed)
        rows += [
            {
                "rate_plan_id": plan_id,
                "usage_class": usage_class,
                "included": want.content,
                "valid_from": want.valid_from,
                "valid_to": want.valid_to,
            }
            for want in changes.opened
        ]
    if rows:
        tx.execute(insert(allowance), rows)
    return len(rows)


def _load_class_prices(tx: Connection, plan_id: int, draft: PlanDraft) -> int:
    stored: dict[str, list[Stored[Pricing]]] = defaultdict(list)
    for row in tx.execute(select(class_price).where(class_price.c.rate_plan_id == plan_id)):
        stored[row.usage_class].append(
            Stored(row.id, row.valid_from, row.valid_to, read_pricing(row.pricing))
        )
    by_class: dict[str, list[ClassPriceDraft]] = defaultdict(list)
    for one in draft.class_prices:
        by_class[one.usage_class].append(one)
    rows: list[dict[str, Any]] = []
    for usage_class, prices in by_class.items():
        changes = dated_changes(
            stored[usage_class],
            [Wanted(one.valid_from, None, one.pricing, one.line) for one in prices],
            refusal(draft.path, f"price of class '{usage_class}' in plan '{draft.key}'"),
        )
        close_entries(tx, class_price, changes.closed)
        rows += [
            {
                "rate_plan_id": plan_id,
                "usage_class": usage_class,
                "pricing": want.content.as_json(),
                "valid_from": want.valid_from,
                "valid_to": want.valid_to,
            }
            for want in changes.opened
        ]
    if rows:
        tx.execute(insert(class_price), rows)
    return len(rows)


def load_taxes(tx: Connection, drafts: Iterable[TaxDraft]) -> int:
    """Open and close tax rates as the files say; return how many opened.

    Raises:
        BadFile: A rate that has begun is rewritten.
    """
    stored: dict[tuple[str, str, str], list[Stored[tuple[Decimal, str]]]] = defaultdict(list)
    for row in tx.execute(select(tax_rate)):
        stored[(row.country, row.category, row.customer)].append(
            Stored(row.id, row.valid_from, row.valid_to, (Decimal(row.percent), row.treatment))
        )
    by_slot: dict[tuple[str, str, str], list[TaxDraft]] = defaultdict(list)
    for draft in drafts:
        by_slot[(draft.country, draft.category, draft.customer)].append(draft)
    rows: list[dict[str, Any]] = []
    for (country, category, customer), taxes in by_slot.items():
        changes = dated_changes(
            stored[(country, category, customer)],
            [Wanted(one.valid_from, None, (one.percent, one.treatment), one.line) for one in taxes],
            refusal(taxes[0].path, f"tax rate of {country}, {category}"),
        )
        close_entries(tx, tax_rate, changes.closed)
        notes = {one.valid_from: one.note for one in taxes}
        rows += [
            {
                "country": country,
                "category": category,
                "customer": customer,
                "percent": want.content[0],
                "treatment": want.content[1],
                "valid_from": want.valid_from,
                "valid_to": want.valid_to,
                "note": notes[want.valid_from],
            }
            for want in changes.opened
        ]
    if rows:
        tx.execute(insert(tax_rate), rows)
    return len(rows)
