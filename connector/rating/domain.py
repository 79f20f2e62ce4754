"""The arithmetic of one call and of a sum, in exact integers."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from connector.catalog.domain import BlockPrice
from connector.errors import InvalidInput

METER_UNIT = 1_000_000  # a meter's quantity is kept in millionths of its unit
EXACT_PLACES = 9  # decimal places of a summary's amount in the store
INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Tariff:
    """How the duration of a call is charged: whole increments after a minimum."""

    minimum_s: int
    increment_s: int
    price: BlockPrice


@dataclass(frozen=True, slots=True)
class RatedCall:
    """A rated call; sell and cost are in units of 1 / (10**scale * block)."""

    charged_s: int
    included_s: int
    sell: int
    cost: int


def charged_seconds(*, duration_s: int, minimum_s: int, increment_s: int) -> int:
    """Return the seconds charged: every started increment, at least the minimum.

    An unanswered call (0 s) charges nothing, not even the minimum.
    """
    if duration_s < 0:
        raise InvalidInput(f"A call cannot last {duration_s} seconds.")
    if duration_s == 0:
        return 0
    least = max(duration_s, minimum_s)
    return least + (increment_s - least % increment_s) % increment_s


def rate_call(*, duration_s: int, tariff: Tariff, allowance_left_s: int = 0) -> RatedCall:
    """Rate one call; the allowance is used up first and spares the connection fee too.

    Cost is what the carrier asks, whether or not the customer's allowance covers the call.
    """
    charged_s = charged_seconds(
        duration_s=duration_s, minimum_s=tariff.minimum_s, increment_s=tariff.increment_s
    )
    included_s = max(0, min(charged_s, allowance_left_s))
    billable_s = charged_s - included_s
    fee = tariff.price.connection * tariff.price.block if billable_s else 0
    return RatedCall(
        charged_s=charged_s,
        included_s=included_s,
        sell=billable_s * tariff.price.sell + fee,
        cost=charged_s * tariff.price.cost,
    )


@dataclass(frozen=True, slots=True)
class IntegerSum:
    """A sum of integers that stands for total / (10**scale * block) of the currency."""

    total: int
    scale: int
    block: int

    def value(self) -> Fraction:
        """Return the exact value."""
        return Fraction(self.total, 10**self.scale * self.block)


def amount_of(sums: Iterable[IntegerSum]) -> Decimal:
    """Return the amount of sums of any scales and blocks; the one division, to nine places."""
    exact = sum((one.value() for one in sums), Fraction(0))
    return exact_decimal(exact)


def exact_decimal(value: Fraction) -> Decimal:
    """Return a fraction as the store keeps it: nine places, half away from zero."""
    doubled = abs(value.numerator) * 10**EXACT_PLACES * 2 // value.denominator
    units = (doubled + 1) // 2
    # Built from text: arithmetic on Decimal would round to the context's precision.
    return Decimal(f"{units if value >= 0 else -units}E-{EXACT_PLACES}")


def largest_safe_quantity(price: BlockPrice) -> int:
    """Return the largest charged quantity whose sell and cost still fit 64 bits."""
    fee = price.connection * price.block
    return max(0, INT64_MAX - fee) // max(price.sell, price.cost, 1)
