"""What a change event says, read from its header alone; names behind bitmaps."""

import io
import json

import fastavro
import pytest

from connector.adapters.salesforce.change_events import ChangeEvent, EventSchema, UnreadableEvent

TEXT = ["null", "string"]
HEADER = {
    "name": "ChangeEventHeader",
    "type": {
        "type": "record",
        "name": "ChangeEventHeader",
        "fields": [
            {"name": "entityName", "type": "string"},
            {"name": "recordIds", "type": {"type": "array", "items": "string"}},
            {"name": "changeType", "type": "string"},
            {"name": "changeOrigin", "type": "string"},
            {"name": "transactionKey", "type": "string"},
            {"name": "sequenceNumber", "type": "int"},
            {"name": "commitTimestamp", "type": "long"},
            {"name": "nulledFields", "type": {"type": "array", "items": "string"}},
            {"name": "changedFields", "type": {"type": "array", "items": "string"}},
        ],
    },
}
ADDRESS = {
    "type": "record",
    "name": "Address",
    "fields": [{"name": "Street", "type": TEXT}, {"name": "City", "type": TEXT}],
}
BODY = [
    {"name": "Name", "type": TEXT},
    {"name": "BillingAddress", "type": ["null", ADDRESS]},
    {"name": "Amount", "type": ["null", "double"]},
]


def schema_text(*fields: dict[str, object]) -> str:
    return json.dumps({"type": "record", "name": "AccountChangeEvent", "fields": list(fields)})


SCHEMA = schema_text(HEADER, *BODY)


def payload(schema: str = SCHEMA, **header: object) -> bytes:
    known = {
        "entityName": "Account",
        "recordIds": ["001000000000001AAA"],
        "changeType": "UPDATE",
        "changeOrigin": "com/salesforce/api/rest/64.0;client=somebody",
        "transactionKey": "key",
        "sequenceNumber": 2,
        "commitTimestamp": 1_700_000_000_123,
        "nulledFields": [],
        "changedFields": [],
    }
    body = {field["name"]: None for field in json.loads(schema)["fields"]}
    stream = io.BytesIO()
    fastavro.schemaless_writer(
        stream,
        fastavro.parse_schema(json.loads(schema), named_schemas={}),
        body | {"ChangeEventHeader": known | header},
    )
    return stream.getvalue()


def read(**header: object) -> ChangeEvent:
    return EventSchema(SCHEMA).read(payload(**header))


def test_reads_which_records_changed_when_and_through_whom() -> None:
    event = read()

    assert event.object_name == "Account"
    assert event.record_ids == ("001000000000001AAA",)
    assert event.commit_at.isoformat() == "2023-11-14T22:13:20.123000+00:00"
    assert event.change_origin.endswith("client=somebody")
    assert (event.transaction_key, event.sequence_number) == ("key", 2)


@pytest.mark.parametrize(
    ("bitmaps", "names"),
    [
        ([], ()),
        (["0x02"], ("Name",)),
        (["0x0A"], ("Name", "Amount")),
        (["2-0x02"], ("BillingAddress.City",)),
        (["0x08", "2-0x03"], ("Amount", "BillingAddress.Street", "BillingAddress.City")),
    ],
)
def test_names_the_fields_behind_a_bitmap(bitmaps, names) -> None:
    event = read(changedFields=bitmaps, nulledFields=bitmaps)

    assert event.changed_fields == names
    assert event.nulled_fields == names


@pytest.mark.parametrize("bitmap", ["0x10", "Name", "9-0x01", "1-0x01"])
def test_refuses_a_bitmap_that_does_not_fit_its_schema(bitmap) -> None:
    with pytest.raises(UnreadableEvent):
        read(changedFields=[bitmap])


def test_reads_an_event_with_a_field_that_was_added() -> None:
    wider = schema_text(HEADER, *BODY, {"name": "Added__c", "type": TEXT})

    event = EventSchema(wider).read(payload(wider, changedFields=["0x10"]))

    assert event.changed_fields == ("Added__c",)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, payload()[:20]])
def test_refuses_a_payload_that_does_not_follow_its_schema(content) -> None:
    with pytest.raises(UnreadableEvent):
        EventSchema(SCHEMA).read(content)


@pytest.mark.parametrize(
    "text", ["no json", "{}", '"text"', schema_text(*BODY), schema_text({"name": HEADER["name"]})]
)
def test_refuses_a_schema_that_is_none_of_a_change_event(text) -> None:
    with pytest.raises(UnreadableEvent):
        EventSchema(text)
