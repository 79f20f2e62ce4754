"""Scheduled faults on the Pub/Sub API: by user, object, count, before and after the write."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from events_client import PubSub, error_code, pb
from org_client import Client

CIRCUITS = "/data/Circuit__ChangeEvent"
READY = "/event/Service_Ready__e"


def schedule(org: Client, **fault: object) -> None:
    assert org.post("/__sandbox__/faults", {"faults": [fault]}).status_code == 200


def circuits(org: Client, count: int) -> None:
    rows = [{"attributes": {"type": "Circuit__c"}, "Name": f"C-{n}"} for n in range(count)]
    org.post("/composite/sobjects", {"records": rows}).raise_for_status()


def event(pubsub: PubSub, key: str = "S-1") -> Any:
    info = pubsub.topic(READY)
    datum = dict.fromkeys(("Monthly__c", "Urgent__c", "Ready_At__c"))
    datum |= {"CreatedDate": 0, "CreatedById": "005000000000001AAA", "Key__c": key}
    return pb.ProducerEvent(schema_id=info.schema_id, payload=pubsub.encode(info.schema_id, datum))


def published(pubsub: PubSub) -> list[str]:
    """Return the keys of all events on the bus, behind which this puts a marker."""
    pubsub.publish(READY, [event(pubsub, "marker")])
    stream = pubsub.subscribe(READY, preset="EARLIEST")
    keys: list[str] = []
    while "marker" not in keys:
        keys += [e["Key__c"] for e in stream.read(1)]
    return keys[:-1]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (503, grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_a_refusal_has_the_status_of_grpc(
    org: Client, pubsub: PubSub, status: int, expected: grpc.StatusCode
) -> None:
    schedule(org, kind="http", status=status, path="PubSub/GetTopic", count=1)

    with pytest.raises(grpc.RpcError) as refused:
        pubsub.topic(CIRCUITS)

    assert refused.value.code() is expected
    assert error_code(refused.value).startswith("sfdc.platform.eventbus.grpc.")


def test_only_the_user_it_is_meant_for_meets_a_fault(
    org: Client, integration: Client, connect: Callable[[], PubSub]
) -> None:
    mine, theirs = connect(), connect()
    theirs.headers = (("accesstoken", integration.token), *theirs.headers[1:])
    schedule(org, kind="http", status=503, user="integration@sandbox.example")

    assert mine.topic(CIRCUITS).topic_name == CIRCUITS
    with pytest.raises(grpc.RpcError):
        theirs.topic(CIRCUITS)


def test_only_topics_of_the_object_meet_a_fault(org: Client, pubsub: PubSub) -> None:
    schedule(org, kind="http", status=503, object="Circuit__c", path="PubSub")

    assert pubsub.topic("/data/AccountChangeEvent").can_subscribe
    for name in (CIRCUITS, "/data/ChangeEvents", "/data/Orders__chn"):
        with pytest.raises(grpc.RpcError):
            pubsub.topic(name)


@pytest.mark.parametrize(
    ("kind", "kept"), [("drop_before", []), ("drop_after", ["S-1"]), ("truncate", ["S-1"])]
)
def test_a_lost_call_has_published_or_not(
    org: Client, pubsub: PubSub, kind: str, kept: list[str]
) -> None:
    mine = event(pubsub)
    schedule(org, kind=kind, path="PubSub/Publish$", count=1)

    with pytest.raises(grpc.RpcError):
        pubsub.publish(READY, [mine])

    assert published(pubsub) == kept


def test_a_stream_of_publications_is_cut_after_the_write(org: Client, pubsub: PubSub) -> None:
    requests = [pb.PublishRequest(topic_name=READY, events=[event(pubsub)])]
    schedule(org, kind="drop_after", path="PubSub/PublishStream", count=1)

    with pytest.raises(grpc.RpcError):
        list(pubsub.stub.PublishStream(iter(requests), metadata=pubsub.headers, timeout=10))

    assert published(pubsub) == ["S-1"]


def test_some_events_of_a_request_fail(org: Client, pubsub: PubSub) -> None:
    events = [event(pubsub, key) for key in "abc"]
    schedule(org, kind="rows", object="Service_Ready__e", message="not today", count=1)

    results = pubsub.publish(READY, events).results

    assert [r.error.msg for r in results] == ["not today", "", ""]
    assert published(pubsub) == ["b", "c"]


def test_rest_publishers_meet_row_faults_too(org: Client, pubsub: PubSub) -> None:
    schedule(org, kind="rows", object="Service_Ready__e", code="LIMIT_EXCEEDED", count=1)

    answers = [org.post("/sobjects/Service_Ready__e", {"Key__c": key}) for key in "ab"]

    assert [a.status_code for a in answers] == [400, 201]
    assert published(pubsub) == ["b"]


def test_a_batch_is_cut_in_the_middle(org: Client, pubsub: PubSub) -> None:
    circuits(org, 4)
    schedule(org, kind="truncate", path="PubSub/Subscribe", count=1)
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")

    half = stream.take(2)
    error = stream.fails()

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    rest = pubsub.subscribe(CIRCUITS, preset="CUSTOM", replay_id=half[-1].replay_id).read(2)
    assert [e["Name"] for e in rest] == ["C-2", "C-3"]


def test_a_batch_trickles_event_by_event(org: Client, pubsub: PubSub) -> None:
    circuits(org, 3)
    schedule(org, kind="trickle", path="PubSub/Subscribe", seconds=0.03, count=1)
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")

    sizes = [len(next(stream.responses).events) for _ in range(3)]

    assert sizes == [1, 1, 1]


def test_disorder_hits_the_user_and_object_it_names(org: Client, pubsub: PubSub) -> None:
    circuits(org, 2)
    for kind in ("event_duplicate", "event_reorder"):
        schedule(org, kind=kind, user="integration@sandbox.example")
        schedule(org, kind=kind, object="Account")

    names = [e["Name"] for e in pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(2)]

    assert names == ["C-0", "C-1"]
