"""Any SFDX source folder can be read: what the org lacks is left out and told (fact sheet K)."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from l2c_sandbox.errors import SetupError
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client
from schema_folder import SourceFolder

SHIPPED = Path(__file__).parents[2] / "salesforce"
REFERENCE = "<referenceTo>{}</referenceTo><relationshipName>Wilds</relationshipName>"
CHOICE = "<fullName>{0}</fullName><default>{1}</default><label>{0}</label>"
FLOW = (
    "<actionCalls><name>send</name><actionName>Wild__c.Told</actionName>"
    "<actionType>outboundMessage</actionType></actionCalls><status>Active</status><start>"
    "<connector><targetReference>send</targetReference></connector>"
    "<filterFormula>{{!$Record.Size__c}} &gt; {{!$Record__Prior.Size__c}}</filterFormula>"
    "<object>{}</object><recordTriggerType>Update</recordTriggerType>"
    "<triggerType>RecordAfterSave</triggerType></start>"
)


def rule(name: str, trigger: str, condition: str) -> str:
    return (
        f"<rules><fullName>{name}</fullName><actions><name>Told</name><type>OutboundMessage</type>"
        f"</actions><active>true</active>{condition}<triggerType>{trigger}</triggerType></rules>"
    )


def item(field: str, operation: str, value: str) -> str:
    return (
        f"<criteriaItems><field>Wild__c.{field}</field><operation>{operation}</operation>"
        f"<value>{value}</value></criteriaItems>"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    folder = SourceFolder(tmp_path_factory.mktemp("source"))
    folder.object("Wild__c")
    folder.field("Wild__c", "At__c", "Time")
    folder.field("Wild__c", "Size__c", "Number", "<precision>9</precision><scale>0</scale>")
    folder.field("Wild__c", "Secret__c", "EncryptedText", "<length>20</length>")
    shared = "<valueSet><restricted>true</restricted><valueSetName>Hues</valueSetName></valueSet>"
    folder.field("Wild__c", "Hue__c", "Picklist", shared)
    hues = [("Red", "true"), ("Blue", "false")]
    values = "".join(f"<customValue>{CHOICE.format(*hue)}</customValue>" for hue in hues)
    old = f"<customValue>{CHOICE.format('Grey', 'false')}<isActive>false</isActive></customValue>"
    folder.write("globalValueSets/Hues.globalValueSet-meta.xml", "GlobalValueSet", values + old)
    folder.field("Activity", "Kind__c", "Text", "<length>20</length>")
    folder.field("User", "Boss__c", "Hierarchy", "<relationshipName>Staff</relationshipName>")
    folder.object("Setting__c", "<customSettingsType>Hierarchy</customSettingsType>")
    folder.message(
        "Wild__c",
        "Told",
        rule("Created", "onCreateOnly", item("Name", "equals", "new, fresh"))
        + rule(
            "Grown",
            "onCreateOrTriggeringUpdate",
            item("Size__c", "greaterOrEqual", "100")
            + item("Hue__c", "notEqual", "Blue")
            + item("Name", "startsWith", "big")
            + "<booleanFilter>1 AND (2 OR 3)</booleanFilter>",
        )
        + rule("Signed", "onAllChanges", '<formula>Secret__c = "told"</formula>')
        + rule("Unknown", "onAllChanges", item("Nothing__c", "equals", "x")),
    )
    folder.write("flows/Larger.flow-meta.xml", "Flow", FLOW.format("Wild__c"))
    started = SandboxServer(Org(OrgSettings(schema=folder.root)), host="127.0.0.1", port=0)
    started.start()
    yield started
    started.close()


def waiting(org: Client) -> int:
    """Return how many notifications wait for an endpoint that is not there."""
    return int(org.get("/__sandbox__/outbound").json()["pending"])


@pytest.fixture
def silent(org: Client) -> Client:
    """The org, whose messages reach nobody."""
    routing = {"endpoint_base": "http://127.0.0.1:9", "first_retry_ms": 3_600_000}
    assert org.call("PUT", "/__sandbox__/outbound", json=routing).status_code == 200
    return org


class TestTimesOfDay:
    def test_are_stored_and_compared(self, org: Client) -> None:
        early = org.create("Wild__c", At__c="08:05")
        late = org.create("Wild__c", At__c="17:30:00.25Z")

        found = org.query("SELECT Id, At__c FROM Wild__c ORDER BY At__c")
        after = org.query("SELECT Id FROM Wild__c WHERE At__c > 08:05:00.000Z")

        assert [row["At__c"] for row in found] == ["08:05:00.000Z", "17:30:00.250Z"]
        assert [row["Id"] for row in found] == [early, late]
        assert [row["Id"] for row in after] == [late]

    @pytest.mark.parametrize("value", ["24:00:00.000Z", "noon", "8:05", "08:05:61Z", 8, True])
    def test_refuse_what_is_none(self, org: Client, value: object) -> None:
        answer = org.post("/sobjects/Wild__c", {"At__c": value})

        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")

    def test_compare_with_times_only(self, org: Client) -> None:
        refused = org.refused("SELECT Id FROM Wild__c WHERE At__c = '08:05'")

        assert refused["errorCode"] == "INVALID_FIELD"

    def test_are_described(self, org: Client) -> None:
        fields = {f["name"]: f for f in org.get("/sobjects/Wild__c/describe").json()["fields"]}

        assert (fields["At__c"]["type"], fields["At__c"]["soapType"]) == ("time", "xsd:time")


class TestSharedPicklists:
    def test_have_the_active_values_of_their_set(self, org: Client) -> None:
        fields = {f["name"]: f for f in org.get("/sobjects/Wild__c/describe").json()["fields"]}
        hue = fields["Hue__c"]

        assert [value["value"] for value in hue["picklistValues"]] == ["Red", "Blue"]
        assert (hue["restrictedPicklist"], hue["defaultedOnCreate"]) == (True, True)

    def test_refuse_other_values(self, org: Client) -> None:
        answer = org.post("/sobjects/Wild__c", {"Hue__c": "Grey"})

        assert answer.json()[0]["errorCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


def test_fields_of_activities_belong_to_tasks_and_events(org: Client) -> None:
    for name in ("Task", "Event"):
        fields = [f["name"] for f in org.get(f"/sobjects/{name}/describe").json()["fields"]]
        assert "Kind__c" in fields


def test_a_hierarchy_leads_to_users(org: Client) -> None:
    assert org.query("SELECT Boss__r.Name FROM User LIMIT 1")[0]["Boss__r"] is None


def test_custom_settings_are_records(org: Client) -> None:
    assert org.query(f"SELECT Name FROM Setting__c WHERE Id = '{org.create('Setting__c')}'")


class TestWorkflowRules:
    def test_run_when_a_record_is_created(self, silent: Client) -> None:
        silent.create("Wild__c", Name="other")
        assert waiting(silent) == 0

        record = silent.create("Wild__c", Name="Fresh")
        silent.patch(f"/sobjects/Wild__c/{record}", {"Name": "new"})

        assert waiting(silent) == 1

    def test_run_when_a_change_makes_a_record_fit(self, silent: Client) -> None:
        path = f"/sobjects/Wild__c/{silent.create('Wild__c', Name='x', Hue__c='Blue')}"

        told = []
        for change in ({"Size__c": 100}, {"Hue__c": "Red"}, {"Size__c": 99}, {"Name": "big"}):
            silent.patch(path, change)
            told.append(waiting(silent))

        # The flow tells of nothing: a size is only larger than a size it had.
        assert told == [0, 1, 1, 1]

    def test_run_by_a_formula_at_every_change(self, silent: Client) -> None:
        path = f"/sobjects/Wild__c/{silent.create('Wild__c', Name='x', Secret__c='told')}"
        silent.patch(path, {"Name": "y"})
        silent.patch(path, {"Secret__c": "quiet"})

        assert waiting(silent) == 2


def test_a_flow_runs_by_a_formula_with_the_record_before(silent: Client) -> None:
    path = f"/sobjects/Wild__c/{silent.create('Wild__c', Name='x', Size__c=5)}"

    told = []
    for size in (4, 7):
        silent.patch(path, {"Size__c": size})
        told.append(waiting(silent))

    assert told == [0, 1]


def test_what_the_org_lacks_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = SourceFolder(tmp_path)
    folder.object("Wild__c")
    folder.field("Wild__c", "Where__c", "Location", "<scale>6</scale>")
    folder.field("Wild__c", "Cure__c", "Lookup", REFERENCE.format("Solution"))
    folder.field(
        "Wild__c", "Sum__c", "Summary",
        "<summaryForeignKey>Kid__c.Wild__c</summaryForeignKey>"
        "<summaryOperation>count</summaryOperation>",
    )  # fmt: skip
    folder.field("Solution", "Depth__c", "Text", "<length>9</length>")
    folder.object("Rate__mdt", "")
    folder.field("Rate__mdt", "For__c", "MetadataRelationship")
    folder.message("Solution", "Gone")
    folder.write("flows/Lost.flow-meta.xml", "Flow", FLOW.format("Solution"))
    kind = "<fullName>A</fullName><active>true</active><label>A</label>"
    folder.write("objects/Solution/recordTypes/A.recordType-meta.xml", "RecordType", kind)
    blank = "<active>true</active><errorConditionFormula>true</errorConditionFormula>"
    path = "objects/Solution/validationRules/V.validationRule-meta.xml"
    folder.write(path, "ValidationRule", blank)

    with caplog.at_level(logging.WARNING):
        org = Org(OrgSettings(schema=tmp_path))
    fields = [field.name for field in org.schema.get("Wild__c").fields if field.custom]
    org.close()

    assert fields == []
    told = [line for line in caplog.messages if line.startswith("left out: ")]
    lost = ("Wild__c.Where__c", "Wild__c.Cure__c", "Wild__c.Sum__c", "the fields of Solution",
            "Rate__mdt", "Solution.workflow", "Lost.flow", "the record types of Solution",
            "V.validationRule")  # fmt: skip
    assert [what for what in lost if not any(what in line for line in told)] == []


def test_a_broken_file_stops_the_start(tmp_path: Path) -> None:
    folder = SourceFolder(tmp_path)
    folder.object("Wild__c")
    folder.field("Wild__c", "Size__c", "Number", "<precision>many</precision>")

    with pytest.raises(SetupError, match="Size__c"):
        Org(OrgSettings(schema=tmp_path))


@pytest.mark.parametrize(
    ("name", "kind", "body", "said"),
    [
        ("Up__c", "Lookup", "", "referenceTo is missing"),
        ('Up"__c', "Checkbox", "", "is no API name"),
        ("wild__C", "Checkbox", "", "has a field wild__C already"),
        (
            "Up__c",
            "Summary",
            "<summaryForeignKey>Kid__c</summaryForeignKey>",
            "no field of a detail",
        ),
    ],
)
def test_a_field_that_means_nothing_stops_the_start(
    tmp_path: Path, name: str, kind: str, body: str, said: str
) -> None:
    folder = SourceFolder(tmp_path)
    folder.object("Wild__c")
    folder.field("Wild__c", "Wild__c", "Checkbox")
    folder.write(
        "objects/Wild__c/fields/other__c.field-meta.xml",
        "CustomField",
        f"<fullName>{name}</fullName><type>{kind}</type>{body}",
    )

    with pytest.raises(SetupError, match=said):
        Org(OrgSettings(schema=tmp_path))


@pytest.mark.parametrize(
    ("operation", "summed", "left_out"),
    [("sum", "Size__c", []), ("avg", "Kid__c.Size__c", ["avg"])],
)
def test_a_roll_up_by_what_the_org_cannot_is_left_out(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    operation: str,
    summed: str,
    left_out: list[str],
) -> None:
    folder = SourceFolder(tmp_path)
    folder.object("Wild__c")
    folder.object("Kid__c")
    folder.field("Kid__c", "Wild__c", "MasterDetail", REFERENCE.format("Wild__c"))
    folder.field("Kid__c", "Size__c", "Number", "<precision>9</precision><scale>0</scale>")
    folder.field(
        "Wild__c", "Sum__c", "Summary",
        "<summaryForeignKey>Kid__c.Wild__c</summaryForeignKey>"
        f"<summarizedField>{summed}</summarizedField>"
        f"<summaryOperation>{operation}</summaryOperation>",
    )  # fmt: skip

    with caplog.at_level(logging.WARNING):
        org = Org(OrgSettings(schema=tmp_path))
    has_sum = org.schema.get("Wild__c").has("Sum__c")
    org.close()

    assert has_sum is not bool(left_out)
    assert [line.rsplit(" ", 1)[-1] for line in caplog.messages] == left_out


def test_a_rule_with_a_number_for_no_condition_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = SourceFolder(tmp_path)
    folder.object("Wild__c")
    logic = f"{item('Name', 'equals', 'x')}<booleanFilter>1 OR 0</booleanFilter>"
    folder.message("Wild__c", "Told", rule("Odd", "onAllChanges", logic))

    with caplog.at_level(logging.WARNING):
        org = Org(OrgSettings(schema=tmp_path))
    org.close()

    assert org.automation.flows == ()
    assert "Wild__c.Odd" in caplog.text


def test_nothing_of_the_shipped_folder_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Org(OrgSettings(schema=SHIPPED)).close()

    assert caplog.messages == []
