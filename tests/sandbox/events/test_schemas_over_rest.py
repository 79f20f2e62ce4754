"""Event schemas over REST (fact sheet B.2)."""

import pytest
from events_client import PubSub
from org_client import Client


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("service_ready__e", "/event/Service_Ready__e"),
        ("AccountChangeEvent", "/data/AccountChangeEvent"),
    ],
)
def test_the_schema_is_that_of_the_topic(
    org: Client, pubsub: PubSub, name: str, topic: str
) -> None:
    schema_id = pubsub.topic(topic).schema_id

    shown = org.get(f"/sobjects/{name}/eventSchema?payloadFormat=COMPACT").json()

    assert shown.pop("uuid") == schema_id
    assert [f["name"] for f in shown["fields"]] == [
        f["name"] for f in pubsub.schema(schema_id)["fields"]
    ]
    assert org.get(f"/event/eventSchema/{schema_id}").json()["uuid"] == schema_id


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sobjects/Account/eventSchema", 404),
        ("/event/eventSchema/nothing", 404),
        ("/sobjects/Service_Ready__e/eventSchema?payloadFormat=EXPANDED", 400),
    ],
)
def test_what_there_is_not_is_refused(org: Client, path: str, status: int) -> None:
    assert org.get(path).status_code == status
