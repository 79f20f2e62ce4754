"""Laws of simulations, on lives made up by hypothesis."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from lives import (
    BEGIN,
    a_few,
    any_plans,
    bases,
    calendars,
    changes,
    cycles,
    days,
    discounts,
    life,
    lived,
    policies,
    prices,
    quantities,
)

from connector.billing.explain import adds_up
from connector.charging.policy import Basis, Partials, Timing
from connector.charging.value import Discount, Price, rounded, share_of_period, value_of
from connector.kernel.period import Cycle, Interval, Period
from connector.simulation.estimate import Estimate, Item, estimate, ordered
from connector.simulation.events import Cancel, DiscountTerms
from connector.simulation.play import play
from connector.simulation.script import Calendar, Plan, Policy


@given(
    cycle=cycles, day=days, basis=bases, cuts=st.lists(st.integers(0, 366), min_size=1, max_size=8)
)
def test_a_period_split_anywhere_sums_to_the_whole(
    cycle: Cycle, day: date, basis: Basis, cuts: list[int]
) -> None:
    period = cycle.period_of(day)
    assert period.end is not None
    inner = sorted(min(period.start + timedelta(days=cut), period.end) for cut in cuts)
    bounds = [period.start, *inner, period.end]

    parts = [
        share_of_period(period, Period(start, end), basis, cycle) for start, end in pairwise(bounds)
    ]

    assert sum(parts) == 1
    assert all(part >= 0 for part in parts)


@given(cycle=cycles, day=days)
def test_every_day_is_in_one_period_and_the_next_one_follows(cycle: Cycle, day: date) -> None:
    period = cycle.period_of(day)
    following = cycle.following(period)

    assert period.contains(day)
    assert following.start == period.end
    assert cycle.period_of(period.start) == period


@a_few
@given(
    calendar=calendars,
    policy=policies,
    catalogue=st.fixed_dictionaries({"a": any_plans, "b": any_plans, "c": any_plans}),
    offset=st.integers(0, 40),
    chain=changes,
    heard=st.integers(0, 40),
)
def test_any_chain_of_changes_and_a_cancel_on_day_one_nets_to_zero(
    calendar: Calendar,
    policy: Policy,
    catalogue: dict[str, Plan],
    offset: int,
    chain: list[tuple[int, str, Decimal]],
    heard: int,
) -> None:
    started = BEGIN + timedelta(days=offset)
    events = lived(started, chain)
    told = started + timedelta(days=110 + heard)
    events.append(Cancel(at=started, cancel="s1", reported=told))

    played = life(calendar, policy, catalogue, tuple(events))

    assert sum(one.draft.subtotal for one in played.documents) == 0
    assert sum(one.draft.total for one in played.documents) == 0


@a_few
@given(
    calendar=calendars,
    policy=policies,
    catalogue=st.fixed_dictionaries({"a": any_plans, "b": any_plans, "c": any_plans}),
    chain=changes,
    ended=st.integers(1, 150),
    heard=st.integers(0, 40),
)
def test_every_line_is_the_sum_of_its_explanation(
    calendar: Calendar,
    policy: Policy,
    catalogue: dict[str, Plan],
    chain: list[tuple[int, str, Decimal]],
    ended: int,
    heard: int,
) -> None:
    events = lived(BEGIN, chain)
    on = BEGIN + timedelta(days=ended)
    told = max(on, BEGIN + timedelta(days=110)) + timedelta(days=heard)
    events.append(Cancel(at=on, cancel="s1", reported=told))

    played = life(calendar, policy, catalogue, tuple(events))

    for document in played.documents:
        for taxed in document.draft.lines:
            line = taxed.line
            assert adds_up({"explanation": line.explanation, "amount": line.amount})
        assert document.draft.total == document.draft.subtotal + document.draft.tax


@given(
    cycle=cycles,
    day=days,
    basis=bases,
    price=prices,
    percent=st.decimals(0, 100, places=1),
    window=st.tuples(st.integers(-40, 400), st.integers(0, 400)),
    cut=st.integers(0, 366),
)
def test_a_discount_is_shared_out_to_the_parts_of_a_period_exactly(
    cycle: Cycle,
    day: date,
    basis: Basis,
    price: Decimal,
    percent: Decimal,
    window: tuple[int, int],
    cut: int,
) -> None:
    period = cycle.period_of(day)
    assert period.end is not None
    first = period.start + timedelta(days=window[0])
    off = Discount(Period(first, first + timedelta(days=window[1])), percent=percent)
    middle = min(period.start + timedelta(days=cut), period.end)

    def worth(served: Period, *discounts: Discount) -> Fraction:
        return value_of(
            Price(Decimal(1), price, Decimal(0), discounts), period, served, basis, cycle
        )

    whole = worth(period, off)
    parts = worth(Period(period.start, middle), off) + worth(Period(middle, period.end), off)

    taken = share_of_period(period, off.window, basis, cycle) * Fraction(percent) / 100
    assert parts == whole == worth(period) * (1 - taken)


@a_few
@given(
    calendar=calendars,
    partials=st.sampled_from(list(Partials)),
    offset=st.integers(0, 100),
    basket=st.lists(
        st.tuples(st.sampled_from("ab"), quantities, st.lists(discounts, max_size=2)),
        min_size=1,
        max_size=4,
    ),
    catalogue=st.fixed_dictionaries({"a": any_plans, "b": any_plans}),
)
def test_the_later_invoices_are_what_the_estimate_said(
    calendar: Calendar,
    partials: Partials,
    offset: int,
    basket: list[tuple[str, Decimal, list[DiscountTerms]]],
    catalogue: dict[str, Plan],
) -> None:
    on = BEGIN + timedelta(days=offset)
    items = tuple(
        Item(plan=plan, quantity=quantity, discounts=tuple(off)) for plan, quantity, off in basket
    )
    asked = Estimate(
        calendar=calendar,
        policy=Policy(invoice_partials_on=partials),
        catalogue=catalogue,
        at=on,
        term_months=6,
        basket=items,
    )

    told = estimate(asked)

    billed = play(ordered(asked, items, months=6))
    running = calendar.cycle.period_of(on)
    due = [
        taxed.line.amount
        for document in billed.documents
        for taxed in document.draft.lines
        if running.end is not None
        and taxed.line.service_from < running.end
        and taxed.line.charge.policy.when is Timing.ADVANCE
    ]
    assert told["due_now"]["amount"] == sum(due)
    later = [one.draft for one in billed.documents if one.draft.invoice_on > on]
    following = told["next_invoice"]
    assert (following["total"] if following else None) == (later[0].total if later else None)


@a_few
@given(price=prices, quantity=st.decimals(1, 40, places=1), offset=st.integers(0, 100))
def test_the_total_of_a_term_is_the_value_of_its_days(
    price: Decimal, quantity: Decimal, offset: int
) -> None:
    on = BEGIN + timedelta(days=offset)
    asked = Estimate(
        calendar=Calendar(currency="EUR"),
        catalogue={"a": Plan(recurring=price)},
        at=on,
        term_months=12,
        basket=(Item(plan="a", quantity=quantity),),
    )

    told = estimate(asked)

    month = Cycle.calendar(Interval.MONTH, 1)
    first = month.period_of(on)
    assert first.end is not None
    whole = Price(quantity, price)

    def worth(period: Period, served: Period) -> Decimal:
        return rounded(value_of(whole, period, served, Basis.ACTUAL, month), "EUR")

    end = date(on.year + 1, on.month, on.day)
    expected = worth(first, Period(on, None))
    period = month.following(first)
    while period.start < end:
        expected += worth(period, Period(on, end))
        period = month.following(period)
    assert told["total"] == expected
