"""The benchmarks of pull and reconcile run at a small size and print the keys they promise."""

import importlib

import pytest

KEYS = {
    "bench", "seconds", "reference", "reference_seconds", "ratio", "rows", "rows_per_second",
    "peak_mib", "cpu_count", "api_calls",
}  # fmt: skip


@pytest.mark.parametrize("name", ["pull", "reconcile"])
def test_prints_a_ratio_against_a_bare_download(name: str, store, client) -> None:
    bench = importlib.import_module(f"l2c_bench.{name}")

    result = bench.measured(store=store, org=client, rows=1_000)

    assert result.keys() >= KEYS
    assert (result["bench"], result["rows"]) == (name, 1_000)
    assert result["ratio"] > 0
