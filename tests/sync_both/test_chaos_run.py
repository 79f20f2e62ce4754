"""`l2c bench chaos` at a small size, with sync whole and without what keeps it right."""

import importlib

import pytest

SEED = 7


@pytest.fixture(scope="module")
def chaos():
    return importlib.import_module("l2c_bench.chaos")


@pytest.mark.slow
def test_nothing_is_missing_duplicated_or_wrong(chaos):
    result = chaos.run(changes=1_000, kills=20, seed=SEED)

    assert (result["missing"], result["duplicated"], result["wrong"]) == (0, 0, 0), result
    assert result["drift"] == 0
    assert result["kills"] == 20
    assert result["faults"] > 20


@pytest.mark.slow
def test_without_deduplication_records_are_there_twice(chaos):
    result = chaos.run(changes=200, kills=4, seed=SEED, without="deduplication")

    assert result["duplicated"] > 0, result
    assert any("audit" in example for example in result["examples"])


@pytest.mark.slow
def test_without_the_version_guard_values_go_back(chaos):
    result = chaos.run(changes=1_000, kills=4, seed=SEED, without="version-guard")

    assert result["wrong"] > 0, result
    assert any("went back" in example for example in result["examples"])


@pytest.mark.slow
def test_latency_is_told_for_each_way():
    latency = importlib.import_module("l2c_bench.latency")

    result = latency.run(changes=5, pending=100, sweep_every_s=2)

    assert result["rows"] == 110
    assert {"message_p95_s", "sweep_p95_s", "push_p95_s", "worker_peak_mib"} <= result.keys()
