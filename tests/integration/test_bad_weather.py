"""The org misbehaves while a deal is won and delivered; afterwards nothing is missing or twice."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
import requests
from sqlalchemy import text

from connector.cli.demo import deals, sales
from connector.cli.demo.crm_user import CrmUser
from connector.cli.demo.ending import StoryDoesNotTieOut, summarise
from connector.cli.demo.narrator import Narrator
from connector.cli.demo.stage import Stage, set_stage
from connector.cli.demo.story import CATALOG

DEAL = deals.JUNE_DEALS[1]
# The person in the CRM is not the one who gets the bad weather: faults hit the connector's paths.
COMPOSITE = r"/composite(/sobjects)?/?$"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with set_stage(tmp_path_factory.mktemp("weather")) as stage:
        stage.app.load_catalog(CATALOG)
        stage.settle()
        yield stage


@pytest.fixture(scope="module")
def crm(stage: Stage) -> CrmUser:
    user = CrmUser(stage.org)
    sales.fill_price_book(user)
    return user


@pytest.fixture
def weather(stage: Stage) -> Iterator[Callable[..., None]]:
    def turn(**fault: Any) -> None:
        _admin(stage, "POST", "faults", {"faults": [fault]})

    yield turn
    _admin(stage, "DELETE", "faults", None)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("503", {"kind": "http", "status": 503, "count": 4}),
        ("401", {"kind": "http", "status": 401, "count": 1}),
        ("lock", {"kind": "lock", "object": "L2C_Work_Order_Task__c", "count": 6}),
        ("cut-before", {"kind": "drop_before", "count": 2}),
        ("cut-after-the-write", {"kind": "drop_after", "count": 2}),
        ("slow", {"kind": "latency", "seconds": 0.3, "count": 5}),
    ],
)
def test_a_deal_survives(
    name: str, fault: dict[str, Any], stage: Stage, crm: CrmUser, weather: Callable[..., None]
) -> None:
    customer = {"Name": f"Weather {name} GmbH", "BillingCountry": "DE", "L2C_Currency__c": "EUR"}
    account = crm.create("Account", customer)
    deal = deals.Deal(
        name=f"Broadband in weather {name}",
        customer="weather",
        won_on=date(2026, 6, 1),
        delivered_on=date(2026, 6, 1),
        lines=DEAL.lines,
    )
    opportunity = sales.enter_deal(crm, deal, account)
    if fault["kind"] != "lock":
        fault = fault | {"path": COMPOSITE}

    weather(**fault)
    sales.close_won(crm, opportunity)
    stage.settle()
    for _ in range(6):
        if not crm.complete_ready_tasks(opportunity=opportunity, effective_on=date(2026, 6, 1)):
            break
        stage.settle()

    with stage.app.store.read() as tx:
        orders, services = tx.execute(
            text(
                "SELECT count(DISTINCT o.id), count(s.id) FROM customer_order o "
                "JOIN order_line l ON l.order_id = o.id "
                "JOIN service s ON s.created_by_line_id = l.id AND s.state = 'In Service' "
                "WHERE o.opportunity_sfid = :sfid"
            ),
            {"sfid": opportunity},
        ).one()
    assert (orders, services) == (1, 1)
    assert stage.app.reconcile().drift == 0


def test_expired_sessions_are_opened_again(stage: Stage, crm: CrmUser) -> None:
    _admin(stage, "POST", "sessions/expire", None)

    report = stage.app.reconcile()

    assert report.drift == 0


def _admin(stage: Stage, method: str, what: str, body: Any) -> None:
    with requests.Session() as http:
        http.trust_env = False
        answer = http.request(
            method, f"{stage.org.base_url}/__sandbox__/{what}", json=body, timeout=10
        )
    answer.raise_for_status()


def test_a_story_that_somebody_changed_afterwards_does_not_tie_out(stage: Stage) -> None:
    crm = CrmUser(stage.org)  # the first session has expired
    service = crm.rows("SELECT Id FROM L2C_Service__c LIMIT 1")[0]["Id"]
    crm.change("L2C_Service__c", service, {"Quantity__c": 77})
    stage.settle()

    with pytest.raises(StoryDoesNotTieOut, match="1 records differ"):
        summarise(stage=stage, crm=crm, narrator=Narrator())

    assert stage.app.reconcile(repair=True).drift == 1
    stage.settle()
    assert stage.app.reconcile().drift == 0
