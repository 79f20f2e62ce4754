"""The Pub/Sub client: where it speaks in the clear, how it asks for events, what refusals mean."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.pubsub import EVENTS_ASKED, Preset, PubSubClient
from connector.adapters.salesforce.pubsub_errors import EventsRefused, ReplayIdRefused
from connector.adapters.salesforce.session import TokenHolder
from connector.errors import Misconfigured

TOPIC = "/data/AccountChangeEvent"


@pytest.fixture
def tokens(org) -> TokenHolder:
    return TokenHolder(
        Login(org.base_url, ClientCredentials(org.client_id, org.client_secret)).open
    )


@pytest.fixture
def client(org, tokens) -> Iterator[PubSubClient]:
    with PubSubClient(org.pubsub_address, tokens=tokens) as client:
        yield client


def test_renews_a_session_that_has_ended(org, client, tokens) -> None:
    ended = tokens.current()
    org.admin("sessions/expire")

    client.check_topic(TOPIC)

    assert tokens.current() != ended


def test_refuses_a_topic_that_is_not_there(client) -> None:
    with pytest.raises(EventsRefused) as refused:
        client.check_topic("/data/Nonsense__ChangeEvent")

    assert refused.value.error_code == "sfdc.platform.eventbus.grpc.topic.not.found"


def test_tells_a_lost_place_from_other_refusals(client) -> None:
    with pytest.raises(ReplayIdRefused):
        next(client.subscribe(TOPIC, b"foreign").answers())


def test_a_cancelled_stream_just_ends(org, client) -> None:
    org.admin("events", body={"keep_alive_s": 0.1}, method="PUT")
    stream = client.subscribe(TOPIC, Preset.LATEST)
    answers = stream.answers()
    sign_of_life = next(answers)

    stream.cancel()

    assert sign_of_life.events == ()
    assert list(answers) == []


def test_a_stream_cancelled_before_it_began_says_nothing(client) -> None:
    stream = client.subscribe(TOPIC, Preset.LATEST)
    stream.cancel()

    assert list(stream.answers()) == []


def test_gets_no_more_events_than_it_asked_for_until_they_are_stored(org, client) -> None:
    org.admin("events", body={"keep_alive_s": 0.1}, method="PUT")
    for _ in range(150):
        gap = {"entity": "Account", "type": "GAP_UPDATE", "record_ids": ["001000000000001AAA"]}
        org.admin("events/gap", body=gap)
    answers = client.subscribe(TOPIC, Preset.EARLIEST).answers()
    before = org.admin("events", method="GET")["deliveries_left"]

    first = next(answers)  # not stored yet: the next is asked for by asking for the next answer
    left = org.admin("events", method="GET")["deliveries_left"]
    second = next(answers)
    answers.close()

    assert len(first.events) == EVENTS_ASKED
    assert before - left == EVENTS_ASKED
    assert len(second.events) == 50


@pytest.mark.parametrize("endpoint", ["nowhere", "host:", ":7443", "host:port"])
def test_refuses_what_is_no_address(tokens, endpoint) -> None:
    with pytest.raises(Misconfigured, match="no address of a Pub/Sub API"):
        PubSubClient(endpoint, tokens=tokens)


def test_speaks_tls_to_every_other_machine(tokens, monkeypatch) -> None:
    opened = []
    monkeypatch.setattr("grpc.insecure_channel", lambda *_, **__: opened.append("clear"))
    monkeypatch.setattr("connector.adapters.salesforce.pubsub.PubSubClient._unary", lambda *_: None)

    PubSubClient("api.pubsub.salesforce.com:7443", tokens=tokens).close()

    assert opened == []


def test_speaks_tls_on_loopback_when_certificates_are_given(org, tokens, tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_text("no certificate of anybody\n")

    with (
        PubSubClient(org.pubsub_address, tokens=tokens, ca_file=trusted, timeout_s=3) as client,
        pytest.raises(Exception, match="Pub/Sub API did not answer"),
    ):
        client.check_topic(TOPIC)
