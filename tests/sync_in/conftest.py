"""A CRM user, the connector's client, and what the way in needs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from local_org import Org, local_org
from sqlalchemy import text
from sync_in.events_world import Events
from sync_in.still_org import StillOrg

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.retry import RetryPolicy
from connector.store.engine import Store
from connector.sync.apply.intents import IntentRequest
from connector.sync.apply.report import ApplyReport
from connector.sync.apply.run import apply_pending
from connector.sync.capture.report import SweepReport
from connector.sync.capture.sweep import sweep
from connector.sync.inbox.arrivals import fields_to_read
from connector.sync.inbox.store import store_page
from connector.sync.inbox.wsdl import MessageShape, message_shapes
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.loading import load_mappings

CHECKOUT = Path(__file__).parents[2]
BUSINESS_NOW = datetime(2026, 6, 15, 10, tzinfo=UTC)
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"


@pytest.fixture(scope="session")
def mappings() -> Mappings:
    return load_mappings(CHECKOUT / "mappings" / "salesforce")


@pytest.fixture(scope="session")
def shapes(mappings) -> dict[str, MessageShape]:
    return message_shapes(mappings, metadata=CHECKOUT / "salesforce")


@pytest.fixture
def client(org) -> Iterator[OrgClient]:
    login = Login(org.base_url, ClientCredentials(org.client_id, org.client_secret))
    client = OrgClient(login, retry=RetryPolicy(attempts=2, first_pause_s=0.01))
    yield client
    client.close()


class CrmUser:
    """A person working in the CRM, over REST."""

    def __init__(self, org) -> None:
        self._org = org
        self._http = requests.Session()
        self._http.trust_env = False
        self._data = f"{org.base_url}/services/data/v64.0"
        self.log_in()

    def log_in(self) -> None:
        org = self._org
        form = {
            "grant_type": "password",
            "client_id": org.client_id,
            "client_secret": org.client_secret,
            "username": org.username,
            "password": org.password,
        }
        answer = self._http.post(f"{org.base_url}/services/oauth2/token", data=form, timeout=10)
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def create(self, object_name: str, **fields: object) -> str:
        answer = self._http.post(f"{self._data}/sobjects/{object_name}", json=fields, timeout=10)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def update(self, object_name: str, sfid: str, **fields: object) -> None:
        answer = self._http.patch(
            f"{self._data}/sobjects/{object_name}/{sfid}", json=fields, timeout=10
        )
        assert answer.status_code == 204, answer.text

    def delete(self, object_name: str, sfid: str) -> None:
        answer = self._http.delete(f"{self._data}/sobjects/{object_name}/{sfid}", timeout=10)
        assert answer.status_code == 204, answer.text

    def undelete(self, sfid: str) -> None:
        """Take a record out of the recycle bin, which only SOAP can."""
        answer = self._http.post(
            f"{self._org.base_url}/services/Soap/u/64.0",
            headers={"Content-Type": "text/xml", "SOAPAction": '""'},
            data=(
                '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"'
                ' xmlns:p="urn:partner.soap.sforce.com"><e:Header><p:SessionHeader>'
                f"<p:sessionId>{self._http.headers['Authorization'].removeprefix('Bearer ')}"
                "</p:sessionId></p:SessionHeader></e:Header><e:Body><p:undelete>"
                f"<p:ids>{sfid}</p:ids></p:undelete></e:Body></e:Envelope>"
            ),
            timeout=10,
        )
        assert "<success>true</success>" in answer.text, answer.text

    def read(self, object_name: str, sfid: str) -> dict[str, object]:
        answer = self._http.get(f"{self._data}/sobjects/{object_name}/{sfid}", timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def user(org) -> Iterator[CrmUser]:
    user = CrmUser(org)
    yield user
    user.close()


@dataclass
class RecordingFlow:
    """A flow that remembers what it was asked, and may refuse."""

    requests: list[IntentRequest] = field(default_factory=list)
    error: Exception | None = None

    def __call__(self, request: IntentRequest) -> None:
        self.requests.append(request)
        if self.error is not None:
            raise self.error


@dataclass
class WayIn:
    """The way in, wired to a real store and a real org."""

    store: Store
    org: OrgClient
    mappings: Mappings
    shapes: dict[str, MessageShape]
    flows: dict[str, RecordingFlow]
    notification_count: int = 0

    def apply(self) -> ApplyReport:
        return apply_pending(
            store=self.store,
            org=self.org,
            mappings=self.mappings,
            flows=self.flows,
            now=BUSINESS_NOW,
            shapes=self.shapes,
        )

    def apply_without_answer(self) -> None:
        """Apply as if the process died before the CRM was answered."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("connector.sync.apply.run.answer_intents", lambda **_: 0)
            self.apply()

    def sweep(self) -> SweepReport:
        return sweep(
            store=self.store,
            org=self.org,
            mappings=self.mappings,
            now_org=datetime.now(UTC),
        )

    def tell(
        self, object_name: str, *sfids: str, ids: list[str] | None = None, **fields: str
    ) -> None:
        """Store an outbound message about the records, as the webhook does."""
        parts = []
        for place, sfid in enumerate(sfids):
            self.notification_count += 1
            notification_id = ids[place] if ids else f"04l{self.notification_count:015d}"
            values = "".join(f"<sf:{name}>{value}</sf:{name}>" for name, value in fields.items())
            parts.append(
                f"<Notification><Id>{notification_id}</Id>"
                f'<sObject xsi:type="sf:{object_name}" xmlns:sf="urn:sobject.enterprise.soap.'
                f'sforce.com"><sf:Id>{sfid}</sf:Id>{values}</sObject></Notification>'
            )
        self.tell_raw(
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
            f'<notifications xmlns="{OUTBOUND}"><OrganizationId>x</OrganizationId>'
            f"{''.join(parts)}</notifications></soapenv:Body></soapenv:Envelope>"
        )

    def store_page(self, sfid: str, *, age: str, **changed: object) -> None:
        """Store a page with one account as it was a while before the version known of it."""
        (record,) = self.org.query_all(
            f"SELECT {', '.join(fields_to_read(self.mappings, 'Account'))} FROM Account "
            f"WHERE Id = '{sfid}'"
        )
        (row,) = self.rows(
            "SELECT system_modstamp - CAST(:age AS interval) AS at FROM crm_record "
            "WHERE sfid = :sfid",
            age=age,
            sfid=sfid,
        )
        stamp = f"{row['at']:%Y-%m-%dT%H:%M:%S}.000+0000"
        with self.store.transaction() as tx:
            store_page(
                tx,
                object_name="Account",
                organization_id="x",
                records=[record | {"SystemModstamp": stamp} | changed],
            )

    def tell_raw(self, content: str) -> None:
        with self.store.transaction() as tx:
            tx.execute(
                text(
                    "INSERT INTO inbox (source, received_at, organization_id, topic, content)"
                    " VALUES ('outbound_message', now(), 'x', 'x', :content)"
                ),
                {"content": content.encode()},
            )

    def rows(self, statement: str, **values: object) -> list[dict[str, object]]:
        with self.store.read() as tx:
            return [dict(row) for row in tx.execute(text(statement), values).mappings()]

    def run_sql(self, statement: str) -> None:
        with self.store.transaction() as tx:
            tx.exec_driver_sql(statement)


def make_way_in(store: Store, client: OrgClient, mappings, shapes) -> WayIn:
    with store.transaction() as tx:
        tx.exec_driver_sql(
            "INSERT INTO brand (key, name, legal_name, invoice_prefix) VALUES"
            " ('default', 'Operator', 'Operator GmbH', 'INV'),"
            " ('alpina', 'Alpina', 'Alpina AG', 'ALP') ON CONFLICT DO NOTHING"
        )
    flows = {name: RecordingFlow() for name in ("win", "task_action", "order_action")}
    return WayIn(store, client, mappings, shapes, flows)


@pytest.fixture
def events(way_in, org) -> Iterator[Events]:
    """The way in by change events, of an org that shows signs of life all the time."""
    org.admin("events", body={"keep_alive_s": 0.1}, method="PUT")
    events = Events(way_in, org)
    yield events
    events.stop()


@pytest.fixture
def way_in(store, client, mappings, shapes) -> WayIn:
    return make_way_in(store, client, mappings, shapes)


@pytest.fixture(scope="session")
def still_process() -> Iterator[Org]:
    """Return an org whose time stands still; it goes on from test to test."""
    with local_org("--clock", "manual", "--grpc-port", "0") as running:
        yield running


@pytest.fixture
def still(still_process, store, mappings, shapes) -> Iterator[StillOrg]:
    """Return such an org, freshly reset, with the connector before it."""
    still_process.admin("reset")
    login = Login(
        still_process.base_url,
        ClientCredentials(still_process.client_id, still_process.client_secret),
    )
    client = OrgClient(login, retry=RetryPolicy(attempts=2, first_pause_s=0.01))
    way_in = make_way_in(store, client, mappings, shapes)
    yield StillOrg(still_process, way_in, log_in=CrmUser)
    client.close()
