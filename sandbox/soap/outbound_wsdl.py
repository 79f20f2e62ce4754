"""The WSDL of one outbound message, for whoever builds a listener (fact sheet G.1)."""

from html import escape

from ..outbound.envelope import NAMESPACE
from ..schema.automation import OutboundMessage
from ..schema.model import Field, FieldType, ObjectType
from .types import XSD

ENTERPRISE = "urn:enterprise.soap.sforce.com"
RECORD = "urn:sobject.enterprise.soap.sforce.com"
TYPES = {
    FieldType.ID: "ent:ID",
    FieldType.REFERENCE: "ent:ID",
    FieldType.BOOLEAN: "xsd:boolean",
    FieldType.CURRENCY: "xsd:double",
    FieldType.DOUBLE: "xsd:double",
    FieldType.PERCENT: "xsd:double",
    FieldType.INT: "xsd:int",
    FieldType.DATE: "xsd:date",
    FieldType.DATETIME: "xsd:dateTime",
    FieldType.TIME: "xsd:time",
    FieldType.BASE64: "xsd:base64Binary",
}
_START = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- Salesforce.com Outbound Notification Web Services API Version 1.0, as the local org sends it.
     A listener answers Ack = true for the whole message. -->
<definitions targetNamespace="{NAMESPACE}" xmlns="http://schemas.xmlsoap.org/wsdl/"
 xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:tns="{NAMESPACE}"
 xmlns:xsd="{XSD}" xmlns:ent="{ENTERPRISE}" xmlns:ens="{RECORD}">
<types>
<xsd:schema elementFormDefault="qualified" targetNamespace="{ENTERPRISE}">
<xsd:simpleType name="ID"><xsd:restriction base="xsd:string"><xsd:length value="18"/>
<xsd:pattern value="[a-zA-Z0-9]{{18}}"/></xsd:restriction></xsd:simpleType>
</xsd:schema>
<xsd:schema elementFormDefault="qualified" targetNamespace="{RECORD}">
<xsd:import namespace="{ENTERPRISE}"/>
<xsd:complexType name="sObject"><xsd:sequence>
<xsd:element name="fieldsToNull" type="xsd:string" nillable="true" minOccurs="0"
 maxOccurs="unbounded"/>
<xsd:element name="Id" type="ent:ID" nillable="true"/>
</xsd:sequence></xsd:complexType>
"""
_MIDDLE = f"""</xsd:schema>
<xsd:schema elementFormDefault="qualified" targetNamespace="{NAMESPACE}">
<xsd:import namespace="{ENTERPRISE}"/>
<xsd:import namespace="{RECORD}"/>
<xsd:element name="notifications"><xsd:complexType><xsd:sequence>
<xsd:element name="OrganizationId" type="ent:ID"/>
<xsd:element name="ActionId" type="ent:ID"/>
<xsd:element name="SessionId" type="xsd:string" nillable="true"/>
<xsd:element name="EnterpriseUrl" type="xsd:string"/>
<xsd:element name="PartnerUrl" type="xsd:string"/>
<xsd:element name="Notification" type="tns:OBJECTNotification" maxOccurs="100"/>
</xsd:sequence></xsd:complexType></xsd:element>
<xsd:complexType name="OBJECTNotification"><xsd:sequence>
<xsd:element name="Id" type="ent:ID"/>
<xsd:element name="sObject" type="ens:OBJECT"/>
</xsd:sequence></xsd:complexType>
<xsd:element name="notificationsResponse"><xsd:complexType><xsd:sequence>
<xsd:element name="Ack" type="xsd:boolean"/>
</xsd:sequence></xsd:complexType></xsd:element>
</xsd:schema>
</types>
<message name="notificationsRequest"><part name="request" element="tns:notifications"/></message>
<message name="notificationsResponse"><part name="response" element="tns:notificationsResponse"/>
</message>
<portType name="NotificationPort"><operation name="notifications">
<documentation>Process a number of notifications.</documentation>
<input message="tns:notificationsRequest"/>
<output message="tns:notificationsResponse"/>
</operation></portType>
<binding name="NotificationBinding" type="tns:NotificationPort">
<soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
<operation name="notifications"><soap:operation soapAction=""/>
<input><soap:body use="literal"/></input><output><soap:body use="literal"/></output>
</operation></binding>
<service name="NotificationService"><documentation>Notification Service Implementation
</documentation><port binding="tns:NotificationBinding" name="Notification">
<soap:address location="ADDRESS"/></port></service>
</definitions>
"""


def outbound_wsdl(message: OutboundMessage, item: ObjectType) -> bytes:
    """Return the WSDL of a message: the chosen fields, and how to acknowledge."""
    fields = "".join(_element(item.by_name[name.lower()]) for name in message.fields)
    record = (
        f'<xsd:complexType name="{item.name}"><xsd:complexContent>'
        f'<xsd:extension base="ens:sObject"><xsd:sequence>\n{fields}'
        "</xsd:sequence></xsd:extension></xsd:complexContent></xsd:complexType>\n"
    )
    rest = _MIDDLE.replace("OBJECT", item.name).replace(
        "ADDRESS", escape(message.endpoint_url, quote=False)
    )
    return (_START + record + rest).encode()


def _element(field: Field) -> str:
    kind = TYPES.get(field.type, "xsd:string")
    return f'<xsd:element name="{field.name}" type="{kind}" nillable="true" minOccurs="0"/>\n'
