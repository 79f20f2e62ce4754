"""Discounts that a service was granted when its billing began: which, from when, until when.

A discount of the catalogue is looked up once. What was granted stays with the charge, so a later
edit of the catalogue changes no bill.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from connector.charging.value import Discount
from connector.kernel.period import Cycle, Period

_OFFERED = text(
    "SELECT d.key, d.name, d.percent, d.amount, d.cycles, d.valid_from, d.valid_to "
    "  FROM discount d JOIN product p ON p.id = :product_id "
    "  JOIN service s ON s.id = :service_id "
    "  JOIN account a ON a.id = s.account_id "
    "  JOIN billing_account b ON b.id = s.billing_account_id "
    " WHERE d.price IS NULL "
    "   AND (d.valid_to IS NULL OR d.valid_to > :starts_on) "
    "   AND (d.amount IS NULL OR d.currency = s.currency) "
    "   AND (d.vendor IS NULL OR d.vendor = p.vendor) "
    "   AND (d.products = '[]' OR d.products @> to_jsonb(p.key)) "
    "   AND (d.customers = '[]' OR d.customers @> to_jsonb(a.sfid) "
    "        OR d.customers @> to_jsonb(b.number)) "
    "   AND NOT (d.new_customers_only AND EXISTS ("
    "        SELECT FROM charge c JOIN service o ON o.id = c.service_id "
    "         WHERE o.account_id = s.account_id AND c.kind = 'recurring' "
    "           AND c.service_id <> s.id AND c.starts_on < :starts_on)) "
    " ORDER BY d.valid_from, d.key"
)


@dataclass(frozen=True, slots=True)
class Granted:
    """A discount with its days; an end of None is open."""

    key: str
    name: str
    percent: Decimal
    amount: Decimal
    starts_on: date
    ends_on: date | None

    def as_json(self) -> dict[str, Any]:
        """Return it as a charge keeps it."""
        kept: dict[str, Any] = {"key": self.key, "name": self.name, "from": str(self.starts_on)}
        if self.ends_on is not None:
            kept["to"] = str(self.ends_on)
        if self.amount:
            return kept | {"amount": f"{self.amount.normalize():f}"}
        return kept | {"percent": f"{self.percent.normalize():f}"}


def read_discounts(kept: Sequence[Mapping[str, Any]]) -> tuple[Discount, ...]:
    """Return what a charge keeps as the discounts that its price counts."""
    return tuple(
        Discount(
            Period(date.fromisoformat(one["from"]), _day(one.get("to"))),
            percent=Decimal(one.get("percent", 0)),
            amount=Decimal(one.get("amount", 0)),
            name=one["name"],
        )
        for one in kept
    )


def grant(
    tx: Connection, *, service_id: int, product_id: int, starts_on: date, cycle: Cycle
) -> tuple[Granted, ...]:
    """Return the discounts that a service gets which begins to be billed on a day.

    So many cycles count from the first day of the discount; the period that is running then is the
    first one, part of a period or not (domain 3.4, golden 14). A customer is new while nothing
    else of the account was billed before.
    """
    rows = tx.execute(
        _OFFERED, {"service_id": service_id, "product_id": product_id, "starts_on": starts_on}
    )
    found = []
    for row in rows:
        first = max(row.valid_from, starts_on)
        end = _end(first, row.valid_to, row.cycles, cycle)
        if end is None or end > first:
            found.append(
                Granted(
                    row.key,
                    row.name,
                    row.percent or Decimal(0),
                    row.amount or Decimal(0),
                    first,
                    end,
                )
            )
    return tuple(found)


def carried(
    kept: Sequence[Mapping[str, Any]], offered: Sequence[Granted]
) -> tuple[dict[str, Any], ...]:
    """Return what a successor of another product keeps: discounts it is offered too, as they run.

    What it is offered anew begins with it.
    """
    running = {one["key"]: dict(one) for one in kept}
    return tuple(running.get(one.key, one.as_json()) for one in offered)


def _end(first: date, valid_to: date | None, cycles: int | None, cycle: Cycle) -> date | None:
    if not cycles:
        return valid_to
    period = cycle.period_of(first)
    for _ in range(cycles - 1):
        period = cycle.following(period)
    assert period.end is not None
    return period.end if valid_to is None else min(valid_to, period.end)


def _day(written: str | None) -> date | None:
    return None if written is None else date.fromisoformat(written)
