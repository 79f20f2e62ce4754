"""The steps of an amount: what it lists at, what the scheme makes of it, discounts, and tax.

Mission row G2. The first three are kept with each line as it is made; they sum to what the charge
is worth in the period, to the cent. What a line bills less than that was booked before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from connector.billing.draft import BillableCharge
from connector.charging.value import Price, rounded, share_of_period
from connector.kernel.period import Cycle, Period

_AFTER_THE_LIST = frozenset({"discount", "minimum", "maximum"})
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class FourSteps:
    """How lines came to their amounts; `net` is the sum of the four before it."""

    listed: Decimal  # whole periods and usage at the price before discounts
    scheme: Decimal  # days that were not served, least and highest amounts of a period
    discount: Decimal
    corrected: Decimal  # what was booked before, or is given back
    net: Decimal
    tax: Decimal


def steps_of(
    charge: BillableCharge,
    price: Price,
    *,
    worth: Decimal,
    period: Period | None = None,
    days: Period | None = None,
    cycle: Cycle | None = None,
) -> dict[str, str]:
    """Return the steps of what a charge is worth; of a period's served days when it recurs.

    Each step is rounded so that the sum so far is the rounded exact sum.
    """
    steps, _ = price.priced()
    listed = sum((Fraction(s.amount) for s in steps if s.kind not in _AFTER_THE_LIST), Fraction(0))
    discount = sum((Fraction(s.amount) for s in steps if s.kind == "discount"), Fraction(0))
    if period is not None and days is not None and cycle is not None:
        whole, basis = price.per_period, charge.policy.basis
        discount *= share_of_period(period, days, basis, cycle)
        for one in price.discounts:
            served = days.intersection(one.window)
            if served is not None:
                discount -= one.off(whole, share_of_period(period, served, basis, cycle))
    currency, mode = charge.currency, charge.policy.rounding
    first = rounded(listed, currency, mode)
    last = rounded(discount, currency, mode)
    return {"listed": str(first), "scheme": str(worth - first - last), "discount": str(last)}


def four_steps(lines: Iterable[Mapping[str, Any]]) -> FourSteps:
    """Return the steps of a document from its stored lines.

    A credit is a correction as a whole; a line that keeps no steps lists at its amount.
    """
    listed = scheme = discount = corrected = net = tax = ZERO
    for line in lines:
        amount = Decimal(line["amount"])
        steps = line["explanation"].get("inputs", {}).get("steps")
        net += amount
        tax += Decimal(line["tax_amount"])
        if line["kind"] == "Credit":
            corrected += amount
        elif steps is None:
            listed += amount
        else:
            own = [Decimal(steps[name]) for name in ("listed", "scheme", "discount")]
            listed, scheme, discount = listed + own[0], scheme + own[1], discount + own[2]
            corrected += amount - sum(own, ZERO)
    return FourSteps(listed, scheme, discount, corrected, net, tax)
