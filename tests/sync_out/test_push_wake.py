"""Refused records are sent again by themselves once something was repaired."""

import pytest
from sqlalchemy import text
from sync_out.test_push import _state

from connector.sync.mapping.definition import Mappings, PushField
from connector.sync.push.wake import wake_objects

LINE = "L2C_Order_Line__c"


@pytest.fixture
def refused(world, push, change):
    push()
    change(f"UPDATE order_line SET renewal_type = 'Weekly' WHERE id = {world.line}")
    assert push().dead == 1


def _mend_in_the_crm(store) -> None:
    """Stand in for an administrator who adds the word; the hub's row is not touched."""
    with store.transaction() as tx:
        tx.execute(text("ALTER TABLE order_line DISABLE TRIGGER USER"))
        tx.execute(text("UPDATE order_line SET renewal_type = 'Expires'"))
        tx.execute(text("ALTER TABLE order_line ENABLE TRIGGER USER"))


def test_not_before_an_hour_has_passed(refused, push, store):
    _mend_in_the_crm(store)

    assert push().api_calls == 0


def test_when_its_time_has_come(refused, world, push, store, change, crm):
    _mend_in_the_crm(store)
    change("UPDATE crm_record SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")

    push()

    assert _state(store, "order_line", world.line).status == "In Sync"
    assert crm.one(f"SELECT Renewal_Type__c FROM {LINE}")["Renewal_Type__c"] == "Expires"


def test_more_rarely_each_time_and_not_for_ever(refused, push, change, store):
    pauses_h = []
    for _ in range(8):
        with store.read() as tx:
            pauses_h.append(
                tx.execute(
                    text(
                        "SELECT round(extract(epoch FROM next_attempt_at - now()) / 3600) "
                        "FROM crm_record WHERE status = 'Error'"
                    )
                ).scalar_one()
            )
        change("UPDATE crm_record SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")
        push()
    change("UPDATE crm_record SET attempts = 30, next_attempt_at = now() WHERE status = 'Error'")
    push()

    assert pauses_h == [1, 2, 4, 8, 16, 24, 24, 24]
    with store.read() as tx:
        last = tx.execute(text("SELECT next_attempt_at FROM crm_record WHERE status = 'Error'"))
        assert last.scalar_one() is None


def test_when_the_schema_of_its_object_has_changed(refused, world, push, store, mappings):
    _mend_in_the_crm(store)
    with store.transaction() as tx:
        assert wake_objects(tx, mappings, {LINE}) == 1

    push()

    assert _state(store, "order_line", world.line).status == "In Sync"


def test_when_its_mapping_translates_the_word(refused, world, push, store, mappings, crm):
    line = mappings.by_entity["order_line"]
    renewal = line.fields["Renewal_Type__c"].model_copy(update={"values": {"Weekly": "Expires"}})
    mended = Mappings(
        tuple(
            m.model_copy(update={"fields": {**m.fields, "Renewal_Type__c": renewal}})
            if m.entity == "order_line"
            else m
            for m in mappings
        )
    )

    push(with_mappings=mended)

    assert _state(store, "order_line", world.line).status == "In Sync"
    assert crm.one(f"SELECT Renewal_Type__c FROM {LINE}")["Renewal_Type__c"] == "Expires"


def test_a_field_that_is_mapped_otherwise_reaches_every_record(world, push, crm, mappings):
    push()
    number = PushField.model_validate({"from": "number", "owner": "billing"})
    other = Mappings(
        tuple(
            m.model_copy(update={"fields": {**m.fields, "Reference__c": number}})
            if m.entity == "payment"
            else m
            for m in mappings
        )
    )

    push(with_mappings=other)

    assert crm.one("SELECT Reference__c FROM L2C_Payment__c")["Reference__c"] == "PAY-000001"
