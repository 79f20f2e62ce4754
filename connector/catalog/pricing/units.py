"""The plain models: one amount, a price per unit, and packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from connector.catalog.pricing.exact import ZERO
from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.refusals import UnusablePrice, require_not_negative
from connector.catalog.pricing.steps import Step


@dataclass(frozen=True, slots=True)
class Flat:
    """One amount, whatever the quantity. Below zero it is a credit."""

    amount: Decimal

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return the amount."""
        return (Step("flat", self.amount),)


@dataclass(frozen=True, slots=True)
class PerUnit:
    """Every unit, and every part of one, at the same price."""

    unit_price: Decimal

    def __post_init__(self) -> None:
        require_not_negative(unit_price=self.unit_price)

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return quantity times price."""
        facts = {"quantity": quantity, "unit_price": self.unit_price}
        return (Step("units", quantity * self.unit_price, facts),)


@dataclass(frozen=True, slots=True)
class Package:
    """Whole packages: one that is begun is due. Free units come off before packages are counted."""

    package_size: Decimal
    package_price: Decimal
    free_units: Decimal = ZERO

    def __post_init__(self) -> None:
        require_not_negative(package_price=self.package_price, free_units=self.free_units)
        if self.package_size <= 0:
            raise UnusablePrice(
                field="package_size", problem=f"a package of {self.package_size} holds nothing."
            )

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return the packages that the quantity begins."""
        whole, rest = divmod(max(quantity - self.free_units, ZERO), self.package_size)
        packages = whole + 1 if rest else whole
        facts = {
            "quantity": quantity,
            "free_units": min(self.free_units, quantity),
            "package_size": self.package_size,
            "packages": packages,
            "package_price": self.package_price,
        }
        return (Step("packages", packages * self.package_price, facts),)
