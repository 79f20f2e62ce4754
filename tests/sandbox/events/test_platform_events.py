"""Platform events: published over REST and the Pub/Sub API (fact sheet H.5)."""

import queue
import uuid

import grpc
import pytest
from events_client import PubSub, error_code, pb
from org_client import Client

READY = "/event/Service_Ready__e"


def event(pubsub: PubSub, *, key: str | None = "S-1", name: str = "") -> object:
    info = pubsub.topic(READY)
    datum = {
        "CreatedDate": 1_772_323_200_000,
        "CreatedById": "005000000000001AAA",
        "Key__c": key,
        "Monthly__c": 12.5,
        "Urgent__c": True,
        "Ready_At__c": None,
    }
    payload = pubsub.encode(info.schema_id, datum)
    return pb.ProducerEvent(id=name, schema_id=info.schema_id, payload=payload)


def test_an_event_published_over_rest_reaches_its_subscribers(org: Client, pubsub: PubSub) -> None:
    answer = org.post(
        "/sobjects/Service_Ready__e",
        {"Key__c": "S-1", "Monthly__c": 12.5, "Ready_At__c": "2026-03-01T00:00:00Z"},
    )
    assert answer.status_code == 201
    assert answer.json()["id"].startswith("e0")
    told = answer.json()["errors"][0]
    assert told["statusCode"] == "OPERATION_ENQUEUED"

    raw = pubsub.subscribe(READY, preset="EARLIEST").take(1)[0]

    assert raw.event.id == told["message"] == str(uuid.UUID(told["message"]))
    got = pubsub.decode(raw)
    assert got.pop("CreatedDate") > 0
    assert got.pop("CreatedById").startswith("005")
    assert got == {
        "Key__c": "S-1",
        "Monthly__c": 12.5,
        "Urgent__c": False,
        "Ready_At__c": 1_772_323_200_000,
    }


def test_collections_publish_too_and_each_event_has_its_result(org: Client, pubsub: PubSub) -> None:
    rows = [{"Key__c": "a"}, {"Monthly__c": 1}, {"Key__c": "b"}]
    records = [{"attributes": {"type": "Service_Ready__e"}} | row for row in rows]

    results = org.post("/composite/sobjects", {"records": records}).json()

    assert [result["success"] for result in results] == [True, False, True]
    assert results[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    got = pubsub.subscribe(READY, preset="EARLIEST").read(2)
    assert [e["Key__c"] for e in got] == ["a", "b"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "REQUIRED_FIELD_MISSING"),
        ({"Key__c": "x" * 21}, "STRING_TOO_LONG"),
        ({"Key__c": "S", "Nothing__c": 1}, "INVALID_FIELD"),
        ({"Key__c": "S", "ReplayId": "1"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
)
def test_a_bad_event_is_refused(org: Client, fields: dict[str, object], code: str) -> None:
    answer = org.post("/sobjects/Service_Ready__e", fields)

    assert answer.status_code == 400
    assert answer.json()[0]["errorCode"] == code


def test_more_events_than_the_hour_allows_are_refused(org: Client) -> None:
    org.call("PUT", "/__sandbox__/events", json={"hourly_publishes": 1})

    codes = [org.post("/sobjects/Service_Ready__e", {"Key__c": "S"}).status_code for _ in range(2)]

    assert codes == [201, 400]


def test_events_are_no_records(org: Client) -> None:
    org.post("/sobjects/Service_Ready__e", {"Key__c": "S"})

    assert org.refused("SELECT Id FROM Service_Ready__e")["errorCode"] == (
        "INVALID_TYPE_FOR_OPERATION"
    )
    described = org.get("/sobjects/Service_Ready__e/describe").json()
    assert described["createable"]
    assert not described["queryable"]


def test_an_event_published_by_grpc_reaches_its_subscribers(org: Client, pubsub: PubSub) -> None:
    assert pubsub.topic(READY).can_publish

    answer = pubsub.publish(READY, [event(pubsub, name="mine")])

    result = answer.results[0]
    assert result.correlation_key == "mine"
    assert not result.HasField("error")
    got = pubsub.subscribe(READY, preset="EARLIEST").take(1)[0]
    assert (got.replay_id, got.event.id) == (result.replay_id, "mine")
    assert pubsub.decode(got)["Key__c"] == "S-1"


def test_each_published_event_has_a_result_of_its_own(org: Client, pubsub: PubSub) -> None:
    good = event(pubsub, name="good")
    broken = pb.ProducerEvent(id="broken", schema_id=good.schema_id, payload=b"\x00\xff")
    foreign = pb.ProducerEvent(id="foreign", schema_id="nothing", payload=good.payload)
    empty = event(pubsub, key=None, name="empty")

    answer = pubsub.publish(READY, [broken, foreign, empty, good])

    assert [r.correlation_key for r in answer.results] == ["broken", "foreign", "empty", "good"]
    assert [r.error.code for r in answer.results] == [pb.PUBLISH] * 3 + [pb.UNKNOWN]
    assert [bool(r.replay_id) for r in answer.results] == [False, False, False, True]
    assert len(pubsub.subscribe(READY, preset="EARLIEST").take(1)) == 1


def test_a_stream_of_publications_is_answered_request_by_request(
    org: Client, pubsub: PubSub
) -> None:
    requests = [
        pb.PublishRequest(topic_name=READY, events=[event(pubsub)]),
        pb.PublishRequest(events=[event(pubsub), event(pubsub)]),
    ]

    answers = list(pubsub.stub.PublishStream(iter(requests), metadata=pubsub.headers, timeout=10))

    assert [len(answer.results) for answer in answers] == [1, 2]
    assert len(pubsub.subscribe(READY, preset="EARLIEST").take(3)) == 3


def test_a_silent_stream_of_publications_is_closed(org: Client, pubsub: PubSub) -> None:
    org.call("PUT", "/__sandbox__/events", json={"publish_idle_s": 0.05})
    nothing: queue.Queue[None] = queue.Queue()
    silent = iter(nothing.get, None)
    stream = pubsub.stub.PublishStream(silent, metadata=pubsub.headers, timeout=10)

    with pytest.raises(grpc.RpcError) as closed:
        next(stream)

    nothing.put(None)
    assert closed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error_code(closed.value).startswith("sfdc.platform.eventbus.grpc.")


@pytest.mark.parametrize("topic", ["/data/AccountChangeEvent", "/data/ChangeEvents"])
def test_change_events_cannot_be_published(pubsub: PubSub, topic: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        pubsub.publish(topic, [event(pubsub)])

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("count", [0, 201])
def test_a_request_has_one_to_two_hundred_events(pubsub: PubSub, count: int) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        pubsub.publish(READY, [event(pubsub)] * count if count else [])

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
