"""Applies discounts and vendor rules of the files to the store, dated as prices are."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select

from connector.catalog.dating import Stored, Wanted, dated_changes
from connector.catalog.drafts import DiscountDraft, VendorRuleDraft
from connector.catalog.prices import close_entries, refusal
from connector.catalog.source import BadFile
from connector.store.tables.catalog import discount, product, vendor_rule


@dataclass(frozen=True, slots=True)
class _Terms:
    """What of a discount may not be rewritten once it has begun."""

    name: str
    percent: Decimal | None
    amount: Decimal | None
    price: Decimal | None
    markup: Decimal | None
    currency: str | None
    vendor: str | None
    products: tuple[str, ...]
    customers: tuple[str, ...]
    brands: tuple[str, ...]
    new_customers_only: bool
    cycles: int | None


def load_discounts(tx: Connection, drafts: Iterable[DiscountDraft]) -> int:
    """Open and close discounts as the files say; return how many opened.

    Raises:
        BadFile: A product is not there, or a discount that has begun is rewritten.
    """
    known = frozenset(tx.scalars(select(product.c.key)))
    stored: dict[str, list[Stored[_Terms]]] = defaultdict(list)
    for row in tx.execute(select(discount)):
        stored[row.key].append(Stored(row.id, row.valid_from, row.valid_to, _terms(row)))
    by_key: dict[str, list[DiscountDraft]] = defaultdict(list)
    for draft in drafts:
        for key in draft.products:
            if key not in known:
                raise BadFile(
                    path=draft.path,
                    line=draft.line,
                    problem=f"Discount '{draft.key}' names the product '{key}', "
                    "which is not there.",
                )
        by_key[draft.key].append(draft)
    rows: list[dict[str, Any]] = []
    for key, own in by_key.items():
        changes = dated_changes(
            stored[key],
            [Wanted(one.valid_from, one.valid_to, _terms(one), one.line) for one in own],
            refusal(own[0].path, f"discount '{key}'"),
        )
        close_entries(tx, discount, changes.closed)
        rows += [
            {"key": key, "valid_from": want.valid_from, "valid_to": want.valid_to}
            | asdict(want.content)
            for want in changes.opened
        ]
    if rows:
        tx.execute(insert(discount), rows)
    return len(rows)


def load_vendor_rules(tx: Connection, drafts: Iterable[VendorRuleDraft]) -> int:
    """Open and close rules as the files say; return how many opened.

    Raises:
        BadFile: A rule that has begun is rewritten.
    """
    stored: dict[tuple[str, int], list[Stored[Decimal]]] = defaultdict(list)
    for row in tx.execute(select(vendor_rule)):
        stored[(row.vendor, row.min_services)].append(
            Stored(row.id, row.valid_from, row.valid_to, Decimal(row.percent))
        )
    by_slot: dict[tuple[str, int], list[VendorRuleDraft]] = defaultdict(list)
    for draft in drafts:
        by_slot[(draft.vendor, draft.min_services)].append(draft)
    rows: list[dict[str, Any]] = []
    for (vendor, min_services), own in by_slot.items():
        changes = dated_changes(
            stored[(vendor, min_services)],
            [Wanted(one.valid_from, None, one.percent, one.line) for one in own],
            refusal(own[0].path, f"rule of {vendor} for {min_services} services"),
        )
        close_entries(tx, vendor_rule, changes.closed)
        rows += [
            {
                "vendor": vendor,
                "min_services": min_services,
                "percent": want.content,
                "valid_from": want.valid_from,
                "valid_to": want.valid_to,
            }
            for want in changes.opened
        ]
    if rows:
        tx.execute(insert(vendor_rule), rows)
    return len(rows)


def _terms(one: Any) -> _Terms:
    return _Terms(
        name=one.name,
        percent=one.percent,
        amount=one.amount,
        price=one.price,
        markup=one.markup,
        currency=one.currency,
        vendor=one.vendor,
        products=tuple(one.products),
        customers=tuple(one.customers),
        brands=tuple(one.brands),
        new_customers_only=one.new_customers_only,
        cycles=one.cycles,
    )
