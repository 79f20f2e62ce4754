"""Which vendor rules a payer earned in which period: decided once, by the bill of the period.

Later changes take nothing back (domain 3.4, golden 14), so a decision is kept with its terms.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import Connection, text

from connector.billing.queries import PayerBook
from connector.billing.vendor_discounts import (
    Earned,
    VendorDiscount,
    best_earned,
    with_vendor_discounts,
)
from connector.kernel.period import Period

_RULES = text(
    "SELECT vendor, min_services, percent, valid_from, valid_to FROM vendor_rule "
    " WHERE valid_from <= :on ORDER BY vendor, min_services"
)
_DECIDED = text(
    "SELECT billing_account_id, vendor, min_services, percent, period_start, period_end, is_earned "
    "  FROM earned_discount WHERE billing_account_id = ANY(:ids) ORDER BY period_start, vendor"
)
_KEEP = text(
    "INSERT INTO earned_discount (billing_account_id, vendor, min_services, percent, "
    "                             period_start, period_end, is_earned) "
    "VALUES (:billing_account_id, :vendor, :min_services, :percent, :period_start, :period_end, "
    "        :is_earned)"
)


def with_earned_discounts(
    tx: Connection, *, books: Sequence[PayerBook], billed_to: date, keep: bool
) -> list[PayerBook]:
    """Return books whose charges have the vendor discounts that their payers earned.

    Whoever was not decided on for the period around `billed_to` is decided on now; `keep` writes
    that down. A preview and a bill kept for review decide nothing.
    """
    rules = tx.execute(_RULES, {"on": billed_to}).all()
    if not rules or not books:
        return list(books)
    ids = [book.payer.billing_account_id for book in books]
    earned: dict[int, list[Earned]] = {one: [] for one in ids}
    decided: set[tuple[int, str, date]] = set()
    for row in tx.execute(_DECIDED, {"ids": ids}):
        decided.add((row.billing_account_id, row.vendor, row.period_start))
        if row.is_earned:
            period = Period(row.period_start, row.period_end)
            earned[row.billing_account_id].append(
                Earned(row.vendor, row.min_services, row.percent, period)
            )
    found = []
    new: list[dict[str, object]] = []
    for book in books:
        payer = book.payer.billing_account_id
        period = book.payer.cycle.period_of(billed_to)
        vendors = {one.vendor for one in book.charges if one.kind == "recurring"}
        asked = [
            VendorDiscount(row.vendor, row.min_services, row.percent)
            for row in rules
            if row.vendor in vendors
            and row.valid_from <= period.start
            and (row.valid_to is None or period.start < row.valid_to)
            and (payer, row.vendor, period.start) not in decided
        ]
        won = best_earned(asked, book.charges, period)
        new += _rows(payer, {rule.vendor for rule in asked}, won, period)
        all_earned = (*earned[payer], *won)
        found.append(
            replace(
                book,
                charges=tuple(with_vendor_discounts(one, all_earned) for one in book.charges),
            )
        )
    if keep and new:
        tx.execute(_KEEP, new)
    return found


def _rows(
    payer: int, vendors: set[str], won: Sequence[Earned], period: Period
) -> list[dict[str, object]]:
    by_vendor = {one.vendor: one for one in won}
    rows: list[dict[str, object]] = []
    for vendor in sorted(vendors):
        one = by_vendor.get(vendor)
        rows.append(
            {
                "billing_account_id": payer,
                "vendor": vendor,
                "min_services": one.min_services if one else None,
                "percent": one.percent if one else None,
                "period_start": period.start,
                "period_end": period.end,
                "is_earned": one is not None,
            }
        )
    return rows
