"""Writes the WSDL of the partner API from the tables of its types (fact sheet F.1)."""

from functools import lru_cache

from .types import (
    FAULT,
    FAULTS,
    HEADERS,
    OPERATIONS,
    PARTNER,
    SOBJECT,
    TYPES,
    XSD,
    Element,
    Operation,
)

SIMPLE = {
    "string": "xsd:string",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "dateTime": "xsd:dateTime",
    "base64Binary": "xsd:base64Binary",
    "anyType": "xsd:anyType",
    "sObject": "ens:sObject",
    "ExceptionCode": "fns:ExceptionCode",
}
ANSWER_HEADER = "LimitInfoHeader"
INDENT = "  "


@lru_cache(maxsize=8)
def partner_wsdl(address: str) -> bytes:
    """Return the WSDL for a service at an address."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<!-- Partner API of the local org. -->",
        f'<definitions targetNamespace="{PARTNER}" xmlns="http://schemas.xmlsoap.org/wsdl/" '
        f'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xsd="{XSD}" '
        f'xmlns:tns="{PARTNER}" xmlns:fns="{FAULT}" xmlns:ens="{SOBJECT}">',
        "<types>",
        *_record_schema(),
        *_partner_schema(),
        *_fault_schema(),
        "</types>",
        *_messages(),
        '<portType name="Soap">',
        *(line for item in OPERATIONS.values() for line in _port(item)),
        "</portType>",
        '<binding name="SoapBinding" type="tns:Soap">',
        '<soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>',
        *(line for item in OPERATIONS.values() for line in _binding(item)),
        "</binding>",
        '<service name="SforceService">',
        '<port binding="tns:SoapBinding" name="Soap">',
        f'<soap:address location="{address}"/>',
        "</port>",
        "</service>",
        "</definitions>",
    ]
    return "\n".join(lines).encode()


def type_name(kind: str) -> str:
    """Return the qualified name of a type in the notation of the tables."""
    return SIMPLE.get(kind, f"tns:{kind}")


def _element(item: Element) -> str:
    parts = [f'name="{item.name}"', f'type="{type_name(item.type)}"']
    if item.optional:
        parts.append('minOccurs="0"')
    if item.many:
        parts.append('maxOccurs="unbounded"')
    if item.nillable:
        parts.append('nillable="true"')
    return f"<xsd:element {' '.join(parts)}/>"


def _sequence(items: tuple[Element, ...]) -> list[str]:
    return ["<xsd:sequence>", *(INDENT + _element(item) for item in items), "</xsd:sequence>"]


def _wrapper(name: str, items: tuple[Element, ...]) -> list[str]:
    """Return an element of an anonymous type: a header, a call, an answer."""
    return [
        f'<xsd:element name="{name}">',
        "<xsd:complexType>",
        *_sequence(items),
        "</xsd:complexType>",
        "</xsd:element>",
    ]


def _simple_type(name: str) -> list[str]:
    return [
        f'<xsd:simpleType name="{name}"><xsd:restriction base="xsd:string"/></xsd:simpleType>',
    ]


def _record_schema() -> list[str]:
    return [
        f'<xsd:schema elementFormDefault="qualified" targetNamespace="{SOBJECT}">',
        f'<xsd:import namespace="{PARTNER}"/>',
        '<xsd:complexType name="sObject">',
        "<xsd:sequence>",
        '<xsd:element name="type" type="xsd:string"/>',
        '<xsd:element name="fieldsToNull" type="xsd:string" nillable="true" minOccurs="0" '
        'maxOccurs="unbounded"/>',
        '<xsd:element name="Id" type="tns:ID" nillable="true"/>',
        '<xsd:any namespace="##targetNamespace" minOccurs="0" maxOccurs="unbounded" '
        'processContents="lax"/>',
        "</xsd:sequence>",
        "</xsd:complexType>",
        "</xsd:schema>",
    ]


def _partner_schema() -> list[str]:
    lines = [
        f'<xsd:schema elementFormDefault="qualified" targetNamespace="{PARTNER}">',
        f'<xsd:import namespace="{SOBJECT}"/>',
        # Both lengths of ids are accepted, so no length is declared.
        *_simple_type("ID"),
        *_simple_type("QueryLocator"),
        *_simple_type("StatusCode"),
    ]
    for name, items in TYPES.items():
        lines += [f'<xsd:complexType name="{name}">', *_sequence(items), "</xsd:complexType>"]
    for name, items in HEADERS.items():
        lines += _wrapper(name, items)
    for operation in OPERATIONS.values():
        lines += _wrapper(operation.name, operation.arguments)
        result = (operation.result,) if operation.result is not None else ()
        lines += _wrapper(f"{operation.name}Response", result)
    return [*lines, "</xsd:schema>"]


def _fault_schema() -> list[str]:
    lines = [
        f'<xsd:schema elementFormDefault="qualified" targetNamespace="{FAULT}">',
        f'<xsd:import namespace="{PARTNER}"/>',
        *_simple_type("ExceptionCode"),
    ]
    for name, (base, items) in FAULTS.items():
        lines.append(f'<xsd:complexType name="{name}">')
        if base is None:
            lines += _sequence(items)
        else:
            lines += [
                "<xsd:complexContent>",
                f'<xsd:extension base="fns:{base}">',
                *_sequence(items),
                "</xsd:extension>",
                "</xsd:complexContent>",
            ]
        lines.append("</xsd:complexType>")
        lines.append(f'<xsd:element name="{name}" type="fns:{name}"/>')
    return [*lines, "</xsd:schema>"]


def _messages() -> list[str]:
    lines = ['<message name="Header">']
    lines += [f'<part name="{name}" element="tns:{name}"/>' for name in HEADERS]
    lines.append("</message>")
    for name in FAULTS:
        lines += [
            f'<message name="{name}">',
            f'<part name="fault" element="fns:{name}"/>',
            "</message>",
        ]
    for item in OPERATIONS.values():
        for suffix, element in (("Request", item.name), ("Response", f"{item.name}Response")):
            lines += [
                f'<message name="{item.name}{suffix}">',
                f'<part name="parameters" element="tns:{element}"/>',
                "</message>",
            ]
    return lines


def _port(item: Operation) -> list[str]:
    return [
        f'<operation name="{item.name}">',
        f'<input message="tns:{item.name}Request"/>',
        f'<output message="tns:{item.name}Response"/>',
        *(f'<fault message="tns:{name}" name="{name}"/>' for name in item.faults),
        "</operation>",
    ]


def _binding(item: Operation) -> list[str]:
    def header(name: str) -> str:
        return f'<soap:header use="literal" message="tns:Header" part="{name}"/>'

    answers = [] if item.name == "login" else [header(ANSWER_HEADER)]
    return [
        f'<operation name="{item.name}">',
        '<soap:operation soapAction=""/>',
        "<input>",
        *(header(name) for name in item.headers),
        '<soap:body parts="parameters" use="literal"/>',
        "</input>",
        "<output>",
        *answers,
        '<soap:body use="literal"/>',
        "</output>",
        *(
            f'<fault name="{name}"><soap:fault name="{name}" use="literal"/></fault>'
            for name in item.faults
        ),
        "</operation>",
    ]
