"""The one pricing function: estimate, preview, simulation and invoice all call it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

from connector.catalog.pricing.bundles import Bundle
from connector.catalog.pricing.commitments import TrueUp
from connector.catalog.pricing.discounts import Changed, Discount, Number, bounded, discounted
from connector.catalog.pricing.exact import EXACT, ZERO, Exact
from connector.catalog.pricing.percentage import Percentage
from connector.catalog.pricing.policy import DEFAULT_POLICY, PricePolicy
from connector.catalog.pricing.rebates import Rebate
from connector.catalog.pricing.refusals import (
    NegativeQuantity,
    UnusablePrice,
    require_not_negative,
)
from connector.catalog.pricing.resale import Resale
from connector.catalog.pricing.rule_discounts import VendorLines
from connector.catalog.pricing.steps import Priced, Step
from connector.catalog.pricing.tiers import Graduated, GraduatedPercentage, Stairstep, Volume
from connector.catalog.pricing.units import Flat, Package, PerUnit
from connector.catalog.pricing.vendor_rounding import VendorLicence, VendorUsage
from connector.kernel.money import minor_digits, round_to_currency, rounded_to

Model = (
    Flat | PerUnit | Package | Percentage
    | Graduated | Volume | Stairstep | GraduatedPercentage
    | Bundle | VendorLines | Resale | VendorLicence | VendorUsage | TrueUp | Rebate
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adjustments:
    """What is done to a price after its model: discounts, then a maximum or a minimum."""

    discounts: tuple[Discount, ...] = ()
    cycle: int = 1
    minimum: Decimal | None = None
    maximum: Decimal | None = None

    def __post_init__(self) -> None:
        require_not_negative(minimum=self.minimum, maximum=self.maximum)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise UnusablePrice(
                field="minimum", problem=f"{self.minimum} is above maximum {self.maximum}."
            )


NO_ADJUSTMENTS = Adjustments()


def price(
    *,
    model: Model,
    quantity: Decimal,
    currency: str,
    adjustments: Adjustments = NO_ADJUSTMENTS,
    policy: PricePolicy = DEFAULT_POLICY,
) -> Priced:
    """Price a quantity, exactly, and round once, half away from zero, to the currency's places.

    The steps of the result sum to its `unrounded` amount. A bundle's parts sum to the rounded one.

    Raises:
        NegativeQuantity: The quantity is below zero.
        UnusablePrice: The quantity does not fit the model.
        UnknownCurrency: The code is not in ISO 4217.
    """
    places = minor_digits(currency)
    steps, unrounded = unrounded_price(
        model=model, quantity=quantity, adjustments=adjustments, policy=policy
    )
    if isinstance(unrounded, Decimal):
        amount = round_to_currency(unrounded, currency)
    else:
        amount = rounded_to(unrounded, places)
    parts = model.share_out(amount, currency) if isinstance(model, Bundle) else ()
    return Priced(currency, amount, unrounded, steps, parts)


def unrounded_price(
    *,
    model: Model,
    quantity: Decimal,
    adjustments: Adjustments = NO_ADJUSTMENTS,
    policy: PricePolicy = DEFAULT_POLICY,
) -> tuple[list[Step], Exact]:
    """Return the steps of a price and what they sum to, for callers that round later.

    Raises:
        NegativeQuantity: The quantity is below zero.
        UnusablePrice: The quantity does not fit the model.
    """
    if quantity < ZERO:
        raise NegativeQuantity(
            field="quantity",
            problem=f"{quantity} is below zero.",
            remedy="Price what was used; give back by a credit, never by a negative quantity.",
        )
    with localcontext(EXACT):
        steps = list(model.steps(quantity, policy))
        decimals = [step.amount for step in steps if isinstance(step.amount, Decimal)]
        if len(decimals) == len(steps):
            return steps, _adjusted(steps, decimals, Decimal, adjustments)
        fractions = [Fraction(step.amount) for step in steps]
        return steps, _adjusted(steps, fractions, Fraction, adjustments)


def _adjusted(
    steps: list[Step],
    amounts: Sequence[Number],
    number: type[Number],
    adjustments: Adjustments,
) -> Number:
    """Add the steps of the adjustments to those of the model; return what all of them sum to."""
    left = sum(amounts, number(0))
    if adjustments is NO_ADJUSTMENTS:
        return left
    less: Changed[Number] = discounted(left, number, adjustments.discounts, cycle=adjustments.cycle)
    limited: Changed[Number] = bounded(
        less.left, number, minimum=adjustments.minimum, maximum=adjustments.maximum
    )
    steps += [*less.steps, *limited.steps]
    return limited.left
