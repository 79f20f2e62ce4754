"""The connector's client, a customer in hub and CRM, and short words for pushing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sync_out.world import NOW, World, make_world

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.retry import RetryPolicy
from connector.bootstrap import App
from connector.config import Settings
from connector.kernel.clock import MovableClock
from connector.store.engine import Store
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.loading import load_mappings
from connector.sync.push.run import BULK_FROM, PushReport, push_until_quiet

FOLDER = Path(__file__).parents[2] / "mappings" / "salesforce"


@pytest.fixture(scope="session")
def mappings() -> Mappings:
    return load_mappings(FOLDER)


@pytest.fixture
def client(org) -> Iterator[OrgClient]:
    login = Login(org.base_url, ClientCredentials(org.client_id, org.client_secret))
    client = OrgClient(login, retry=RetryPolicy(attempts=1))
    yield client
    client.close()


class Crm:
    """The CRM's side, by plain REST calls."""

    def __init__(self, client: OrgClient) -> None:
        self._client = client

    def rows(self, soql: str) -> list[dict[str, Any]]:
        return self._client.query_all(soql)

    def one(self, soql: str) -> dict[str, Any]:
        (row,) = self.rows(soql)
        return row

    def count(self, name: str) -> int:
        return len(self.rows(f"SELECT Id FROM {name}"))

    def create(self, name: str, **fields: object) -> str:
        (answer,) = self._client.composite([Subrequest("POST", f"sobjects/{name}", "c", fields)])
        answer.raise_for_status()
        return str(answer.body["id"])

    def update(self, name: str, sfid: str, **fields: object) -> None:
        call = Subrequest("PATCH", f"sobjects/{name}/{sfid}", "u", fields)
        self._client.composite([call])[0].raise_for_status()

    def delete(self, name: str, sfid: str) -> None:
        call = Subrequest("DELETE", f"sobjects/{name}/{sfid}", "d")
        self._client.composite([call])[0].raise_for_status()


@pytest.fixture
def crm(client) -> Crm:
    return Crm(client)


@pytest.fixture
def world(store, crm) -> World:
    """A customer known to the CRM whose order, service, invoice and payment are in the hub."""
    account = crm.create("Account", Name="Dental Group")
    opportunity = crm.create(
        "Opportunity",
        Name="Calling for three sites",
        AccountId=account,
        StageName="Prospecting",
        CloseDate="2026-06-01",
    )
    with store.transaction() as tx:
        return make_world(tx, account_sfid=account, opportunity_sfid=opportunity)


@pytest.fixture
def push(store, client, mappings) -> Callable[..., PushReport]:
    def run(
        *,
        patience_s: float = 0,
        with_mappings: Mappings | None = None,
        bulk_from: int = BULK_FROM,
    ) -> PushReport:
        return push_until_quiet(
            store=store,
            org=client,
            mappings=with_mappings or mappings,
            now=NOW,
            patience_s=patience_s,
            bulk_from=bulk_from,
        )

    return run


@pytest.fixture
def open_app(store, org) -> Iterator[Callable[..., App]]:
    """Wire the application to the store and the org, with settings of sync."""
    opened: list[App] = []

    def run(**sync: object) -> App:
        salesforce = {
            "login_url": org.base_url,
            "client_id": org.client_id,
            "client_secret": org.client_secret,
        }
        settings = Settings.model_validate({"salesforce": salesforce, "sync": sync})
        opened.append(App(settings=settings, store=store, clock=MovableClock(NOW)))
        return opened[-1]

    yield run
    for app in opened:
        app.queue.close()
        app.org.close()


@pytest.fixture
def change(store: Store) -> Callable[[str], None]:
    """Carry out a statement in the hub and commit it."""

    def run(statement: str) -> None:
        with store.transaction() as tx:
            tx.execute(text(statement))

    return run
