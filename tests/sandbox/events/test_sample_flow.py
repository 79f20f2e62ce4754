"""The flow of Salesforce's Python sample for the Pub/Sub API: its order of calls, its libraries.

SOAP login read by position, three headers, GetTopic, GetSchema, Publish and Subscribe over TLS,
one more FetchRequest per answer that used up the last, Apache Avro, bitmaps (fact sheet A.7, H.4).
"""

import io
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import avro.io
import avro.schema
import grpc
import pytest
import requests
from events_client import pb, pb_grpc
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

SCHEMA = Path(__file__).parent / "schema"
READY = "/event/Service_Ready__e"
CIRCUITS = "/data/Circuit__ChangeEvent"
LOGIN = (
    "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/' "
    "xmlns:u='urn:partner.soap.sforce.com'><e:Body><u:login>"
    "<u:username><![CDATA[{username}]]></u:username>"
    "<u:password><![CDATA[{password}]]></u:password>"
    "</u:login></e:Body></e:Envelope>"
)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    org = Org(OrgSettings(schema=SCHEMA, soap_login=True))
    started = SandboxServer(org, host="127.0.0.1", port=0, tls=True, grpc_port=0)
    started.start()
    yield started
    started.close()


class Sample:
    """A client that knows an address, a user name and a password, and nothing else."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.ca_file = str(facts["ca_file"])
        credentials = grpc.ssl_channel_credentials(Path(self.ca_file).read_bytes())
        self.channel = grpc.secure_channel(facts["pubsub_address"], credentials)
        self.stub = pb_grpc.PubSubStub(self.channel)
        self.metadata: tuple[tuple[str, str], ...] = ()
        self._schemas: dict[str, avro.schema.RecordSchema] = {}

    def log_in(self, url: str, *, username: str, password: str) -> None:
        """Read the login answer by position, as the sample does."""
        with requests.Session() as http:
            http.trust_env = False  # an environment's own CA bundle would come first
            answer = http.post(
                f"{url}/services/Soap/u/55.0/",
                data=LOGIN.format(username=username, password=password),
                headers={"content-type": "text/xml", "SOAPAction": "Login"},
                verify=self.ca_file,
                timeout=10,
            )
        result = ElementTree.fromstring(answer.content.decode())[0][0][0]
        place = urlsplit(result[3].text or "")
        self.metadata = (
            ("accesstoken", result[4].text or ""),
            ("instanceurl", f"{place.scheme}://{place.netloc}"),
            ("tenantid", result[6][8].text or ""),
        )

    def topic(self, name: str) -> Any:
        return self.stub.GetTopic(pb.TopicRequest(topic_name=name), metadata=self.metadata)

    def schema(self, schema_id: str) -> avro.schema.RecordSchema:
        if schema_id not in self._schemas:
            request = pb.SchemaRequest(schema_id=schema_id)
            answer = self.stub.GetSchema(request, metadata=self.metadata)
            self._schemas[schema_id] = avro.schema.parse(answer.schema_json)
        return self._schemas[schema_id]

    def encode(self, schema_id: str, datum: dict[str, Any]) -> bytes:
        written = io.BytesIO()
        avro.io.DatumWriter(self.schema(schema_id)).write(datum, avro.io.BinaryEncoder(written))
        return written.getvalue()

    def decode(self, event: Any) -> dict[str, Any]:
        decoder = avro.io.BinaryDecoder(io.BytesIO(event.event.payload))
        return dict(avro.io.DatumReader(self.schema(event.event.schema_id)).read(decoder))

    def publish(self, topic: str, datum: dict[str, Any]) -> Any:
        schema_id = self.topic(topic).schema_id
        payload = self.encode(schema_id, datum)
        request = pb.PublishRequest(
            topic_name=topic, events=[{"schema_id": schema_id, "payload": payload}]
        )
        return self.stub.Publish(request, metadata=self.metadata)

    def take(
        self, topic: str, count: int, *, preset: str = "EARLIEST", replay_id: str = "", want: int
    ) -> list[Any]:
        """Return the next events; every FetchRequest says everything, replay id in hexadecimal."""
        asked = threading.Semaphore(1)
        ended = threading.Event()

        def requests_of_client() -> Iterator[Any]:
            while asked.acquire(timeout=20) and not ended.is_set():
                yield pb.FetchRequest(
                    topic_name=topic,
                    replay_preset=pb.ReplayPreset.Value(preset),
                    replay_id=bytes.fromhex(replay_id),
                    num_requested=want,
                )

        stream = self.stub.Subscribe(requests_of_client(), metadata=self.metadata, timeout=20)
        found: list[Any] = []
        for answer in stream:
            found += answer.events
            if len(found) >= count:
                break
            if answer.pending_num_requested == 0:
                asked.release()
        ended.set()
        asked.release()
        stream.cancel()
        return found


@pytest.fixture
def sample(server: SandboxServer, org: Client) -> Iterator[Sample]:
    facts = server.facts()
    client = Sample(facts)
    client.log_in(str(facts["https_url"]), username=facts["username"], password=facts["password"])
    yield client
    client.channel.close()


def changed(schema: avro.schema.RecordSchema, bitmaps: list[str]) -> set[str]:
    """Read bitmaps as the sample's utility does: bits from the right, compounds by their place."""
    names: set[str] = set()
    for bitmap in bitmaps:
        parent, dash, digits = bitmap.rpartition("-")
        record, prefix = schema, ""
        if dash:
            outer = schema.fields[int(parent)]
            record, prefix = outer.type.schemas[-1], f"{outer.name}."
            assert record.type == "record"
        bits = f"{int(digits, 16):b}"[::-1]
        names |= {prefix + record.fields[i].name for i, bit in enumerate(bits) if bit == "1"}
    return names


def test_the_login_answer_is_read_by_position(sample: Sample, server: SandboxServer) -> None:
    facts = server.facts()
    headers = dict(sample.metadata)

    assert headers["instanceurl"] == facts["https_url"]
    assert headers["tenantid"] == facts["organization_id"]
    assert sample.topic(READY).tenant_guid == facts["organization_id"]


def test_an_event_goes_out_and_comes_back(sample: Sample) -> None:
    datum = {
        "CreatedDate": 1_772_323_200,
        "CreatedById": "005000000000001AAA",
        "Key__c": "S-1",
        "Monthly__c": 12.5,
        "Urgent__c": True,
        "Ready_At__c": None,
    }

    published = sample.publish(READY, datum)
    (event,) = sample.take(READY, 1, want=1)

    assert [result.HasField("error") for result in published.results] == [False]
    assert event.replay_id == published.results[0].replay_id
    assert sample.decode(event) == datum


def test_every_answer_that_uses_up_the_last_request_is_followed_by_another(
    sample: Sample, org: Client
) -> None:
    for number in range(7):
        org.create("Circuit__c", Name=f"C-{number}")

    found = sample.take(CIRCUITS, 7, want=3)

    names = [sample.decode(event)["Name"] for event in found]
    assert names == [f"C-{number}" for number in range(7)]


def test_a_client_goes_on_after_the_replay_id_it_stored_as_text(
    sample: Sample, org: Client
) -> None:
    for number in range(5):
        org.create("Circuit__c", Name=f"C-{number}")
    stored = sample.take(CIRCUITS, 2, want=2)[-1].replay_id.hex()

    # The preset and the id stand in every request; the org reads them from the first alone.
    found = sample.take(CIRCUITS, 3, preset="CUSTOM", replay_id=stored, want=1)

    assert [sample.decode(event)["Name"] for event in found] == ["C-2", "C-3", "C-4"]


def test_changed_and_emptied_fields_are_read_from_bitmaps(sample: Sample, org: Client) -> None:
    record_id = org.create("Circuit__c", Name="C", Speed__c=100, Note__c="old")
    org.patch(f"/sobjects/Circuit__c/{record_id}", {"Speed__c": 200, "Note__c": None})

    event = sample.take(CIRCUITS, 2, want=10)[1]
    datum, schema = sample.decode(event), sample.schema(event.event.schema_id)

    header = datum["ChangeEventHeader"]
    assert (header["changeType"], header["recordIds"]) == ("UPDATE", [record_id])
    assert datum["Speed__c"] == 200
    assert datum["Name"] is None
    names = changed(schema, header["changedFields"])
    assert {"Speed__c", "Note__c", "LastModifiedDate"} <= names
    assert "Name" not in names
    assert changed(schema, header["nulledFields"]) == {"Note__c"}


def test_parts_of_compound_fields_are_read_from_bitmaps(sample: Sample, org: Client) -> None:
    topic = "/data/ContactChangeEvent"
    record_id = org.create("Contact", FirstName="Ada", LastName="King", MailingCity="London")
    org.patch(f"/sobjects/Contact/{record_id}", {"LastName": "Lovelace", "MailingCity": "Bath"})

    event = sample.take(topic, 2, want=10)[1]
    datum, schema = sample.decode(event), sample.schema(event.event.schema_id)

    names = changed(schema, datum["ChangeEventHeader"]["changedFields"])
    assert {"Name.LastName", "MailingAddress.City"} <= names
    assert "Name.FirstName" not in names
    assert datum["Name"]["LastName"] == "Lovelace"


def test_every_schema_of_the_org_is_accepted_by_apache_avro(sample: Sample, org: Client) -> None:
    names = [entry["name"] for entry in org.get("/sobjects").json()["sobjects"]]
    topics = [f"/data/{name.removesuffix('__c')}__ChangeEvent" for name in names if "__c" in name]
    topics += [f"/data/{name}ChangeEvent" for name in ("Account", "Contact", "Opportunity", "Lead")]

    for topic in [*topics, READY, "/data/ChangeEvents"]:
        assert sample.schema(sample.topic(topic).schema_id).type == "record"
    assert len(topics) > 4


def test_a_wrong_password_leaves_nothing_to_read_by_position(server: SandboxServer) -> None:
    client = Sample(server.facts())

    with pytest.raises(IndexError):
        client.log_in(str(server.facts()["https_url"]), username="nobody", password="wrong")
    client.channel.close()
