"""The refusals of pricing; each names the field that has to be corrected."""

from decimal import Decimal

from connector.errors import InvalidInput


class UnusablePrice(InvalidInput):
    """A value of a price calculation cannot be used."""

    code = "price.unusable"

    def __init__(self, *, field: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{field}: {problem}", remedy=remedy)
        self.field = field


class UnknownPriceField(UnusablePrice):
    """A price calculation has a field that its model does not have."""

    code = "price.unknown_field"


class TierGap(UnusablePrice):
    """Tiers leave quantities without a price, or price some twice."""

    code = "price.tier_gap"


class NegativeQuantity(UnusablePrice):
    """A quantity below zero was to be priced."""

    code = "price.negative_quantity"


def require_not_negative(**values: Decimal | None) -> None:
    """Refuse the first value below zero, by its name.

    Raises:
        UnusablePrice: There is one.
    """
    for name, value in values.items():
        if value is not None and value < 0:
            raise UnusablePrice(
                field=name,
                problem=f"{value} is below zero.",
                remedy="Prices are zero or more; what lowers a price is a discount.",
            )
