"""The forecast in working days (domain C18)."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.ordering.schedule import Step, add_working_days, forecast

EVERY_DAY = frozenset(range(7))
MON_FRI = frozenset(range(5))
THURSDAY = date(2026, 1, 15)
CHAIN = (Step(1, 1, ()), Step(2, 2, (1,)), Step(3, 3, (2,)))


@pytest.mark.parametrize(
    ("working_days", "ends"), [(EVERY_DAY, [16, 18, 21]), (MON_FRI, [16, 20, 23])]
)
def test_adds_durations_along_the_chain(working_days: frozenset[int], ends: list[int]) -> None:
    expected = forecast(CHAIN, today=THURSDAY, working_days=working_days)

    assert [day.day for day in expected.values()] == ends


def test_moves_everything_when_the_first_step_has_not_begun() -> None:
    expected = forecast(CHAIN, today=date(2026, 1, 16), working_days=EVERY_DAY)

    assert [day.day for day in expected.values()] == [17, 19, 22]


def test_keeps_what_has_happened() -> None:
    steps = (Step(1, 1, (), ended_on=date(2026, 1, 14)), Step(2, 2, (1,), started_on=THURSDAY))

    assert forecast(steps, today=THURSDAY, working_days=EVERY_DAY) == {2: date(2026, 1, 17)}


def test_expects_an_overdue_step_today_at_the_earliest() -> None:
    steps = (Step(1, 1, (), started_on=date(2026, 1, 5)), Step(2, 1, (1,)))

    expected = forecast(steps, today=THURSDAY, working_days=EVERY_DAY)

    assert expected == {1: THURSDAY, 2: date(2026, 1, 16)}


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.dates(date(2026, 1, 1), date(2027, 1, 1)),
)
def test_never_lets_a_step_end_before_the_one_it_waits_for(
    durations: list[int], today: date
) -> None:
    steps = [Step(n, days, (n - 1,) if n else ()) for n, days in enumerate(durations)]

    ends = list(forecast(steps, today=today, working_days=MON_FRI).values())

    assert ends == sorted(ends)
    assert ends[-1] == add_working_days(today, sum(durations), MON_FRI)
