from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.charging.policy import Basis, Credit, ProrationPolicy
from connector.charging.segments import (
    BeforeBillingStart,
    BillingAlreadyEnded,
    Cut,
    NothingToBill,
    Segment,
    change_day,
    first_billed_day,
    plan_change,
    plan_end,
)
from connector.kernel.period import Cycle, Interval

START = date(2026, 6, 1)
PLAIN = ProrationPolicy()
MONTHS = Cycle.calendar(Interval.MONTH, 1)


def end(segments: list[Segment], on: date, policy: ProrationPolicy = PLAIN) -> tuple[Cut, ...]:
    return plan_end(segments, on=on, policy=policy, cycle=MONTHS)


class TestChange:
    def test_closes_the_segment_in_force_and_takes_over_its_end(self) -> None:
        segments = [Segment(1, START, date(2026, 6, 11)), Segment(2, date(2026, 6, 11), None)]

        change = plan_change(segments, on=date(2026, 6, 5))

        assert change.cut == Cut(1, date(2026, 6, 5))
        assert (change.starts_on, change.ends_on) == (date(2026, 6, 5), date(2026, 6, 11))

    def test_within_a_rest_takes_over_what_comes_after_it(self) -> None:
        segments = [Segment(1, START, date(2026, 6, 11)), Segment(2, date(2026, 7, 20), None)]

        change = plan_change(segments, on=date(2026, 6, 16))

        assert change.cut == Cut(2, date(2026, 7, 20))
        assert (change.starts_on, change.ends_on) == (date(2026, 7, 20), None)

    def test_before_the_start_is_refused(self) -> None:
        with pytest.raises(BeforeBillingStart, match="2026-05-31"):
            plan_change([Segment(1, START, None)], on=date(2026, 5, 31))

    def test_after_the_end_is_refused(self) -> None:
        with pytest.raises(BillingAlreadyEnded):
            plan_change([Segment(1, START, date(2026, 7, 1))], on=date(2026, 7, 1))

    def test_of_what_was_never_billed_is_refused(self) -> None:
        with pytest.raises(NothingToBill):
            plan_change([Segment(1, START, START)], on=START)

    def test_of_a_decrease_waits_for_the_next_month_when_nothing_is_credited(self) -> None:
        policy = ProrationPolicy(credit_on_decrease=Credit.NONE)

        day = change_day(on=date(2026, 6, 11), policy=policy, is_decrease=True, cycle=MONTHS)

        assert day == date(2026, 7, 1)


class TestEnd:
    def test_cuts_every_segment_back(self) -> None:
        segments = [Segment(1, START, date(2026, 6, 11)), Segment(2, date(2026, 6, 11), None)]

        cuts = end(segments, date(2026, 6, 5))

        assert cuts == (Cut(1, date(2026, 6, 5)), Cut(2, date(2026, 6, 11)))

    def test_on_the_same_day_again_changes_nothing(self) -> None:
        assert end([Segment(1, START, date(2026, 7, 1))], date(2026, 7, 1)) == ()

    def test_later_than_the_end_is_refused(self) -> None:
        with pytest.raises(BillingAlreadyEnded):
            end([Segment(1, START, date(2026, 7, 1))], date(2026, 7, 2))

    def test_before_the_start_leaves_nothing(self) -> None:
        assert end([Segment(1, START, None)], date(2026, 5, 1)) == (Cut(1, START),)

    @pytest.mark.parametrize(
        ("policy", "until"),
        [
            (ProrationPolicy(bill_last_day=True), date(2026, 6, 12)),
            (ProrationPolicy(credit_on_cancel=Credit.NONE), date(2026, 7, 1)),
            (ProrationPolicy(basis=Basis.FULL), date(2026, 7, 1)),
            (ProrationPolicy(basis=Basis.NONE), START),
            (ProrationPolicy(min_charge_days=14), date(2026, 6, 15)),
        ],
    )
    def test_follows_the_policy(self, policy: ProrationPolicy, until: date) -> None:
        assert end([Segment(1, START, None)], date(2026, 6, 11), policy) == (Cut(1, until),)


def test_the_first_day_may_be_free() -> None:
    assert first_billed_day(started_on=START, policy=ProrationPolicy(bill_first_day=False)) == date(
        2026, 6, 2
    )


@given(
    changes=st.lists(st.integers(0, 60), max_size=12),
    ended=st.none() | st.integers(0, 90),
)
def test_segments_follow_each_other_without_gap_or_overlap(
    changes: list[int], ended: int | None
) -> None:
    segments = [Segment(0, START, None)]
    for n, offset in enumerate(changes, start=1):
        plan = plan_change(segments, on=START + timedelta(days=offset))
        segments = [
            Segment(s.charge_id, s.starts_on, plan.cut.ends_on)
            if s.charge_id == plan.cut.charge_id
            else s
            for s in segments
        ] + [Segment(n, plan.starts_on, plan.ends_on)]
    if ended is not None:
        cuts = {cut.charge_id: cut for cut in end(segments, START + timedelta(days=ended))}
        segments = [
            Segment(s.charge_id, s.starts_on, cuts[s.charge_id].ends_on)
            if s.charge_id in cuts
            else s
            for s in segments
        ]

    live = sorted((s for s in segments if not s.is_empty), key=lambda s: s.starts_on)

    assert all(a.ends_on == b.starts_on for a, b in pairwise(live))
    if live:
        assert live[0].starts_on == START
        wanted = None if ended is None else START + timedelta(days=ended)
        assert live[-1].ends_on == wanted
    else:
        assert ended == 0
