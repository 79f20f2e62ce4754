from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.charging.policy import Basis
from connector.charging.value import (
    Price,
    exact_text,
    periods_of,
    rounded,
    share_of_period,
    value_of,
)
from connector.errors import InvalidInput
from connector.kernel.money import rounded_to
from connector.kernel.period import Cycle, Interval, Period, billing_month

SIXTY = Price(Decimal(1), Decimal("60.00"))
FEBRUARY = Period(date(2026, 2, 1), date(2026, 3, 1))
JULY = Period(date(2026, 7, 1), date(2026, 8, 1))

bases = st.sampled_from(list(Basis))
days = st.dates(date(2024, 1, 1), date(2030, 12, 31))
anchors = st.integers(1, 31)


def months(anchor: int) -> Cycle:
    return Cycle.calendar(Interval.MONTH, anchor)


def worth(served: Period, month: Period, basis: Basis) -> Decimal:
    return rounded(value_of(SIXTY, month, served, basis, months(1)), "EUR")


class TestFixedThirty:
    """Domain 3.4, golden 9."""

    @pytest.mark.parametrize("month", [FEBRUARY, JULY])
    def test_a_whole_month_costs_the_whole_price(self, month: Period) -> None:
        assert worth(month, month, Basis.FIXED_30) == Decimal("60.00")

    def test_the_last_day_of_a_long_month_costs_a_thirtieth(self) -> None:
        assert worth(Period(date(2026, 7, 31), None), JULY, Basis.FIXED_30) == Decimal("2.00")


class TestActualDays:
    @pytest.mark.parametrize(
        ("first", "expected"),
        [(date(2026, 7, 1), "60.00"), (date(2026, 7, 17), "29.03"), (date(2026, 7, 31), "1.94")],
    )
    def test_each_day_costs_its_share(self, first: date, expected: str) -> None:
        assert worth(Period(first, None), JULY, Basis.ACTUAL) == Decimal(expected)

    def test_no_day_costs_nothing(self) -> None:
        assert worth(Period(date(2026, 8, 1), None), JULY, Basis.ACTUAL) == 0


class TestWholeMonths:
    def test_full_charges_a_month_that_was_begun(self) -> None:
        assert worth(Period(date(2026, 7, 31), None), JULY, Basis.FULL) == Decimal("60.00")

    def test_none_charges_no_month_that_was_begun_late(self) -> None:
        assert worth(Period(date(2026, 7, 2), None), JULY, Basis.NONE) == 0


@given(day=days, anchor=anchors, basis=bases, cuts=st.lists(st.integers(0, 31), max_size=6))
def test_a_month_split_anywhere_sums_to_the_whole(
    day: date, anchor: int, basis: Basis, cuts: list[int]
) -> None:
    month = billing_month(day, anchor)
    assert month.end is not None
    inner = sorted(min(month.start + timedelta(days=cut), month.end) for cut in cuts)
    bounds = [month.start, *inner, month.end]

    parts = [
        share_of_period(month, Period(start, end), basis, months(anchor))
        for start, end in pairwise(bounds)
    ]

    assert sum(parts) == 1
    assert all(part >= 0 for part in parts)


@given(start=days, length=st.integers(0, 400), anchor=anchors)
def test_the_months_of_a_span_cover_each_of_its_days_once(
    start: date, length: int, anchor: int
) -> None:
    served = Period(start, start + timedelta(days=length))

    found = periods_of(served, until=date(2040, 1, 1), cycle=months(anchor))

    covered = [month.intersection(served) for month in found]
    assert sum(part.days for part in covered if part) == length
    assert all(before.end == after.start for before, after in pairwise(found))


def test_a_start_a_century_back_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1826-07-01"):
        periods_of(Period(date(1826, 7, 1), None), until=date(2026, 7, 1), cycle=months(1))


class TestRounding:
    @pytest.mark.parametrize(
        ("value", "currency", "expected"),
        [
            (Fraction(1, 8), "EUR", "0.13"),
            (Fraction(-1, 8), "EUR", "-0.13"),
            (Fraction(10_000, 30), "JPY", "333"),
            (Fraction(10, 3), "KWD", "3.333"),
            (Fraction(-1, 1000), "EUR", "0.00"),
        ],
    )
    def test_half_goes_away_from_zero_in_the_places_of_the_currency(
        self, value: Fraction, currency: str, expected: str
    ) -> None:
        """Domain 3.4, goldens 11 and 12."""
        assert str(rounded(value, currency)) == expected

    @given(value=st.fractions(), places=st.integers(0, 9))
    def test_is_never_off_by_more_than_half_a_unit_and_mirrors(
        self, value: Fraction, places: int
    ) -> None:
        result = rounded_to(value, places)

        assert abs(Fraction(result) - value) <= Fraction(1, 2 * 10**places)
        assert rounded_to(-value, places) == result.copy_negate()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(150), "150.00"),
        (Fraction(1, 8), "0.125"),
        (Fraction(200, 3), "66.666667 (200/3)"),
    ],
)
def test_an_exact_value_is_written_so_that_nothing_is_lost(value: Fraction, text: str) -> None:
    assert exact_text(value) == text
