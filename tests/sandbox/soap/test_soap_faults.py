"""Faults, hardened reading, and what the SOAP door does not offer (fact sheet A.7, A.8, F.6)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from l2c_sandbox.soap.types import OPERATIONS
from lxml import etree
from org_client import Client
from partner_client import Partner, fault_code, wsdl_client

SCHEMA = Path(__file__).parent.parent / "schema"
USER_INFO = "<getUserInfo/>"


class TestForm:
    def test_a_dead_session_is_told_in_the_form_clients_look_for(self, partner: Partner) -> None:
        answer = partner.post(partner.envelope(USER_INFO, token="dead"))

        assert answer.status_code == 500
        assert answer.headers["Content-Type"] == "text/xml; charset=UTF-8"
        assert "<faultcode>sf:INVALID_SESSION_ID</faultcode>" in answer.text
        assert "<sf:exceptionCode>INVALID_SESSION_ID</sf:exceptionCode>" in answer.text
        assert '<sf:UnexpectedErrorFault xsi:type="sf:UnexpectedErrorFault">' in answer.text

    def test_a_call_without_a_session_is_refused(self, partner: Partner) -> None:
        envelope = partner.envelope(USER_INFO).replace("SessionHeader", "OtherHeader")

        assert fault_code(partner.post(envelope)) == "sf:INVALID_SESSION_ID"

    @pytest.mark.parametrize(
        ("soql", "code", "kind", "place"),
        [
            ("select count() from XYZZY", "INVALID_TYPE", "InvalidSObjectFault", ("1", "21")),
            ("SELECT Nothing FROM Account", "INVALID_FIELD", "InvalidFieldFault", None),
            ("SELECT Id FROM", "MALFORMED_QUERY", "MalformedQueryFault", None),
            ("", "MALFORMED_QUERY", "MalformedQueryFault", None),
        ],
    )
    def test_bad_queries_name_row_and_column(
        self,
        partner: Partner,
        soql: str,
        code: str,
        kind: str,
        place: tuple[str, str] | None,
    ) -> None:
        fault = partner.fault("query", soql)

        detail = fault.detail[0]
        found = {etree.QName(child).localname: child.text for child in detail}
        assert fault.code == f"sf:{code}"
        assert fault.message.startswith(f"{code}: ")
        assert etree.QName(detail).localname == kind
        assert found["exceptionCode"] == code
        assert {"row", "column"} <= set(found)
        if place is not None:
            assert (found["row"], found["column"]) == place

    def test_unknown_locators_have_a_fault_of_their_own(self, partner: Partner) -> None:
        fault = partner.fault("queryMore", "01gSb0000000099AAA-500")

        assert fault.message == "INVALID_QUERY_LOCATOR: invalid query locator"
        assert etree.QName(fault.detail[0]).localname == "InvalidQueryLocatorFault"

    def test_malformed_ids_fail_retrieve(self, partner: Partner) -> None:
        fault = partner.fault("retrieve", "Name", "Account", ["x"])

        assert (fault.code, etree.QName(fault.detail[0]).localname) == (
            "sf:MALFORMED_ID",
            "InvalidIdFault",
        )

    def test_records_without_a_known_type_fail_the_call(self, partner: Partner) -> None:
        for record in (partner.record("Nothing", Name="A"), partner.record("", Name="A")):
            assert partner.fault("create", [record]).code == "sf:INVALID_TYPE"

    def test_the_used_up_allowance_is_a_fault(self, partner: Partner, org: Client) -> None:
        org.post("/__sandbox__/limits", {"max": 1, "used": 1})

        answer = partner.post(partner.envelope(USER_INFO))

        org.post("/__sandbox__/limits", {"max": 100_000, "used": 0})
        assert fault_code(answer) == "sf:REQUEST_LIMIT_EXCEEDED"

    def test_scheduled_faults_are_told_as_soap_tells_them(
        self, partner: Partner, org: Client
    ) -> None:
        fault = {"path": "/services/Soap", "kind": "http", "status": 503, "count": 1}
        assert org.post("/__sandbox__/faults", {"faults": [fault]}).ok

        answer = partner.post(partner.envelope(USER_INFO))

        assert answer.status_code == 503
        assert fault_code(answer) == "sf:SERVER_UNAVAILABLE"
        assert partner.post(partner.envelope(USER_INFO)).status_code == 200

    def test_rows_fail_on_purpose_one_by_one(self, partner: Partner, org: Client) -> None:
        account = partner.create("Account", Name="A")
        partner.call("delete", [account])
        fault = {"kind": "lock", "object": "Account", "count": 2}
        assert org.post("/__sandbox__/faults", {"faults": [fault]}).ok

        (created,) = partner.call("create", [partner.record("Account", Name="B")])
        (restored,) = partner.call("undelete", [account])
        (again,) = partner.call("undelete", [account])

        assert created.errors[0].statusCode == "UNABLE_TO_LOCK_ROW"
        assert restored.errors[0].statusCode == "UNABLE_TO_LOCK_ROW"
        assert again.success


class TestDoors:
    def test_login_is_off_unless_asked_for(self) -> None:
        body = (
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
            '<login xmlns="urn:partner.soap.sforce.com"><username>admin@sandbox.example</username>'
            "<password>sandbox</password></login></e:Body></e:Envelope>"
        )
        server = SandboxServer(Org(OrgSettings(schema=SCHEMA)), host="127.0.0.1", port=0)
        server.start()
        try:
            url = f"{server.base_url}/services/Soap/u/64.0"
            answer = requests.post(url, data=body, timeout=10)
        finally:
            server.close()

        assert answer.status_code == 500
        assert "<faultcode>sf:API_DISABLED_FOR_ORG</faultcode>" in answer.text
        assert "sf:LoginFault" in answer.text

    def test_the_command_line_switches_login_on(self) -> None:
        command = [sys.executable, "-m", "l2c_sandbox", "--json", "--soap-login"]
        command += ["--exit-with-stdin", "--schema", str(SCHEMA)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            facts = json.loads(process.stdout.readline())
            found = wsdl_client(facts["base_url"]).service.login(
                facts["username"], facts["password"]
            )
            process.stdin.close()
            assert process.wait(timeout=10) == 0

        assert found.userInfo.organizationId == facts["organization_id"]

    @pytest.mark.parametrize("version", ["49.0", "68.0", "64", "x", "64.5"])
    def test_versions_beyond_the_range_are_refused(self, partner: Partner, version: str) -> None:
        answer = partner.post(partner.envelope(USER_INFO), path=f"u/{version}")

        assert fault_code(answer) == "sf:UNSUPPORTED_API_VERSION"

    def test_the_org_id_may_follow_the_version(self, partner: Partner) -> None:
        answer = partner.post(partner.envelope(USER_INFO), path="u/50.0/00DSb0000000001")

        assert answer.status_code == 200

    @pytest.mark.parametrize("door", ["m/64.0", "c/64.0", "t/64.0", "s/64.0"])
    def test_other_apis_are_refused_clearly(self, partner: Partner, door: str) -> None:
        answer = partner.post(partner.envelope("<listMetadata/>"), path=door)

        assert answer.status_code == 500
        assert fault_code(answer) == "sf:INVALID_OPERATION"
        assert "not provided by the local org" in answer.text

    def test_the_metadata_fault_is_in_its_own_namespace(self, partner: Partner) -> None:
        answer = partner.post(partner.envelope("<listMetadata/>"), path="m/64.0")

        assert 'xmlns:sf="http://soap.sforce.com/2006/04/metadata"' in answer.text

    def test_only_post_calls(self, partner: Partner) -> None:
        answer = requests.get(f"{partner.base_url}/services/Soap/u/64.0", timeout=10)

        assert (answer.status_code, fault_code(answer)) == (500, "soapenv:Client")

    def test_a_case_insensitive_path_and_gzip_both_ways_work(self, partner: Partner) -> None:
        import gzip

        answer = requests.post(
            f"{partner.base_url}/services/soap/U/64.0/",
            data=gzip.compress(partner.envelope("<describeGlobal/>").encode()),
            headers={"Content-Encoding": "gzip", "Accept-Encoding": "gzip"},
            timeout=10,
        )

        assert (answer.status_code, answer.headers["Content-Encoding"]) == (200, "gzip")


class TestBadInput:
    @pytest.mark.parametrize(
        "document",
        [
            '<!DOCTYPE e [<!ENTITY a "x">]>',
            '<!DOCTYPE e SYSTEM "http://127.0.0.1:1/x.dtd">',
            '<!DOCTYPE e [<!ENTITY f SYSTEM "file:///etc/hostname">]>',
        ],
    )
    def test_document_types_are_refused(self, partner: Partner, document: str) -> None:
        envelope = partner.envelope("<query><queryString>&a;</queryString></query>").replace(
            "<e:Envelope", f"{document}<e:Envelope", 1
        )

        answer = partner.post(envelope)

        assert (answer.status_code, fault_code(answer)) == (500, "soapenv:Client")

    def test_entities_that_multiply_do_not(self, partner: Partner) -> None:
        entities = '<!ENTITY a0 "aaaaaaaaaa">' + "".join(
            f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)
        )
        envelope = partner.envelope("<query><queryString>&a11;</queryString></query>").replace(
            "<e:Envelope", f"<!DOCTYPE e [{entities}]><e:Envelope", 1
        )

        assert fault_code(partner.post(envelope)) == "soapenv:Client"

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"<",
            b"{}",
            b"\xff\xfe\x00",
            b"<a/>",
            b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>',
            b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"/>',
            b"<a>" * 100_000,
        ],
    )
    def test_what_is_no_message_is_a_fault(self, partner: Partner, message: bytes) -> None:
        answer = partner.post(message)

        assert answer.status_code == 500
        assert fault_code(answer) in {"soapenv:Client", "soapenv:VersionMismatch"}

    def test_unknown_operations_are_named(self, partner: Partner) -> None:
        for body in ("<dance/>", '<query xmlns="urn:other"/>'):
            answer = partner.post(partner.envelope(body))
            assert "No operation available for request {urn:" in answer.text

    def test_deep_records_are_refused(self, partner: Partner) -> None:
        depth = 60
        inner = "<sf:Account><sf:type>Account</sf:type>" * depth + "</sf:Account>" * depth

        answer = partner.post(
            partner.envelope(
                f"<create><sObjects><sf:type>Contact</sf:type>{inner}</sObjects></create>"
            )
        )

        assert fault_code(answer) == "soapenv:Client"


_ARGUMENTS = (
    "queryString",
    "queryLocator",
    "ids",
    "sObjects",
    "sObjectType",
    "request",
    "masterRecord",
    "recordToMergeIds",
    "leadConverts",
    "leadId",
    "convertedStatus",
    "accountId",
    "fieldList",
    "externalIDFieldName",
    "startDate",
    "endDate",
    "type",
    "Id",
    "fieldsToNull",
    "Name",
    "Account",
    "CreatedDate",
    "IsDeleted",
    "VersionData",
)
_TEXTS = st.one_of(
    st.sampled_from(
        [
            "Account",
            "Contact",
            "Lead",
            "Id,Name",
            "Name",
            "001Sb0000000001IAA",
            "00QSb0000000001",
            "2026-01-01T00:00:00Z",
            "true",
            "-1",
            "1e400",
            "SELECT Id FROM Account",
            "Closed - Converted",
            "",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20),
)


def _node(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def build(name: str, nil: bool, inner: list[str]) -> str:
        prefix = "sf:" if name[0].isupper() or name in {"type", "fieldsToNull"} else ""
        mark = ' xsi:nil="true"' if nil else ""
        return f"<{prefix}{name}{mark}>{''.join(inner)}</{prefix}{name}>"

    return st.builds(
        build, st.sampled_from(_ARGUMENTS), st.booleans(), st.lists(children, max_size=4)
    )


_LEAF = _TEXTS.map(lambda t: t.replace("&", "&amp;").replace("<", "&lt;"))
_BODIES = st.builds(
    lambda name, inner: f"<{name}>{''.join(inner)}</{name}>",
    st.sampled_from(sorted(OPERATIONS.keys() - {"login", "logout", "invalidateSessions"})),
    st.lists(_node(st.recursive(_LEAF, _node, max_leaves=6)), max_size=5),
)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=_BODIES)
def test_no_input_is_an_error_of_the_org(partner: Partner, body: str) -> None:
    answer = partner.post(partner.envelope(body))

    assert answer.status_code in {200, 500}
    etree.fromstring(answer.content)
    assert "UNKNOWN_EXCEPTION" not in answer.text, body
