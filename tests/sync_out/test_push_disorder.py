"""Any order of changes, faults and passes ends with both sides equal."""

import random

import pytest
from sqlalchemy import text
from sync_out.world import NOW, insert

from connector.sync.push.run import push_pending
from connector.sync.reconcile.compare import reconcile

FAULTS = (
    {"kind": "drop_before", "path": "composite", "count": 1},
    {"kind": "drop_after", "path": "composite", "count": 1},
    {"kind": "http", "status": 503, "path": "composite", "count": 1},
    {"kind": "lock", "count": 3},
)
CHANGES = (
    "UPDATE task SET state = 'Completed' WHERE sequence = 1",
    "UPDATE task SET state = 'Error', error_message = 'no answer' WHERE sequence = 1",
    "UPDATE service SET quantity = quantity + 1",
    "UPDATE allocation SET is_reversed = NOT is_reversed",
    "UPDATE payment SET reference = reference || '.'",
    "UPDATE product SET display_name = display_name || '!'",
    "UPDATE customer_order SET held_at = CASE WHEN held_at IS NULL THEN started_at END",
    "UPDATE account SET link_state = 'Linked'",
)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_sides_end_up_equal(world, store, client, org, mappings, push, crm, seed):
    chance = random.Random(seed)
    for turn in range(12):
        if chance.random() < 0.7:
            org.admin("faults", body={"faults": [chance.choice(FAULTS)]})
        with store.transaction() as tx:
            for change in chance.sample(CHANGES, k=2):
                tx.execute(text(change))
            if chance.random() < 0.5:
                insert(
                    tx, "task", number=f"TSK-9{turn:05}", work_order_id=world.work_order,
                    sequence=10 + turn, name=f"Extra {turn}", kind="Manual", state="Ready",
                )  # fmt: skip
        push_pending(store=store, org=client, mappings=mappings, now=NOW)

    org.admin("faults", method="DELETE")
    push(patience_s=20)

    report = reconcile(store=store, org=client, mappings=mappings, now=NOW)
    assert report.drift == 0
    assert sum(entity.pending for entity in report.entities) == 0
    assert all(entity.hub_rows == entity.crm_rows for entity in report.entities)
