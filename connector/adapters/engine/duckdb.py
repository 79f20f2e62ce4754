"""Runs the rating plan in process with DuckDB."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import ibis

from connector.catalog.domain import CALL_UNIT, BlockPrice
from connector.kernel.period import Period
from connector.rating.domain import largest_safe_quantity
from connector.rating.engine import EngineResult, InexactResult, Unrated, UsageGroup
from connector.rating.plan import (
    ALLOWANCES,
    CALL_PRICES,
    CALL_RANGES,
    GUIDES,
    METER_PRICES,
    RATED,
    USAGE,
    rating_plan,
)
from connector.rating.prefixes import HEAD_SPAN
from connector.rating.snapshot import Snapshot
from connector.store.lake import sql_list, sql_text

_FETCH = 5_000
_TYPES = {
    "string": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "boolean": "BOOLEAN",
}
_TEXTS = frozenset({"record_id", "usage_class", "unit", "called", "prefix", "meter", "fault"})
_RATED_TYPES = {
    name: "VARCHAR"
    if name in _TEXTS
    else {"used_at": "TIMESTAMP", "is_meter": "BOOLEAN", "scale": "INTEGER"}.get(name, "BIGINT")
    for name in RATED
}

Sessions = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]


class DuckDbRating:
    """The rating engine in this process; each run has a database of its own."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def rate(
        self, *, snapshot: Snapshot, usage: Sequence[Path], rated_file: Path, unrated_file: Path
    ) -> EngineResult:
        """Write rated records and unrated ones to Parquet and return the sums.

        Raises:
            InexactResult: A column of the result is not of the type the plan promises.
        """
        with self._sessions() as duck:
            # The order of a rated file means nothing, and keeping it would cost memory.
            duck.execute("SET preserve_insertion_order = false")
            _read_usage(duck, usage)
            _load_snapshot(duck, snapshot)
            plan = _compiled(snapshot.period, bool(snapshot.allowances))
            _copy(duck, _typed(plan), rated_file)
            _check_types(duck, rated_file)
            rated, unrated = _counts(duck, rated_file)
            if unrated:
                _split(duck, rated_file, unrated_file)
            return EngineResult(rated, unrated, _groups(duck, rated_file))

    def unrated(self, path: Path) -> Iterator[Unrated]:
        """Return the records of an unrated file."""
        with self._sessions() as duck:
            found = duck.execute(
                "SELECT usage_file_id, line_no, fault, to_json({'record_id': record_id, "
                "'used_at': used_at, 'called': called, 'meter': meter, 'quantity': quantity})"
                "::VARCHAR FROM read_parquet(?) ORDER BY usage_file_id, line_no",
                [str(path)],
            )
            while rows := found.fetchmany(_FETCH):
                yield from (Unrated(*row) for row in rows)


def _read_usage(duck: duckdb.DuckDBPyConnection, usage: Sequence[Path]) -> None:
    columns = ", ".join(f"{name}::{_TYPES[kind]} AS {name}" for name, kind in USAGE.items())
    if usage:
        source = f"SELECT {columns} FROM read_parquet({sql_list(usage)})"  # noqa: S608
    else:
        nothing = ", ".join(f"NULL::{_TYPES[kind]} AS {name}" for name, kind in USAGE.items())
        source = f"SELECT {nothing} WHERE false"
    duck.execute(f"CREATE TEMP VIEW usage AS {source}")


def _load_snapshot(duck: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    _fill(
        duck,
        "guides",
        GUIDES,
        (
            (
                one.kind,
                one.alias,
                one.service_id,
                one.from_on,
                one.to_on,
                one.plan_id,
                one.deck_id,
                one.has_allowance,
                one.fault,
            )
            for one in snapshot.guides
        ),
    )
    _load_calls(duck, snapshot)
    _fill(
        duck,
        "meter_prices",
        METER_PRICES,
        (
            (
                one.plan_id,
                one.meter,
                one.from_on,
                one.to_on,
                *_price(one.usage_class, one.unit, one.price, 0, 1),
            )
            for one in snapshot.meters
        ),
    )
    _fill(
        duck,
        "allowances",
        ALLOWANCES,
        ((one.plan_id, one.usage_class, one.is_meter, one.included) for one in snapshot.allowances),
    )


def _load_calls(duck: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    numbers: dict[tuple[int, str], int] = {}
    prices: list[tuple[object, ...]] = []
    ranges: list[tuple[object, ...]] = []
    for one in snapshot.calls:
        number = numbers.setdefault((one.deck_id, one.prefix), len(prices))
        if number == len(prices):
            price = _price(one.usage_class, CALL_UNIT, one.price, one.minimum_s, one.increment_s)
            prices.append((number, one.prefix, *price))
        ranges.append((one.deck_id, one.low, one.high, number))
    _fill(duck, "call_prices", CALL_PRICES, prices)
    whole = {name: kind for name, kind in CALL_RANGES.items() if name != "head"}
    _fill(duck, "whole_ranges", whole, ranges)
    # Cut at six-digit heads: an equality an engine can hash, instead of a comparison of everything.
    duck.execute(
        f"CREATE TEMP TABLE call_ranges AS SELECT *, "  # noqa: S608
        f"unnest(range(low // {HEAD_SPAN}, high // {HEAD_SPAN} + 1))::INTEGER AS head "
        "FROM whole_ranges"
    )


def _price(
    usage_class: str, unit: str, price: BlockPrice, minimum: int, increment: int
) -> tuple[object, ...]:
    fee = price.connection * price.block
    return (
        usage_class,
        unit,
        price.sell,
        price.cost,
        fee,
        price.scale,
        price.block,
        minimum,
        increment,
        largest_safe_quantity(price),
    )


def _fill(
    duck: duckdb.DuckDBPyConnection,
    table: str,
    schema: dict[str, str],
    rows: Iterable[tuple[object, ...]],
) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    kinds = [_TYPES[kind] for kind in schema.values()]
    # One call with a list per column: a statement per row would take longer than the rating.
    lists = ", ".join(
        f"unnest(?::{kind}[]) AS {name}" for name, kind in zip(schema, kinds, strict=True)
    )
    duck.execute(
        f"CREATE TEMP TABLE {table} AS SELECT {lists}", [list(values) for values in columns]
    )


@lru_cache(maxsize=24)
def _compiled(period: Period, has_allowances: bool) -> str:
    plan = rating_plan(period, has_allowances=has_allowances)
    return str(ibis.to_sql(plan, dialect="duckdb"))


def _typed(plan: str) -> str:
    # Sums of 64-bit integers are 128 bits wide, and Parquet would keep those as doubles.
    columns = ", ".join(f"{name}::{kind} AS {name}" for name, kind in _RATED_TYPES.items())
    return f"SELECT {columns} FROM ({plan})"  # noqa: S608


def _copy(duck: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    duck.execute(f"COPY ({query}) TO {sql_text(str(target))} (FORMAT parquet, COMPRESSION zstd)")


def _check_types(duck: duckdb.DuckDBPyConnection, path: Path) -> None:
    found = dict(
        row[:2]
        for row in duck.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    )
    if found != _RATED_TYPES:
        wrong = {name: kind for name, kind in found.items() if _RATED_TYPES.get(name) != kind}
        raise InexactResult(f"The rated file has columns of other types: {wrong}.")


def _counts(duck: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, int]:
    row = duck.execute(
        "SELECT count(*) FILTER (fault IS NULL), count(fault) FROM read_parquet(?)", [str(path)]
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _split(duck: duckdb.DuckDBPyConnection, rated_file: Path, unrated_file: Path) -> None:
    """Move what could not be rated out of the rated file."""
    whole = rated_file.with_name(f"{rated_file.name}.whole")
    rated_file.rename(whole)
    source = f"SELECT * FROM read_parquet({sql_text(str(whole))})"  # noqa: S608
    try:
        _copy(duck, f"{source} WHERE fault IS NOT NULL", unrated_file)
        _copy(duck, f"{source} WHERE fault IS NULL", rated_file)
    finally:
        whole.unlink()


def _groups(duck: duckdb.DuckDBPyConnection, path: Path) -> tuple[UsageGroup, ...]:
    rows: list[Any] = duck.execute(
        """
        SELECT service_id, usage_class, unit, is_meter, scale, block, count(*), sum(quantity),
               sum(charged), sum(included), sum(sell), sum(cost)
          FROM read_parquet(?) GROUP BY ALL ORDER BY ALL
        """,
        [str(path)],
    ).fetchall()
    return tuple(UsageGroup(*row) for row in rows)
