"""One call and one sum, in integers: increments, minimum, fee, allowance, one rounding."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.catalog.domain import BlockPrice, block_price
from connector.errors import InvalidInput
from connector.rating.domain import (
    IntegerSum,
    Tariff,
    amount_of,
    charged_seconds,
    exact_decimal,
    rate_call,
)
from connector.rating.prefixes import disjoint_ranges, number_key

PER_MINUTE = block_price(sell=Decimal("0.10"), cost=Decimal("0.04"), block=60)
WITH_FEE = block_price(
    sell=Decimal("0.10"), cost=Decimal("0.04"), connection=Decimal("0.05"), block=60
)


def amount(sell: int, price: BlockPrice = PER_MINUTE) -> Decimal:
    return amount_of([IntegerSum(sell, price.scale, price.block)])


class TestACall:
    def test_of_61_s_by_the_minute_costs_two_minutes(self) -> None:
        tariff = Tariff(minimum_s=60, increment_s=60, price=PER_MINUTE)

        rated = rate_call(duration_s=61, tariff=tariff)

        assert amount(rated.sell) == Decimal("0.20")

    def test_pays_the_connection_fee_once(self) -> None:
        tariff = Tariff(minimum_s=60, increment_s=60, price=WITH_FEE)

        rated = rate_call(duration_s=61, tariff=tariff)

        assert amount(rated.sell, WITH_FEE) == Decimal("0.25")

    def test_within_the_allowance_is_free_but_has_its_cost(self) -> None:
        tariff = Tariff(minimum_s=0, increment_s=1, price=WITH_FEE)

        rated = rate_call(duration_s=60, tariff=tariff, allowance_left_s=100)

        assert (rated.included_s, rated.sell) == (60, 0)
        assert amount(rated.cost) == Decimal("0.04")

    def test_that_outlasts_the_allowance_pays_the_rest(self) -> None:
        tariff = Tariff(minimum_s=0, increment_s=1, price=PER_MINUTE)

        rated = rate_call(duration_s=90, tariff=tariff, allowance_left_s=30)

        assert amount(rated.sell) == Decimal("0.10")

    def test_that_nobody_answered_costs_nothing(self) -> None:
        tariff = Tariff(minimum_s=60, increment_s=60, price=WITH_FEE)

        assert rate_call(duration_s=0, tariff=tariff).sell == 0

    def test_cannot_last_less_than_nothing(self) -> None:
        with pytest.raises(InvalidInput, match="-1 seconds"):
            charged_seconds(duration_s=-1, minimum_s=0, increment_s=1)

    @given(
        duration=st.integers(1, 100_000), minimum=st.integers(0, 120), increment=st.integers(1, 120)
    )
    def test_never_charges_a_whole_unused_increment(
        self, duration: int, minimum: int, increment: int
    ) -> None:
        charged = charged_seconds(duration_s=duration, minimum_s=minimum, increment_s=increment)

        assert charged % increment == 0
        assert 0 <= charged - max(duration, minimum) < increment


class TestASum:
    def test_of_three_calls_of_20_s_is_rounded_once(self) -> None:
        tariff = Tariff(minimum_s=0, increment_s=1, price=PER_MINUTE)

        total = sum(rate_call(duration_s=20, tariff=tariff).sell for _ in range(3))

        assert amount(total) == Decimal("0.10")

    def test_adds_prices_of_different_scale_and_block(self) -> None:
        parts = [IntegerSum(1, 0, 3), IntegerSum(1, 0, 6), IntegerSum(5, 1, 1)]

        assert amount_of(parts) == Decimal("1.000000000")

    def test_rounds_half_away_from_zero_in_the_ninth_place(self) -> None:
        assert exact_decimal(Fraction(5, 10**10)) == Decimal("0.000000001")
        assert exact_decimal(Fraction(-5, 10**10)) == Decimal("-0.000000001")

    def test_keeps_every_digit_of_a_sum_wider_than_64_bits(self) -> None:
        assert amount_of([IntegerSum(2**70 + 1, 0, 1)]) == Decimal(2**70 + 1)


prefixes = st.sets(st.text("019", min_size=1, max_size=6), max_size=25)


class TestPrefixRanges:
    @given(known=prefixes, number=st.text("019", min_size=1, max_size=8))
    def test_find_the_longest_prefix(self, known: set[str], number: str) -> None:
        longest = max((p for p in known if number.startswith(p)), key=len, default=None)

        key = number_key(number)
        found = [one.prefix for one in disjoint_ranges(known) if one.low <= key <= one.high]

        assert found == ([] if longest is None else [longest])
