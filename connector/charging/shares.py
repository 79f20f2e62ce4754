"""What a recurring price is charged for: the product itself, or each product of a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from connector.catalog.pricing.document import Pricing
from connector.charging.value import Price
from connector.errors import InvalidInput
from connector.kernel.money import allocate, minor_digits, rounded_to

COST_PLACES = 9
WHOLE = ""  # the part of a service that is no bundle


@dataclass(frozen=True, slots=True)
class RecurringPrice:
    """What a service costs from a day on: so much for a unit, or what a price model says."""

    product_id: int
    quantity: Decimal
    unit_price: Decimal
    unit_cost: Decimal
    discount_percent: Decimal = Decimal(0)
    pricing: Pricing | None = None

    def __post_init__(self) -> None:
        if self.quantity < 0 or self.unit_price < 0:
            raise InvalidInput(
                f"{self.quantity} at {self.unit_price} is not a recurring price.",
                remedy="Quantity and price are zero or more; a discount is a percentage.",
            )
        if not 0 <= self.discount_percent <= 100:
            raise InvalidInput(f"{self.discount_percent} % is not a discount.")

    @property
    def per_period(self) -> Fraction:
        """What a whole billing period costs, exact."""
        return Price(
            self.quantity, self.unit_price, self.discount_percent, pricing=self.pricing
        ).per_period


@dataclass(frozen=True, slots=True)
class BundlePart:
    """A product in a bundle; its weight is what it costs by itself."""

    key: str
    product_id: int
    weight: Decimal


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a service that is charged by itself; `part` is its key, empty for the whole."""

    part: str
    price: RecurringPrice


def shares_of(
    price: RecurringPrice, parts: Sequence[BundlePart], currency: str
) -> tuple[Share, ...]:
    """Share a price out to the parts of a bundle, to the last coin (row B7, golden 7).

    It is the price of one bundle that is split, then each part has the quantity.
    """
    if not parts:
        return (Share(WHOLE, price),)
    weights = [part.weight for part in parts]
    prices = split(price.unit_price, weights, currency)
    costs = _costs(price.unit_cost, weights)
    return tuple(
        Share(
            part.key,
            replace(price, product_id=part.product_id, unit_price=unit_price, unit_cost=cost),
        )
        for part, unit_price, cost in zip(parts, prices, costs, strict=True)
    )


def split(whole: Decimal, weights: Sequence[Decimal], currency: str) -> tuple[Decimal, ...]:
    """Split an exact amount by weights; the parts sum to it.

    By largest remainder at the currency's places; what it has beyond them goes to the largest part.
    """
    listed = rounded_to(Fraction(whole), minor_digits(currency))
    parts = list(allocate(listed, weights, currency))
    parts[parts.index(max(parts))] += whole - listed
    return tuple(parts)


def _costs(whole: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    total = sum(weights, Decimal(0))
    costs = [
        rounded_to(Fraction(whole) * Fraction(weight) / Fraction(total), COST_PLACES)
        for weight in weights[:-1]
    ]
    return [*costs, whole - sum(costs, Decimal(0))]
