"""Managed subscriptions: the org remembers how far a client has got (fact sheet H.4)."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from events_client import PubSub, error_code, pb
from org_client import Client
from test_event_port import started
from test_subscribe import CIRCUITS, create_circuits

NAME = "Billing_Circuits"  # of the metadata
SCHEMA = Path(__file__).parent / "schema"
ADMIN = "/__sandbox__/events/managed"


def names(client: PubSub, events: list[Any]) -> list[str]:
    return [client.decode(event)["Name"] for event in events]


def define(org: Client, **values: str) -> dict[str, Any]:
    answer = org.call("PUT", ADMIN, json=values)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def of_org(org: Client, name: str = NAME) -> dict[str, Any]:
    found = org.get(ADMIN).json()["subscriptions"]
    return next(dict(one) for one in found if one["developer_name"] == name)


def leave(org: Client, stream: Any) -> None:
    """Close a stream, and wait until the org has noticed."""
    stream.close()
    for _ in range(1_000):
        if not of_org(org)["connected"]:
            return
        time.sleep(0.01)
    raise AssertionError("the org never noticed that the client went")


def test_a_client_goes_on_after_what_it_committed(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 3)
    stream = pubsub.managed(developer_name=NAME, want=2)
    seen = stream.take(2)

    stream.commit(seen[1].replay_id, request_id="first")
    answer = stream.committed()
    leave(org, stream)
    again = pubsub.managed(developer_name=NAME)

    assert names(pubsub, seen) == ["C-0", "C-1"]
    assert (answer.commit_request_id, answer.replay_id) == ("first", seen[1].replay_id)
    assert not answer.HasField("error")
    assert answer.process_time > 0
    assert names(pubsub, again.take(1)) == ["C-2"]


def test_what_was_not_committed_comes_again(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 3)
    stream = pubsub.managed(developer_name=NAME)
    seen = stream.take(3)
    stream.commit(seen[0].replay_id)
    stream.committed()
    leave(org, stream)

    again = pubsub.managed(developer_name=NAME)

    assert names(pubsub, again.take(2)) == ["C-1", "C-2"]


def test_the_place_of_an_empty_answer_can_be_committed(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    org.call("PUT", "/__sandbox__/events", json={"keep_alive_s": 0.01})
    stream = pubsub.managed(developer_name=NAME)
    stream.take(1)
    quiet = next(stream.responses)
    stream.commit(quiet.latest_replay_id)
    stream.committed()
    leave(org, stream)
    org.create("Circuit__c", Name="later")

    again = pubsub.managed(developer_name=NAME)

    assert not quiet.events
    assert names(pubsub, again.take(1)) == ["later"]


def test_no_more_events_come_than_were_asked_for(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 5)
    stream = pubsub.managed(developer_name=NAME, want=2)

    first = next(stream.responses)
    stream.more(10)
    second = next(stream.responses)

    assert [len(first.events), first.pending_num_requested] == [2, 0]
    assert [len(second.events), second.pending_num_requested] == [3, 7]
    assert second.latest_replay_id == second.events[-1].replay_id


def test_the_last_of_several_commits_is_answered_and_kept(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 3)
    stream = pubsub.managed(developer_name=NAME)
    seen = stream.take(3)

    for number, event in enumerate(seen):
        stream.commit(event.replay_id, request_id=str(number))
    answers = []
    while not answers or answers[-1].commit_request_id != "2":
        answers.append(stream.committed())

    assert 1 <= len(answers) <= 3
    assert answers[-1].replay_id == seen[2].replay_id
    assert of_org(org)["committed"] == int.from_bytes(seen[2].replay_id, "big")


def test_a_wrong_commit_is_told_and_the_stream_goes_on(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    stream = pubsub.managed(developer_name=NAME)
    stream.take(1)

    stream.commit((10**12).to_bytes(8, "big"), request_id="far")
    answer = stream.committed()
    org.create("Circuit__c", Name="next")

    assert (answer.commit_request_id, answer.error.code) == ("far", pb.COMMIT)
    assert "Replay ID" in answer.error.msg
    assert of_org(org)["committed"] is None
    assert names(pubsub, stream.take(1)) == ["next"]


@pytest.mark.parametrize(("preset", "expected"), [("EARLIEST", "old"), ("LATEST", "new")])
def test_a_first_connection_begins_where_the_subscription_says(
    org: Client, pubsub: PubSub, preset: str, expected: str
) -> None:
    define(org, developer_name="Mine", topic=CIRCUITS, default_replay=preset)
    org.call("PUT", "/__sandbox__/events", json={"keep_alive_s": 0.01})
    org.create("Circuit__c", Name="old")

    stream = pubsub.managed(developer_name="Mine")
    first = next(stream.responses)  # events, or the sign that it listens
    org.create("Circuit__c", Name="new")

    assert names(pubsub, [*first.events, *stream.take(1)])[0] == expected


@pytest.mark.parametrize(("preset", "expected"), [("EARLIEST", "young"), ("LATEST", "new")])
def test_a_commit_older_than_the_events_kept_recovers_as_the_subscription_says(
    org: Client, pubsub: PubSub, preset: str, expected: str
) -> None:
    define(org, developer_name=NAME, error_recovery_replay=preset)
    create_circuits(org, 2)
    stream = pubsub.managed(developer_name=NAME)
    stream.commit(stream.take(2)[0].replay_id)
    stream.committed()
    leave(org, stream)
    org.post("/__sandbox__/events/expire", {})
    org.call("PUT", "/__sandbox__/events", json={"keep_alive_s": 0.01})
    org.create("Circuit__c", Name="young")

    again = pubsub.managed(developer_name=NAME)
    first = next(again.responses)
    org.create("Circuit__c", Name="new")

    assert names(pubsub, [*first.events, *again.take(1)])[0] == expected


def test_a_subscription_is_found_by_its_id_too(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    record_id = of_org(org)["id"]

    for form in (record_id, record_id[:15]):
        stream = pubsub.managed(subscription_id=form)
        assert names(pubsub, stream.take(1)) == ["C-0"]
        leave(org, stream)


def test_a_subscription_serves_one_client_at_a_time(
    org: Client, connect: Callable[[], PubSub]
) -> None:
    create_circuits(org, 1)
    first = connect().managed(developer_name=NAME)
    first.take(1)

    error = connect().managed(developer_name=NAME).fails()

    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    org.create("Circuit__c", Name="still")
    assert len(first.take(1)) == 1


def test_stopping_ends_the_stream_and_forgets_the_commit(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 2)
    stream = pubsub.managed(developer_name=NAME)
    stream.commit(stream.take(2)[1].replay_id)
    stream.committed()

    define(org, developer_name=NAME, state="STOP")
    ended, refused = stream.fails(), pubsub.managed(developer_name=NAME).fails()
    define(org, developer_name=NAME, state="RUN")

    assert ended.code() is refused.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert names(pubsub, pubsub.managed(developer_name=NAME).take(2)) == ["C-0", "C-1"]


def test_removing_ends_the_stream(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    define(org, developer_name="Mine", topic=CIRCUITS, default_replay="EARLIEST")
    stream = pubsub.managed(developer_name="Mine")
    stream.take(1)

    removed = org.delete(ADMIN, params={"developer_name": "mine"}).json()

    assert removed == {"removed": True}
    assert stream.fails().code() is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("first", [{}, {"developer_name": "None_Such"}, {"subscription_id": "x"}])
def test_an_unknown_subscription_is_refused(pubsub: PubSub, first: dict[str, str]) -> None:
    error = pubsub.managed(**first).fails()

    assert error.code() is grpc.StatusCode.NOT_FOUND


def test_the_subscription_of_a_stream_cannot_change(org: Client, pubsub: PubSub) -> None:
    define(org, developer_name="Mine", topic=CIRCUITS)
    stream = pubsub.managed(developer_name=NAME)
    stream.more(1, developer_name=NAME)
    stream.more(1, developer_name="Mine")

    assert stream.fails().code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("count", [0, -1])
def test_asking_for_no_events_is_refused(pubsub: PubSub, count: int) -> None:
    error = pubsub.managed(developer_name=NAME, want=count).fails()

    assert error_code(error).endswith("subscription.fetch.requested.events.invalid")


def test_a_stream_ends_with_its_session(org: Client, pubsub: PubSub) -> None:
    create_circuits(org, 1)
    stream = pubsub.managed(developer_name=NAME)
    stream.take(1)

    org.call("POST", "/__sandbox__/sessions/expire")

    assert stream.fails().code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"topic": CIRCUITS}, "developer_name must be"),
        ({"developer_name": "two words", "topic": CIRCUITS}, "developer_name must be"),
        ({"developer_name": "Mine", "topic": "/data/NothingChangeEvent"}, "topic must name"),
        ({"developer_name": "Mine", "topic": CIRCUITS, "state": "WALK"}, "state must be"),
        ({"developer_name": "Mine", "topic": CIRCUITS, "default_replay": "CUSTOM"}, "EARLIEST"),
        ({"developer_name": "Mine", "topic": CIRCUITS, "colour": "red"}, "colour must be one of"),
        ({"developer_name": "Mine", "topic": 7}, "and a text"),
    ],
)
def test_a_wrong_definition_is_refused(org: Client, values: dict[str, Any], complaint: str) -> None:
    answer = org.call("PUT", ADMIN, json=values)

    assert answer.status_code == 400
    assert complaint in answer.json()[0]["message"]


def test_a_reset_restores_what_the_metadata_says(org: Client) -> None:
    define(org, developer_name="Mine", topic=CIRCUITS)
    define(org, developer_name=NAME, state="STOP")

    org.post("/__sandbox__/reset", {})

    found = Client(org.base_url).get(ADMIN).json()["subscriptions"]
    assert [(one["developer_name"], one["state"]) for one in found] == [(NAME, "RUN")]
    assert found[0]["label"] == "Circuits for billing"


def test_commits_outlive_the_process(tmp_path: Path) -> None:
    data = tmp_path / "org.sqlite"
    with started(data) as (org, pubsub):
        create_circuits(org, 2)
        stream = pubsub.managed(developer_name=NAME)
        stream.commit(stream.take(2)[0].replay_id)
        stream.committed()

    with started(data) as (org, pubsub):
        again = pubsub.managed(developer_name=NAME)

        assert names(pubsub, again.take(1)) == ["C-1"]


def test_a_subscription_leaves_with_its_metadata(tmp_path: Path) -> None:
    data, schema = tmp_path / "org.sqlite", tmp_path / "schema"
    shutil.copytree(SCHEMA, schema)
    with started(data, schema) as (org, _):
        define(org, developer_name="Mine", topic=CIRCUITS)
    shutil.rmtree(schema / "main/default/managedEventSubscriptions")

    with started(data, schema) as (org, _):
        found = org.get(ADMIN).json()["subscriptions"]

    assert [one["developer_name"] for one in found] == ["Mine"]


def test_metadata_that_names_no_topic_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    schema = tmp_path / "schema"
    shutil.copytree(SCHEMA, schema)
    (file,) = (schema / "main/default/managedEventSubscriptions").iterdir()
    file.write_text(file.read_text().replace("Circuit__ChangeEvent", "NothingChangeEvent"))

    with started(tmp_path / "org.db", schema) as (org, _):
        assert org.get(ADMIN).json()["subscriptions"] == []
    assert "NothingChangeEvent" in caplog.text
