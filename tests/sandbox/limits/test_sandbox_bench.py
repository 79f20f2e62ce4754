"""The local org's benchmark runs at a small size and prints the keys it promises."""

import importlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    bench = importlib.import_module("l2c_bench.sandbox")
    measured: dict[str, Any] = bench.run(requests=40, rows=400, records=600, starts=0, push_rows=0)
    return measured


def test_says_what_was_asked_over_how_many_connections(result: dict[str, Any]) -> None:
    assert (result["bench"], result["soql_connections"], result["soql_fields"]) == (
        "sandbox",
        4,
        10,
    )
    assert (result["collections_rows"], result["collections_fields"]) == (400, 25)
    assert (result["bulk_rows"], result["bulk_connections"], result["bulk_fields"]) == (600, 1, 25)


def test_measures_each_part_and_its_reference(result: dict[str, Any]) -> None:
    measured = {
        "soql_requests_per_second",
        "collections_rows_per_second",
        "bulk_rows_per_second",
        "bulk_unwatched_rows_per_second",
        "bulk_file_rows_per_second",
    }
    ratios = {"ratio", "soql_ratio", "collections_ratio", "bulk_ratio"}

    assert {key for key in measured | ratios if not result[key] > 0} == set()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc: no peak of memory")
def test_tells_the_memory_of_the_org_in_memory_and_in_a_file(result: dict[str, Any]) -> None:
    assert result["bulk_peak_mib"] > 20
    assert result["bulk_unwatched_peak_mib"] > 20
    assert result["bulk_file_peak_mib"] > 20


@pytest.mark.slow
def test_measures_how_long_a_start_takes() -> None:
    bench = importlib.import_module("l2c_bench.sandbox")

    result = bench.run(requests=40, rows=400, records=600, starts=1, push_rows=0)

    for key in ("start_seconds", "start_by_l2c_seconds", "start_ratio"):
        assert result[key] > 0
