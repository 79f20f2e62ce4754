"""What the org is known to refuse is told before it is sent, and never on outdated knowledge."""

import pytest
from sqlalchemy import text
from sync_out.test_push import _state
from sync_out.world import NOW

from connector.store.engine import to_json
from connector.sync.mapping.definition import Mappings, PushField
from connector.sync.mapping.describes import read_describes, refresh_describes

LINE = "L2C_Order_Line__c"


@pytest.fixture
def described(store, client, mappings):
    """The org has been asked what its objects look like."""
    refresh_describes(
        store=store, org=client, objects={mapping.object for mapping in mappings}, now=NOW
    )


@pytest.fixture
def calls_that_write(client, monkeypatch) -> list[str]:
    """The writing calls, as they are made."""
    made: list[str] = []
    composite, write_row = client.composite, client.write_row
    monkeypatch.setattr(
        client, "composite", lambda *a, **k: (made.append("composite"), composite(*a, **k))[1]
    )
    monkeypatch.setattr(
        client, "write_row", lambda *a, **k: (made.append("row"), write_row(*a, **k))[1]
    )
    return made


def _with_field(mappings: Mappings, entity: str, name: str, **values: object) -> Mappings:
    extra = PushField.model_validate({"owner": "connector", **values})
    return Mappings(
        tuple(
            m.model_copy(update={"fields": {**m.fields, name: extra}}) if m.entity == entity else m
            for m in mappings
        )
    )


def test_a_customer_that_fits_arrives_whole(described, world, push, crm):
    report = push()

    assert (report.written, report.dead) == (18, 0)


@pytest.mark.parametrize(
    ("change_sql", "code"),
    [
        (
            "UPDATE order_line SET renewal_type = 'Weekly'",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        ),
        ("UPDATE order_line SET quantity = 123456789012345", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_unsent(
    described, world, push, change, store, crm, calls_that_write, change_sql, code
):
    push()
    calls_that_write.clear()
    change(change_sql)

    report = push()

    assert report.dead >= 1
    state = _state(store, "order_line", world.line)
    assert (state.status, state.code) == ("Error", code)
    assert state.error
    assert "not sent" in state.error
    assert crm.one(f"SELECT Sync_Status__c FROM {LINE}")["Sync_Status__c"] == "Error"


def test_a_text_that_is_too_long_is_refused_unsent(described, world, push, change, store, mappings):
    long = _with_field(mappings, "service", "Vendor_Name__c", **{"from": "customer_service_name"})
    push(with_mappings=long)
    change("UPDATE service SET customer_service_name = repeat('x', 200)")

    push(with_mappings=long)

    assert _state(store, "service", world.service).code == "STRING_TOO_LONG"


def test_knowledge_that_is_outdated_is_renewed_first(
    described, world, push, change, store, crm, mappings
):
    push()
    with store.transaction() as tx:
        (content,) = read_describes(tx, [LINE]).values()
        for field in content["fields"]:
            if field["name"] == "Renewal_Type__c":
                field["picklistValues"] = field["picklistValues"][:1]
        tx.execute(
            text("UPDATE org_describe SET content = :content WHERE object = :object").bindparams(
                object=LINE
            ),
            {"content": to_json(content).decode()},
        )
    change("UPDATE order_line SET renewal_type = 'Expires'")

    report = push(patience_s=5)

    assert report.dead == 0
    assert crm.one(f"SELECT Renewal_Type__c FROM {LINE}")["Renewal_Type__c"] == "Expires"


def test_a_value_that_was_accepted_once_hinders_no_other(
    described, world, push, change, store, crm
):
    push()
    with store.transaction() as tx:
        tx.execute(text("UPDATE order_line SET renewal_type = 'Weekly'"))
        tx.execute(
            text(
                'UPDATE crm_record SET known = known || \'{"Renewal_Type__c": "Weekly"}\' '
                "WHERE entity = 'order_line'"
            )
        )
        tx.execute(text("UPDATE order_line SET quantity = 7"))

    report = push()

    assert report.dead == 0
    assert crm.one(f"SELECT Quantity__c FROM {LINE}")["Quantity__c"] == 7
