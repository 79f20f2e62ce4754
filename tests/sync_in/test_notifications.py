"""Decoding stored envelopes with the types of the message's WSDL."""

from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO

import pytest
import zeep

from connector.sync.inbox.envelope import MalformedEnvelope
from connector.sync.inbox.notifications import decode
from connector.sync.inbox.wsdl import wsdl_text

DEAL = "006000000000001AAA"


def message(*fields: str, object_name: str = "Opportunity", notifications: int = 1) -> bytes:
    one = (
        "<Notification><Id>04l00000000000{0:04d}</Id>"
        f'<sObject xsi:type="sf:{object_name}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f"<sf:Id>{DEAL}</sf:Id>{''.join(fields)}</sObject></Notification>"
    )
    parts = "".join(one.replace("{0:04d}", f"{number:04d}") for number in range(notifications))
    return (
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        f'<notifications xmlns="http://soap.sforce.com/2005/09/outbound">{parts}</notifications>'
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


def test_types_come_from_the_wsdl_and_amounts_keep_their_digits(shapes) -> None:
    (found,) = decode(
        message(
            "<sf:Amount>9007199254740993.10</sf:Amount>",
            "<sf:CloseDate>2026-06-15</sf:CloseDate>",
            "<sf:IsWon>true</sf:IsWon>",
            "<sf:SystemModstamp>2026-06-15T08:00:00.000Z</sf:SystemModstamp>",
        ),
        shapes,
    ).notifications

    assert found.values["Amount"] == Decimal("9007199254740993.10")
    assert found.values["CloseDate"] == date(2026, 6, 15)
    assert found.values["IsWon"] is True
    assert found.values["StageName"] is None
    assert found.version == datetime(2026, 6, 15, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "fields",
    [
        ("<sf:Added__c>x</sf:Added__c>", "<sf:IsWon>true</sf:IsWon>"),
        ("<sf:IsWon>true</sf:IsWon>", "<sf:Amount>1.0</sf:Amount>"),
        ("<sf:IsWon>true</sf:IsWon>", "<sf:CloseDate>soon</sf:CloseDate>"),
    ],
    ids=["a field more", "another order", "a value that is none"],
)
def test_a_changed_message_loses_no_known_field(shapes, fields: tuple[str, ...]) -> None:
    (found,) = decode(message(*fields), shapes).notifications

    assert found.values["IsWon"] is True
    assert found.sfid == DEAL


def test_a_record_deleted_before_sending_is_no_notification(shapes) -> None:
    body = message().replace(f"<sf:Id>{DEAL}</sf:Id>".encode(), b"")

    assert decode(body, shapes).notifications == ()


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (f"<sf:Id>{DEAL}</sf:Id>", "<sf:Name>Deal</sf:Name>", "Its Opportunity has no id"),
        (DEAL, "six hundred", "Its Opportunity has no id"),
        ("<Id>04l000000000000000</Id>", "", "It has no id."),
    ],
    ids=["no id of the record", "no id at all", "no id of its own"],
)
def test_one_that_names_no_record_is_told_by_its_place(shapes, right, wrong, told) -> None:
    body = message().replace(right.encode(), wrong.encode())

    (problem,) = decode(body, shapes).problems

    assert problem.startswith(f"notification 1: {told}")


def test_an_object_nobody_maps_is_left_out(shapes) -> None:
    assert decode(message(object_name="Case"), shapes).notifications == ()


def test_reads_a_hundred_notifications(shapes) -> None:
    assert len(decode(message(notifications=100), shapes).notifications) == 100


def test_refuses_a_body_that_is_no_envelope(shapes) -> None:
    with pytest.raises(MalformedEnvelope):
        decode(b"<a/>", shapes)


def test_the_wsdl_is_one_a_soap_library_can_serve_as_a_whole(shapes) -> None:
    client = zeep.Client(BytesIO(wsdl_text(shapes["Opportunity"])))

    operations = [name for binding in client.wsdl.bindings.values() for name in binding.all()]
    assert operations == ["notifications"]


def test_every_mapped_field_is_in_its_message(mappings, shapes) -> None:
    for mapping in mappings.pulled:
        known = set(shapes[mapping.object].fields)
        wanted = set(mapping.pull.fields) if mapping.pull else set()
        for rule in mapping.intents:
            wanted |= {rule.when.field, *rule.facts}
        assert wanted <= known, (mapping.entity, wanted - known)
