"""The partner API with an unmodified zeep client (fact sheet F)."""

from datetime import timedelta

import pytest
import zeep
from l2c_sandbox.soap.types import OPERATIONS
from lxml import etree
from org_client import Client
from partner_client import PARTNER, Partner, values, wsdl_client
from simple_salesforce.login import soap_login

MINUTES = timedelta(minutes=5)
ALL_OR_NONE = {"AllOrNoneHeader": {"allOrNone": True}}


class TestLogin:
    def test_gives_a_session_for_name_and_password(self, org: Client) -> None:
        client = wsdl_client(org.base_url)

        found = client.service.login("admin@sandbox.example", "sandbox")

        assert found.serverUrl == f"{org.base_url}/services/Soap/u/64.0/00DSb0000000001"
        assert found.metadataServerUrl.endswith("/services/Soap/m/64.0/00DSb0000000001")
        assert found.userInfo.userName == "admin@sandbox.example"
        assert found.userInfo.organizationId == "00DSb0000000001MAA"
        service = client.create_service(f"{{{PARTNER}}}SoapBinding", found.serverUrl)
        head = {"SessionHeader": {"sessionId": found.sessionId}}
        answer = service.getUserInfo(_soapheaders=head)
        assert answer.body.result.userId == found.userId

    def test_keeps_the_order_that_clients_read_by_position(self, partner: Partner) -> None:
        body = (
            "<login><username>admin@sandbox.example</username><password>sandbox</password></login>"
        )

        root = etree.fromstring(partner.post(partner.envelope(body)).content)

        result = root.find(f".//{{{PARTNER}}}result")
        assert result is not None
        names = [etree.QName(child).localname for child in result]
        assert names == [
            "metadataServerUrl",
            "passwordExpired",
            "sandbox",
            "serverUrl",
            "sessionId",
            "userId",
            "userInfo",
        ]
        assert etree.QName(result[6][8]).localname == "organizationId"

    def test_is_understood_by_simple_salesforce(self, org: Client) -> None:
        body = (
            '<?xml version="1.0" encoding="utf-8"?>'
            '<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body>'
            '<n1:login xmlns:n1="urn:partner.soap.sforce.com">'
            "<n1:username>{}</n1:username><n1:password>{}</n1:password>"
            "</n1:login></env:Body></env:Envelope>"
        )
        url = f"{org.base_url}/services/Soap/u/59.0"
        headers = {"content-type": "text/xml", "SOAPAction": "login"}

        session_id, instance = soap_login(
            url, body.format("admin@sandbox.example", "sandbox"), headers, proxies=None
        )

        assert org.get("/limits", headers={"Authorization": f"Bearer {session_id}"}).ok
        assert org.base_url.endswith(instance)

    def test_wrong_credentials_are_a_login_fault(self, org: Client) -> None:
        client = wsdl_client(org.base_url)

        with pytest.raises(zeep.exceptions.Fault) as caught:
            client.service.login("admin@sandbox.example", "wrong")

        assert caught.value.code == "sf:INVALID_LOGIN"
        assert caught.value.message.startswith("INVALID_LOGIN: Invalid username, password")
        assert etree.QName(caught.value.detail[0]).localname == "LoginFault"

    def test_there_is_none_from_version_65(self, partner: Partner) -> None:
        body = (
            "<login><username>admin@sandbox.example</username><password>sandbox</password></login>"
        )

        answer = partner.post(partner.envelope(body), path="u/65.0")

        assert answer.status_code == 500
        assert "No operation available for request {urn:partner.soap.sforce.com}login" in (
            answer.text
        )

    def test_logout_ends_the_session(self, partner: Partner) -> None:
        partner.call("logout")

        assert partner.fault("getUserInfo").code == "sf:INVALID_SESSION_ID"

    def test_sessions_are_invalidated_by_their_id(self, partner: Partner, org: Client) -> None:
        other = Client(org.base_url, admin=False)

        done, unknown = partner.call("invalidateSessions", [other.token, "nonsense"])

        assert (done.success, unknown.success) == (True, False)
        assert other.get("/limits").status_code == 401


class TestQuery:
    def test_writes_a_selected_id_twice(self, partner: Partner) -> None:
        account = partner.create("Account", Name="Ärger & Söhne <GmbH>", AnnualRevenue="1200.5")

        result = partner.call("query", "SELECT Id, Name, AnnualRevenue, Website FROM Account")

        (record,) = result.records
        assert (result.done, result.size, result.queryLocator) == (True, 1, None)
        assert (record.type, record.Id) == ("Account", account)
        assert values(record) == {
            "Id": account,
            "Name": "Ärger & Söhne <GmbH>",
            "AnnualRevenue": "1201.0",
            "Website": None,
        }

    def test_without_the_id_it_is_nil(self, partner: Partner) -> None:
        partner.create("Account", Name="A")

        (record,) = partner.call("query", "SELECT Name FROM Account").records

        assert record.Id is None
        assert values(record) == {"Name": "A"}

    def test_parents_children_and_addresses_are_nested(self, partner: Partner) -> None:
        account = partner.create("Account", Name="A", BillingCity="Köln", BillingCountry="DE")
        partner.create("Contact", LastName="Kern", AccountId=account)

        root = partner.raw(
            "<query><queryString>SELECT Name, BillingAddress, Owner.Name, Parent.Name, "
            "(SELECT LastName FROM Contacts) FROM Account</queryString></query>"
        )

        text = etree.tostring(root, encoding="unicode")
        assert '<sf:Owner xsi:type="sf:sObject"><sf:type>User</sf:type>' in text
        assert '<sf:Parent xsi:nil="true"/>' in text
        assert '<sf:Contacts xsi:type="QueryResult"><done>true</done>' in text
        assert "<sf:LastName>Kern</sf:LastName>" in text
        assert '<sf:BillingAddress xsi:type="address">' in text
        assert "<city>Köln</city><country>DE</country>" in text

    def test_stamps_end_with_z(self, partner: Partner) -> None:
        partner.create("Account", Name="2024-05-01T10:00:00.000+0000")

        (record,) = partner.call("query", "SELECT Name, CreatedDate FROM Account").records

        found = values(record)
        assert found["Name"] == "2024-05-01T10:00:00.000+0000"
        assert (found["CreatedDate"] or "").endswith(".000Z")

    def test_aggregates_carry_their_types(self, partner: Partner) -> None:
        partner.create("Account", Name="A")

        root = partner.raw(
            "<query><queryString>SELECT COUNT(Id) FROM Account</queryString></query>"
        )

        text = etree.tostring(root, encoding="unicode")
        assert '<sf:type>AggregateResult</sf:type><sf:Id xsi:nil="true"/>' in text
        assert '<sf:expr0 xsi:type="xsd:int">1</sf:expr0>' in text

    def test_pages_follow_the_locator(self, partner: Partner, org: Client) -> None:
        rows = [{"attributes": {"type": "Account"}, "Name": f"A{i:03d}"} for i in range(200)]
        for _ in range(3):
            org.post("/composite/sobjects", {"records": rows})
        head = {"QueryOptions": {"batchSize": 250}}

        first = partner.call("query", "SELECT Id FROM Account", headers=head)
        second = partner.call("queryMore", first.queryLocator, headers=head)
        third = partner.call("queryMore", second.queryLocator, headers=head)

        pages = [first, second, third]
        assert [len(page.records) for page in pages] == [250, 250, 100]
        assert [page.done for page in pages] == [False, False, True]
        assert {page.size for page in pages} == {600}
        assert len({r.Id for page in pages for r in page.records}) == 600

    def test_500_rows_are_a_page_by_default(self, partner: Partner, org: Client) -> None:
        rows = [{"attributes": {"type": "Account"}, "Name": f"A{i}"} for i in range(200)]
        for _ in range(3):
            org.post("/composite/sobjects", {"records": rows})

        assert len(partner.call("query", "SELECT Id FROM Account").records) == 500

    def test_query_all_sees_the_recycle_bin(self, partner: Partner) -> None:
        account = partner.create("Account", Name="A")
        partner.call("delete", [account])

        assert partner.call("query", "SELECT Id FROM Account").size == 0
        assert partner.call("queryAll", "SELECT Id FROM Account").size == 1

    def test_retrieve_answers_in_the_order_asked(self, partner: Partner) -> None:
        first, second = (partner.create("Account", Name=name) for name in "AB")

        found = partner.call("retrieve", "Name", "Account", [second, "001Sb0000099999", first])

        assert [record.Id for record in found] == [second, None, first]
        assert [values(record) for record in (found[0], found[2])] == [{"Name": "B"}, {"Name": "A"}]


class TestWriting:
    def test_accepts_every_header_of_the_wsdl(self, partner: Partner) -> None:
        headers = {
            "CallOptions": {"client": "Rehearsal/1.0", "defaultNamespace": None},
            "AssignmentRuleHeader": {"assignmentRuleId": None, "useDefaultRule": True},
            "MruHeader": {"updateMru": False},
            "AllowFieldTruncationHeader": {"allowFieldTruncation": False},
            "DisableFeedTrackingHeader": {"disableFeedTracking": True},
            "DuplicateRuleHeader": {
                "allowSave": True,
                "includeRecordDetails": False,
                "runAsCurrentUser": False,
            },
            "LocaleOptions": {"language": "en_US"},
            "EmailHeader": {
                "triggerAutoResponseEmail": False,
                "triggerOtherEmail": False,
                "triggerUserEmail": False,
            },
        }

        (result,) = partner.call(
            "create", [partner.record("Account", Name="A")], headers=headers | ALL_OR_NONE
        )

        assert result.success

    def test_rows_succeed_and_fail_by_themselves(self, partner: Partner) -> None:
        good, bad = partner.call(
            "create", [partner.record("Account", Name="A"), partner.record("Account")]
        )

        assert good.success
        assert good.id.startswith("001")
        assert (bad.success, bad.id) == (False, None)
        assert bad.errors[0].statusCode == "REQUIRED_FIELD_MISSING"
        assert bad.errors[0].fields == ["Name"]

    def test_all_or_none_keeps_none(self, partner: Partner) -> None:
        good, bad = partner.call(
            "create",
            [partner.record("Account", Name="A"), partner.record("Account")],
            headers=ALL_OR_NONE,
        )

        assert good.errors[0].statusCode == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
        assert bad.errors[0].statusCode == "REQUIRED_FIELD_MISSING"
        assert partner.call("query", "SELECT Id FROM Account").size == 0

    def test_records_of_several_types_go_in_one_call(self, partner: Partner) -> None:
        results = partner.call(
            "create", [partner.record("Account", Name="A"), partner.record("Contact", LastName="K")]
        )

        assert [r.id[:3] for r in results] == ["001", "003"]

    def test_absent_fields_stay_and_fields_to_null_are_emptied(self, partner: Partner) -> None:
        account = partner.create("Account", Name="A", Website="x.example", Site="S")

        (result,) = partner.call(
            "update", [partner.record("Account", id=account, null=("Website",), Name="B")]
        )

        assert result.success
        (record,) = partner.call("query", "SELECT Name, Website, Site FROM Account").records
        assert values(record) == {"Name": "B", "Website": None, "Site": "S"}

    def test_what_is_nil_is_not_touched(self, partner: Partner) -> None:
        account = partner.create("Account", Name="A", Website="x.example")

        partner.raw(
            "<update><sObjects><sf:type>Account</sf:type>"
            f'<sf:Id>{account}</sf:Id><sf:Website xsi:nil="true"/></sObjects></update>'
        )

        (record,) = partner.call("query", "SELECT Website FROM Account").records
        assert values(record) == {"Website": "x.example"}

    def test_values_are_text_of_every_type(self, partner: Partner) -> None:
        account = partner.create("Account", Name="A")
        opportunity = partner.create(
            "Opportunity",
            Name="O",
            AccountId=account,
            StageName="Prospecting",
            CloseDate="2026-03-31",
            Amount="1234.56",
        )
        partner.create(
            "Bill__c",
            Key__c="B-1",
            Account__c=account,
            Disputed__c="true",
            Sent_At__c="2026-03-31T10:00:00.000+02:00",
        )

        (record,) = partner.call(
            "query", f"SELECT Amount, CloseDate, IsClosed FROM Opportunity WHERE Id='{opportunity}'"
        ).records
        assert values(record) == {
            "Amount": "1234.56",
            "CloseDate": "2026-03-31",
            "IsClosed": "false",
        }
        (bill,) = partner.call("query", "SELECT Disputed__c, Sent_At__c FROM Bill__c").records
        assert values(bill) == {"Disputed__c": "true", "Sent_At__c": "2026-03-31T08:00:00.000Z"}

    @pytest.mark.parametrize(
        ("field", "text", "kind"),
        [
            ("AnnualRevenue", "many", "double"),
            ("NumberOfEmployees", "1x", "int"),
            ("PersonBirthdate", "31.12.1999", "date"),
        ],
    )
    def test_text_of_another_type_fails_the_call(
        self, partner: Partner, field: str, text: str, kind: str
    ) -> None:
        record = partner.record("Account", Name="A", **{field: text})

        fault = partner.fault("create", [record])

        assert fault.message == f"'{text}' is not a valid value for the type xsd:{kind}"

    def test_a_parent_is_named_by_its_external_id(self, partner: Partner) -> None:
        account = partner.create("Account", Name="A", Billing_Key__c="C-1")

        partner.create(
            "Contact", LastName="K", Account={"type": "Account", "Billing_Key__c": "C-1"}
        )

        (record,) = partner.call("query", "SELECT AccountId FROM Contact").records
        assert values(record) == {"AccountId": account}

    def test_upsert_creates_then_updates(self, partner: Partner) -> None:
        account = partner.create("Account", Name="A")
        fields = {"Account__c": account, "Key__c": "B-7"}

        (first,) = partner.call("upsert", "Key__c", [partner.record("Bill__c", **fields)])
        again, broken = partner.call(
            "upsert",
            "Key__c",
            [
                partner.record("Bill__c", Key__c="b-7", Notes__c="seven"),
                partner.record("Bill__c", Notes__c="no key"),
            ],
        )

        assert (first.created, first.success) == (True, True)
        assert (again.errors, again.created, again.id) == ([], False, first.id)
        assert broken.errors[0].statusCode == "MISSING_ARGUMENT"

    def test_upsert_by_a_field_that_is_no_key_is_a_field_fault(self, partner: Partner) -> None:
        fault = partner.fault("upsert", "Website", [partner.record("Account", Name="A")])

        assert fault.code == "sf:INVALID_FIELD"
        assert etree.QName(fault.detail[0]).localname == "InvalidFieldFault"

    def test_more_than_200_records_are_too_many(self, partner: Partner) -> None:
        records = [partner.record("Account", Name="A")] * 201

        for operation in ("create", "update"):
            assert partner.fault(operation, records).code == "sf:EXCEEDED_ID_LIMIT"

    def test_deletes_tell_each_outcome(self, partner: Partner) -> None:
        account = partner.create("Account", Name="A")

        gone, again, malformed = partner.call("delete", [account, account, "x"])

        assert (gone.success, gone.id) == (True, account)
        assert again.errors[0].statusCode == "ENTITY_IS_DELETED"
        assert malformed.errors[0].statusCode == "MALFORMED_ID"


class TestDescribe:
    def test_lists_all_objects(self, partner: Partner) -> None:
        result = partner.call("describeGlobal")

        assert result.maxBatchSize == 200
        found = {item.name: item for item in result.sobjects}
        assert found["Bill__c"].custom
        assert found["Account"].keyPrefix == "001"

    def test_tells_everything_about_an_object(self, partner: Partner) -> None:
        result = partner.call("describeSObject", "bill__c")

        fields = {field.name: field for field in result.fields}
        assert result.name == "Bill__c"
        assert result.urlDetail.startswith(partner.base_url)
        assert (fields["Key__c"].externalId, fields["Key__c"].unique) == (True, True)
        assert fields["Account__c"].referenceTo == ["Account"]
        assert fields["Total__c"].type == "currency"
        assert [v.value for v in fields["Status__c"].picklistValues]
        assert fields["Disputed__c"].defaultValue is False
        assert "Bill_Line__c" in {link.childSObject for link in result.childRelationships}

    def test_describes_several_at_once(self, partner: Partner) -> None:
        found = partner.call("describeSObjects", ["Account", "Contact"])

        assert [item.name for item in found] == ["Account", "Contact"]

    def test_unknown_objects_are_a_type_fault(self, partner: Partner) -> None:
        fault = partner.fault("describeSObject", "Nothing")

        assert fault.code == "sf:INVALID_TYPE"
        assert etree.QName(fault.detail[0]).localname == "InvalidSObjectFault"


class TestReplication:
    def test_tells_what_was_updated_and_deleted(self, partner: Partner, org: Client) -> None:
        kept, gone = (partner.create("Account", Name=name) for name in "AB")
        partner.call("delete", [gone])
        now = partner.call("getServerTimestamp").timestamp
        window = ("Account", now - MINUTES, now + MINUTES)

        updated = partner.call("getUpdated", *window)
        deleted = partner.call("getDeleted", *window)

        assert updated.ids == [kept]
        assert [record.id for record in deleted.deletedRecords] == [gone]
        assert updated.latestDateCovered <= now + MINUTES
        assert deleted.earliestDateAvailable <= now

    def test_a_window_that_ends_before_it_starts_is_refused(self, partner: Partner) -> None:
        now = partner.call("getServerTimestamp").timestamp

        fault = partner.fault("getUpdated", "Account", now, now - MINUTES)

        assert fault.code == "sf:INVALID_REPLICATION_DATE"


def test_every_operation_of_the_wsdl_is_answered(partner: Partner) -> None:
    """No operation is declared that the org does not know."""
    for name in OPERATIONS:
        answer = partner.post(partner.envelope(f"<{name}/>", token="nobody"))
        assert "No operation available" not in answer.text, name
