"""The WSDLs the org serves (fact sheet F.1, G.1)."""

import zeep
from l2c_sandbox.soap.types import OPERATIONS
from lxml import etree
from org_client import Client
from partner_client import Partner
from zeep import xsd

OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
MESSAGE = "Bill__c.Bill_Disputed"
RECORD = "{urn:sobject.enterprise.soap.sforce.com}"


def test_the_partner_wsdl_declares_every_operation(org: Client, partner: Partner) -> None:
    binding = partner.client.wsdl.bindings["{urn:partner.soap.sforce.com}SoapBinding"]

    assert set(binding._operations) == set(OPERATIONS)
    (service,) = partner.client.wsdl.services.values()
    (port,) = service.ports.values()
    assert port.binding_options["address"] == f"{org.base_url}/services/Soap/u/64.0"


def test_every_answer_is_valid_by_the_wsdl(partner: Partner) -> None:
    """The describe answer is the largest; strict parsing refuses a missing or foreign element."""
    described = partner.call("describeSObject", "Opportunity")

    declared = partner.client.get_type("{urn:partner.soap.sforce.com}Field")
    assert isinstance(declared, xsd.ComplexType)
    for field in described.fields:
        for name, element in declared.elements:
            if element.min_occurs and not element.is_optional:
                assert getattr(field, name) is not None, (field.name, name)


def test_an_outbound_message_has_a_wsdl_of_its_own(org: Client) -> None:
    client = zeep.Client(f"{org.base_url}/services/wsdl/outbound/{MESSAGE}")

    record = client.get_type(f"{RECORD}Bill__c")
    notifications = client.get_element(f"{{{OUTBOUND}}}notifications")
    answer = client.get_element(f"{{{OUTBOUND}}}notificationsResponse")
    names = [name for name, _ in record.elements]
    assert names[:2] == ["fieldsToNull", "Id"]
    assert len(names) > 2
    assert names[2:] == sorted(names[2:])
    assert [name for name, _ in notifications.type.elements] == [
        "OrganizationId",
        "ActionId",
        "SessionId",
        "EnterpriseUrl",
        "PartnerUrl",
        "Notification",
    ]
    assert answer(Ack=True).Ack is True


def test_a_message_is_found_by_its_short_name_too(org: Client) -> None:
    answers = [
        org.get(f"/services/wsdl/outbound/{name}").content
        for name in (MESSAGE, "Bill_Disputed", MESSAGE.upper())
    ]

    assert answers[0] == answers[1] == answers[2]
    assert etree.fromstring(answers[0]).tag == "{http://schemas.xmlsoap.org/wsdl/}definitions"


def test_other_wsdls_are_not_found(org: Client) -> None:
    for path in ("enterprise", "outbound", "outbound/Nothing", "outbound/a/b", ""):
        assert org.get(f"/services/wsdl/{path}").status_code == 404
    assert org.post("/services/wsdl/partner", {}).status_code == 405
