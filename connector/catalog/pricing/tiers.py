"""Prices by tier: graduated, volume, stairstep, and graduated percentages.

Tiers are contiguous by construction: each begins where the one before ends, the last has no end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from connector.catalog.pricing.exact import ZERO
from connector.catalog.pricing.policy import FlatAtZero, PricePolicy, TierBound
from connector.catalog.pricing.refusals import TierGap, UnusablePrice, require_not_negative
from connector.catalog.pricing.steps import Step


class Tier(NamedTuple):
    """A span of quantities up to a bound, with a price per unit and a flat fee.

    `up_to` None is the open end. In percentages `unit_price` is the rate: the price of one unit of
    turnover.
    """

    up_to: Decimal | None
    unit_price: Decimal = ZERO
    flat: Decimal = ZERO


def check_tiers(tiers: Sequence[Tier]) -> None:
    """Refuse tiers that do not cover every quantity from zero exactly once.

    Raises:
        TierGap: There is no tier, a bound does not rise, or the last tier is not open.
        UnusablePrice: A price or fee is below zero.
    """
    if not tiers or tiers[-1].up_to is not None:
        raise TierGap(
            field="tiers",
            problem="no price beyond the last bound.",
            remedy="Let the last tier be open: up_to null.",
        )
    lower = ZERO
    for position, tier in enumerate(tiers):
        if tier.unit_price < ZERO or tier.flat < ZERO:
            require_not_negative(unit_price=tier.unit_price, flat=tier.flat)
        if tier.up_to is not None and tier.up_to > lower:
            lower = tier.up_to
        elif tier.up_to is not None:
            raise TierGap(
                field=f"tiers[{position}].up_to",
                problem=f"{tier.up_to} is not above {lower}, where the tier begins.",
                remedy="Order the tiers by their bounds, each above the one before.",
            )
        elif position != len(tiers) - 1:
            raise TierGap(
                field=f"tiers[{position}].up_to",
                problem="an open tier is followed by another one.",
                remedy="Only the last tier is open.",
            )


def graduated_steps(
    tiers: Sequence[Tier], quantity: Decimal, policy: PricePolicy, *, rate_name: str
) -> Iterator[Step]:
    """Price each unit in the tier that it lies in; a tier's flat fee is due once it is reached."""
    lower = ZERO
    is_flat_due = _is_flat_due(quantity, policy)
    for tier in tiers:
        bound = tier.up_to
        here = (quantity if bound is None else min(quantity, bound)) - lower
        span = {"from": lower} if bound is None else {"from": lower, "up_to": bound}
        facts = {**span, "quantity": here, rate_name: tier.unit_price}
        yield Step("tier", here * tier.unit_price, facts)
        if tier.flat and is_flat_due:
            yield Step("tier_flat", tier.flat, span)
        if bound is None or not _is_beyond(quantity, bound, policy):
            return
        lower = bound


def tier_of(tiers: Sequence[Tier], quantity: Decimal, policy: PricePolicy) -> Tier:
    """Return the one tier that the whole quantity lies in."""
    for tier in tiers:
        if tier.up_to is None or not _is_beyond(quantity, tier.up_to, policy):
            return tier
    raise AssertionError("the last tier is open")


def whole_steps(
    tiers: Sequence[Tier], quantity: Decimal, policy: PricePolicy, *, rate_name: str
) -> Iterator[Step]:
    """Price all units by the tier that the whole quantity lies in."""
    tier = tier_of(tiers, quantity, policy)
    yield Step(
        "tier",
        quantity * tier.unit_price,
        {**_bound(tier), "quantity": quantity, rate_name: tier.unit_price},
    )
    if tier.flat and _is_flat_due(quantity, policy):
        yield Step("tier_flat", tier.flat, _bound(tier))


def _is_beyond(quantity: Decimal, bound: Decimal, policy: PricePolicy) -> bool:
    if policy.tier_bound is TierBound.INCLUSIVE:
        return quantity > bound
    return quantity >= bound


def _is_flat_due(quantity: Decimal, policy: PricePolicy) -> bool:
    return bool(quantity) or policy.flat_at_zero is FlatAtZero.DUE


def _bound(tier: Tier) -> dict[str, Decimal]:
    return {} if tier.up_to is None else {"up_to": tier.up_to}


@dataclass(frozen=True, slots=True)
class Graduated:
    """Each unit costs the price of the tier it lies in (domain 3.10)."""

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        check_tiers(self.tiers)

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:
        """Return a step per tier that is reached, and its flat fee."""
        return list(graduated_steps(self.tiers, quantity, policy, rate_name="unit_price"))


@dataclass(frozen=True, slots=True)
class Volume:
    """All units cost the price of the tier that the whole quantity lies in (domain 3.10)."""

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        check_tiers(self.tiers)

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:
        """Return the units at their one price, and the flat fee of their tier."""
        return list(whole_steps(self.tiers, quantity, policy, rate_name="unit_price"))


@dataclass(frozen=True, slots=True)
class Stairstep:
    """The whole quantity costs the flat fee of the tier that it lies in, and nothing per unit."""

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        check_tiers(self.tiers)
        if any(tier.unit_price for tier in self.tiers):
            raise UnusablePrice(
                field="tiers.unit_price",
                problem="a stair step has one price for all of its units.",
                remedy="Write the price of the step as flat, or use the model volume.",
            )

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:
        """Return the price of the step; at zero only if the policy has it due."""
        tier = tier_of(self.tiers, quantity, policy)
        due = tier.flat if _is_flat_due(quantity, policy) else ZERO
        return [Step("stair_step", due, {**_bound(tier), "quantity": quantity})]


@dataclass(frozen=True, slots=True)
class GraduatedPercentage:
    """Each part of a turnover costs the rate of the tier that it lies in; rates are fractions."""

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        check_tiers(self.tiers)

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:
        """Return a step per tier that is reached, and its flat fee."""
        return list(graduated_steps(self.tiers, quantity, policy, rate_name="rate"))
