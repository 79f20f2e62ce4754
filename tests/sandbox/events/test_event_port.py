"""The Pub/Sub port of a started org: TLS, data that outlives the process, schemas that change."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from events_client import PubSub
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

SCHEMA = Path(__file__).parent / "schema"
CIRCUITS = "/data/Circuit__ChangeEvent"
MEMBERS = "main/default/platformEventChannelMembers"


@contextmanager
def started(
    data: Path | None, schema: Path = SCHEMA, *, tls: bool = False
) -> Iterator[tuple[Client, PubSub]]:
    org = Org(OrgSettings(schema=schema, data=data))
    server = SandboxServer(org, host="127.0.0.1", port=0, tls=tls, grpc_port=0)
    server.start()
    facts = server.facts()
    client = Client(server.base_url)
    root = Path(facts["ca_file"]).read_bytes() if tls else None
    pubsub = PubSub(
        facts["pubsub_address"],
        token=client.token,
        organization_id=facts["organization_id"],
        root_certificate=root,
    )
    try:
        yield client, pubsub
    finally:
        pubsub.channel.close()
        server.close()


def test_tls_serves_the_pubsub_port_with_the_certificate_of_the_org() -> None:
    with started(None, tls=True) as (org, pubsub):
        org.create("Circuit__c", Name="C")

        assert pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(1)[0]["Name"] == "C"


def test_events_and_places_outlive_the_process(tmp_path: Path) -> None:
    data = tmp_path / "org.sqlite"
    with started(data) as (org, pubsub):
        org.create("Circuit__c", Name="before")
        org.create("Circuit__c", Name="unseen")
        seen = pubsub.subscribe(CIRCUITS, preset="EARLIEST", want=1).take(1)[0]

    with started(data) as (org, pubsub):
        org.create("Circuit__c", Name="after")
        stream = pubsub.subscribe(CIRCUITS, preset="CUSTOM", replay_id=seen.replay_id)

        assert [event["Name"] for event in stream.read(2)] == ["unseen", "after"]


def test_the_seed_is_no_change(tmp_path: Path) -> None:
    with started(None) as (org, _):
        assert org.get("/__sandbox__/events").json()["kept"] == 0


def test_another_field_means_another_schema_and_old_events_stay_readable(tmp_path: Path) -> None:
    data, schema = tmp_path / "org.sqlite", tmp_path / "schema"
    shutil.copytree(SCHEMA, schema)
    with started(data, schema) as (org, pubsub):
        org.create("Circuit__c", Name="old")
        before = pubsub.topic(CIRCUITS).schema_id
    fields = schema / "main/default/objects/Circuit__c/fields"
    text = (fields / "Speed__c.field-meta.xml").read_text()
    (fields / "Ports__c.field-meta.xml").write_text(text.replace("Speed", "Ports"))

    with started(data, schema) as (org, pubsub):
        org.create("Circuit__c", Name="new", Ports__c=4)
        after = pubsub.topic(CIRCUITS).schema_id
        old, new = pubsub.subscribe(CIRCUITS, preset="EARLIEST").take(2)

        assert (old.event.schema_id, new.event.schema_id) == (before, after)
        assert before != after
        assert "Ports__c" not in pubsub.decode(old)
        assert pubsub.decode(new)["Ports__c"] == 4.0


def test_a_selection_by_command_outlives_the_process(tmp_path: Path) -> None:
    data = tmp_path / "org.sqlite"
    with started(data) as (org, _):
        org.call("PUT", "/__sandbox__/cdc", json={"entities": ["Lead"]})

    with started(data) as (org, _):
        assert org.get("/__sandbox__/events").json()["entities"] == ["Lead"]


def test_a_member_that_names_nothing_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    schema = tmp_path / "schema"
    shutil.copytree(SCHEMA, schema)
    member = (
        schema / MEMBERS / "ChangeEvents_AccountChangeEvent.platformEventChannelMember-meta.xml"
    )
    member.write_text(member.read_text().replace("AccountChangeEvent", "NothingChangeEvent"))

    with started(tmp_path / "org.db", schema) as (org, _):
        assert "Account" not in org.get("/__sandbox__/events").json()["entities"]
    assert "NothingChangeEvent" in caplog.text
