"""When a key that was refused is due again."""

from sqlalchemy import text

from connector.sync.push import queue
from connector.sync.push.collapse import collapse


def pause(tx, *, lease_until: str) -> float | None:
    tx.execute(text("DELETE FROM push_queue"))
    tx.execute(
        text(
            "INSERT INTO push_queue (entity, key, lease_until) "
            "VALUES (1, 7, now() + CAST(:pause AS interval))"
        ),
        {"pause": lease_until},
    )
    return queue.seconds_to_next(tx)


def test_a_pause_that_has_not_ended_tells_its_rest(tx):
    collapse(tx=tx)

    rest_s = pause(tx, lease_until="30 s")

    assert rest_s is not None
    assert 0 < rest_s <= 30


def test_a_pause_that_ended_during_the_last_pass_is_not_taken_for_none(tx):
    collapse(tx=tx)

    rest_s = pause(tx, lease_until="-1 s")

    assert rest_s is not None
    assert rest_s < 0


def test_a_key_that_waits_for_its_parent_has_no_pause(tx):
    collapse(tx=tx)
    tx.execute(text("DELETE FROM push_queue"))
    tx.execute(text("INSERT INTO push_queue (entity, key) VALUES (1, 7)"))

    assert queue.seconds_to_next(tx) is None
