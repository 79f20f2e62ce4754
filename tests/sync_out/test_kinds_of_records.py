"""Fields for persons, record types and states; currencies; records that are only created.

And a custom field that takes one line and no code.
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from l2c_sandbox.org import OrgSettings
from l2c_sandbox.server import SandboxServer
from sqlalchemy import text
from sync_out.other_org import (
    CHECKOUT,
    add_record_type,
    add_text_field,
    copied_schema,
    running,
)
from sync_out.world import NOW

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.retry import RetryPolicy
from connector.sync.apply.run import apply_pending
from connector.sync.capture.sweep import sweep
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.describes import refresh_describes
from connector.sync.mapping.loading import load_mappings
from connector.sync.reconcile.compare import reconcile


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[SandboxServer]:
    """An org with several currencies, two record types of accounts and two fields more."""
    schema = copied_schema(tmp_path_factory.mktemp("schema"))
    for name in ("Nickname__c", "Standing__c"):
        add_text_field(schema, object_name="Account", name=name)
    for name in ("Wholesale", "Retail"):
        add_record_type(schema, object_name="Account", name=name)
    with running(OrgSettings(schema=schema, multi_currency=True)) as server:
        yield server


@pytest.fixture
def client(server) -> Iterator[OrgClient]:
    server.org.reset()
    facts = server.facts()
    login = Login(server.base_url, ClientCredentials(facts["client_id"], facts["client_secret"]))
    client = OrgClient(login, retry=RetryPolicy(attempts=1))
    yield client
    client.close()


@pytest.fixture
def files(tmp_path) -> Path:
    """The shipped mapping files, to be changed."""
    return Path(shutil.copytree(CHECKOUT / "mappings" / "salesforce", tmp_path / "mappings"))


@pytest.fixture
def pull(store, client) -> Callable[[Mappings], None]:
    def run(mappings: Mappings) -> None:
        sweep(store=store, org=client, mappings=mappings, now_org=datetime.now(UTC))
        flows = {"win": lambda _: None}
        apply_pending(store=store, org=client, mappings=mappings, flows=flows, now=NOW)

    return run


@pytest.fixture
def describe(store, client, mappings) -> Callable[[], object]:
    def run() -> object:
        objects = {mapping.object for mapping in mappings}
        return refresh_describes(store=store, org=client, objects=objects, now=NOW)

    return run


def add_line(files: Path, entity: str, under: str, line: str) -> None:
    """Add one line to a mapping file."""
    path = files / f"{entity}.yaml"
    path.write_text(path.read_text().replace(f"{under}:\n", f"{under}:\n{line}\n", 1))


def account(store) -> dict[str, object]:
    with store.read() as tx:
        return dict(tx.execute(text("SELECT * FROM account ORDER BY id LIMIT 1")).mappings().one())


def person_type(crm) -> str:
    return str(crm.one("SELECT Id FROM RecordType WHERE IsPersonType = true LIMIT 1")["Id"])


class TestACustomField:
    def test_goes_out_with_one_line(self, files, world, push, crm):
        add_line(
            files, "account", "\nfields", "  Standing__c: {from: link_state, owner: connector}"
        )

        push(with_mappings=load_mappings(files))

        assert crm.one("SELECT Standing__c FROM Account")["Standing__c"] == "Unlinked"

    def test_comes_in_with_one_line(self, files, world, pull, crm, store):
        add_line(files, "account", "\n  fields", "    Nickname__c: {to: first_name}")
        crm.update("Account", account(store)["sfid"], Nickname__c="The dentists")

        pull(load_mappings(files))

        assert account(store)["first_name"] == "The dentists"

    def test_reaches_records_that_are_in_step_already(self, files, world, push, crm):
        push()
        add_line(
            files, "account", "\nfields", "  Standing__c: {from: link_state, owner: connector}"
        )

        push(with_mappings=load_mappings(files))

        assert crm.one("SELECT Standing__c FROM Account")["Standing__c"] == "Unlinked"


class TestPersons:
    READ = "    PersonEmail: {to: first_name, type: email, when: {person: true}}"
    SENT = "  Standing__c: {from: link_state, owner: connector, when: {person: true}}"

    def test_a_persons_field_is_read_from_a_person(self, files, crm, pull, store):
        add_line(files, "account", "\n  fields", self.READ)
        crm.create(
            "Account", LastName="Mayer", PersonEmail="m@example.com", RecordTypeId=person_type(crm)
        )

        pull(_with_brand(store, load_mappings(files)))

        assert account(store)["first_name"] == "m@example.com"

    def test_and_not_from_a_business(self, files, world, crm, pull, store, change):
        add_line(files, "account", "\n  fields", self.READ)
        change("UPDATE account SET first_name = 'stays'")

        pull(load_mappings(files))

        assert account(store)["first_name"] == "stays"

    def test_a_persons_field_is_not_sent_to_a_business(self, files, world, crm, pull, push):
        add_line(files, "account", "\nfields", self.SENT)
        mappings = load_mappings(files)

        pull(mappings)
        report = push(with_mappings=mappings)

        assert (report.dead, report.halts) == (0, ())
        assert crm.one("SELECT Standing__c FROM Account")["Standing__c"] is None


class TestRecordTypes:
    SENT = "  Standing__c: {from: link_state, owner: connector, when: {record_type: [Wholesale]}}"

    @pytest.fixture
    def become(self, crm, store) -> Callable[[str], None]:
        def run(name: str) -> None:
            kind = crm.one(f"SELECT Id FROM RecordType WHERE DeveloperName = '{name}'")["Id"]
            crm.update("Account", account(store)["sfid"], RecordTypeId=kind)

        return run

    def test_a_field_goes_to_records_of_its_type_alone(
        self, files, world, crm, pull, push, become, describe
    ):
        add_line(files, "account", "\nfields", self.SENT)
        mappings = load_mappings(files)
        describe()
        become("Retail")
        pull(mappings)
        push(with_mappings=mappings)
        as_retail = crm.one("SELECT Standing__c FROM Account")["Standing__c"]

        become("Wholesale")
        pull(mappings)
        push(with_mappings=mappings)

        assert as_retail is None
        assert crm.one("SELECT Standing__c FROM Account")["Standing__c"] == "Unlinked"

    def test_a_field_of_another_type_is_no_drift(
        self, files, world, crm, pull, push, become, describe, store, client
    ):
        add_line(files, "account", "\nfields", self.SENT)
        mappings = load_mappings(files)
        describe()
        become("Retail")
        pull(mappings)
        push(with_mappings=mappings)
        crm.update("Account", account(store)["sfid"], Standing__c="written by hand")

        report = reconcile(store=store, org=client, mappings=mappings, now=NOW)

        assert report.drift == 0


class TestAConditionOnAColumn:
    def test_sends_the_field_only_where_it_holds(self, files, world, push, crm, change):
        add_line(
            files,
            "account",
            "\nfields",
            "  Standing__c: {from: link_state, owner: connector,"
            " when: {column: link_state, is: [Linked, Broken]}}",
        )
        mappings = load_mappings(files)
        push(with_mappings=mappings)
        before = crm.one("SELECT Standing__c FROM Account")["Standing__c"]

        change("UPDATE account SET link_state = 'Linked'")
        push(with_mappings=mappings)

        assert before is None
        assert crm.one("SELECT Standing__c FROM Account")["Standing__c"] == "Linked"


class TestCurrencies:
    def test_a_record_of_money_names_its_currency(self, world, push, crm, describe):
        describe()

        push()

        invoice = crm.one("SELECT CurrencyIsoCode FROM L2C_Invoice__c")
        assert invoice["CurrencyIsoCode"] == "EUR"

    def test_is_sent_later_when_the_org_was_described_later(self, world, push, crm, describe):
        push()
        before = crm.one("SELECT CurrencyIsoCode FROM L2C_Payment__c")["CurrencyIsoCode"]
        describe()

        push()

        assert before == "USD"
        assert crm.one("SELECT CurrencyIsoCode FROM L2C_Payment__c")["CurrencyIsoCode"] == "EUR"

    def test_both_sides_are_compared_with_it(
        self, world, push, crm, describe, store, client, mappings
    ):
        describe()
        push()
        payment = crm.one("SELECT Id FROM L2C_Payment__c")["Id"]
        crm.update("L2C_Payment__c", payment, CurrencyIsoCode="USD")

        report = reconcile(store=store, org=client, mappings=mappings, now=NOW)

        assert {e.entity: list(e.fields) for e in report.entities if e.drift} == {
            "payment": ["CurrencyIsoCode"]
        }


class TestCreateOnly:
    @pytest.fixture
    def created_only(self, files) -> Mappings:
        path = files / "payment.yaml"
        path.write_text(path.read_text().replace("verb: upsert", "verb: create"))
        return load_mappings(files)

    def test_a_new_record_is_made(self, world, push, crm, created_only):
        push(with_mappings=created_only)

        assert crm.one("SELECT Reference__c FROM L2C_Payment__c")["Reference__c"] == "T-77"

    def test_a_later_change_is_not_sent(self, world, push, crm, created_only, change):
        push(with_mappings=created_only)
        change("UPDATE payment SET reference = 'T-78'")

        report = push(with_mappings=created_only)

        assert report.written == 0
        assert crm.one("SELECT Reference__c FROM L2C_Payment__c")["Reference__c"] == "T-77"

    def test_what_the_crm_makes_of_it_is_no_drift(
        self, world, push, crm, created_only, store, client
    ):
        push(with_mappings=created_only)
        payment = crm.one("SELECT Id FROM L2C_Payment__c")["Id"]
        crm.update("L2C_Payment__c", payment, Reference__c="by hand")

        report = reconcile(store=store, org=client, mappings=created_only, now=NOW)

        assert report.drift == 0


def _with_brand(store, mappings: Mappings) -> Mappings:
    with store.transaction() as tx:
        tx.execute(
            text(
                "INSERT INTO brand (key, name, legal_name, invoice_prefix)"
                " VALUES ('default', 'House', 'House Ltd', 'INV') ON CONFLICT DO NOTHING"
            )
        )
    return mappings
