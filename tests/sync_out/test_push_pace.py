"""Batches shrink while records are locked and grow again when they are not."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sync_out.world import NOW, insert

from connector.sync.push.pace import SMALLEST, Pace
from connector.sync.push.run import push_pending

LARGEST = 200


@given(locks=st.lists(st.booleans(), max_size=30))
def test_a_batch_is_never_smaller_than_ten_nor_larger_than_two_hundred(locks: list[bool]) -> None:
    pace = Pace()

    for has_met_locks in locks:
        pace.learn("task", has_met_locks=has_met_locks)

    assert SMALLEST <= pace.size_of("task") <= LARGEST


def test_without_locks_it_is_back_at_two_hundred_after_five_batches() -> None:
    pace = Pace()
    for _ in range(10):
        pace.learn("task", has_met_locks=True)

    for _ in range(5):
        pace.learn("task", has_met_locks=False)

    assert pace.size_of("task") == LARGEST
    assert pace.sizes == {}


def test_a_lock_in_the_crm_makes_the_next_batches_smaller(
    world, store, client, mappings, org, push
):
    push()
    with store.transaction() as tx:
        for place in range(120):
            insert(
                tx, "task", number=f"TSK-5{place:05}", work_order_id=world.work_order,
                sequence=100 + place, name=f"Many {place}", kind="Manual", state="Ready",
            )  # fmt: skip
    org.admin("faults", body={"faults": [{"kind": "lock", "count": 1}]})
    pace = Pace()

    push_pending(store=store, org=client, mappings=mappings, now=NOW, pace=pace)

    assert pace.size_of("task") == LARGEST // 2
    with store.transaction() as tx:
        tx.execute(text("UPDATE push_queue SET lease_until = '-infinity'"))
    push_pending(store=store, org=client, mappings=mappings, now=NOW, pace=pace)
    assert pace.size_of("task") == LARGEST
