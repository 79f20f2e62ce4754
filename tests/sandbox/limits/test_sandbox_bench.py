"""The local org's benchmark runs at a small size and prints the keys it promises."""

import importlib


def test_the_benchmark_writes_every_row_and_reads_them() -> None:
    bench = importlib.import_module("l2c_bench.sandbox")

    result = bench.run(requests=40, rows=400)

    assert (result["bench"], result["collections_rows"]) == ("sandbox", 400)
    assert result["soql_requests_per_second"] > 0
    assert result["collections_rows_per_second"] > 0
    assert (result["soql_connections"], result["collections_fields"]) == (4, 25)
    assert {"ratio", "soql_ratio", "collections_ratio", "reference"} <= set(result)
