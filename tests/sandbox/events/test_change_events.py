"""Change Data Capture: what a subscriber learns of records (fact sheet H.3)."""

import time
from typing import Any

import pytest
from events_client import PubSub, Stream
from org_client import Client

CIRCUITS = "/data/Circuit__ChangeEvent"


def header(event: dict[str, Any]) -> dict[str, Any]:
    return dict(event["ChangeEventHeader"])


def next_with_schema(pubsub: PubSub, stream: Stream) -> tuple[dict[str, Any], str]:
    raw = stream.take(1)[0]
    return pubsub.decode(raw), raw.event.schema_id


def test_a_created_record_is_told_in_full(org: Client, pubsub: PubSub) -> None:
    org.create("Account", Name="Before", Phone="1")
    record_id = org.create("Circuit__c", Name="C-1", Speed__c=100, Live_On__c="2026-03-01")

    event = pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(1)[0]

    assert header(event)["entityName"] == "Circuit__c"
    assert header(event)["recordIds"] == [record_id]
    assert header(event)["changeType"] == "CREATE"
    assert header(event)["sequenceNumber"] == 1
    assert header(event)["changedFields"] == []
    assert header(event)["commitUser"] == event["CreatedById"] == event["OwnerId"]
    assert header(event)["commitTimestamp"] == event["CreatedDate"]
    assert event["Name"] == "C-1"
    assert event["Speed__c"] == 100.0
    assert event["Live_On__c"] == 1_772_323_200_000
    assert event["Note__c"] is None
    assert not {"Id", "IsDeleted", "SystemModstamp"} & set(event)


def test_an_update_names_what_changed_and_what_was_emptied(org: Client, pubsub: PubSub) -> None:
    record_id = org.create("Circuit__c", Name="C-1", Speed__c=100, Live_On__c="2026-03-01")
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")
    stream.take(1)

    org.patch(f"/sobjects/Circuit__c/{record_id}", {"Speed__c": 200, "Live_On__c": None})
    event, schema_id = next_with_schema(pubsub, stream)

    assert header(event)["changeType"] == "UPDATE"
    changed = pubsub.names(event, schema_id, "changedFields")
    assert changed == {"Speed__c", "Live_On__c", "LastModifiedDate"}
    assert pubsub.names(event, schema_id, "nulledFields") == {"Live_On__c"}
    assert event["Speed__c"] == 200.0
    assert event["Name"] is None
    assert event["Live_On__c"] is None


def test_parts_of_names_and_addresses_are_told_inside_them(org: Client, pubsub: PubSub) -> None:
    record_id = org.create("Contact", LastName="Old", FirstName="Ada", MailingCity="Paris")
    stream = pubsub.subscribe("/data/ContactChangeEvent", preset="EARLIEST")
    created = stream.read(1)[0]
    assert created["Name"]["LastName"] == "Old"
    assert created["MailingAddress"]["City"] == "Paris"

    org.patch(f"/sobjects/Contact/{record_id}", {"LastName": "New", "MailingStreet": "1 Rue"})
    event, schema_id = next_with_schema(pubsub, stream)

    changed = pubsub.names(event, schema_id, "changedFields")
    assert changed == {"Name.LastName", "MailingAddress.Street", "LastModifiedDate"}
    assert event["Name"]["LastName"] == "New"
    assert event["Name"]["FirstName"] is None
    assert event["MailingAddress"]["City"] is None


def test_deleted_and_merged_records_have_no_body(org: Client, pubsub: PubSub) -> None:
    ids = [org.create("Circuit__c", Name=name) for name in ("A", "B")]
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")
    stream.take(2)

    org.delete("/composite/sobjects", params={"ids": ",".join(ids)})
    event = stream.read(1)[0]

    assert header(event)["changeType"] == "DELETE"
    assert header(event)["recordIds"] == ids
    assert {value for name, value in event.items() if name != "ChangeEventHeader"} == {None}


def test_the_same_change_of_many_records_is_one_event(org: Client, pubsub: PubSub) -> None:
    ids = [org.create("Circuit__c", Name=f"C-{n}", Speed__c=1) for n in range(3)]
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")
    stream.take(3)
    rows = [
        {"attributes": {"type": "Circuit__c"}, "id": i, "Speed__c": speed}
        for i, speed in zip(ids, (5, 7, 5), strict=True)
    ]

    org.patch("/composite/sobjects", {"records": rows})
    first, second = stream.read(2)

    assert header(first)["recordIds"] == [ids[0], ids[2]]
    assert header(second)["recordIds"] == [ids[1]]
    assert header(first)["transactionKey"] == header(second)["transactionKey"]
    assert [header(first)["sequenceNumber"], header(second)["sequenceNumber"]] == [1, 2]


def test_when_records_were_last_changed_does_not_tell_their_changes_apart(
    org: Client, pubsub: PubSub
) -> None:
    before = org.create("Circuit__c", Name="C-1")
    time.sleep(1.0 - time.time() % 1.0)  # stamps are whole seconds
    just_now = org.create("Circuit__c", Name="C-2")
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")
    stream.take(2)
    rows = [
        {"attributes": {"type": "Circuit__c"}, "id": record_id, "Speed__c": 5}
        for record_id in (before, just_now)
    ]

    org.patch("/composite/sobjects", {"records": rows})

    assert header(stream.read(1)[0])["recordIds"] == [before, just_now]


def test_what_is_rolled_back_is_never_told(org: Client, pubsub: PubSub) -> None:
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")
    good = {"attributes": {"type": "Circuit__c"}, "Name": "good"}
    bad = {"attributes": {"type": "Circuit__c"}, "Speed__c": "fast"}

    org.post("/composite/sobjects", {"allOrNone": True, "records": [good, bad]})
    org.post("/composite/sobjects", {"allOrNone": False, "records": [good | {"Name": "x"}, bad]})

    assert [event["Name"] for event in stream.read(1)] == ["x"]


def test_several_changes_in_one_transaction_are_one_event(org: Client, pubsub: PubSub) -> None:
    calls = [
        {"method": "POST", "url": "/services/data/v59.0/sobjects/Circuit__c",
         "referenceId": "new", "body": {"Name": "C", "Speed__c": 1}},
        {"method": "PATCH", "url": "/services/data/v59.0/sobjects/Circuit__c/@{new.id}",
         "referenceId": "again", "body": {"Speed__c": 2}},
    ]  # fmt: skip
    answer = org.post("/composite", {"allOrNone": True, "compositeRequest": calls})
    assert answer.status_code == 200
    org.create("Circuit__c", Name="next")

    first, second = pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(2)

    assert (header(first)["changeType"], first["Speed__c"]) == ("CREATE", 2.0)
    assert second["Name"] == "next"


def test_what_is_created_and_deleted_at_once_is_never_told(org: Client, pubsub: PubSub) -> None:
    calls = [
        {"method": "POST", "url": "/services/data/v59.0/sobjects/Circuit__c",
         "referenceId": "new", "body": {"Name": "C"}},
        {"method": "DELETE", "url": "/services/data/v59.0/sobjects/Circuit__c/@{new.id}",
         "referenceId": "gone"},
    ]  # fmt: skip
    answer = org.post("/composite", {"allOrNone": True, "compositeRequest": calls})
    assert answer.json()["compositeResponse"][1]["httpStatusCode"] == 204
    org.create("Circuit__c", Name="next")

    assert pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(1)[0]["Name"] == "next"


def test_a_person_is_told_with_what_follows_from_being_one(org: Client, pubsub: PubSub) -> None:
    account_id = org.create("Account", LastName="Lovelace", FirstName="Ada")

    event = pubsub.subscribe("/data/AccountChangeEvent", preset="EARLIEST").read(1)[0]

    row = org.get(f"/sobjects/Account/{account_id}").json()
    assert event["PersonContactId"] == row["PersonContactId"]
    assert event["IsPersonAccount"] is True


def test_the_origin_names_door_version_and_client(org: Client, pubsub: PubSub) -> None:
    org.post("/sobjects/Circuit__c", {"Name": "C"}, headers={"Sforce-Call-Options": "client=l2c"})

    event = pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(1)[0]

    assert header(event)["changeOrigin"] == "com/salesforce/api/rest/59.0;client=l2c"


def test_the_standard_channel_hands_out_all_selected_objects(org: Client, pubsub: PubSub) -> None:
    stream = pubsub.subscribe("/data/ChangeEvents", preset="EARLIEST")
    org.create("Circuit__c", Name="C")
    org.create("Lead", LastName="Unselected", Company="X")
    org.create("Account", Name="A")

    names = [header(event)["entityName"] for event in stream.read(2)]

    assert names == ["Circuit__c", "Account"]


def test_a_custom_channel_hands_out_its_members(org: Client, pubsub: PubSub) -> None:
    stream = pubsub.subscribe("/data/Orders__chn", preset="EARLIEST")
    org.create("Account", Name="A")
    org.create("Opportunity", Name="Deal", StageName="Prospecting", CloseDate="2026-01-31")
    org.create("Circuit__c", Name="C")

    names = [header(event)["entityName"] for event in stream.read(2)]

    assert names == ["Opportunity", "Circuit__c"]


def test_a_command_selects_objects_until_the_next_reset(org: Client, pubsub: PubSub) -> None:
    org.call("PUT", "/__sandbox__/cdc", json={"entities": ["lead"]}).raise_for_status()
    stream = pubsub.subscribe("/data/ChangeEvents", preset="EARLIEST")
    org.create("Account", Name="A")
    org.create("Lead", LastName="L", Company="X")
    assert header(stream.read(1)[0])["entityName"] == "Lead"

    org.call("POST", "/__sandbox__/reset")

    shown = org.get("/__sandbox__/events").json()
    assert shown["entities"] == ["Account", "Circuit__c", "Contact"]
    assert shown["kept"] == 0


def test_an_unknown_object_cannot_be_selected(org: Client) -> None:
    answer = org.call("PUT", "/__sandbox__/cdc", json={"entities": ["Nothing__c"]})

    assert answer.status_code == 400


def test_a_transaction_of_too_many_changes_overflows_per_object(
    org: Client, pubsub: PubSub
) -> None:
    org.call("PUT", "/__sandbox__/events", json={"overflow_at": 2}).raise_for_status()
    rows = [{"attributes": {"type": "Circuit__c"}, "Name": f"C-{n}"} for n in range(5)]
    org.post("/composite/sobjects", {"records": rows})

    events = pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(3)

    kinds = [header(event)["changeType"] for event in events]
    assert kinds == ["CREATE", "CREATE", "GAP_OVERFLOW"]
    assert header(events[2])["recordIds"] == ["000000000000000AAA"]


def test_a_record_too_large_for_an_event_leaves_a_gap(org: Client, pubsub: PubSub) -> None:
    notes = {f"Note{n}__c": "x" * 130_000 for n in range(2, 10)}
    record_id = org.create("Circuit__c", Name="large", **notes)

    event = pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(1)[0]

    assert header(event)["changeType"] == "GAP_CREATE"
    assert header(event)["recordIds"] == [record_id]
    assert event["Name"] is None


@pytest.mark.parametrize("kind", ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"])
def test_a_gap_comes_on_command(org: Client, pubsub: PubSub, kind: str) -> None:
    record_id = org.create("Account", Name="A")
    stream = pubsub.subscribe("/data/AccountChangeEvent", preset="EARLIEST")
    body = {"entity": "Account", "type": kind, "record_ids": [record_id[:15]]}

    org.call("POST", "/__sandbox__/events/gap", json=body).raise_for_status()
    event = stream.read(2)[1]

    assert header(event)["changeType"] == kind
    assert header(event)["recordIds"] == [record_id]
    assert event["Name"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"entity": "Account", "type": "UPDATE", "record_ids": ["001000000000001AAA"]},
        {"entity": "Account", "record_ids": "001000000000001AAA"},
        {"entity": "Account", "record_ids": []},
        {"entity": "Nothing__c", "type": "GAP_OVERFLOW"},
    ],
)
def test_a_gap_that_makes_no_sense_is_refused(org: Client, body: dict[str, Any]) -> None:
    answer = org.call("POST", "/__sandbox__/events/gap", json=body)

    assert answer.status_code == 400
