"""Which envelopes are taken in without a parser, and what the parser is still there for."""

import pytest

from connector.sync.inbox.envelope import MalformedEnvelope, read_head
from connector.sync.inbox.plain_envelope import read_plain_head

ORGANIZATION = "00D000000000001EAA"
ACTION = "04k000000000001AAA"
NOTIFICATION = (
    "   <Notification>\n    <Id>04l000000000001AAA</Id>\n"
    '    <sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">\n'
    "     <sf:Id>001000000000001AAA</sf:Id><sf:Name>Čapek &amp; Söhne!?</sf:Name>\n"
    "    </sObject>\n   </Notification>\n"
)


def envelope(inside: str = NOTIFICATION) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n <soapenv:Body>\n'
        '  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">\n'
        f"   <OrganizationId>{ORGANIZATION}</OrganizationId>\n   <ActionId>{ACTION}</ActionId>\n"
        f'   <SessionId xsi:nil="true"/>\n{inside}'
        "  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>"
    )


PLAIN = {
    "as Salesforce sends it": envelope(),
    "in one line": envelope().replace("\n", "").replace("  ", ""),
    "without a declaration": envelope().partition("?>")[2],
    "another prefix": envelope().replace("soapenv", "e"),
    "a hundred notifications": envelope(NOTIFICATION * 100),
}
OTHERWISE = {
    "a comment": envelope(f"<!-- <Notification></Notification> -->{NOTIFICATION}"),
    "CDATA": envelope(NOTIFICATION.replace("&amp;", "<![CDATA[<Notification></Notification>]]>")),
    "an instruction": envelope(f"<?ask <Notification></Notification>?>{NOTIFICATION}"),
    "a header": envelope().replace(" <soapenv:Body>", " <soapenv:Header/><soapenv:Body>"),
    "another order": envelope().replace(f"   <ActionId>{ACTION}</ActionId>\n", "").replace(
        "   <SessionId", f"   <SessionId/><ActionId>{ACTION}</ActionId><SessionId"
    ),
}  # fmt: skip
BROKEN = {
    "cut off": envelope()[:-30],
    "followed by something": f"{envelope()}<a/>",
    "a doctype": envelope().replace("?>", "?><!DOCTYPE a>"),
    "a prefix that means something else": envelope().replace("schemas.xmlsoap.org", "else"),
    "an open notification": envelope(NOTIFICATION + "<Notification>"),
    "without a notification": envelope(""),
    "101 notifications": envelope(NOTIFICATION * 101),
}


@pytest.mark.parametrize("body", PLAIN.values(), ids=PLAIN)
def test_a_plain_envelope_says_the_same_with_and_without_a_parser(body: str) -> None:
    with_a_comment = body.replace("<SessionId", "<!-- for the parser --><SessionId").encode()

    head = read_plain_head(body.encode())

    assert read_plain_head(with_a_comment) is None
    parsed = read_head(with_a_comment)
    assert head == (parsed.organization_id, parsed.action_id, parsed.notification_count)
    assert head[:2] == (ORGANIZATION, ACTION)


@pytest.mark.parametrize("body", OTHERWISE.values(), ids=OTHERWISE)
def test_one_of_another_shape_is_left_to_the_parser(body: str) -> None:
    assert read_plain_head(body.encode()) is None
    assert read_head(body.encode()).notification_count == 1


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_one_whose_frame_is_broken_is_refused(body: str) -> None:
    with pytest.raises(MalformedEnvelope):
        read_head(body.encode())


def test_one_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(MalformedEnvelope):
        read_head(envelope().encode("iso-8859-2"))


def test_what_is_broken_between_the_notifications_is_told_at_apply_and_holds_up_nothing(
    way_in, user
) -> None:
    broken = envelope(NOTIFICATION.replace("</sf:Name>", "</sf:Phone>"))
    account = user.create("Account", Name="Acme")
    assert read_head(broken.encode()).notification_count == 1
    way_in.tell_raw(broken)
    way_in.tell("Account", account)

    applied = way_in.apply()

    (told,) = applied.problems
    assert "not well-formed" in told
    assert way_in.rows("SELECT name FROM account") == [{"name": "Acme"}]
    assert [row["state"] for row in way_in.rows("SELECT state FROM inbox ORDER BY id")] == [
        "failed", "applied"
    ]  # fmt: skip
