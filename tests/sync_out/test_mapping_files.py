"""A mapping file is right, or the report names file, line and remedy."""

from pathlib import Path

import pytest
from sqlalchemy import text

from connector.errors import Misconfigured
from connector.store.mapping_files import MappingError
from connector.sync.mapping.check import check_mappings
from connector.sync.mapping.definition import ForeignEdit
from connector.sync.mapping.loading import load_mappings
from connector.yaml_file import UnreadableFile

GOOD = """\
entity: thing
object: L2C_Thing__c
born: hub
table: thing
push:
  verb: upsert
  marks:
    - {table: thing, key: id}
fields:
  Name: {from: name, owner: billing}
"""


def _load(folder: Path, **files: str):
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content)
    return load_mappings(folder)


class TestTheShippedFiles:
    def test_every_field_fits_the_crm_schema(self, mappings, client):
        assert [str(finding) for finding in check_mappings(mappings, client.describe)] == []

    def test_every_pushed_column_is_in_its_view(self, mappings, store):
        with store.read() as tx:
            for mapping in mappings.pushed:
                wanted = {field.column for field in mapping.fields.values()}
                wanted |= {parent.column for parent in mapping.parents.values()}
                wanted |= {"id", *filter(None, (mapping.pushed.sfid, mapping.pushed.key_from))}
                assert wanted <= _columns(tx, mapping.push_view), mapping.entity

    def test_parents_go_before_their_children(self, mappings):
        order = [mapping.entity for mapping in mappings.pushed]

        for mapping in mappings.pushed:
            for parent in mapping.parents.values():
                if parent.entity != mapping.entity:
                    assert order.index(parent.entity) < order.index(mapping.entity)

    def test_no_cost_and_no_margin_leaves_for_the_crm(self, mappings):
        sent = {f.column for mapping in mappings.pushed for f in mapping.fields.values()}

        assert not {name for name in sent if "cost" in name or "margin" in name}


def _columns(tx, view: str) -> set[str]:
    found = tx.execute(
        text("SELECT column_name FROM information_schema.columns WHERE table_name = :view"),
        {"view": view},
    )
    return set(found.scalars())


@pytest.mark.parametrize(
    ("wrong", "line", "says"),
    [
        (GOOD.replace("born: hub", "bron: hub"), 3, "bron"),
        (GOOD.replace("verb: upsert", "verb: merge"), 6, "merge|upsert"),
        (GOOD.replace("owner: billing", "owner: nobody"), 10, "owner"),
        (GOOD.replace("owner: billing", "owner: billing, length: zero"), 10, "length"),
        (GOOD.replace("verb: upsert", "verb: update"), 5, "Salesforce id"),
        (GOOD.replace(", key: id", ""), 8, "key or a query"),
        (GOOD + "parents:\n  Up__c: {entity: nothing, from: up_id}\n", 12, "nothing"),
        (GOOD + "pull:\n  fields:\n    Name: {to: name}\n", 10, "comes in"),
        (GOOD.replace("billing}", "billing, on_foreign_edit: keep}"), 10, "repair"),
        (GOOD.replace("billing}", "billing, on_foreign_edit: accept}"), 10, "cannot take"),
        (GOOD.replace("billing}", "crm, on_foreign_edit: ask}"), 10, "its owner's"),
        (GOOD.replace("upsert", "upsert\n  on_foreign_edit: accept"), 11, "cannot take"),
        ("just words", 1, "table of keys"),
    ],
)
def test_a_mistake_names_file_line_and_remedy(tmp_path, wrong, line, says):
    with pytest.raises(MappingError, match=says) as caught:
        _load(tmp_path, thing=wrong)

    assert caught.value.file.name == "thing.yaml"
    assert caught.value.line == line
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (GOOD + "  Name: {from: title, owner: billing}\n", 11),
        (GOOD.replace("entity: thing", "entity: [thing"), 2),
    ],
)
def test_what_is_no_yaml_names_file_and_line(tmp_path, wrong, line):
    with pytest.raises(UnreadableFile, match=f"thing.yaml, line {line}"):
        _load(tmp_path, thing=wrong)


def test_a_folder_that_holds_the_folder_of_the_files_will_do(tmp_path):
    (tmp_path / "salesforce").mkdir()
    (tmp_path / "salesforce" / "thing.yaml").write_text(GOOD)

    assert [mapping.entity for mapping in load_mappings(tmp_path)] == ["thing"]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(Misconfigured, match="no mapping file") as refused:
        load_mappings(tmp_path)

    assert "`sync.mappings_dir` names the folder above it" in refused.value.remedy


def test_entities_that_wait_for_each_other_are_refused(tmp_path):
    first = GOOD + "parents:\n  Other__c: {entity: other, from: other_id}\n"
    second = GOOD.replace("thing", "other") + "parents:\n  Up__c: {entity: thing, from: up_id}\n"

    with pytest.raises(Misconfigured, match="wait for each other"):
        _load(tmp_path, thing=first, other=second)


def test_an_entity_is_described_once(tmp_path):
    with pytest.raises(Misconfigured, match="same entity"):
        _load(tmp_path, thing=GOOD, again=GOOD)


class TestTheCheckAgainstAnOrg:
    def test_a_field_the_org_lacks_is_named_with_its_line(self, tmp_path, client):
        wrong = (
            GOOD.replace("L2C_Thing__c", "L2C_Invoice__c")
            + "  Colour__c: {from: colour, owner: billing}\n"
            + "  Invoice_Number__c: {from: number, owner: billing, length: 400}\n"
            + "  Due_Date__c: {from: due, owner: billing, type: money}\n"
            + "  Days_Overdue__c: {from: days, owner: billing, type: integer}\n"
        )

        found = check_mappings(_load(tmp_path, invoice=wrong), client.describe)

        assert [(one.line, one.field) for one in found] == [
            (11, "Colour__c"),
            (12, "Invoice_Number__c"),
            (13, "Due_Date__c"),
            (14, "Days_Overdue__c"),
            (9, "Billing_Account__c"),  # every new record needs it, and nothing fills it
        ]
        assert all(one.remedy for one in found)

    def test_an_object_the_org_lacks_is_one_finding(self, tmp_path, client):
        (finding,) = check_mappings(_load(tmp_path, thing=GOOD), client.describe)

        assert finding.line == 2
        assert "no such object" in finding.problem


class TestForeignEdits:
    """What is to follow when somebody in the CRM changes a field of the hub."""

    TAKEN = GOOD.replace("table: thing", "table: service").replace(
        "from: name, owner: billing", "from: customer_service_name, owner: connector"
    )

    def test_are_repaired_unless_the_file_says_otherwise(self, tmp_path):
        (mapping,) = _load(tmp_path, thing=GOOD)

        assert mapping.policy_of("Name") is ForeignEdit.REPAIR

    def test_follow_the_mapping_unless_the_field_says_otherwise(self, tmp_path):
        asking = GOOD.replace("upsert", "upsert\n  on_foreign_edit: ask")
        (mapping,) = _load(
            tmp_path, thing=asking + "  L__c: {from: l, owner: billing, on_foreign_edit: repair}\n"
        )

        assert (mapping.policy_of("Name"), mapping.policy_of("L__c")) == (
            ForeignEdit.ASK,
            ForeignEdit.REPAIR,
        )

    def test_are_accepted_into_a_column_no_rule_hangs_on(self, tmp_path):
        (mapping,) = _load(
            tmp_path, thing=self.TAKEN.replace("connector}", "connector, on_foreign_edit: accept}")
        )

        assert mapping.policy_of("Name") is ForeignEdit.ACCEPT

    def test_are_not_accepted_where_two_words_become_one(self, tmp_path):
        ambiguous = self.TAKEN.replace(
            "connector}", "connector, on_foreign_edit: accept, values: {a: X, b: X}}"
        )

        with pytest.raises(MappingError, match="one word in the CRM"):
            _load(tmp_path, thing=ambiguous)
