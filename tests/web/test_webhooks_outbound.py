"""Outbound messages over real HTTP into a real inbox."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import requests
from sqlalchemy import select

from connector.config import Settings
from connector.store.engine import Store
from connector.store.tables.sync import inbox
from connector.web.server import WebServer

ORGANIZATION = "00D000000000062EAA"
ACTION = "04k000000000001AAA"
PATH = "/webhooks/salesforce/outbound"


@dataclass
class FakeQueue:
    nudged: list[str] = field(default_factory=list)

    def nudge(self, name: str) -> None:
        self.nudged.append(name)


@dataclass
class FakeOrg:
    asked: int = 0

    def identity(self) -> str:
        self.asked += 1
        return ORGANIZATION


@dataclass
class FakeApp:
    store: Store
    settings: Settings
    queue: FakeQueue = field(default_factory=FakeQueue)
    org: FakeOrg = field(default_factory=FakeOrg)


@dataclass
class Receiver:
    app: FakeApp
    address: str
    http: requests.Session

    def post(self, body: bytes, path: str = PATH) -> requests.Response:
        return self.http.post(
            self.address + path,
            data=body,
            headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'},
            timeout=10,
        )

    def stored(self) -> list[bytes]:
        with self.app.store.read() as tx:
            return [bytes(row) for row in tx.scalars(select(inbox.c.content).order_by(inbox.c.id))]


@pytest.fixture
def receiver(store: Store) -> Iterator[Receiver]:
    yield from serve(store, {})


@pytest.fixture
def secret_receiver(store: Store) -> Iterator[Receiver]:
    yield from serve(store, {"secret_path": "open-sesame"})


def serve(store: Store, webhooks: dict[str, object]) -> Iterator[Receiver]:
    settings = Settings.model_validate({"web": {"port": 0}, "webhooks": webhooks})
    app = FakeApp(store=store, settings=settings)
    server = WebServer(app, threads=2)
    address = server.start()
    with requests.Session() as http:
        http.trust_env = False
        yield Receiver(app, address, http)
    server.stop()


def envelope(*, organization: str = ORGANIZATION, notifications: int = 1) -> bytes:
    parts = "".join(
        f"<Notification><Id>04l{number:015d}</Id>"
        '<sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f"<sf:Id>001{number:015d}</sf:Id></sObject></Notification>"
        for number in range(notifications)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f"<OrganizationId>{organization}</OrganizationId><ActionId>{ACTION}</ActionId>"
        f"<SessionId xsi:nil='true'/>{parts}</notifications></soapenv:Body></soapenv:Envelope>"
    ).encode()


ENTITY_BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">]>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">&e;&e;&e;&e;&e;
</soapenv:Envelope>"""


class TestAcceptance:
    def test_stores_the_whole_envelope_before_it_acknowledges(self, receiver) -> None:
        body = envelope(notifications=100)

        answer = receiver.post(body)

        assert answer.status_code == 200
        assert b"<Ack>true</Ack>" in answer.content
        assert receiver.stored() == [body]
        assert receiver.app.queue.nudged == ["apply_inbox"]

    def test_asks_the_org_for_its_id_only_once(self, receiver) -> None:
        receiver.post(envelope())
        receiver.post(envelope())

        assert receiver.app.org.asked == 1

    def test_stores_the_same_message_again_because_apply_removes_doubles(self, receiver) -> None:
        for _ in range(3):
            assert receiver.post(envelope()).status_code == 200

        assert len(receiver.stored()) == 3

    def test_does_not_acknowledge_what_it_could_not_store(self, receiver) -> None:
        with receiver.app.store.transaction() as tx:
            tx.exec_driver_sql("ALTER TABLE inbox RENAME TO elsewhere")

        answer = receiver.post(envelope())

        assert answer.status_code == 503
        assert b"Ack" not in answer.content

    def test_takes_messages_again_once_they_can_be_stored(self, receiver) -> None:
        with receiver.app.store.transaction() as tx:
            tx.exec_driver_sql("ALTER TABLE inbox RENAME TO elsewhere")
        receiver.post(envelope())
        with receiver.app.store.transaction() as tx:
            tx.exec_driver_sql("ALTER TABLE elsewhere RENAME TO inbox")

        assert receiver.post(envelope()).status_code == 200
        assert len(receiver.stored()) == 1

    def test_a_connection_the_server_ended_costs_one_message_its_acknowledgement(
        self, receiver
    ) -> None:
        receiver.post(envelope())
        with receiver.app.store.transaction() as tx:
            tx.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'l2c-inbox' AND datname = current_database()"
            )

        answers = [receiver.post(envelope()).status_code for _ in range(3)]

        assert answers == [503, 200, 200]
        assert len(receiver.stored()) == 3


class TestRefusal:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not xml",
            b"\xff\xfe\x00",
            b"<a/>",
            envelope()[:-40],
            envelope(notifications=0),
            envelope(notifications=101),
            envelope(organization="00D"),
            ENTITY_BOMB,
            b"<!DOCTYPE a>" + envelope().split(b"?>", 1)[1],
        ],
        ids=[
            "empty",
            "text",
            "binary",
            "other xml",
            "cut off",
            "without notification",
            "101 notifications",
            "short organization",
            "entity bomb",
            "bare doctype",
        ],
    )
    def test_refuses_what_is_no_outbound_message(self, receiver, body: bytes) -> None:
        answer = receiver.post(body)

        assert answer.status_code == 400
        assert b"Fault" in answer.content
        assert receiver.stored() == []
        assert receiver.app.queue.nudged == []

    def test_refuses_a_message_of_another_organization(self, receiver) -> None:
        answer = receiver.post(envelope(organization="00D000000000063EAA"))

        assert answer.status_code == 403
        assert receiver.stored() == []

    def test_refuses_an_oversized_message_without_reading_it(self, receiver) -> None:
        answer = receiver.post(b"x" * (1024 * 1024 + 1))

        assert answer.status_code == 413
        assert receiver.stored() == []

    def test_logs_a_refusal_without_the_body(self, receiver, capsys) -> None:
        receiver.post(b"<secret-of-the-customer>")

        said = capsys.readouterr()
        assert "webhook.refused" in said.out + said.err
        assert "secret-of-the-customer" not in said.out + said.err

    def test_goes_on_serving_after_hostile_bodies(self, receiver) -> None:
        for body in (ENTITY_BOMB, b"x" * 2_000_000, b"<"):
            receiver.http.close()
            receiver.post(body)

        assert receiver.post(envelope()).status_code == 200


class TestSecretPath:
    def test_takes_messages_at_the_secret_path_only(self, secret_receiver) -> None:
        assert secret_receiver.post(envelope()).status_code == 404
        assert secret_receiver.post(envelope(), f"{PATH}/wrong").status_code == 404
        assert secret_receiver.post(envelope(), f"{PATH}/open-sesame").status_code == 200
        assert len(secret_receiver.stored()) == 1

    def test_knows_no_path_below_when_no_secret_is_set(self, receiver) -> None:
        assert receiver.post(envelope(), f"{PATH}/anything").status_code == 404


def test_says_whether_it_is_well(receiver) -> None:
    answer = receiver.http.get(f"{receiver.address}/healthz", timeout=10)

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
