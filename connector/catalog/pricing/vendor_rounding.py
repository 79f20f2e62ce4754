"""Totals as a vendor's own file has them: cut off, and cut off early (domain row G15)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal

from connector.catalog.pricing.exact import DIGITS_MAX
from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.refusals import require_not_negative
from connector.catalog.pricing.steps import Step

ONE = Decimal(1)
CENT = Decimal("0.01")
_CUTTING = Context(prec=DIGITS_MAX, rounding=ROUND_DOWN)


def cut_off(value: Decimal) -> Decimal:
    """Drop everything after the second decimal place, towards zero."""
    return value.quantize(CENT, context=_CUTTING)


@dataclass(frozen=True, slots=True)
class VendorLicence:
    """A licence line of a vendor's file: the converted unit price is cut off, then multiplied."""

    unit_cost: Decimal
    fx_rate: Decimal = ONE

    def __post_init__(self) -> None:
        require_not_negative(unit_cost=self.unit_cost, fx_rate=self.fx_rate)

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return quantity times the price that was cut off."""
        unit_price = cut_off(self.unit_cost * self.fx_rate)
        facts = {
            "quantity": quantity, "unit_cost": self.unit_cost, "fx_rate": self.fx_rate,
            "unit_price": unit_price,
        }  # fmt: skip
        return (Step("vendor_licence", quantity * unit_price, facts),)


@dataclass(frozen=True, slots=True)
class VendorUsage:
    """A usage line of a vendor's file: cut off in the vendor's currency, and once converted."""

    unit_cost: Decimal
    fx_rate: Decimal = ONE

    def __post_init__(self) -> None:
        require_not_negative(unit_cost=self.unit_cost, fx_rate=self.fx_rate)

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return the total, cut off before and after it is converted."""
        in_vendor_currency = cut_off(quantity * self.unit_cost)
        facts = {
            "quantity": quantity, "unit_cost": self.unit_cost,
            "vendor_amount": in_vendor_currency, "fx_rate": self.fx_rate,
        }  # fmt: skip
        return (Step("vendor_usage", cut_off(in_vendor_currency * self.fx_rate), facts),)
