"""The rating benchmark runs at a small size and prints the keys it promises."""

import importlib
from pathlib import Path


def test_prints_a_ratio_against_a_copy(tmp_path: Path) -> None:
    bench = importlib.import_module("l2c_bench.rating")

    result = bench.run(records=5_000, folder=tmp_path)

    assert {
        "bench",
        "seconds",
        "reference",
        "reference_seconds",
        "ratio",
        "rows",
        "rows_per_second",
        "peak_mib",
        "cpu_count",
    } <= result.keys()
    assert (result["rows"], result["rated"], result["unrated"]) == (5_000, 5_000, 0)
    assert int(result["sell_total"]) > 0
