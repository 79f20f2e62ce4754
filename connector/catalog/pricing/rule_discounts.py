"""Discounts that several services of one vendor earn together (domain 3.10, row G8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from connector.catalog.pricing.discounts import HUNDRED, HUNDREDTH
from connector.catalog.pricing.exact import ZERO
from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.refusals import UnusablePrice, require_not_negative
from connector.catalog.pricing.steps import Step


@dataclass(frozen=True, slots=True)
class VendorLine:
    """What one active service of a vendor costs in a period, before the rules."""

    vendor: str
    amount: Decimal

    def __post_init__(self) -> None:
        require_not_negative(amount=self.amount)


@dataclass(frozen=True, slots=True)
class VendorRule:
    """A percentage off a vendor's lines once there are enough of them, or they cost enough."""

    vendor: str
    percent: Decimal
    min_services: int | None = None
    min_spend: Decimal | None = None

    def __post_init__(self) -> None:
        require_not_negative(percent=self.percent, min_spend=self.min_spend)
        if self.percent > HUNDRED:
            raise UnusablePrice(field="percent", problem=f"{self.percent} is more than everything.")
        if self.min_services is None and self.min_spend is None:
            raise UnusablePrice(
                field="rules", problem=f"the rule for {self.vendor} has no condition."
            )

    def is_met(self, amounts: Sequence[Decimal]) -> bool:
        """Return whether the vendor's lines meet every condition of the rule."""
        enough = self.min_services is None or len(amounts) >= self.min_services
        return enough and (self.min_spend is None or sum(amounts, ZERO) >= self.min_spend)


@dataclass(frozen=True, slots=True)
class VendorLines:
    """The lines of a period under the rules in force when it began.

    Each vendor gets the best percentage that it earns; rules do not add up.
    """

    lines: tuple[VendorLine, ...]
    rules: tuple[VendorRule, ...]

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return the lines, then one discount for each vendor that has earned it."""
        steps = [Step("line", line.amount, {"vendor": line.vendor}) for line in self.lines]
        for vendor in dict.fromkeys(line.vendor for line in self.lines):
            amounts = [line.amount for line in self.lines if line.vendor == vendor]
            earned = [r.percent for r in self.rules if r.vendor == vendor and r.is_met(amounts)]
            if earned:
                off = sum(amounts, ZERO) * max(earned) * HUNDREDTH
                facts: dict[str, Decimal | str] = {"vendor": vendor, "percent": max(earned)}
                steps.append(Step("rule_discount", -off, facts))
        return steps
