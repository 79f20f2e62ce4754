"""The local org's benchmark runs at a small size and prints the keys it promises."""

import importlib
from pathlib import Path
from typing import Any

import pytest


def run(**sizes: int) -> dict[str, Any]:
    bench = importlib.import_module("l2c_bench.sandbox")
    measured: dict[str, Any] = bench.run(requests=40, rows=400, push_rows=0, **sizes)
    return measured


def not_measured(result: dict[str, Any], keys: set[str]) -> set[str]:
    return {key for key in keys if not result[key] > 0}


@pytest.fixture(scope="module")
def calls() -> dict[str, Any]:
    """What the calls of one org measure; Bulk and starts need a dozen processes more."""
    return run(records=0, starts=0)


def test_says_what_was_asked_over_how_many_connections(calls: dict[str, Any]) -> None:
    assert (calls["bench"], calls["soql_connections"], calls["soql_fields"]) == ("sandbox", 4, 10)
    assert (calls["collections_rows"], calls["collections_fields"]) == (400, 25)


def test_measures_the_calls_and_their_references(calls: dict[str, Any]) -> None:
    measured = {"soql_requests_per_second", "collections_rows_per_second"}

    assert not_measured(calls, measured | {"ratio", "soql_ratio", "collections_ratio"}) == set()


@pytest.mark.slow
def test_measures_bulk_loads_and_starts() -> None:
    result = run(records=600, starts=1)

    assert (result["bulk_rows"], result["bulk_connections"], result["bulk_fields"]) == (600, 1, 25)
    measured = {
        "bulk_rows_per_second",
        "bulk_unwatched_rows_per_second",
        "bulk_file_rows_per_second",
        "bulk_ratio",
        "start_seconds",
        "start_by_l2c_seconds",
        "start_ratio",
    }
    assert not_measured(result, measured) == set()
    if Path("/proc/self/status").exists():  # elsewhere nobody tells a peak of memory
        peaks = ("bulk_peak_mib", "bulk_unwatched_peak_mib", "bulk_file_peak_mib")
        assert min(result[key] for key in peaks) > 20
