"""The price benchmark runs at a small size and prints the keys it promises."""

import importlib


def test_prints_a_ratio_against_reading_and_writing() -> None:
    bench = importlib.import_module("l2c_bench.price")

    result = bench.run(calculations=1_000)

    assert {
        "bench", "seconds", "reference", "reference_seconds", "ratio", "rows", "rows_per_second",
        "peak_mib", "cpu_count", "cpu_seconds", "rows_per_cpu_second",
    } <= result.keys()  # fmt: skip
    assert (result["bench"], result["rows"]) == ("price", 1_000)
