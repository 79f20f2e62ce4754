"""Conventions that others choose differently: intervals, policies, early termination."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from connector.charging.early_termination import (
    Band,
    EarlyTermination,
    early_termination_fee,
    term_end,
)
from connector.charging.policy import (
    Alignment,
    Credit,
    IntervalChange,
    ProrationPolicy,
    Timing,
    UnknownPolicy,
    load_policies,
)
from connector.charging.succession import Standing, plan_first, plan_succession
from connector.charging.value import Discount
from connector.errors import InvalidInput
from connector.kernel.money import Rounding, rounded_to
from connector.kernel.period import Cycle, Interval, Period, add_months

JUNE = date(2026, 6, 1)
MONTHS = Cycle.calendar(Interval.MONTH, 1)


class TestCycles:
    @pytest.mark.parametrize(
        ("every", "anchor", "start", "end"),
        [
            (Interval.WEEK, 1, date(2026, 6, 15), date(2026, 6, 22)),
            (Interval.MONTH, 17, date(2026, 6, 17), date(2026, 7, 17)),
            (Interval.QUARTER, 1, date(2026, 4, 1), date(2026, 7, 1)),
            (Interval.HALF_YEAR, 1, date(2026, 1, 1), date(2026, 7, 1)),
            (Interval.YEAR, 1, date(2026, 1, 1), date(2027, 1, 1)),
        ],
    )
    def test_of_a_calendar_hold_the_day(
        self, every: Interval, anchor: int, start: date, end: date
    ) -> None:
        assert Cycle.calendar(every, anchor).period_of(date(2026, 6, 17)) == Period(start, end)

    def test_keep_the_31st(self) -> None:
        cycle = Cycle(Interval.MONTH, date(2026, 1, 31))
        period = cycle.period_of(date(2026, 1, 31))
        ends = []
        for _ in range(4):
            ends.append(period.end)
            period = cycle.following(period)

        assert ends == [
            date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 31),
        ]  # fmt: skip

    def test_keep_the_29th_of_february(self) -> None:
        cycle = Cycle(Interval.YEAR, date(2024, 2, 29))

        assert cycle.period_of(date(2027, 6, 1)) == Period(date(2027, 2, 28), date(2028, 2, 29))

    @pytest.mark.parametrize(("every", "day"), [(Interval.WEEK, 8), (Interval.MONTH, 32)])
    def test_need_a_day_that_exists(self, every: Interval, day: int) -> None:
        with pytest.raises(InvalidInput, match=str(day)):
            Cycle.calendar(every, day)

    @pytest.mark.parametrize("day", [date.min, date.max])
    @pytest.mark.parametrize("every", Interval)
    def test_at_the_end_of_time_are_refused(self, every: Interval, day: date) -> None:
        with pytest.raises(InvalidInput, match="too far away"):
            Cycle.calendar(every, 1).period_of(day)

    @pytest.mark.parametrize(("day", "months"), [(date.min, -1), (date.max, 1), (JUNE, 10**9)])
    def test_do_not_leave_the_calendar(self, day: date, months: int) -> None:
        with pytest.raises(InvalidInput, match="The calendar has no year"):
            add_months(day, months)

    def test_of_weeks_for_a_monthly_payer_begin_on_monday(self) -> None:
        cycle = ProrationPolicy(every=Interval.WEEK).cycle(Cycle.calendar(Interval.MONTH, 17))

        assert cycle.period_of(JUNE).start == JUNE


class TestSuccession:
    STANDING = (Standing(1, JUNE, None, Fraction(30), ProrationPolicy()),)

    def plan(self, per_period: int, policy: ProrationPolicy) -> tuple[date, date | None]:
        found = plan_succession(
            self.STANDING,
            on=date(2026, 6, 16),
            per_period=Fraction(per_period),
            policy=policy,
            payer=MONTHS,
        )
        return found.opening.starts_on, found.opening.policy.anchored_on

    def test_keeps_the_calendar_when_the_interval_changes(self) -> None:
        assert self.plan(365, ProrationPolicy(every=Interval.YEAR)) == (date(2026, 6, 16), None)

    def test_begins_anew_when_the_policy_says_so(self) -> None:
        policy = ProrationPolicy(every=Interval.YEAR, on_interval_change=IntervalChange.RESTART)

        assert self.plan(365, policy) == (date(2026, 6, 16), date(2026, 6, 16))

    @pytest.mark.parametrize(
        ("yearly", "starts_on"), [(365, date(2026, 6, 16)), (355, date(2026, 7, 1))]
    )
    def test_compares_prices_by_the_year(self, yearly: int, starts_on: date) -> None:
        policy = ProrationPolicy(every=Interval.YEAR, credit_on_decrease=Credit.NONE)

        assert self.plan(yearly, policy)[0] == starts_on

    def test_follows_the_first_day_of_the_service(self) -> None:
        opening = plan_first(
            on=date(2026, 6, 16), policy=ProrationPolicy(align=Alignment.ANNIVERSARY)
        )

        assert opening.policy.anchored_on == date(2026, 6, 16)


class TestPolicies:
    def test_survive_the_store_whatever_they_say(self) -> None:
        policy = ProrationPolicy(
            every=Interval.QUARTER,
            when=Timing.ARREARS,
            rounding=Rounding.DOWN,
            anchored_on=JUNE,
        )

        assert ProrationPolicy.from_json(policy.as_json()) == policy

    def test_of_a_plain_charge_say_only_what_was_always_said(self) -> None:
        assert "every" not in ProrationPolicy().as_json()

    def test_of_account_product_and_brand_are_laid_over_each_other(self, tmp_path: Path) -> None:
        file = tmp_path / "proration.yaml"
        file.write_text(
            "default: {min_charge_days: 3}\n"
            "brands: {rhein: {bill_last_day: true, when: arrears}}\n"
            "products: {seat: {when: advance, every: year}}\n"
            "accounts: {BA-7: {every: quarter}}\n"
        )

        found = load_policies(file).of(brand="rhein", product="seat", account="BA-7")

        assert (found.min_charge_days, found.bill_last_day) == (3, True)
        assert (found.when, found.every) == (Timing.ADVANCE, Interval.QUARTER)

    @pytest.mark.parametrize(
        "said",
        [
            b"accounts: {BA-7: {every: day}}",
            b"accounts: BA-7",
            b"default: [month]",
            b"default: {anchored_on: 2026-06-01}",
            b"default: \xff",
            b"x: {}",
        ],
    )
    def test_that_say_something_unknown_are_refused(self, tmp_path: Path, said: bytes) -> None:
        file = tmp_path / "proration.yaml"
        file.write_bytes(said)

        with pytest.raises(UnknownPolicy):
            load_policies(file)


class TestEarlyTermination:
    RULE = EarlyTermination((Band(1, Decimal(100)), Band(13, Decimal(50))))

    def fee(self, ends_on: date, rule: EarlyTermination = RULE) -> Fraction:
        return early_termination_fee(
            rule=rule,
            monthly=Fraction(100_000),
            term_from=date(2026, 1, 1),
            term_months=36,
            ends_on=ends_on,
        )

    def test_after_month_eight_of_36_costs_1_600_000(self) -> None:
        """Domain 3.3."""
        assert self.fee(date(2026, 9, 1)) == 1_600_000

    def test_counts_a_month_that_was_begun_by_its_days(self) -> None:
        assert self.fee(date(2028, 12, 30)) == Fraction(100_000) * 2 / 31 / 2

    def test_costs_nothing_once_the_term_is_over(self) -> None:
        rule = EarlyTermination((Band(1, Decimal(100)),), flat=Decimal(500))

        assert self.fee(term_end(date(2026, 1, 1), 36), rule) == 0

    def test_needs_bands_from_the_first_month_on(self) -> None:
        with pytest.raises(InvalidInput, match="month 1"):
            EarlyTermination((Band(2, Decimal(100)),))


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        (Rounding.HALF_UP, Fraction(1, 8), "0.13"),
        (Rounding.HALF_EVEN, Fraction(1, 8), "0.12"),
        (Rounding.HALF_EVEN, Fraction(3, 8), "0.38"),
        (Rounding.DOWN, Fraction(199, 1000), "0.19"),
        (Rounding.DOWN, Fraction(-199, 1000), "-0.19"),
    ],
)
def test_roundings_mirror_negatives(mode: Rounding, value: Fraction, expected: str) -> None:
    assert str(rounded_to(value, 2, mode)) == expected


def test_a_discount_of_more_than_everything_is_refused() -> None:
    with pytest.raises(InvalidInput, match="101"):
        Discount(Period(JUNE, None), percent=Decimal(101))
