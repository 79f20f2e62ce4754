"""The engine gives what a plain loop over the calls gives, to the last unit, on any deck."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.adapters.engine.duckdb import DuckDbRating
from connector.catalog.domain import BlockPrice
from connector.kernel.period import Period
from connector.rating.engine import EngineResult
from connector.rating.prefixes import disjoint_ranges, number_key
from connector.rating.snapshot import Allowance, CallPrice, Guide, Snapshot
from connector.store.lake import Lake

JUNE = Period(date(2026, 6, 1), date(2026, 7, 1))
MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Rate:
    usage_class: str
    sell: int
    cost: int
    connection: int
    scale: int
    block: int
    minimum: int
    increment: int


@dataclass(frozen=True)
class Call:
    line_no: int
    number: str
    called: str
    at_s: int
    duration: int


@dataclass(frozen=True)
class Case:
    deck: dict[str, Rate]
    allowances: dict[str, int]
    calls: tuple[Call, ...]


rates = st.builds(
    Rate,
    usage_class=st.sampled_from(["near", "far"]),
    sell=st.integers(0, 10**6),
    cost=st.integers(0, 10**6),
    connection=st.integers(0, 1_000),
    scale=st.integers(0, 6),
    block=st.sampled_from([1, 6, 60]),
    minimum=st.integers(0, 90),
    increment=st.integers(1, 90),
)
calls = st.lists(
    st.tuples(
        st.sampled_from(["111", "222", "999"]),
        st.text("0149", min_size=1, max_size=9),
        st.integers(0, 30 * 86_400 - 1),
        st.integers(0, 5_000),
    ),
    max_size=40,
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    return Case(
        deck=draw(st.dictionaries(st.text("0149", min_size=1, max_size=7), rates, max_size=12)),
        allowances=draw(st.dictionaries(st.sampled_from(["near", "far"]), st.integers(0, 9_000))),
        calls=tuple(Call(n, *values) for n, values in enumerate(draw(calls))),
    )


# 111 has the allowances, 222 a plan without, 999 no service.
SERVICES = {"111": 1, "222": 2}


def by_loop(case: Case) -> tuple[dict[tuple[int, str], tuple[Fraction, Fraction, int]], int]:
    """Rate call by call; return sell, cost and included per service and class, and the unrated."""
    left = {(1, name): seconds for name, seconds in case.allowances.items()}
    sums: dict[tuple[int, str], tuple[Fraction, Fraction, int]] = {}
    unrated = 0
    for call in sorted(case.calls, key=lambda one: (one.at_s, f"r{one.line_no}")):
        service = SERVICES.get(call.number)
        prefix = max((p for p in case.deck if call.called.startswith(p)), key=len, default=None)
        if service is None or prefix is None:
            unrated += 1
            continue
        rate = case.deck[prefix]
        charged = 0
        if call.duration:
            charged = max(call.duration, rate.minimum)
            while charged % rate.increment:
                charged += 1
        key = (service, rate.usage_class)
        free = min(charged, left.get(key, 0))
        if key in left:
            left[key] -= free
        unit = Fraction(1, 10**rate.scale)
        sell = unit * rate.sell * (charged - free) / rate.block
        if charged > free:
            sell += unit * rate.connection
        cost = unit * rate.cost * charged / rate.block
        before = sums.get(key, (Fraction(0), Fraction(0), 0))
        sums[key] = (before[0] + sell, before[1] + cost, before[2] + free)
    return sums, unrated


def by_engine(case: Case, folder: Path) -> EngineResult:
    lake = Lake(folder)
    usage = folder / "usage.parquet"
    write_usage(lake, case, usage)
    return DuckDbRating(lake.session).rate(
        snapshot=snapshot_of(case),
        usage=[usage],
        rated_file=folder / "rated.parquet",
        unrated_file=folder / "unrated.parquet",
    )


def write_usage(lake: Lake, case: Case, path: Path) -> None:
    rows = [
        (
            f"r{one.line_no}",
            "number",
            one.number,
            (MIDNIGHT + timedelta(seconds=one.at_s)).replace(tzinfo=None),
            (MIDNIGHT + timedelta(seconds=one.at_s)).date(),
            one.called,
            int(one.called.ljust(6, "0")[:6]),
            number_key(one.called),
            "",
            one.duration,
            1,
            one.line_no,
        )
        for one in case.calls
    ]
    with lake.session() as duck:
        duck.execute(
            "CREATE TABLE u (record_id VARCHAR, kind VARCHAR, alias VARCHAR, used_at TIMESTAMP, "
            "usage_on DATE, called VARCHAR, called_head INTEGER, called_key BIGINT, "
            "meter VARCHAR, quantity BIGINT, usage_file_id BIGINT, line_no BIGINT)"
        )
        if rows:
            duck.executemany("INSERT INTO u VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)
        duck.execute(f"COPY u TO '{path}' (FORMAT parquet)")


def snapshot_of(case: Case) -> Snapshot:
    guides = tuple(
        Guide("number", number, service, JUNE.start, JUNE.end, service, 7, service == 1, None)  # type: ignore[arg-type]
        for number, service in SERVICES.items()
    )
    prices = tuple(
        CallPrice(
            deck_id=7,
            low=part.low,
            high=part.high,
            prefix=part.prefix,
            usage_class=case.deck[part.prefix].usage_class,
            price=BlockPrice(
                sell=case.deck[part.prefix].sell,
                cost=case.deck[part.prefix].cost,
                connection=case.deck[part.prefix].connection,
                scale=case.deck[part.prefix].scale,
                block=case.deck[part.prefix].block,
            ),
            minimum_s=case.deck[part.prefix].minimum,
            increment_s=case.deck[part.prefix].increment,
        )
        for part in disjoint_ranges(case.deck)
    )
    allowances = tuple(Allowance(1, name, False, left) for name, left in case.allowances.items())
    return Snapshot(JUNE, guides, prices, (), allowances, (), "test")


@settings(max_examples=25)
@given(case=cases())
def test_engine_and_loop_agree(case: Case) -> None:
    expected, unrated = by_loop(case)

    with TemporaryDirectory() as folder:
        result = by_engine(case, Path(folder))

    found: dict[tuple[int, str], tuple[Fraction, Fraction, int]] = {}
    for group in result.groups:
        key = (group.service_id, group.usage_class)
        per = 10**group.scale * group.block
        before = found.get(key, (Fraction(0), Fraction(0), 0))
        found[key] = (
            before[0] + Fraction(group.sell, per),
            before[1] + Fraction(group.cost, per),
            before[2] + group.included,
        )
    assert found == expected
    assert (result.rated, result.unrated) == (len(case.calls) - unrated, unrated)


def test_sums_wider_than_64_bits_stay_exact(tmp_path: Path) -> None:
    largest = 2**62
    rate = Rate("near", largest, 1, 0, 0, 1, 0, 1)
    case = Case({"1": rate}, {}, tuple(Call(n, "222", "1", n, 1) for n in range(5)))

    result = by_engine(case, tmp_path)

    assert result.groups[0].sell == 5 * largest


def test_a_call_too_dear_for_64_bits_is_not_rated(tmp_path: Path) -> None:
    rate = Rate("near", 2**62, 1, 0, 0, 1, 0, 1)
    case = Case({"1": rate}, {"near": 10}, (Call(0, "222", "1", 0, 2), Call(1, "222", "1", 1, 1)))

    result = by_engine(case, tmp_path)

    assert (result.rated, result.unrated) == (1, 1)


def test_a_rated_file_has_no_floating_column(tmp_path: Path) -> None:
    rate = Rate("near", 9_007_199_254_740_993, 1, 0, 0, 1, 0, 1)
    case = Case({"1": rate}, {"near": 0}, (Call(0, "111", "1", 0, 1),))

    by_engine(case, tmp_path)

    with Lake(tmp_path).session() as duck:
        path = str(tmp_path / "rated.parquet")
        kinds = {row[1] for row in duck.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
        (sell,) = duck.execute(f"SELECT sell FROM '{path}'").fetchone() or (None,)
    assert kinds == {"VARCHAR", "BIGINT", "INTEGER", "TIMESTAMP", "BOOLEAN"}
    assert sell == 9_007_199_254_740_993
