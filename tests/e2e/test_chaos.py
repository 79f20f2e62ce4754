"""Twenty kills of the demo, at least three of them inside a push: `make chaos`."""

import time
from pathlib import Path

import pytest

from tests.e2e.outside import look
from tests.e2e.teller import Life, kills, live, tell

CALLS = 2_000
KILLS = 20
INSIDE_A_PUSH_EVERY = 4
SEED = 20_260_601
CHANGES_BY_RUN = {"api_calls", "seconds"}


@pytest.mark.slow
def test_twenty_kills_leave_nothing_twice_and_nothing_missing(tmp_path: Path) -> None:
    began = time.monotonic()
    expected = tell(tmp_path / "undisturbed", calls=CALLS)
    length_s = time.monotonic() - began
    books = look(tmp_path / "undisturbed")
    planned = kills(seed=SEED, longest_s=length_s, inside_a_push_every=INSIDE_A_PUSH_EVERY)

    lives: list[Life] = []
    while (left := KILLS - sum(life.kills for life in lives)) > 0:
        assert len(lives) < KILLS, "the kills come too late to meet the story"
        folder = tmp_path / f"life-{len(lives)}"
        lives.append(live(folder, calls=CALLS, planned=planned, kills_max=left))

    assert sum(life.kills_inside_a_push for life in lives) >= 3
    for life in lives:
        assert look(life.folder) == books, life
        for key in set(expected) - CHANGES_BY_RUN:
            assert life.summary[key] == expected[key], (key, life)
