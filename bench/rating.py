"""Rates synthetic calls; reference: DuckDB copying the same rows from Parquet to Parquet."""

import os
import random
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from connector.adapters.engine.duckdb import DuckDbRating
from connector.catalog.domain import BlockPrice
from connector.kernel.clock import monotonic_s
from connector.kernel.period import Period
from connector.rating.prefixes import disjoint_ranges
from connector.rating.snapshot import Allowance, CallPrice, Guide, Snapshot
from connector.store.lake import Lake

JUNE = Period(date(2026, 6, 1), date(2026, 7, 1))
DECK = 1
PREFIXES = 36_000
CALLS_PER_SERVICE = 200
CLASSES = ("national", "mobile", "international", "premium")
PLAN_WITH_ALLOWANCE, PLAN_WITHOUT = 1, 2
ALLOWANCE_S = 6_000
SEED = 20_260_601
CHUNK = 10_000_000


def run(
    *, records: int, memory_mib: int = 4_096, threads: int | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Return the figures of one run; a third of the services has an allowance."""
    with tempfile.TemporaryDirectory(prefix="l2c-bench-", dir=folder) as work:
        lake = Lake(Path(work))
        lake.root.mkdir(exist_ok=True)

        def session() -> Any:
            return lake.session(memory_mib=memory_mib, threads=threads)

        prefixes = _prefixes()
        services = max(1, records // CALLS_PER_SERVICE)
        usage = _write_usage(lake, records=records, services=services, prefixes=prefixes)
        snapshot = _snapshot(prefixes, services)
        before_s = _time_copy(session, usage, lake.root / "copy.parquet")
        _reset_peak()
        results: list[Any] = []
        seconds = _timed(
            lambda: results.append(
                DuckDbRating(session).rate(
                    snapshot=snapshot,
                    usage=usage,
                    rated_file=lake.root / "rated.parquet",
                    unrated_file=lake.root / "unrated.parquet",
                )
            )
        )
        peak_mib = _peak_mib()
        # Measured on both sides of the run, so that other work on the machine weighs on both.
        reference_s = (before_s + _time_copy(session, usage, lake.root / "copy.parquet")) / 2
        (result,) = results
        return {
            "bench": "rating",
            "seconds": round(seconds, 3),
            "reference": "DuckDB copying the same rows from Parquet to Parquet",
            "reference_seconds": round(reference_s, 3),
            "ratio": round(seconds / reference_s, 2),
            "rows": records,
            "rows_per_second": round(records / seconds),
            "peak_mib": peak_mib,
            "cpu_count": os.cpu_count(),
            "memory_limit_mib": memory_mib,
            "rated": result.rated,
            "unrated": result.unrated,
            "services": services,
            "prefixes": len(prefixes),
            "sell_total": str(sum(group.sell for group in result.groups)),
        }


def _prefixes() -> list[str]:
    """Return prefixes of the lengths real decks have: few short ones, most of 5 to 9 digits."""
    chance = random.Random(SEED)
    made = {str(digit) for digit in range(1, 10)}
    while len(made) < PREFIXES:
        length = min(11, max(2, round(chance.gauss(6.5, 1.7))))
        made.add(str(chance.randrange(10 ** (length - 1), 10**length)))
    return sorted(made)


def _snapshot(prefixes: list[str], services: int) -> Snapshot:
    chance = random.Random(SEED + 1)
    prices = {
        prefix: (
            chance.choice(CLASSES),
            BlockPrice(
                sell=chance.randrange(50, 5_000),
                cost=chance.randrange(10, 3_000),
                connection=chance.choice((0, 0, 0, 500)),
                scale=4,
                block=60,
            ),
            chance.choice((0, 6, 60)),
            chance.choice((1, 6, 60)),
        )
        for prefix in prefixes
    }
    calls = tuple(
        CallPrice(DECK, part.low, part.high, part.prefix, *prices[part.prefix])
        for part in disjoint_ranges(prefixes)
    )
    guides = tuple(_guide(number) for number in range(services))
    allowances = tuple(
        Allowance(PLAN_WITH_ALLOWANCE, name, False, ALLOWANCE_S) for name in CLASSES[:2]
    )
    return Snapshot(JUNE, guides, calls, (), allowances, ("bench version 1",), "bench")


def _guide(number: int) -> Guide:
    generous = number % 3 == 0
    assert JUNE.end is not None
    return Guide(
        kind="number",
        alias=str(49_300_000_000 + number),
        service_id=number + 1,
        from_on=JUNE.start,
        to_on=JUNE.end,
        plan_id=PLAN_WITH_ALLOWANCE if generous else PLAN_WITHOUT,
        deck_id=DECK,
        has_allowance=generous,
        fault=None,
    )


def _write_usage(lake: Lake, *, records: int, services: int, prefixes: list[str]) -> list[Path]:
    paths = []
    with lake.session(memory_mib=2_048) as duck:
        duck.execute(
            "CREATE TABLE prefixes AS SELECT unnest(?::VARCHAR[]) AS prefix, "
            "generate_subscripts(?::VARCHAR[], 1) - 1 AS n",
            [prefixes, prefixes],
        )
        for start in range(0, records, CHUNK):
            path = lake.root / f"usage-{start}.parquet"
            duck.execute(_usage_sql(start, min(records, start + CHUNK), services, path))
            paths.append(path)
    return paths


def _usage_sql(start: int, end: int, services: int, path: Path) -> str:
    # hash() spreads; the same arguments give the same calls on every machine.
    return f"""
        COPY (
            WITH calls AS (
                SELECT i, hash(i) AS h1, hash(i + 1000000007) AS h2, hash(i + 2000000011) AS h3
                  FROM range({start}, {end}) t(i)),
            dialled AS (
                SELECT c.*, left(p.prefix || lpad((h2 % 100000000)::VARCHAR, 8, '7'), 12) AS called
                  FROM calls c JOIN prefixes p ON p.n = c.h1 % {PREFIXES})
            SELECT 'c' || i AS record_id, 'number' AS kind,
                   (49300000000 + h3 % {services})::VARCHAR AS alias,
                   TIMESTAMP '2026-06-01' + to_seconds((h2 % 2592000)::BIGINT) AS used_at,
                   (TIMESTAMP '2026-06-01' + to_seconds((h2 % 2592000)::BIGINT))::DATE AS usage_on,
                   called, left(rpad(called, 6, '0'), 6)::INTEGER AS called_head,
                   rpad(called, 15, '0')::BIGINT * 16 + length(called) AS called_key,
                   '' AS meter, (h3 % 600)::BIGINT AS quantity, 1::BIGINT AS usage_file_id,
                   i::BIGINT AS line_no
              FROM dialled
        ) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
        """


def _time_copy(session: Any, usage: list[Path], target: Path) -> float:
    listed = ", ".join(f"'{path}'" for path in usage)
    with session() as duck:
        duck.execute("SET preserve_insertion_order = false")
        return _timed(
            lambda: duck.execute(
                f"COPY (SELECT * FROM read_parquet([{listed}])) TO '{target}' "
                "(FORMAT parquet, COMPRESSION zstd)"
            )
        )


def _timed(act: Any) -> float:
    started = monotonic_s()
    act()
    return monotonic_s() - started


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak then includes making the calls


def _peak_mib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0
