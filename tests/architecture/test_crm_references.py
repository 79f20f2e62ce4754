"""Views, layouts, rules, flows, messages and permission sets name only what exists."""

import re
from collections import Counter

import pytest
from crm_metadata import (
    NAMESPACE,
    OWN_OBJECTS,
    PREFIX,
    SOURCE,
    all_fields,
    documents,
    fields,
    known_fields,
    objects,
    text,
    texts,
)
from lxml import etree

LIST_COLUMNS = {"NAME", "CREATED_DATE", "LAST_UPDATE", "ACCOUNT.NAME", "OPPORTUNITY.NAME"}
FORMULA_WORDS = {"TODAY", "NULL", "TRUE", "FALSE", "Permission", "L2C_Connector", "Name"}


def unknown(object_name: str, names: list[str], extra: frozenset[str] = frozenset()) -> list[str]:
    return sorted(set(names) - known_fields(object_name) - extra)


def formula_words(formula: str) -> set[str]:
    """The names in a formula that are neither functions nor texts nor steps to a parent."""
    bare = re.sub(r'"[^"]*"', "", formula)
    bare = re.sub(r"\b\w+__r\.", "", bare)
    return set(re.findall(r"\b[A-Za-z]\w*\b(?!\s*\()", bare)) - FORMULA_WORDS


class TestReferences:
    def test_object_files_name_known_fields_and_compact_layouts(self) -> None:
        for object_name, root in objects().items():
            listed = [
                n
                for child in root.iterfind(NAMESPACE + "searchLayouts")
                for n in [(each.text or "") for each in child]
            ]
            compact = text(root, "compactLayoutAssignment")

            assert unknown(object_name, listed) == []
            assert (
                (SOURCE / "objects" / object_name / "compactLayouts")
                .joinpath(f"{compact}.compactLayout-meta.xml")
                .is_file()
            )

    def test_views_and_compact_layouts_name_known_fields(self) -> None:
        seen = 0
        for pattern, path_to in (
            ("objects/*/listViews/*", ("columns", "filters/field")),
            ("objects/*/compactLayouts/*", ("fields",)),
        ):
            for path, root in documents(pattern).items():
                names = [name for each in path_to for name in texts(root, each)]
                seen += len(names)
                assert unknown(path.parents[1].name, names, frozenset(LIST_COLUMNS)) == [], path

        assert seen > 100

    def test_views_filter_by_values_that_exist(self) -> None:
        for path, root in documents("objects/*/listViews/*").items():
            for item in root.iterfind(NAMESPACE + "filters"):
                field = fields()[path.parents[1].name].get(text(item, "field") or "")
                if field is not None and text(field, "type") == "Picklist":
                    known = set(texts(field, "valueSet/valueSetDefinition/value/fullName"))
                    wanted = set((text(item, "value") or "").split(",")) - {""}
                    assert wanted <= known, path

    def test_every_view_but_the_registers_empties_itself(self) -> None:
        unfiltered = {
            path.parents[1].name
            for path, root in documents("objects/*/listViews/*").items()
            if root.find(NAMESPACE + "filters") is None
        }

        assert unfiltered <= {
            f"L2C_{name}__c"
            for name in ("Location", "Price_Entry", "Service_Add_On", "Task_Dependency")
        }

    def test_formulas_and_rules_name_known_fields(self) -> None:
        formulas = [(o, n, text(root, "formula") or "") for o, n, root in all_fields()] + [
            (path.parents[1].name, path.name, text(root, "errorConditionFormula") or "")
            for path, root in documents("objects/*/validationRules/*").items()
        ]

        strangers = {
            f"{o} {n}": words
            for o, n, formula in formulas
            if (words := formula_words(formula) - known_fields(o))
        }
        assert strangers == {}

    def test_rules_show_their_message_at_a_known_field(self) -> None:
        for path, root in documents("objects/*/validationRules/*").items():
            assert unknown(path.parents[1].name, [text(root, "errorDisplayField") or ""]) == []

    def test_layouts_show_every_field_once_and_known_children(self) -> None:
        layouts = documents("layouts/*")
        assert {path.name.split("-")[0] for path in layouts} == OWN_OBJECTS

        for path, root in layouts.items():
            object_name = path.name.split("-")[0]
            shown = texts(root, "layoutSections/layoutColumns/layoutItems/field")
            assert unknown(object_name, shown) == [], path
            assert Counter(shown).most_common(1)[0][1] == 1, path
            assert set(fields()[object_name]) <= set(shown), path
            for related in root.iterfind(NAMESPACE + "relatedLists"):
                child, _, lookup = (text(related, "relatedList") or "").partition(".")
                assert text(fields()[child][lookup], "referenceTo") == object_name
                assert unknown(child, texts(related, "fields"), frozenset({"NAME"})) == []

    def test_layouts_require_what_is_required(self) -> None:
        for path, root in documents("layouts/*").items():
            required = {
                n
                for n, field in fields()[path.name.split("-")[0]].items()
                if text(field, "required") == "true" or text(field, "type") == "MasterDetail"
            }
            items = root.iter(NAMESPACE + "layoutItems")
            marked = {text(i, "field") for i in items if text(i, "behavior") == "Required"}
            assert required == marked - {"Name"}, path

    def test_app_shows_tabs_of_own_objects(self) -> None:
        tabs = {path.name.split(".")[0] for path in documents("tabs/*")}
        (app,) = documents("applications/*").values()

        assert tabs <= OWN_OBJECTS
        assert {tab for tab in texts(app, "tabs") if tab.startswith(PREFIX)} == tabs


class TestMessages:
    def test_carry_known_fields_and_the_stamps(self) -> None:
        for path, root in documents("workflows/*").items():
            for message in root.iterfind(NAMESPACE + "outboundMessages"):
                names = texts(message, "fields")
                assert unknown(path.name.split(".")[0], names) == []
                assert {"Id", "SystemModstamp", "LastModifiedDate"} <= set(names)
                assert len(names) == len(set(names))
                assert text(message, "includeSessionId") == "false"

    def test_are_each_sent_by_one_flow_of_the_same_object(self) -> None:
        messages = {
            f"{path.name.split('.')[0]}.{name}"
            for path, root in documents("workflows/*").items()
            for name in texts(root, "outboundMessages/fullName")
        }
        sent = [
            (text(flow, "start/object"), text(flow, "actionCalls/actionName"))
            for flow in documents("flows/*").values()
        ]

        assert sorted(action or "" for _, action in sent) == sorted(messages)
        assert all((action or "").startswith(f"{name}.") for name, action in sent)

    def test_flows_run_after_save_and_filter_known_fields(self) -> None:
        for path, flow in documents("flows/*").items():
            assert text(flow, "start/triggerType") == "RecordAfterSave"
            assert text(flow, "status") == "Active"
            start = text(flow, "start/connector/targetReference")
            assert start == text(flow, "actionCalls/name"), path
            names = texts(flow, "start/filters/field")
            assert unknown(text(flow, "start/object") or "", names) == []

    def test_a_won_opportunity_is_announced_when_it_becomes_won(self) -> None:
        (flow,) = documents("flows/L2C_Opportunity_Won*").values()

        assert text(flow, "start/doesRequireRecordChangedToMeetCriteria") == "true"
        assert text(flow, "start/recordTriggerType") == "CreateAndUpdate"

    @pytest.mark.parametrize("name", ["L2C_Task_Action", "L2C_Order_Action"])
    def test_an_intent_is_announced_only_when_it_changes(self, name: str) -> None:
        (flow,) = documents(f"flows/{name}*").values()

        filters = dict(
            zip(
                texts(flow, "start/filters/operator"),
                texts(flow, "start/filters/value/booleanValue"),
                strict=True,
            )
        )
        assert filters == {"IsChanged": "true", "IsNull": "false"}


@pytest.fixture(name="sets", scope="module")
def permission_sets() -> dict[str, etree._Element]:
    return {p.name.split(".")[0]: root for p, root in documents("permissionsets/*").items()}


class TestPermissionSets:
    @staticmethod
    def writable(root: etree._Element) -> set[str]:
        items = root.iterfind(NAMESPACE + "fieldPermissions")
        return {text(i, "field") or "" for i in items if text(i, "editable") == "true"}

    def test_name_fields_that_exist_and_may_be_named(self, sets: dict[str, etree._Element]) -> None:
        allowed = {
            f"{o}.{n}"
            for o, n, root in all_fields()
            if text(root, "required") != "true" and text(root, "type") != "MasterDetail"
        }

        for name, root in sets.items():
            assert set(texts(root, "fieldPermissions/field")) <= allowed, name

    def test_let_nobody_write_a_formula(self, sets: dict[str, etree._Element]) -> None:
        formulas = {f"{o}.{n}" for o, n, root in all_fields() if text(root, "formula")}

        assert formulas
        assert all(not self.writable(root) & formulas for root in sets.values())

    def test_let_the_connector_write_every_stored_field(
        self, sets: dict[str, etree._Element]
    ) -> None:
        stored = {
            f"{o}.{n}"
            for o, n, root in all_fields()
            if text(root, "formula") is None
            and text(root, "required") != "true"
            and text(root, "type") != "MasterDetail"
        }

        assert self.writable(sets["L2C_Integration"]) == stored
        objects_named = set(texts(sets["L2C_Integration"], "objectPermissions/object"))
        assert objects_named >= OWN_OBJECTS

    def test_do_not_let_the_connector_announce_its_own_changes(
        self, sets: dict[str, etree._Element]
    ) -> None:
        assert texts(sets["L2C_Integration"], "userPermissions/name") == ["ApiEnabled"]

    @pytest.mark.parametrize("name", ["L2C_Sales", "L2C_Delivery", "L2C_Billing_Viewer"])
    def test_let_people_write_only_what_the_crm_owns(
        self, sets: dict[str, etree._Element], name: str
    ) -> None:
        crm = {
            f"{o}.{n}"
            for o, n, root in all_fields()
            if (text(root, "description") or "").startswith("Owner: CRM.")
        }

        assert self.writable(sets[name]) <= crm

    def test_let_the_billing_viewer_write_nothing(self, sets: dict[str, etree._Element]) -> None:
        viewer = sets["L2C_Billing_Viewer"]

        assert self.writable(viewer) == set()
        assert set(texts(viewer, "objectPermissions/allowEdit")) == {"false"}

    def test_grant_delivery_at_most_ten_own_objects(self, sets: dict[str, etree._Element]) -> None:
        named = texts(sets["L2C_Delivery"], "objectPermissions/object")

        assert len([each for each in named if each in OWN_OBJECTS]) <= 10

    def test_grant_the_master_with_the_detail(self, sets: dict[str, etree._Element]) -> None:
        for name, root in sets.items():
            granted = set(texts(root, "objectPermissions/object"))
            for object_name, _, field in all_fields():
                if object_name in granted and text(field, "type") == "MasterDetail":
                    assert text(field, "referenceTo") in granted, (name, object_name)
