"""The whole way in: a person acts in the CRM, the org sends, the webhook stores, apply acts."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from connector.adapters.salesforce.client import OrgClient
from connector.config import Settings
from connector.store.engine import Store
from connector.sync.inbox.notifications import decode
from connector.sync.inbox.store import pending
from connector.web.server import WebServer


@dataclass
class Queue:
    nudged: list[str] = field(default_factory=list)

    def nudge(self, name: str) -> None:
        self.nudged.append(name)


@dataclass
class App:
    store: Store
    org: OrgClient
    settings: Settings = field(
        default_factory=lambda: Settings.model_validate({"web": {"port": 0}})
    )
    queue: Queue = field(default_factory=Queue)


@pytest.fixture
def webhook(store, client, org) -> Iterator[App]:
    app = App(store, client)
    server = WebServer(app, threads=2)
    org.admin("outbound", method="PUT", body={"endpoint_base": server.start()})
    yield app
    server.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.025)
    raise AssertionError("it did not happen within 10 s")


def envelopes(store: Store) -> list[bytes]:
    with store.read() as tx:
        return [bytes(row.content) for row in pending(tx, limit=100)]


def win(user) -> str:
    account = user.create("Account", Name="Dental Group")
    return user.create(
        "Opportunity",
        Name="Three sites",
        AccountId=account,
        StageName="Closed Won",
        CloseDate="2026-06-15",
        Amount=12500.5,
    )


def test_a_won_opportunity_becomes_one_ask(webhook, way_in, user, org) -> None:
    deal = win(user)
    wait_for(lambda: len(envelopes(webhook.store)) >= 2)  # the account's message and the deal's

    report = way_in.apply()

    assert report.problems == []
    assert [r.sfid for r in way_in.flows["win"].requests] == [deal]
    assert [row["name"] for row in way_in.rows("SELECT name FROM account")] == ["Dental Group"]
    assert set(webhook.queue.nudged) == {"apply_inbox"}
    wait_for(lambda: org.admin("outbound", method="GET")["pending"] == 0)


def test_the_orgs_own_message_has_the_shape_of_our_wsdl(webhook, way_in, user, shapes) -> None:
    deal = win(user)
    wait_for(lambda: len(envelopes(webhook.store)) >= 2)

    with capture_logs() as logs:
        decoded = [
            one for body in envelopes(webhook.store) for one in decode(body, shapes).notifications
        ]

    (message,) = [one for one in decoded if one.sfid == deal]
    assert message.values["IsWon"] is True
    assert message.values["Amount"] == Decimal("12500.5")
    assert message.version is not None
    assert logs == []  # read strictly, without falling back on names


def test_the_connectors_own_writes_cause_no_message(webhook, way_in, user, client, org) -> None:
    deal = win(user)
    wait_for(lambda: org.admin("outbound", method="GET")["pending"] == 0)
    before = len(envelopes(webhook.store))

    client.update_collections("Opportunity", [{"Id": deal, "L2C_Next_Step__c": "Install"}])

    time.sleep(0.3)
    assert len(envelopes(webhook.store)) == before


def test_a_message_sent_again_is_one_ask(webhook, way_in, user, org) -> None:
    win(user)
    wait_for(lambda: len(envelopes(webhook.store)) >= 2)
    way_in.apply()
    org.admin("outbound/resend", body={"last": 5, "times": 3})
    wait_for(lambda: len(envelopes(webhook.store)) >= 1)

    report = way_in.apply()

    assert report.repeated >= 1
    assert len(way_in.flows["win"].requests) == 1


def test_an_unacknowledged_message_comes_again_and_is_not_lost(webhook, way_in, user, org) -> None:
    way_in.run_sql("ALTER TABLE inbox RENAME TO elsewhere")
    deal = win(user)
    wait_for(lambda: org.admin("outbound", method="GET")["failed_attempts"] >= 2)

    way_in.run_sql("ALTER TABLE elsewhere RENAME TO inbox")
    org.admin("outbound/retry")
    wait_for(lambda: len(envelopes(webhook.store)) >= 2)
    way_in.apply()

    assert [r.sfid for r in way_in.flows["win"].requests] == [deal]
