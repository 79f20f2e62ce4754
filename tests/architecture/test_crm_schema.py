"""The CRM schema is what the Metadata API accepts, is named with care, and can be removed.

Element names, required elements, simple types and enumerations come from the Metadata API's own
description, which ships inside simple_salesforce. What Salesforce checks only at deployment
(lengths, names, what a field of a type needs) is checked here by rules of our own.
"""

import re
import runpy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from crm_metadata import (
    NAMESPACE,
    OWN_OBJECTS,
    PREFIX,
    SALESFORCE,
    SOURCE,
    STANDARD_FIELDS,
    MetadataTypes,
    all_fields,
    documents,
    fields,
    is_detail,
    local,
    objects,
    parse,
    text,
    texts,
)
from l2c_sandbox.schema.automation import read_automation
from l2c_sandbox.schema.metadata import build_schema
from lxml import etree
from sqlalchemy import CheckConstraint

from connector.store.tables import metadata

MAPPINGS = SALESFORCE.parent / "mappings" / "salesforce"


def owner_of(field: etree._Element) -> str:
    """The side that writes a field, as its description says."""
    found = re.match(r"Owner: ([^.]+)\.", text(field, "description") or "")
    return found[1] if found else ""


@pytest.fixture(scope="module")
def types() -> MetadataTypes:
    return MetadataTypes()


class TestMetadataApi:
    def test_accepts_every_file(self, types: MetadataTypes) -> None:
        faults = [
            f"{path.relative_to(SALESFORCE)} {fault}"
            for path in sorted(SALESFORCE.rglob("*"))
            if path.suffix in {".xml", ".flowDefinition"}
            for root in [parse(path)]
            for fault in types.faults(root, local(root))
        ]

        assert faults == []

    @pytest.mark.parametrize(
        ("root", "content", "fault"),
        [
            ("CustomField", "<colour>red</colour>", "colour is unknown"),
            ("CustomField", "<type>Money</type>", "'Money' is not a FieldType"),
            ("CustomField", "<length>many</length>", "'many' is not xsd:int"),
            ("CustomField", "<label>a</label><label>b</label>", "label is given 2 times"),
            ("PermissionSet", "<description>x</description>", "label is missing"),
            (
                "ListView",
                "<filterScope>Everything</filterScope><label/><columns/><label/>",
                "split",
            ),
            (
                "Flow",
                "<label>x</label><start><locationX>1</locationX></start>",
                "locationY is missing",
            ),
            ("Nonsense", "", "no such type"),
        ],
    )
    def test_refuses_what_the_api_refuses(
        self, types: MetadataTypes, root: str, content: str, fault: str
    ) -> None:
        document = f'<{root} xmlns="{NAMESPACE[1:-1]}">{content}</{root}>'

        faults = list(types.faults(etree.fromstring(document), root))

        assert any(fault in found for found in faults)

    def test_names_the_file_after_what_it_holds(self) -> None:
        wrong = [
            path.name
            for path, root in documents("objects/**/*-meta.xml").items()
            if (name := text(root, "fullName")) and path.name.split(".")[0] != name
        ]

        assert wrong == []


class TestNames:
    def test_has_the_objects_of_the_domain(self) -> None:
        assert set(objects()) == OWN_OBJECTS

    def test_prefixes_whatever_could_meet_a_customers_own(self) -> None:
        on_standard = {n for o, n, _ in all_fields() if o in STANDARD_FIELDS}
        extras = {
            path.name.split(".")[0]
            for pattern in ("objects/*/listViews/*", "objects/*/validationRules/*")
            for path in documents(pattern)
            if path.parents[1].name in STANDARD_FIELDS
        }
        top = {
            path.name
            for folder in ("flows", "permissionsets", "applications", "tabs", "queues", "layouts")
            for path in documents(f"{folder}/*")
        }
        messages = {
            name
            for root in documents("workflows/*").values()
            for name in texts(root, "outboundMessages/fullName")
        }

        everything = OWN_OBJECTS | on_standard | extras | top | messages
        assert [name for name in sorted(everything) if not name.startswith(PREFIX)] == []

    def test_does_not_repeat_the_prefix_on_own_objects(self) -> None:
        assert [n for o, n, _ in all_fields() if o in OWN_OBJECTS and n.startswith(PREFIX)] == []

    def test_names_each_child_relationship_once_per_parent(self) -> None:
        relations = Counter(
            (text(root, "referenceTo"), text(root, "relationshipName"))
            for _, _, root in all_fields()
            if text(root, "referenceTo")
        )

        assert [relation for relation, count in relations.items() if count > 1] == []

    def test_prefixes_child_relationships_of_standard_parents(self) -> None:
        wrong = [
            f"{o}.{n}"
            for o, n, root in all_fields()
            if text(root, "referenceTo") in STANDARD_FIELDS
            and not (text(root, "relationshipName") or "").startswith(PREFIX)
        ]

        assert wrong == []

    def test_keeps_labels_and_names_within_salesforces_limits(self) -> None:
        labels = [(f"{o}.{n}", text(root, "label") or "") for o, n, root in all_fields()]
        labels += [(o, text(root, "label") or "") for o, root in objects().items()]

        wrong = [name for name, label in labels if not 0 < len(label) <= 40]
        long = [n for o, n, _ in all_fields() if len(n.removesuffix("__c")) > 40]
        assert (wrong, long) == ([], [])

    def test_says_of_every_field_who_owns_it(self) -> None:
        owners = {"CRM", "billing", "connector", "network monitoring", "vendor feed"}

        silent = [f"{o}.{n}" for o, n, root in all_fields() if owner_of(root) not in owners]

        assert silent == []

    def test_describes_every_object(self) -> None:
        assert [o for o, root in objects().items() if not text(root, "description")] == []


class TestFields:
    def test_give_each_own_object_one_upsert_key(self) -> None:
        for object_name in OWN_OBJECTS:
            key = fields()[object_name]["Billing_Key__c"]

            facts = [text(key, k) for k in ("externalId", "unique", "length", "caseSensitive")]
            assert facts == ["true", "true", "120", "false"], object_name

    def test_make_every_external_id_unique_and_blind_to_case(self) -> None:
        wrong = [
            f"{o}.{n}"
            for o, n, root in all_fields()
            if text(root, "externalId") == "true"
            and (text(root, "unique"), text(root, "caseSensitive")) != ("true", "false")
        ]

        assert wrong == []

    @pytest.mark.parametrize(
        ("kind", "needed"),
        [
            ("Text", {"length"}),
            ("LongTextArea", {"length", "visibleLines"}),
            ("Number", {"precision", "scale"}),
            ("Currency", {"precision", "scale"}),
            ("Checkbox", {"defaultValue"}),
            ("Picklist", {"valueSet"}),
            ("Lookup", {"referenceTo", "relationshipName", "relationshipLabel"}),
            ("MasterDetail", {"referenceTo", "relationshipName", "relationshipOrder"}),
        ],
    )
    def test_carry_what_their_type_needs(self, kind: str, needed: set[str]) -> None:
        of_kind = [
            (f"{o}.{n}", {local(child) for child in root})
            for o, n, root in all_fields()
            if text(root, "type") == kind and text(root, "formula") is None
        ]

        assert of_kind
        assert [name for name, has in of_kind if not needed <= has] == []

    def test_stay_within_lengths_and_precisions(self) -> None:
        limits = {"Text": 255, "LongTextArea": 131_072}
        wrong = [
            f"{o}.{n}"
            for o, n, root in all_fields()
            if (int(text(root, "length") or 0) > limits.get(text(root, "type") or "", 0))
            or int(text(root, "precision") or 0) > 18
            or int(text(root, "scale") or 0) > int(text(root, "precision") or 0)
        ]

        assert wrong == []

    def test_require_nothing_where_salesforce_refuses_it(self) -> None:
        wrong = [
            f"{o}.{n}"
            for o, n, root in all_fields()
            if text(root, "required") is not None
            and text(root, "type") in {"Checkbox", "MasterDetail"}
        ]
        emptied = [
            f"{o}.{n}"
            for o, n, root in all_fields()
            if text(root, "required") == "true" and text(root, "deleteConstraint") == "SetNull"
        ]

        assert (wrong, emptied) == ([], [])

    def test_refer_to_objects_that_exist(self) -> None:
        targets = {text(root, "referenceTo") for _, _, root in all_fields()} - {None}

        assert targets <= OWN_OBJECTS | set(STANDARD_FIELDS)

    def test_nest_details_no_deeper_than_three(self) -> None:
        master = {
            o: text(root, "referenceTo")
            for o, _, root in all_fields()
            if text(root, "type") == "MasterDetail"
        }

        def depth(object_name: str | None) -> int:
            return 1 + depth(master[object_name]) if object_name in master else 0

        assert max(depth(o) for o in master) == 3
        assert len(master) == sum(text(r, "type") == "MasterDetail" for _, _, r in all_fields())

    def test_let_details_share_as_their_master(self) -> None:
        for object_name, root in objects().items():
            controlled = text(root, "sharingModel") == "ControlledByParent"
            assert controlled == is_detail(object_name), object_name

    def test_list_each_picklist_value_once(self) -> None:
        for object_name, name, root in all_fields():
            values = texts(root, "valueSet/valueSetDefinition/value/fullName")
            assert len(values) == len({value.lower() for value in values}), f"{object_name}.{name}"


class TestUninstall:
    def test_lists_every_component(self) -> None:
        root = parse(SALESFORCE / "uninstall" / "2-remove" / "destructiveChanges.xml")
        listed = {
            f"{text(group, 'name')} {member}"
            for group in root.iterfind(NAMESPACE + "types")
            for member in texts(group, "members")
        }

        assert listed == set(installed_components())

    def test_switches_every_flow_off_first(self) -> None:
        folder = SALESFORCE / "uninstall" / "1-switch-off"
        flows = {path.name.split(".")[0] for path in documents("flows/*")}

        assert set(texts(parse(folder / "package.xml"), "types/members")) == flows
        assert {path.stem for path in (folder / "flowDefinitions").iterdir()} == flows


def installed_components() -> Iterator[str]:
    """Everything deployed, but what disappears with its own object."""
    folders = {
        "applications": "CustomApplication",
        "customPermissions": "CustomPermission",
        "objects": "CustomObject",
        "permissionsets": "PermissionSet",
        "platformEventChannelMembers": "PlatformEventChannelMember",
        "queues": "Queue",
        "tabs": "CustomTab",
    }
    parts = {"fields": "CustomField", "listViews": "ListView", "validationRules": "ValidationRule"}
    for path in sorted(SOURCE.rglob("*-meta.xml")):
        top, *rest = path.relative_to(SOURCE).parts
        name = path.name.split(".")[0]
        if top == "objects" and len(rest) == 3:
            if rest[0] in STANDARD_FIELDS:
                yield f"{parts[rest[1]]} {rest[0]}.{name}"
        elif top == "flows":
            yield f"Flow {name}-1"
        elif top == "workflows":
            for message in texts(parse(path), "outboundMessages/fullName"):
                yield f"WorkflowOutboundMessage {name}.{message}"
        elif top == "layouts":
            assert name.split("-")[0] in OWN_OBJECTS
        else:
            yield f"{folders[top]} {name}"


class TestReference:
    def test_page_says_what_the_metadata_says(self) -> None:
        docs = SALESFORCE.parent / "docs"
        generator = runpy.run_path(str(docs / "generate_crm_objects.py"))

        page = (docs / "reference" / "crm-objects.md").read_text(encoding="utf-8")
        assert page == generator["render"]()


class TestLocalOrg:
    def test_reads_every_field_and_message(self) -> None:
        schema = build_schema(SALESFORCE, prefixes={})
        automation = read_automation(SALESFORCE, schema)

        read = {(o.name, f.name) for o in schema.objects for f in o.fields if f.custom}
        assert read >= {(o, n) for o, n, _ in all_fields()}
        assert len(automation.messages) == len(automation.flows) == len(documents("flows/*"))


class TestMappings:
    @pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.yaml")), ids=lambda path: path.stem)
    def test_agree_with_the_schema_who_owns_a_field(self, path: Path) -> None:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
        described = fields()[mapping["object"]]

        disagreements = [
            name
            for name, rule in mapping["fields"].items()
            if name.endswith("__c")
            and owner_of(described[name]).lower() != rule["owner"].replace("_", " ")
        ]
        assert disagreements == []

    def test_hold_in_picklists_every_state_of_the_hub(self) -> None:
        compared = 0
        for path in sorted(MAPPINGS.glob("*.yaml")):
            mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
            for name, rule in mapping["fields"].items():
                if rule.get("type") != "picklist":
                    continue
                field = fields()[mapping["object"]][name]
                offered = set(texts(field, "valueSet/valueSetDefinition/value/fullName"))
                stored = allowed_values(table=mapping["table"], column=rule["from"])
                compared += bool(stored)
                assert stored <= offered, f"{path.name}: {name}"

        assert compared > 10


def allowed_values(*, table: str, column: str) -> set[str]:
    """The values the hub's check constraint allows in a column; none if it has no such check."""
    for constraint in metadata.tables[table].constraints:
        if isinstance(constraint, CheckConstraint):
            allowed = re.fullmatch(rf"{column} (?:IN \((.*)\)|= ('.*'))", str(constraint.sqltext))
            if allowed:
                return set(re.findall(r"'([^']*)'", allowed[1] or allowed[2]))
    return set()
