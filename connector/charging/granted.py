"""Discounts that a service was granted when its billing began: which, from when, until when.

A discount of the catalogue is looked up once. What was granted stays with the charge, so a later
edit of the catalogue changes no bill.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, text

from connector.charging.policy import ProrationPolicy
from connector.charging.shares import split
from connector.charging.value import Discount
from connector.kernel.period import Cycle, Interval, Period
from connector.store.engine import to_json

log = structlog.get_logger(__name__)

_OFFERED = text(
    "SELECT d.key, d.name, d.percent, d.amount, d.cycles, d.valid_from, d.valid_to "
    "  FROM discount d JOIN product p ON p.id = :product_id "
    "  JOIN service s ON s.id = :service_id "
    "  JOIN account a ON a.id = s.account_id "
    "  JOIN billing_account b ON b.id = s.billing_account_id "
    " WHERE num_nonnulls(d.price, d.markup) = 0 "
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


# Whoever is named by a discount gets it for what runs already; nobody else does.
_RUNNING = text(
    "SELECT c.id, c.policy, b.anchor_day, b.cycle, d.key, d.name, d.percent, d.amount, d.cycles, "
    "       d.valid_from, d.valid_to "
    "  FROM discount d "
    "  JOIN billing_account b ON d.customers @> to_jsonb(b.number) "
    "       OR d.customers @> to_jsonb((SELECT a.sfid FROM account a WHERE a.id = b.account_id)) "
    "  JOIN service s ON s.billing_account_id = b.id "
    "  JOIN product sold ON sold.id = s.product_id "
    "  JOIN charge c ON c.service_id = s.id AND c.kind = 'recurring' "
    "       AND (c.ends_on IS NULL OR c.ends_on > :on) "
    " WHERE num_nonnulls(d.price, d.markup) = 0 AND NOT d.new_customers_only "
    "   AND (d.valid_to IS NULL OR d.valid_to > :on) "
    "   AND (d.amount IS NULL OR d.currency = s.currency) "
    "   AND (d.vendor IS NULL OR d.vendor = sold.vendor) "
    "   AND (d.products = '[]' OR d.products @> to_jsonb(sold.key)) "
    "   AND (d.amount IS NULL OR c.source->>'part' IS NULL) "  # nobody shares it out to a bundle
    "   AND NOT c.discounts @> jsonb_build_array(jsonb_build_object('key', d.key)) "
    " ORDER BY c.id, d.valid_from, d.key FOR NO KEY UPDATE OF b"
)
_NOT_FOR = text(
    "SELECT d.key FROM discount d, product p WHERE p.id = :product_id AND d.key = ANY(:keys) "
    " GROUP BY d.key "
    "HAVING NOT bool_or((d.vendor IS NULL OR d.vendor = p.vendor) "
    "                   AND (d.products = '[]' OR d.products @> to_jsonb(p.key)))"
)
_ADD = text(
    "UPDATE charge SET discounts = discounts || CAST(:granted AS jsonb), changed_at = :now "
    " WHERE id = :id"
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


def shared_out(
    discounts: Sequence[dict[str, Any]], weights: Sequence[Decimal], currency: str
) -> list[list[dict[str, Any]]]:
    """Return the discounts of each part of a bundle: percentages as they are, amounts in shares."""
    parts: list[list[dict[str, Any]]] = [[] for _ in weights]
    for one in discounts:
        if "amount" not in one:
            for part in parts:
                part.append(one)
            continue
        shares = split(Decimal(one["amount"]), weights, currency)
        for part, share in zip(parts, shares, strict=True):
            part.append(one | {"amount": f"{share:f}"})
    return parts


def grant_to_running(*, tx: Connection, on: date, now: datetime) -> int:
    """Give services that run the discounts that name their customer; return how many it gave.

    They count from today, or from their own later day, never back: what is billed stays billed. A
    discount that names nobody is for what is sold from now on. Nothing is given twice.
    """
    given = 0
    for row in tx.execute(_RUNNING, {"on": on}).all():
        first = max(row.valid_from, on)
        cycle = ProrationPolicy.from_json(row.policy).cycle(
            Cycle.calendar(Interval(row.cycle), row.anchor_day)
        )
        end = _end(first, row.valid_to, row.cycles, cycle)
        one = Granted(
            row.key, row.name, row.percent or Decimal(0), row.amount or Decimal(0), first, end
        )
        kept = to_json([one.as_json()]).decode()
        tx.execute(_ADD, {"id": row.id, "granted": kept, "now": now})
        given += 1
    log.info("charge.discounts_granted", charges=given)
    return given


def carried(
    tx: Connection,
    *,
    running: Sequence[Sequence[Mapping[str, Any]]],
    product_id: int,
    offered: Sequence[Granted],
) -> list[dict[str, Any]]:
    """Return the discounts of a successor of another product, given those of each part before.

    What runs goes on as it runs, unless it is for products that the new one is none of. What the
    new one is offered beside that begins with it.
    """
    known: dict[str, dict[str, Any]] = {}
    for one in (one for part in running for one in part):
        same = known.get(one["key"])
        known[one["key"]] = dict(one) if same is None else _together(same, one)
    excluded = frozenset(tx.scalars(_NOT_FOR, {"keys": list(known), "product_id": product_id}))
    return [
        *(one for key, one in known.items() if key not in excluded),
        *(one.as_json() for one in offered if one.key not in known),
    ]


def _together(one: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the discount of two parts of a bundle: a percentage is the same, amounts add up."""
    if "amount" not in one:
        return one
    return one | {"amount": f"{Decimal(one['amount']) + Decimal(other['amount']):f}"}


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
