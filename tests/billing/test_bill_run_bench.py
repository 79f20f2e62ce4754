from l2c_bench.bill_run import measured

from connector.store.engine import Store


def test_the_benchmark_bills_ten_lines_an_account_and_names_its_stages(store: Store) -> None:
    result = measured(store=store, accounts=3)

    assert (result["rows"], result["accounts"]) == (30, 3)
    assert result["ratio"] > 0
    assert {"read_seconds", "compute_seconds", "write_seconds", "finalise_seconds"} <= set(result)
