"""The org carries the CRM schema that ships with the product."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

SHIPPED = Path(__file__).parent.parent.parent / "salesforce"
NEEDS_A_FILTER = "ContentDocumentLink"


@pytest.fixture(scope="module")
def shipped() -> Iterator[Client]:
    server = SandboxServer(Org(OrgSettings(schema=SHIPPED)), host="127.0.0.1", port=0)
    server.start()
    yield Client(server.base_url)
    server.close()


def test_every_object_can_be_described_and_queried(shipped: Client) -> None:
    names = [item["name"] for item in shipped.get("/sobjects").json()["sobjects"]]

    for name in names:
        described = shipped.get(f"/sobjects/{name}/describe").json()
        assert described["fields"][0]["name"] == "Id"
        if name != NEEDS_A_FILTER:
            shipped.query(f"SELECT FIELDS(ALL) FROM {name} LIMIT 5")


def test_every_child_relationship_can_be_queried(shipped: Client) -> None:
    described = shipped.get("/sobjects/Account/describe").json()
    children = [c["relationshipName"] for c in described["childRelationships"]]

    for name in filter(None, children):
        shipped.query(f"SELECT Id, (SELECT Id FROM {name}) FROM Account LIMIT 1")


def test_every_own_object_is_upserted_by_the_key_of_the_hub(shipped: Client) -> None:
    own = [item["name"] for item in shipped.get("/sobjects").json()["sobjects"] if item["custom"]]

    keys = {
        name: next(
            f
            for f in shipped.get(f"/sobjects/{name}/describe").json()["fields"]
            if f["name"] == "Billing_Key__c"
        )
        for name in own
    }

    assert len(own) >= 16
    assert all(key["externalId"] and key["unique"] and key["idLookup"] for key in keys.values())


def test_a_won_deal_waits_to_be_told(shipped: Client) -> None:
    shipped.create("Opportunity", Name="D", StageName="Closed Won", CloseDate="2026-01-31")

    queued = shipped.get("/__sandbox__/outbound").json()["messages"]

    assert "Opportunity.L2C_Opportunity_Won" in {item["message"] for item in queued}
