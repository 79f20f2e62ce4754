"""Subscriptions: flow control, places in the stream, refusals (fact sheet H.4)."""

import uuid
from collections.abc import Callable

import grpc
import pytest
from events_client import PubSub, error_code, pb
from l2c_sandbox.server import SandboxServer
from org_client import Client

CIRCUITS = "/data/Circuit__ChangeEvent"
FETCH = "sfdc.platform.eventbus.grpc.subscription.fetch."


def create_circuits(org: Client, count: int) -> None:
    for number in range(count):
        org.create("Circuit__c", Name=f"C-{number}")


def test_no_more_events_come_than_were_asked_for(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 5)
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST", want=2)

    first = next(stream.responses)
    assert [len(first.events), first.pending_num_requested] == [2, 0]

    stream.more(10)
    second = next(stream.responses)
    assert [len(second.events), second.pending_num_requested] == [3, 7]
    names = [pubsub.decode(event)["Name"] for event in [*first.events, *second.events]]
    assert names == [f"C-{number}" for number in range(5)]
    assert second.latest_replay_id == second.events[-1].replay_id


def test_a_client_that_asks_no_more_gets_the_rest_and_the_end(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 3)
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST", want=3)
    stream.finish()

    assert len([event for answer in stream.responses for event in answer.events]) == 3


def test_the_tip_of_the_stream_knows_nothing_of_before(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 2)
    org.call("PUT", "/__sandbox__/events", json={"keep_alive_s": 0.01})
    stream = pubsub.subscribe(CIRCUITS)
    begun = next(stream.responses)
    assert not begun.events

    org.create("Circuit__c", Name="new")

    assert [event["Name"] for event in stream.read(1)] == ["new"]


def test_a_client_goes_on_after_its_last_event(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 3)
    seen = pubsub.subscribe(CIRCUITS, preset="EARLIEST", want=2).take(2)
    ids = [int.from_bytes(event.replay_id, "big") for event in seen]
    assert ids == sorted(ids)

    again = pubsub.subscribe(CIRCUITS, preset="CUSTOM", replay_id=seen[-1].replay_id)

    assert [event["Name"] for event in again.read(1)] == ["C-2"]


def test_a_client_goes_on_after_a_keep_alive(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    org.call("PUT", "/__sandbox__/events", json={"keep_alive_s": 0.01})
    quiet = next(pubsub.subscribe(CIRCUITS).responses)

    org.create("Circuit__c", Name="later")
    stream = pubsub.subscribe(CIRCUITS, preset="CUSTOM", replay_id=quiet.latest_replay_id)

    assert [event["Name"] for event in stream.read(1)] == ["later"]


def test_a_keep_alive_never_skips_what_the_client_did_not_ask_for(
    org: Client, pubsub: PubSub
) -> None:
    create_circuits(org, 2)
    org.call("PUT", "/__sandbox__/events", json={"keep_alive_s": 0.01})
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST", want=1)
    first = next(stream.responses)
    quiet = next(stream.responses)

    assert not quiet.events
    assert quiet.latest_replay_id == first.events[0].replay_id


def test_events_older_than_three_days_are_gone(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    old = pubsub.subscribe(CIRCUITS, preset="EARLIEST").take(1)[0]

    assert org.post("/__sandbox__/events/expire", {}).json() == {"expired": 1}

    error = pubsub.subscribe(CIRCUITS, preset="CUSTOM", replay_id=old.replay_id).fails()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_code(error) == FETCH + "replayid.validation.failed"
    org.create("Circuit__c", Name="new")
    fresh = pubsub.subscribe(CIRCUITS, preset="EARLIEST")
    assert [event["Name"] for event in fresh.read(1)] == ["new"]


@pytest.mark.parametrize(
    ("replay_id", "reason"),
    [
        (b"", "corrupted"),
        (b"\x00\x01", "corrupted"),
        ((10**12).to_bytes(8, "big"), "validation.failed"),
        ((1).to_bytes(8, "big"), "validation.failed"),
    ],
)
def test_a_foreign_replay_id_is_refused(pubsub: PubSub, replay_id: bytes, reason: str) -> None:
    error = pubsub.subscribe(CIRCUITS, preset="CUSTOM", replay_id=replay_id).fails()

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_code(error) == f"{FETCH}replayid.{reason}"


@pytest.mark.parametrize("count", [0, -1])
def test_asking_for_no_events_is_refused(pubsub: PubSub, count: int) -> None:
    error = pubsub.subscribe(CIRCUITS, want=count).fails()

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_code(error) == FETCH + "requested.events.invalid"


def test_the_topic_of_a_stream_cannot_change(org: Client, pubsub: PubSub) -> None:
    stream = pubsub.subscribe(CIRCUITS)
    stream.more(1, topic_name="/data/AccountChangeEvent")

    assert stream.fails().code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["/data/NothingChangeEvent", "/event/Nothing__e", "Account", "/"])
def test_an_unknown_topic_is_refused(pubsub: PubSub, name: str) -> None:
    assert pubsub.subscribe(name).fails().code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as refused:
        pubsub.topic(name)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("header", ["accesstoken", "tenantid", "instanceurl"])
def test_a_call_without_one_of_the_three_headers_is_refused(pubsub: PubSub, header: str) -> None:
    pubsub.headers = tuple(pair for pair in pubsub.headers if pair[0] != header)

    for error in (pubsub.subscribe(CIRCUITS).fails(), refused_topic(pubsub)):
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert error_code(error) == "sfdc.platform.eventbus.grpc.service.auth.error"


def refused_topic(pubsub: PubSub) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        pubsub.topic(CIRCUITS)
    return refused.value


def test_a_stream_ends_with_its_session(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")
    stream.take(1)

    org.call("POST", "/__sandbox__/sessions/expire")

    assert stream.fails().code() is grpc.StatusCode.UNAUTHENTICATED


def test_more_events_than_the_day_allows_are_refused(org: Client, pubsub: PubSub) -> None:
    org.call("PUT", "/__sandbox__/events", json={"daily_deliveries": 2})
    create_circuits(org, 3)
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST", want=2)
    stream.take(2)
    stream.more(1)

    error = stream.fails()

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_code(error) == "sfdc.platform.eventbus.grpc.subscription.limit.exceeded"


def schedule(org: Client, kind: str, path: str, **more: object) -> None:
    fault = {"kind": kind, "path": path, "count": 1} | more
    org.post("/__sandbox__/faults", {"faults": [fault]}).raise_for_status()


def test_a_fault_brings_events_twice(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 2)
    schedule(org, "event_duplicate", CIRCUITS)

    names = [e["Name"] for e in pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(4)]

    assert names == ["C-0", "C-1", "C-0", "C-1"]


def test_a_fault_brings_events_out_of_order(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 3)
    schedule(org, "event_reorder", CIRCUITS)

    names = [e["Name"] for e in pubsub.subscribe(CIRCUITS, preset="EARLIEST").read(3)]

    assert names == ["C-2", "C-1", "C-0"]


def test_a_fault_makes_the_service_unavailable(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    schedule(org, "http", "PubSub/Subscribe", status=503)

    error = pubsub.subscribe(CIRCUITS, preset="EARLIEST").fails()

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_code(error) == "sfdc.platform.eventbus.grpc.service.unavailable"
    assert len(pubsub.subscribe(CIRCUITS, preset="EARLIEST").take(1)) == 1


def test_a_fault_cuts_the_stream_after_a_batch(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    schedule(org, "drop_after", "PubSub/Subscribe")
    stream = pubsub.subscribe(CIRCUITS, preset="EARLIEST")
    stream.take(1)

    assert stream.fails().code() is grpc.StatusCode.UNAVAILABLE


def test_two_subscribers_get_the_same_events(org: Client, connect: Callable[[], PubSub]) -> None:
    streams = [connect().subscribe(CIRCUITS, preset="EARLIEST") for _ in range(2)]

    create_circuits(org, 3)

    first, second = (stream.take(3) for stream in streams)
    assert [e.replay_id for e in first] == [e.replay_id for e in second]
    assert [e.event.id for e in first] == [e.event.id for e in second]


def test_topic_and_schema_describe_each_other(
    org: Client, pubsub: PubSub, server: SandboxServer
) -> None:
    info = pubsub.topic(CIRCUITS)

    assert (info.can_subscribe, info.can_publish) == (True, False)
    assert info.tenant_guid == server.facts()["organization_id"]
    assert pubsub.schema(info.schema_id)["name"].endswith("Circuit__ChangeEvent")
    assert uuid.UUID(info.rpc_id)


def test_an_unknown_schema_is_refused(pubsub: PubSub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        pubsub.stub.GetSchema(
            pb.SchemaRequest(schema_id="nothing"), metadata=pubsub.headers, timeout=10
        )

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_deliveries_are_counted_per_subscriber(org: Client, connect: Callable[[], PubSub]) -> None:
    create_circuits(org, 3)
    before = org.get("/limits").json()["DailyDeliveredPlatformEvents"]["Remaining"]

    for _ in range(2):
        connect().subscribe(CIRCUITS, preset="EARLIEST").take(3)

    after = org.get("/limits").json()["DailyDeliveredPlatformEvents"]["Remaining"]
    assert before - after == 6
