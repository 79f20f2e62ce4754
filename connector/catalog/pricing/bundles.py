"""One price for several products, shared out to them without losing a cent."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from connector.catalog.pricing.exact import EXACT
from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.refusals import UnusablePrice, require_not_negative
from connector.catalog.pricing.steps import Part, Step
from connector.kernel.money import allocate


@dataclass(frozen=True, slots=True)
class Component:
    """A product in a bundle with its list price, the weight of its share."""

    name: str
    list_price: Decimal

    def __post_init__(self) -> None:
        require_not_negative(list_price=self.list_price)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Components for one price; each gets its share by list price (domain row B7, golden 7)."""

    amount: Decimal
    components: tuple[Component, ...]

    def __post_init__(self) -> None:
        require_not_negative(amount=self.amount)
        if not self.components:
            raise UnusablePrice(field="components", problem="the bundle has none.")

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return the price of so many bundles."""
        facts = {"quantity": quantity, "unit_price": self.amount}
        return (Step("bundle", quantity * self.amount, facts),)

    def share_out(self, amount: Decimal, currency: str) -> tuple[Part, ...]:
        """Split the rounded price, what discounts left of it, by largest remainder."""
        weights = [component.list_price for component in self.components]
        with localcontext(EXACT):
            shares = allocate(amount, weights, currency)
        return tuple(
            Part(component.name, share)
            for component, share in zip(self.components, shares, strict=True)
        )
