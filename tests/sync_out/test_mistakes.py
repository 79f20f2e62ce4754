"""Carries out every row of docs/reference/mapping-mistakes.md: what is said, and what halts."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from l2c_sandbox.org import OrgSettings
from l2c_sandbox.server import SandboxServer
from sqlalchemy import text
from sync_out.conftest import Crm
from sync_out.other_org import (
    CHECKOUT,
    add_record_type,
    add_rule,
    copied_schema,
    running,
)
from sync_out.world import NOW

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.retry import RetryPolicy
from connector.errors import ConnectorError
from connector.store.mapping_files import MappingError
from connector.store.push_schema import install
from connector.sync.mapping.check import check_mappings
from connector.sync.mapping.describes import refresh_describes
from connector.sync.mapping.findings import Finding
from connector.sync.mapping.hub_side import check_hub
from connector.sync.mapping.loading import load_mappings

PAGE = CHECKOUT / "docs" / "reference" / "mapping-mistakes.md"
ROWS_AT_LEAST = 40
FLOWS = ("win", "task_action", "order_action")


def rows(title: str) -> list[Any]:
    """Return the rows of the table under a heading, each named by its mistake."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")
    lines = [one for one in section.partition("\n## ")[0].splitlines() if one.startswith("| ")]
    cells = [[_plain(cell) for cell in line.strip()[1:-1].split("|")] for line in lines[1:]]
    return [pytest.param(*row[1:], id=row[0]) for row in cells]


def _plain(cell: str) -> str:
    cell = cell.strip()
    if cell.startswith("`") and cell.endswith("`") and cell.count("`") == 2:
        cell = cell.strip("`").replace("\\n", "\n")
        return "" if cell == " " else cell
    return cell


def test_there_are_enough_of_them():
    titles = (
        "In a mapping file",
        "In the marks of a mapping file",
        "Against the hub and the org",
        "In the data",
    )

    assert sum(len(rows(title)) for title in titles) >= ROWS_AT_LEAST


@pytest.fixture
def files(tmp_path) -> Path:
    return Path(shutil.copytree(CHECKOUT / "mappings" / "salesforce", tmp_path / "mappings"))


def mistake(files: Path, name: str, instead_of: str, written: str) -> None:
    path = files / f"{name}.yaml"
    right = path.read_text(encoding="utf-8")
    assert instead_of in right, "the page names what is not in the file"
    path.write_text(right.replace(instead_of, written, 1), encoding="utf-8")


@pytest.mark.parametrize(("file", "instead_of", "written", "said"), rows("In a mapping file"))
def test_in_a_file(files, file, instead_of, written, said):
    mistake(files, file, instead_of, written)

    with pytest.raises(ConnectorError) as caught:
        load_mappings(files)

    assert said in caught.value.message
    assert caught.value.message.count("\n") == 0


@pytest.mark.parametrize(
    ("file", "instead_of", "written", "said"), rows("In the marks of a mapping file")
)
def test_in_a_mark(files, tx, file, instead_of, written, said):
    mistake(files, file, instead_of, written)

    with pytest.raises(MappingError) as caught:
        install(tx, files)

    assert said in caught.value.message
    assert caught.value.file.name == f"{file}.yaml"
    assert caught.value.remedy


@pytest.fixture(scope="session")
def described(org_process, mappings) -> dict[str, dict[str, Any]]:
    """What the local org says of the mapped objects."""
    login = Login(
        org_process.base_url, ClientCredentials(org_process.client_id, org_process.client_secret)
    )
    client = OrgClient(login, retry=RetryPolicy(attempts=1))
    found = {mapping.object: client.describe(mapping.object) for mapping in mappings}
    client.close()
    return found


# A field nobody has mapped yet, as a describe shows it.
_NEW_FIELD = {
    "type": "string", "length": 80, "precision": 0, "scale": 0, "digits": 0, "createable": False,
    "updateable": False, "nillable": False, "defaultedOnCreate": False, "calculated": False,
    "externalId": False, "unique": False, "restrictedPicklist": False, "picklistValues": [],
    "referenceTo": [], "relationshipOrder": None,
}  # fmt: skip


def altered(described: dict[str, dict[str, Any]], change: str) -> dict[str, dict[str, Any]]:
    """Return the describes with the change a row names."""
    if not change:
        return described
    where, _, what = change.partition(": ")
    name, _, field_name = where.partition(".")
    found = described | {name: copy.deepcopy(described[name])}
    fields = found[name]["fields"]
    field = next((one for one in fields if one["name"] == field_name), None)
    if not field_name and what == "missing":
        del found[name]
    elif not field_name:
        found[name] |= json.loads(what)
    elif what == "missing":
        fields.remove(field)
    elif field is None:
        fields.append(_NEW_FIELD | {"name": field_name} | json.loads(what))
    else:
        field |= json.loads(what)
    return found


@pytest.mark.parametrize(
    ("file", "instead_of", "written", "change", "said", "halts"),
    rows("Against the hub and the org"),
)
def test_against_hub_and_org(files, tx, described, file, instead_of, written, change, said, halts):
    if file:
        mistake(files, file, instead_of, written)
    shown = altered(described, change)

    def describe(name: str) -> dict[str, Any]:
        if name not in shown:
            raise OrgRefused("gone", error_code="NOT_FOUND", status=404)
        return shown[name]

    mappings = load_mappings(files)
    found = (*check_hub(tx, mappings, flows=FLOWS), *check_mappings(mappings, describe))

    (finding,) = found
    assert finding.problem == said
    assert finding.remedy
    assert finding.line > 0
    assert _halted(finding) == halts


def _halted(finding: Finding) -> str:
    return f"{finding.entity} {finding.halts}" if finding.halts else "nothing"


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory) -> Iterator[SandboxServer]:
    """An org with several currencies, a record type with fewer words, and a rule."""
    schema = copied_schema(tmp_path_factory.mktemp("schema"))
    words = (
        "<picklistValues><picklist>L2C_Billing_Status__c</picklist><values>"
        "<fullName>Active</fullName><default>false</default></values></picklistValues>"
    )
    add_record_type(schema, object_name="Account", name="Wholesale")
    add_record_type(schema, object_name="Account", name="Retail", picklists=words)
    add_rule(
        schema,
        object_name="L2C_Payment__c",
        name="Nothing_Forbidden",
        formula='Reference__c = "forbidden"',
    )
    with running(OrgSettings(schema=schema, multi_currency=True)) as server:
        yield server


class TestInTheData:
    @pytest.fixture
    def client(self, strict_server) -> Iterator[OrgClient]:
        strict_server.org.reset()
        facts = strict_server.facts()
        login = Login(
            strict_server.base_url, ClientCredentials(facts["client_id"], facts["client_secret"])
        )
        client = OrgClient(login, retry=RetryPolicy(attempts=1))
        yield client
        client.close()

    @pytest.fixture
    def in_step(self, world, push, store, client, mappings) -> None:
        objects = {mapping.object for mapping in mappings}
        refresh_describes(store=store, org=client, objects=objects, now=NOW)
        push()

    @pytest.mark.parametrize(("in_the_crm", "in_the_hub", "said", "refused"), rows("In the data"))
    def test_refuses_the_record_alone(
        self,
        world,
        push,
        change,
        store,
        crm,
        client,
        mappings,
        in_the_crm,
        in_the_hub,
        said,
        refused,
    ):
        objects = {mapping.object for mapping in mappings}
        refresh_describes(store=store, org=client, objects=objects, now=NOW)
        push()
        _do_in_the_crm(crm, in_the_crm)
        change(in_the_hub)

        report = push()

        wrong = _wrong(store)
        assert [entity for entity, _ in wrong] == [refused]
        assert said in wrong[0][1]
        assert report.halts == ()
        assert _owed(store) == 0


def _do_in_the_crm(crm: Crm, act: str) -> None:
    if not act:
        return
    name, _, fields = act.partition(": ")
    values = json.loads(fields)
    for field, value in values.items():
        if str(value).startswith("<"):
            found = crm.one(f"SELECT Id FROM RecordType WHERE DeveloperName = '{value[1:-1]}'")
            values[field] = found["Id"]
    crm.update(name, crm.one(f"SELECT Id FROM {name}")["Id"], **values)


def _wrong(store) -> list[tuple[str, str]]:
    with store.read() as tx:
        found = tx.execute(
            text(
                "SELECT entity, concat_ws(' ', error_code, error, remedy) FROM crm_record"
                " WHERE status <> 'In Sync'"
            )
        )
        return [tuple(row) for row in found]


def _owed(store) -> int:
    with store.read() as tx:
        return int(tx.execute(text("SELECT count(*) FROM push_queue")).scalar_one())
