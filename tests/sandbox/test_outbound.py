"""Outbound messages: triggered by flows, retried until acknowledged (fact sheet G)."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from l2c_sandbox.outbound.envelope import acknowledged
from lxml import etree
from org_client import Client

OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
SOBJECT = "{urn:sobject.enterprise.soap.sforce.com}"
ACK = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
    'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>{}</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


class Receiver:
    """Takes messages; acknowledges them once `refusals` are used up."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.headers: list[Any] = []
        self.refusals = 0
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver.take(self.path, self.headers, body)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def take(self, path: str, headers: Any, body: bytes) -> bytes:
        with self._lock:
            self.bodies.append(body)
            self.paths.append(path)
            self.headers.append(headers)
            refused = self.refusals > 0
            self.refusals -= 1
        return ACK.format("false" if refused else "true").encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def notifications(self) -> list[tuple[str, dict[str, str]]]:
        found = []
        for body in self.bodies:
            for node in etree.fromstring(body).iter(f"{OUTBOUND}Notification"):
                fields = {
                    child.tag.removeprefix(SOBJECT): child.text
                    for child in node.find(f"{OUTBOUND}sObject")
                }
                found.append((node.findtext(f"{OUTBOUND}Id"), fields))
        return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    yield started
    started.close()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within five seconds")


def pending(org: Client) -> int:
    return int(org.get("/__sandbox__/outbound").json()["pending"])


def win(org: Client, name: str = "Deal") -> str:
    return org.create(
        "Opportunity",
        Name=name,
        StageName="Closed Won",
        CloseDate="2026-01-31",
        Amount="12.50",
    )


def route(org: Client, receiver: Receiver, **options: Any) -> None:
    body = {"endpoint_base": receiver.url, "first_retry_ms": 20} | options
    assert org.call("PUT", "/__sandbox__/outbound", json=body).status_code == 200


def test_a_won_opportunity_is_told_once_acknowledged(org: Client, receiver: Receiver) -> None:
    route(org, receiver)

    record_id = win(org)

    until(lambda: len(receiver.bodies) == 1 and pending(org) == 0)
    (body,) = receiver.bodies
    root = etree.fromstring(body)
    head = root.find(f".//{OUTBOUND}notifications")
    assert [child.tag.removeprefix(OUTBOUND) for child in head] == [
        "OrganizationId",
        "ActionId",
        "SessionId",
        "EnterpriseUrl",
        "PartnerUrl",
        "Notification",
    ]
    info = org.get("/__sandbox__/info").json()
    assert head.findtext(f"{OUTBOUND}OrganizationId") == info["organization_id"]
    assert head.findtext(f"{OUTBOUND}ActionId").startswith("04k")
    assert b'<SessionId xsi:nil="true"/>' in body
    assert b'<sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise' in body
    ((notification_id, fields),) = receiver.notifications()
    assert notification_id.startswith("04l")
    assert list(fields) == ["Id", "Amount", "CloseDate", "IsWon", "Name", "SystemModstamp"]
    assert (fields["Id"], fields["Amount"], fields["IsWon"]) == (record_id, "12.50", "true")
    assert fields["SystemModstamp"].endswith(".000Z")
    assert receiver.paths == ["/webhooks/salesforce/outbound"]
    assert receiver.headers[0]["SOAPAction"] == '""'
    assert receiver.headers[0]["Content-Type"] == "text/xml; charset=utf-8"


def test_without_acknowledgement_the_same_notification_comes_again(
    org: Client, receiver: Receiver
) -> None:
    receiver.refusals = 2
    route(org, receiver)

    win(org)

    until(lambda: len(receiver.bodies) == 3)
    until(lambda: pending(org) == 0)
    assert len({notification_id for notification_id, _ in receiver.notifications()}) == 1


def test_an_unreachable_endpoint_keeps_messages_until_it_is_back(
    org: Client, receiver: Receiver
) -> None:
    org.call(
        "PUT",
        "/__sandbox__/outbound",
        json={"endpoint_base": "http://127.0.0.1:9", "first_retry_ms": 3_600_000},
    )
    win(org)
    until(lambda: bool(org.get("/__sandbox__/outbound").json()["messages"][0]["attempts"]))
    state = org.get("/__sandbox__/outbound").json()

    route(org, receiver)

    until(lambda: pending(org) == 0)
    assert "Connection refused" in state["messages"][0]["last_error"]
    assert len(receiver.notifications()) == 1


def test_what_waits_is_sent_in_batches_with_the_values_of_then(
    org: Client, receiver: Receiver
) -> None:
    org.call("PUT", "/__sandbox__/outbound", json={})
    rows = [
        {
            "attributes": {"type": "Opportunity"},
            "Name": f"Deal {n}",
            "StageName": "Closed Won",
            "CloseDate": "2026-01-31",
        }
        for n in range(150)
    ]
    ids = [item["id"] for item in org.post("/composite/sobjects", {"records": rows}).json()]
    org.patch(f"/sobjects/Opportunity/{ids[0]}", {"Name": "Renamed & <escaped>"})
    org.delete(f"/sobjects/Opportunity/{ids[1]}")
    assert pending(org) == 150

    route(org, receiver)

    until(lambda: pending(org) == 0)
    told = receiver.notifications()
    assert [len(body.split(b"<Notification>")) - 1 for body in receiver.bodies] == [100, 50]
    assert [fields["Id"] for _, fields in told] == ids
    assert told[0][1]["Name"] == "Renamed & <escaped>"
    assert told[1][1] == {"Id": ids[1]}


def test_the_integration_user_fires_nothing(org: Client, receiver: Receiver) -> None:
    integration = Client(org.base_url, admin=False)

    win(integration)

    assert pending(org) == 0


def test_a_flow_runs_only_when_the_record_changes_to_meet_its_criteria(org: Client) -> None:
    org.call("PUT", "/__sandbox__/outbound", json={})
    deal = org.create("Opportunity", Name="D", StageName="Prospecting", CloseDate="2026-01-31")
    counts = []
    for change in (
        {"NextStep": "x"},
        {"StageName": "Closed Won"},
        {"NextStep": "y"},
        {"StageName": "Prospecting"},
        {"StageName": "Closed Won"},
    ):
        org.patch(f"/sobjects/Opportunity/{deal}", change)
        counts.append(pending(org))

    assert counts == [0, 1, 1, 1, 2]


def test_is_changed_and_is_null_filters(org: Client) -> None:
    org.call("PUT", "/__sandbox__/outbound", json={})
    bill = org.create("Bill__c", Disputed__c=True, Notes__c="n")
    counts = [pending(org)]
    for change in (
        {"Disputed__c": True},
        {"Disputed__c": False},
        {"Disputed__c": True, "Notes__c": None},
    ):
        org.patch(f"/sobjects/Bill__c/{bill}", change)
        counts.append(pending(org))

    assert counts == [0, 0, 1, 1]


def test_a_delivered_message_can_be_sent_again(org: Client, receiver: Receiver) -> None:
    route(org, receiver)
    win(org)
    until(lambda: len(receiver.bodies) == 1 and pending(org) == 0)

    org.post("/__sandbox__/outbound/resend", {"last": 1, "times": 3})

    assert len(receiver.bodies) == 4
    assert len({notification_id for notification_id, _ in receiver.notifications()}) == 1


def test_an_undone_write_sends_nothing(org: Client) -> None:
    org.call("PUT", "/__sandbox__/outbound", json={})
    good = {
        "attributes": {"type": "Opportunity"},
        "Name": "D",
        "StageName": "Closed Won",
        "CloseDate": "2026-01-31",
    }
    bad = {"attributes": {"type": "Opportunity"}}

    org.post("/composite/sobjects", {"allOrNone": True, "records": [good, bad]})

    assert pending(org) == 0


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, ACK.format("true"), True),
        (200, ACK.format(" 1 "), True),
        (200, ACK.format("false"), False),
        (202, ACK.format("true"), False),
        (200, "", False),
        (200, "OK", False),
        (200, ACK.format("true").replace("notificationsResponse", "notifications"), False),
        (200, '<!DOCTYPE a [<!ENTITY b "true">]>' + ACK.format("&b;")[38:], False),
    ],
)
def test_only_a_proper_acknowledgement_counts(status: int, body: str, expected: bool) -> None:
    assert acknowledged(status, body.encode()) is expected


def test_faults_bring_notifications_out_of_order_and_again(org: Client, receiver: Receiver) -> None:
    org.call("PUT", "/__sandbox__/outbound", json={})  # nowhere to go yet
    deals = [win(org, name) for name in "ABC"]
    faults = [{"kind": kind, "object": "Opportunity", "count": 1} for kind in
              ("event_reorder", "event_duplicate")]  # fmt: skip
    org.post("/__sandbox__/faults", {"faults": faults}).raise_for_status()

    route(org, receiver)
    until(lambda: pending(org) == 0)

    told = [fields["Id"] for _, fields in receiver.notifications()]
    assert told == [*reversed(deals), *reversed(deals)]
    assert len({key for key, _ in receiver.notifications()}) == 3
