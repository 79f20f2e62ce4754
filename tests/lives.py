"""Lives of customers made up by hypothesis: calendars, policies, plans, and what happens."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st

from connector.charging.policy import Alignment, Basis, IntervalChange, Partials, Timing
from connector.kernel.money import Rounding
from connector.kernel.period import Cycle, Interval
from connector.simulation.events import AnyEvent, Change, DiscountTerms, Start
from connector.simulation.play import Played, play
from connector.simulation.script import Calendar, Plan, Policy, Script

BEGIN = date(2026, 1, 1)
MANY = 1_000  # examples of a profile that wants all, see `make laws`
# Whole lives: each is dozens of bills.
a_few = settings() if settings().max_examples >= MANY else settings(max_examples=25)

bases = st.sampled_from(list(Basis))
intervals = st.sampled_from(list(Interval))
days = st.dates(date(2024, 1, 1), date(2030, 12, 31))
prices = st.decimals(0, 500, places=2)
quantities = st.decimals(0, 40, places=1)
cycles = st.builds(Cycle, intervals, st.dates(date(2020, 1, 1), date(2021, 12, 31)))
calendars = st.builds(
    Calendar,
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
    anchor_day=st.integers(1, 31),
    every=st.sampled_from([Interval.MONTH, Interval.QUARTER]),
)
policies = st.builds(
    Policy,
    basis=bases,
    bill_first_day=st.booleans(),
    align=st.sampled_from(list(Alignment)),
    on_interval_change=st.sampled_from(list(IntervalChange)),
    invoice_partials_on=st.sampled_from(list(Partials)),
    rounding=st.sampled_from(list(Rounding)),
)
plans = st.builds(
    Plan,
    recurring=prices,
    every=st.none() | intervals,
    when=st.sampled_from(list(Timing)),
)


@st.composite
def tiers(draw: st.DrawFn, *, by_flat: bool = False) -> list[dict[str, str | None]]:
    bounds = sorted(draw(st.sets(st.integers(1, 40), max_size=3)))
    return [
        {"up_to": None if bound is None else str(bound), "flat": str(draw(prices))}
        | ({} if by_flat else {"unit_price": str(draw(prices))})
        for bound in (*bounds, None)
    ]


texts = prices.map(str)
models = st.one_of(
    st.fixed_dictionaries({"model": st.sampled_from(["graduated", "volume"]), "tiers": tiers()}),
    st.fixed_dictionaries({"model": st.just("stairstep"), "tiers": tiers(by_flat=True)}),
    st.fixed_dictionaries(
        {"model": st.just("package"), "package_size": st.just("7"), "package_price": texts},
        optional={"minimum": texts},
    ),
    st.fixed_dictionaries(
        {"model": st.just("resale"), "unit_cost": texts, "margin": st.just("0.15")}
    ),
)
any_plans = plans | st.builds(
    Plan, pricing=models, every=st.none() | intervals, when=st.sampled_from(list(Timing))
)
discounts = st.builds(
    DiscountTerms, percent=st.decimals(0, 100, places=1), cycles=st.none() | st.integers(1, 4)
) | st.builds(DiscountTerms, amount=prices)
changes = st.lists(st.tuples(st.integers(0, 100), st.sampled_from("abc"), quantities), max_size=5)


def life(
    calendar: Calendar,
    policy: Policy,
    catalogue: dict[str, Plan],
    events: tuple[AnyEvent, ...],
) -> Played:
    return play(
        Script(
            calendar=calendar,
            policy=policy,
            tax=Decimal(19),
            catalogue=catalogue,
            events=events,
            until=date(2027, 1, 31),  # a quarter after whatever is heard of
        )
    )


def lived(started: date, chain: list[tuple[int, str, Decimal]]) -> list[AnyEvent]:
    return [
        Start(at=started, start="s1", plan="a", quantity=Decimal(2)),
        *(
            Change(
                at=started + timedelta(days=offset + 1),
                change="s1",
                plan=plan,
                quantity=quantity,
            )
            for offset, plan, quantity in sorted(chain, key=lambda one: one[0])
        ),
    ]
