"""Applies the prices of the files to the store."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from connector.catalog.dating import Closing, Stored, Wanted, dated_changes
from connector.catalog.drafts import PriceDraft, ProductDraft
from connector.catalog.pricing.document import Pricing, optional_pricing
from connector.catalog.source import BadFile
from connector.store.tables.catalog import price_entry, product

LATER = "Give the change a `from` of its own; the entry before it is closed on that day."

Slot = tuple[int, str, int, str]  # product, request type, term, currency


@dataclass(frozen=True, slots=True)
class Amounts:
    """What of a price may not be rewritten once it has begun."""

    mr_price: Decimal
    nr_price: Decimal
    mr_cost: Decimal
    nr_cost: Decimal
    renewal_type: str
    pricing: Pricing | None
    nr_pricing: Pricing | None


def load_prices(tx: Connection, drafts: Iterable[ProductDraft]) -> tuple[int, int]:
    """Open and close price entries as the files say; return how many of each.

    Raises:
        BadFile: A price that has begun is rewritten.
    """
    products = {
        row.key: (row.id, row.brand_id)
        for row in tx.execute(select(product.c.key, product.c.id, product.c.brand_id))
    }
    stored = _stored(tx)
    opened: list[dict[str, Any]] = []
    closed: list[Closing] = []
    templates: list[dict[str, Any]] = []
    for draft in drafts:
        product_id, brand_id = products[draft.key]
        slots: dict[Slot, list[PriceDraft]] = defaultdict(list)
        for price in draft.prices:
            slots[(product_id, price.request_type, price.term_months, price.currency)].append(price)
        for slot, prices in slots.items():
            changes = dated_changes(
                stored.get(slot, ()),
                [Wanted(one.valid_from, one.valid_to, _amounts(one), one.line) for one in prices],
                refusal(draft.path, f"price of '{draft.key}', {slot[1]}, {slot[2]} months"),
            )
            template_of = {one.valid_from: one.work_order_template for one in prices}
            closed.extend(changes.closed)
            opened.extend(
                _row(slot, brand_id, want, template_of[want.valid_from]) for want in changes.opened
            )
            templates.extend(
                {"entry_id": known.id, "template": template_of[known.valid_from]}
                for known in stored.get(slot, ())
                if known.valid_from in template_of
            )
    close_entries(tx, price_entry, closed)
    if opened:
        tx.execute(insert(price_entry), opened)
    _set_templates(tx, templates)
    return len(opened), len(closed)


def refusal(path: Path, what: str) -> Callable[[Wanted[Any], str], BadFile]:
    """Return what makes an error of a dated entry that cannot be loaded."""

    def refuse(want: Wanted[Any], why: str) -> BadFile:
        return BadFile(path=path, line=want.line, problem=f"The {what}: {why}", remedy=LATER)

    return refuse


def close_entries(tx: Connection, table: Table, closings: Iterable[Closing]) -> None:
    """End dated entries of a table on their days."""
    rows = [{"entry_id": one.id, "day": one.valid_to} for one in closings]
    if rows:
        tx.execute(
            update(table)
            .where(table.c.id == bindparam("entry_id"))
            .values(valid_to=bindparam("day")),
            rows,
        )


def _amounts(price: PriceDraft) -> Amounts:
    return Amounts(
        mr_price=price.mr_price,
        nr_price=price.nr_price,
        mr_cost=price.mr_cost,
        nr_cost=price.nr_cost,
        renewal_type=price.renewal_type,
        pricing=price.pricing,
        nr_pricing=price.nr_pricing,
    )


def _stored(tx: Connection) -> dict[Slot, list[Stored[Amounts]]]:
    found: dict[Slot, list[Stored[Amounts]]] = defaultdict(list)
    for row in tx.execute(select(price_entry)):
        found[(row.product_id, row.request_type, row.term_months, row.currency)].append(
            Stored(
                id=row.id,
                valid_from=row.valid_from,
                valid_to=row.valid_to,
                content=Amounts(
                    mr_price=row.mr_price,
                    nr_price=row.nr_price,
                    mr_cost=row.mr_cost,
                    nr_cost=row.nr_cost,
                    renewal_type=row.renewal_type,
                    pricing=optional_pricing(row.pricing),
                    nr_pricing=optional_pricing(row.nr_pricing),
                ),
            )
        )
    return found


def _row(slot: Slot, brand_id: int, want: Wanted[Amounts], template: str | None) -> dict[str, Any]:
    product_id, request_type, term_months, currency = slot
    return {
        "brand_id": brand_id,
        "product_id": product_id,
        "request_type": request_type,
        "term_months": term_months,
        "currency": currency,
        "mr_price": want.content.mr_price,
        "nr_price": want.content.nr_price,
        "mr_cost": want.content.mr_cost,
        "nr_cost": want.content.nr_cost,
        "renewal_type": want.content.renewal_type,
        "pricing": want.content.pricing.as_json() if want.content.pricing else None,
        "nr_pricing": want.content.nr_pricing.as_json() if want.content.nr_pricing else None,
        "work_order_template": template,
        "valid_from": want.valid_from,
        "valid_to": want.valid_to,
    }


def _set_templates(tx: Connection, rows: list[dict[str, Any]]) -> None:
    # A template says how to deliver, not what it costs: it may change without a date of its own.
    if rows:
        tx.execute(
            update(price_entry)
            .where(
                price_entry.c.id == bindparam("entry_id"),
                price_entry.c.work_order_template.is_distinct_from(bindparam("template")),
            )
            .values(work_order_template=bindparam("template")),
            rows,
        )
