"""Twenty kills in one life of the demo, at least three of them inside a push: `make chaos`."""

from pathlib import Path

import pytest

from tests.e2e.outside import look
from tests.e2e.teller import kill_times, tell, tell_and_kill, tell_and_kill_inside_a_push

CALLS = 2_000
KILLS = 20
INSIDE_A_PUSH = 5
SEEDS = (1, 2)
LONGEST_S = 30.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_kills_leave_nothing_twice_and_nothing_missing(seed: int, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    expected = tell(undisturbed, calls=CALLS)

    inside = 0
    for n, after_s in enumerate(kill_times(seed=seed, count=KILLS, longest_s=LONGEST_S)):
        if n % (KILLS // INSIDE_A_PUSH) == 0:
            inside += tell_and_kill_inside_a_push(killed, calls=CALLS, after_s=after_s / 10 + 3)
        else:
            tell_and_kill(killed, calls=CALLS, after_s=after_s)
    summary = tell(killed, calls=CALLS)

    assert inside >= 3
    assert look(killed) == look(undisturbed)
    assert summary["drift"] == 0
    for key in set(expected) - {"api_calls", "seconds"}:
        assert summary[key] == expected[key], key
