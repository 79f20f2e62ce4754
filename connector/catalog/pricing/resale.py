"""What was bought in one currency and is sold in another, with a markup or a margin."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.refusals import UnusablePrice, require_not_negative
from connector.catalog.pricing.steps import Step

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Resale:
    """Cost, then exchange, then markup or margin; a price agreed with the customer wins.

    Rates are fractions. A markup is a share of the cost, a margin a share of the price: 0.25 makes
    175.00 of 140.00 by markup and 186.67 by margin (domain rows F2, G14, B8).
    """

    unit_cost: Decimal
    fx_rate: Decimal = ONE
    markup: Decimal | None = None
    margin: Decimal | None = None
    override_price: Decimal | None = None

    def __post_init__(self) -> None:
        require_not_negative(
            unit_cost=self.unit_cost, markup=self.markup, margin=self.margin,
            override_price=self.override_price,
        )  # fmt: skip
        if self.fx_rate <= 0:
            raise UnusablePrice(field="fx_rate", problem=f"{self.fx_rate} is not above zero.")
        if self.markup is not None and self.margin is not None:
            raise UnusablePrice(field="markup", problem="there is a margin as well; which counts?")
        if self.margin is not None and self.margin >= 1:
            raise UnusablePrice(
                field="margin",
                problem=f"{self.margin} is the whole price or more.",
                remedy="A margin is a fraction of the price, such as 0.25.",
            )

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return the cost in the currency of sale and what is added to it."""
        if self.override_price is not None:
            agreed = {"quantity": quantity, "unit_price": self.override_price}
            return (Step("agreed_price", quantity * self.override_price, agreed),)
        cost = quantity * self.unit_cost * self.fx_rate
        facts = {
            "quantity": quantity, "unit_cost": self.unit_cost, "fx_rate": self.fx_rate,
        }  # fmt: skip
        if self.margin is None:
            markup = self.markup or Decimal(0)
            return (
                Step("cost", cost, facts),
                Step("markup", cost * markup, {"markup": markup}),
            )
        exact_cost, margin = Fraction(cost), Fraction(self.margin)
        added = exact_cost * margin / (1 - margin)
        return Step("cost", exact_cost, facts), Step("margin", added, {"margin": self.margin})
