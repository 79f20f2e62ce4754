"""What holds of every price, whatever the figures."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.catalog.pricing.bundles import Bundle, Component
from connector.catalog.pricing.discounts import Discount
from connector.catalog.pricing.percentage import Percentage
from connector.catalog.pricing.policy import FlatAtZero, PricePolicy, TierBound
from connector.catalog.pricing.price import Adjustments, Model, price
from connector.catalog.pricing.rebates import AppliesTo, Rebate
from connector.catalog.pricing.resale import Resale
from connector.catalog.pricing.rule_discounts import VendorLine, VendorLines, VendorRule
from connector.catalog.pricing.steps import Priced
from connector.catalog.pricing.tiers import Graduated, GraduatedPercentage, Stairstep, Tier, Volume
from connector.catalog.pricing.units import Flat, Package, PerUnit
from connector.catalog.pricing.vendor_rounding import VendorLicence, VendorUsage
from connector.charging.value import Price
from connector.kernel.money import minor_digits

amounts = st.decimals(0, 10_000, places=4)
quantities = st.one_of(st.integers(0, 500).map(Decimal), st.decimals(0, 500, places=3))
fractions = st.decimals(0, Decimal("0.99"), places=3)
currencies = st.sampled_from(["EUR", "JPY", "KWD"])
policies = st.builds(PricePolicy, st.sampled_from(FlatAtZero), st.sampled_from(TierBound))


@st.composite
def tiers(draw: st.DrawFn, *, with_flat: bool = True) -> tuple[Tier, ...]:
    bounds = sorted(draw(st.sets(st.integers(1, 400), max_size=5)))
    flats = amounts if with_flat else st.just(Decimal(0))
    return tuple(
        Tier(None if bound is None else Decimal(bound), draw(amounts), draw(flats))
        for bound in (*bounds, None)
    )


step_tiers = tiers().map(lambda made: tuple(Tier(t.up_to, Decimal(0), t.flat) for t in made))
discounts = st.lists(
    st.one_of(
        st.builds(Discount, percent=st.decimals(0, 100, places=2)),
        st.builds(Discount, amount=amounts, cycles=st.none() | st.integers(1, 3)),
    ),
    max_size=4,
).map(tuple)
adjustments = st.builds(
    Adjustments, discounts=discounts, cycle=st.integers(1, 4), minimum=st.none() | amounts
)
percentages = st.builds(
    Percentage,
    rate=fractions,
    fixed_amount=amounts,
    free_units=st.none() | st.integers(0, 3).map(Decimal),
    free_amount=st.none() | amounts,
    max_amount=st.none() | amounts,
)
bundles = st.builds(
    Bundle,
    amounts,
    st.lists(st.builds(Component, st.just("x"), amounts), min_size=1, max_size=6).map(tuple),
)
vendors = st.sampled_from(["V", "W"])
vendor_lines = st.builds(
    VendorLines,
    st.lists(st.builds(VendorLine, vendors, amounts), max_size=6).map(tuple),
    st.lists(
        st.builds(VendorRule, vendors, st.decimals(0, 100, places=1), st.integers(1, 4)),
        max_size=3,
    ).map(tuple),
)
rising = st.one_of(  # more can never cost less
    st.builds(PerUnit, amounts),
    st.builds(Graduated, tiers()),
    st.builds(GraduatedPercentage, tiers()),
    st.builds(Package, st.integers(1, 50).map(Decimal), amounts, quantities),
    st.builds(Resale, amounts, st.just(Decimal("0.92")), margin=fractions),
    st.builds(VendorLicence, amounts),
    st.builds(VendorUsage, amounts),
)
models: st.SearchStrategy[Model] = st.one_of(
    rising,
    st.builds(Flat, st.decimals(-100, 100, places=3)),
    st.builds(Volume, tiers()),
    st.builds(Stairstep, step_tiers),
    percentages,
    bundles,
    vendor_lines,
    st.builds(Rebate, tiers(), st.sampled_from(AppliesTo)),
)


def exact(model: Model, quantity: Decimal, policy: PricePolicy | None = None) -> Fraction:
    made = price(model=model, quantity=quantity, currency="EUR", policy=policy or PricePolicy())
    return Fraction(made.unrounded)


def sum_of_steps(priced: Priced) -> Fraction:
    return sum((Fraction(step.amount) for step in priced.steps), Fraction(0))


@given(model=models, quantity=quantities, currency=currencies, change=adjustments, policy=policies)
def test_the_explanation_adds_up_exactly(
    model: Model, quantity: Decimal, currency: str, change: Adjustments, policy: PricePolicy
) -> None:
    priced = price(
        model=model, quantity=quantity, currency=currency, adjustments=change, policy=policy
    )

    assert sum_of_steps(priced) == Fraction(priced.unrounded)


@given(model=models, quantity=quantities, currency=currencies, change=adjustments)
def test_the_amount_is_the_nearest_one_of_the_currency(
    model: Model, quantity: Decimal, currency: str, change: Adjustments
) -> None:
    priced = price(model=model, quantity=quantity, currency=currency, adjustments=change)

    half = Fraction(1, 2 * 10 ** minor_digits(currency))
    away = Fraction(priced.amount) - Fraction(priced.unrounded)
    assert abs(away) <= half
    assert abs(away) < half or abs(priced.amount) > abs(Fraction(priced.unrounded))
    assert -priced.amount.as_tuple().exponent == minor_digits(currency)


@given(model=rising, some=quantities, more=quantities, policy=policies)
def test_more_never_costs_less(
    model: Model, some: Decimal, more: Decimal, policy: PricePolicy
) -> None:
    assert exact(model, min(some, more), policy) <= exact(model, max(some, more), policy)


@given(model=rising, quantity=quantities, taken=discounts)
def test_discounts_take_everything_at_most(
    model: Model, quantity: Decimal, taken: tuple[Discount, ...]
) -> None:
    full = price(model=model, quantity=quantity, currency="EUR")
    less = price(
        model=model, quantity=quantity, currency="EUR", adjustments=Adjustments(discounts=taken)
    )

    assert 0 <= Fraction(less.unrounded) <= Fraction(full.unrounded)


@given(model=models, quantity=quantities, taken=discounts, minimum=amounts)
def test_nothing_costs_less_than_the_minimum(
    model: Model, quantity: Decimal, taken: tuple[Discount, ...], minimum: Decimal
) -> None:
    change = Adjustments(discounts=taken, minimum=minimum)

    priced = price(model=model, quantity=quantity, currency="EUR", adjustments=change)

    assert Fraction(priced.unrounded) >= Fraction(minimum)


@given(bundle=bundles, currency=currencies, change=adjustments, quantity=quantities)
def test_the_parts_of_a_bundle_sum_to_its_price(
    bundle: Bundle, currency: str, change: Adjustments, quantity: Decimal
) -> None:
    priced = price(model=bundle, quantity=quantity, currency=currency, adjustments=change)

    assert sum(part.amount for part in priced.parts) == priced.amount
    assert all(part.amount >= 0 for part in priced.parts)


@given(each=amounts, quantity=quantities, bounds=st.sets(st.integers(1, 400), max_size=5))
def test_tiers_of_one_price_are_a_price_per_unit(
    each: Decimal, quantity: Decimal, bounds: set[int]
) -> None:
    same = (*(Tier(Decimal(bound), each) for bound in sorted(bounds)), Tier(None, each))

    prices = {exact(model, quantity) for model in (Graduated(same), Volume(same), PerUnit(each))}

    assert len(prices) == 1


@given(made=tiers(with_flat=False), quantity=quantities)
def test_falling_prices_make_volume_the_cheaper_one(
    made: tuple[Tier, ...], quantity: Decimal
) -> None:
    prices = sorted((tier.unit_price for tier in made), reverse=True)
    falling = tuple(Tier(t.up_to, p) for t, p in zip(made, prices, strict=True))

    assert exact(Volume(falling), quantity) <= exact(Graduated(falling), quantity)


@given(made=tiers(), policy=policies)
def test_within_the_first_tier_graduated_and_volume_agree(
    made: tuple[Tier, ...], policy: PricePolicy
) -> None:
    inside = Decimal("0.5")

    assert exact(Graduated(made), inside, policy) == exact(Volume(made), inside, policy)


@given(made=tiers(with_flat=False), first=quantities, second=quantities)
def test_booking_the_difference_loses_nothing(
    made: tuple[Tier, ...], first: Decimal, second: Decimal
) -> None:
    """Pricing the cumulative quantity twice and booking the difference is pricing it once."""
    model = Graduated(made)
    before, whole = exact(model, first), exact(model, first + second)
    marginal = sum(
        Fraction(tier.unit_price)
        * max(Fraction(0), min(_end(tier), Fraction(first + second)) - max(low, Fraction(first)))
        for low, tier in zip([Fraction(0), *map(_end, made[:-1])], made, strict=True)
    )

    assert whole - before == marginal


def _end(tier: Tier) -> Fraction:
    return Fraction(10**9 if tier.up_to is None else tier.up_to)


@given(size=st.integers(1, 50).map(Decimal), each=amounts, free=quantities, quantity=quantities)
def test_packages_cover_the_quantity_and_none_is_empty(
    size: Decimal, each: Decimal, free: Decimal, quantity: Decimal
) -> None:
    assume(each > 0)

    packages = exact(Package(size, each, free), quantity) / Fraction(each)

    billable = max(Fraction(0), Fraction(quantity) - Fraction(free))
    assert packages.denominator == 1
    assert (packages - 1) * Fraction(size) < max(billable, Fraction(1, 10**9))
    assert packages * Fraction(size) >= billable


@given(
    rate=fractions,
    fixed=amounts,
    least=amounts,
    most=amounts,
    made=st.lists(st.decimals(0, 5_000, places=2), max_size=8).map(tuple),
)
def test_every_fee_lies_between_floor_and_cap(
    rate: Decimal, fixed: Decimal, least: Decimal, most: Decimal, made: tuple[Decimal, ...]
) -> None:
    low, high = sorted((least, most))
    model = Percentage(rate, fixed, min_amount=low, max_amount=high, transactions=made)

    total = exact(model, Decimal(len(made)))

    wanted = (Fraction(value) * Fraction(rate) + Fraction(fixed) for value in made)
    assert total == sum(min(max(fee, Fraction(low)), Fraction(high)) for fee in wanted)


@given(cost=amounts, share=fractions)
def test_a_margin_is_a_share_of_the_price_and_a_markup_of_the_cost(
    cost: Decimal, share: Decimal
) -> None:
    by_margin = exact(Resale(cost, margin=share), Decimal(1))
    by_markup = exact(Resale(cost, markup=share), Decimal(1))

    assert by_margin * (1 - Fraction(share)) == Fraction(cost)
    assert by_markup == Fraction(cost) * (1 + Fraction(share))


@pytest.mark.parametrize("model", [VendorLicence, VendorUsage])
@given(cost=amounts, rate=st.decimals(Decimal("0.5"), 2, places=4), quantity=quantities)
def test_a_vendor_never_rounds_up(
    model: Callable[[Decimal, Decimal], Model], cost: Decimal, rate: Decimal, quantity: Decimal
) -> None:
    exactly = Fraction(quantity) * Fraction(cost) * Fraction(rate)

    assert exact(model(cost, rate), quantity) <= exactly


@given(quantity=quantities, each=amounts, percent=st.decimals(0, 100, places=2))
def test_a_billing_month_costs_what_the_pricing_function_says(
    quantity: Decimal, each: Decimal, percent: Decimal
) -> None:
    month = Price(quantity, each, percent)

    assert month.per_period == Fraction(quantity) * month.net_unit_price
