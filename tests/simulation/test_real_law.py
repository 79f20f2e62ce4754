"""Whatever happens to a customer, the real bill run says what the simulation says, and once."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lives import any_plans, bases, changes, discounts, lived, quantities
from played_for_real import RealPlay, documents_of, simulated_documents

from connector.charging import opening
from connector.charging.policy import Alignment, IntervalChange
from connector.kernel.money import Rounding
from connector.simulation.events import Cancel, DiscountTerms, Pay, Start
from connector.simulation.play import play
from connector.simulation.script import Calendar, Plan, Policy, Script, VendorRule
from connector.store.engine import Store

BEGIN = date(2026, 1, 1)
MANY = 1_000
REAL = 100  # of these each takes a database of its own and some seconds
count = REAL if settings().max_examples >= MANY else 3


@settings(max_examples=count, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
    anchor=st.integers(1, 31),
    policy=st.builds(
        Policy,
        basis=bases,
        bill_first_day=st.booleans(),
        bill_last_day=st.booleans(),
        align=st.sampled_from(list(Alignment)),
        on_interval_change=st.sampled_from(list(IntervalChange)),
        rounding=st.sampled_from(list(Rounding)),
    ),
    catalogue=st.fixed_dictionaries({"a": any_plans, "b": any_plans, "c": any_plans}),
    offs=st.lists(discounts, max_size=2),
    chain=changes,
    beside=st.tuples(st.sampled_from("abc"), quantities, st.integers(0, 60)),
    ended=st.integers(1, 120),
    paid=st.decimals(1, 500, places=0),
    percent=st.sampled_from([Decimal(0), Decimal(19), Decimal("7.7")]),
)
def test_the_real_bill_run_makes_of_a_life_what_the_simulation_makes(
    currency: str,
    anchor: int,
    policy: Policy,
    catalogue: dict[str, Plan],
    offs: list[DiscountTerms],
    chain: list[tuple[int, str, Decimal]],
    beside: tuple[str, Decimal, int],
    ended: int,
    paid: Decimal,
    percent: Decimal,
    new_store: Callable[[], AbstractContextManager[Store]],
) -> None:
    plan, quantity, later = beside
    started, *changed = lived(BEGIN, chain)
    events = (
        started.model_copy(update={"discounts": tuple(offs)}),
        *changed,
        Start(at=BEGIN + timedelta(days=later), start="s2", plan=plan, quantity=quantity),
        Pay(at=BEGIN + timedelta(days=80), pay=paid, reference="P1"),
        Cancel(at=BEGIN + timedelta(days=ended), cancel="s1", reported=BEGIN + timedelta(days=130)),
    )
    script = Script(
        calendar=Calendar(currency=currency, anchor_day=anchor),
        policy=policy,
        tax=percent,
        catalogue={name: one.model_copy(update={"vendor": "V"}) for name, one in catalogue.items()},
        rules=(VendorRule(vendor="V", min_services=2, percent=Decimal("12.5")),),
        events=events,
        until=date(2026, 7, 1),
    )
    simulated = play(script)

    with (
        new_store() as store,
        TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        RealPlay.write_policies(script, Path(folder))
        patch.setattr(opening, "mappings_dir", lambda: Path(folder))
        real = RealPlay(store, script)
        real.run()
        first = documents_of(real)
        real.journal_tells_the_same()
        real.run_bills_again()

        assert first == simulated_documents(simulated)
        assert documents_of(real) == first
