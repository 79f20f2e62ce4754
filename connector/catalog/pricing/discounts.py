"""What lowers or bounds a price: discounts first, then the maximum, then the minimum."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Generic, TypeVar

from connector.catalog.pricing.refusals import UnusablePrice, require_not_negative
from connector.catalog.pricing.steps import Step

Number = TypeVar("Number", Decimal, Fraction)

HUNDRED = Decimal(100)
HUNDREDTH = Decimal("0.01")  # to multiply by: a division would be carried to thousands of digits


@dataclass(frozen=True, slots=True)
class Discount:
    """A percentage of what is left, or an amount; perhaps for the first cycles only.

    A cycle is a billing period. The first one counts, part of a period or not (domain 3.4, 14).
    """

    percent: Decimal | None = None
    amount: Decimal | None = None
    cycles: int | None = None

    def __post_init__(self) -> None:
        if (self.percent is None) == (self.amount is None):
            raise UnusablePrice(
                field="discounts", problem="a discount is either a percent or an amount."
            )
        require_not_negative(percent=self.percent, amount=self.amount)
        if self.percent is not None and self.percent > HUNDRED:
            raise UnusablePrice(field="percent", problem=f"{self.percent} is more than everything.")
        if self.cycles is not None and self.cycles < 1:
            raise UnusablePrice(field="cycles", problem=f"{self.cycles} is no number of periods.")

    def is_due_in(self, cycle: int) -> bool:
        """Return whether the discount still runs in this billing period, the first being 1."""
        return self.cycles is None or cycle <= self.cycles


@dataclass(frozen=True, slots=True)
class Changed(Generic[Number]):
    """The steps that changed a price, and what is left of it."""

    steps: list[Step]
    left: Number


def discounted(
    price: Number, number: type[Number], discounts: Sequence[Discount], *, cycle: int
) -> Changed[Number]:
    """Take discounts off in their order; return the steps and what is left.

    Each applies to what those before it left. Together they take everything at most: an amount
    above what is left takes what is left.
    """
    steps: list[Step] = []
    left = price
    for discount in discounts:
        if not discount.is_due_in(cycle):
            continue
        if discount.percent is not None:
            off = left * number(discount.percent) * number(HUNDREDTH)
            facts = {"percent": discount.percent}
        else:
            assert discount.amount is not None
            off = max(number(0), min(left, number(discount.amount)))
            facts = {"discount": discount.amount}
        steps.append(Step("discount", -off, facts))
        left -= off
    return Changed(steps, left)


def bounded(
    price: Number, number: type[Number], *, minimum: Decimal | None, maximum: Decimal | None
) -> Changed[Number]:
    """Lower a price to the maximum or raise it to the minimum; return the step and the price."""
    if maximum is not None and price > number(maximum):
        lowered = number(maximum)
        return Changed([Step("maximum", lowered - price, {"maximum": maximum})], lowered)
    if minimum is not None and price < number(minimum):
        raised = number(minimum)
        return Changed([Step("minimum", raised - price, {"minimum": minimum})], raised)
    return Changed([], price)
