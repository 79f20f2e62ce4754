"""The WSDL of an outbound message, made from the CRM schema, and the types zeep reads in it.

Salesforce writes such a WSDL for every outbound message (fact sheet G.1). Ours comes from the same
sources, the metadata in `salesforce/` and the mapping files, and differs in one point: numbers are
xsd:decimal where Salesforce writes xsd:double, because the text on the wire is the same and a
double would lose digits (design D8, measured 5).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import zeep
from lxml import etree
from lxml.builder import ElementMaker

from connector.sync.mapping.definition import FieldType, Mappings

SOBJECT = "urn:sobject.enterprise.soap.sforce.com"
_ENTERPRISE = "urn:enterprise.soap.sforce.com"
_OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
_XSD = "http://www.w3.org/2001/XMLSchema"
_WSDL = "http://schemas.xmlsoap.org/wsdl/"
_SOAP = "http://schemas.xmlsoap.org/wsdl/soap/"
_METADATA = {"m": "http://soap.sforce.com/2006/04/metadata"}


class WireType(StrEnum):
    """How a field's text is to be read."""

    ID = "ent:ID"
    TEXT = "xsd:string"
    NUMBER = "xsd:decimal"
    BOOLEAN = "xsd:boolean"
    DATE = "xsd:date"
    INSTANT = "xsd:dateTime"


_BY_METADATA_TYPE = {
    "Checkbox": WireType.BOOLEAN,
    "Currency": WireType.NUMBER,
    "Date": WireType.DATE,
    "DateTime": WireType.INSTANT,
    "Lookup": WireType.ID,
    "MasterDetail": WireType.ID,
    "Number": WireType.NUMBER,
    "Percent": WireType.NUMBER,
    "Summary": WireType.NUMBER,
}
_BY_MAPPING_TYPE = {
    FieldType.BOOLEAN: WireType.BOOLEAN,
    FieldType.DATE: WireType.DATE,
    FieldType.DATETIME: WireType.INSTANT,
    FieldType.INTEGER: WireType.NUMBER,
    FieldType.MONEY: WireType.NUMBER,
    FieldType.NUMBER: WireType.NUMBER,
    FieldType.REFERENCE: WireType.ID,
}
# Standard fields have no file in the metadata.
_STANDARD = {
    "AccountId": WireType.ID,
    "Amount": WireType.NUMBER,
    "CloseDate": WireType.DATE,
    "CreatedDate": WireType.INSTANT,
    "Id": WireType.ID,
    "IsClosed": WireType.BOOLEAN,
    "IsDeleted": WireType.BOOLEAN,
    "IsPersonAccount": WireType.BOOLEAN,
    "IsWon": WireType.BOOLEAN,
    "LastModifiedById": WireType.ID,
    "LastModifiedDate": WireType.INSTANT,
    "OwnerId": WireType.ID,
    "Probability": WireType.NUMBER,
    "SyncedQuoteId": WireType.ID,
    "SystemModstamp": WireType.INSTANT,
}


@dataclass(frozen=True)
class MessageShape:
    """The fields of an object's outbound message and their types."""

    object_name: str
    fields: Mapping[str, WireType]

    @cached_property
    def _client(self) -> Any:
        # strict: an element that is not in the WSDL is an error instead of silent loss (measured 5)
        settings = zeep.Settings(strict=True, forbid_dtd=True, forbid_entities=True)
        return zeep.Client(BytesIO(wsdl_text(self)), settings=settings)  # type: ignore[no-untyped-call]

    @cached_property
    def _type(self) -> Any:
        return self._client.get_type(f"{{{SOBJECT}}}{self.object_name}")

    def read_strictly(self, sobject: etree._Element) -> dict[str, object]:
        """Read a record whose elements are those of the WSDL, in its order; absent is None.

        Raises:
            zeep.exceptions.XMLParseError: The message has another shape.
        """
        value = self._type.parse_xmlelement(sobject, self._client.wsdl.types)
        return {name: getattr(value, name) for name in ("Id", *self._beside_id)}

    def read_by_name(self, sobject: etree._Element) -> tuple[dict[str, object], tuple[str, ...]]:
        """Read what can be read, in any order; also return the names of what cannot."""
        known = {element.name: element.type for _, element in self._type.elements}
        values: dict[str, object] = {}
        unknown: list[str] = []
        for child in sobject.iterchildren("{*}*"):
            name = etree.QName(child).localname
            if name not in known:
                unknown.append(name)
                continue
            try:
                values[name] = known[name].parse_xmlelement(child, self._client.wsdl.types)
            except ValueError:
                unknown.append(name)
        return values, tuple(unknown)

    @property
    def _beside_id(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.fields if name != "Id"))


def message_shapes(mappings: Mappings, *, metadata: Path) -> dict[str, MessageShape]:
    """Return the shape of every object's outbound message.

    `metadata` is the SFDX folder; an object without a message there gets the fields of its mapping.
    """
    root = metadata / "force-app" / "main" / "default"
    shapes: dict[str, MessageShape] = {}
    for object_name in dict.fromkeys(mapping.object for mapping in mappings.pulled):
        types = {"Id": WireType.ID, "SystemModstamp": WireType.INSTANT}
        types |= _mapped_types(mappings, object_name)
        for name in _message_fields(root / "workflows" / f"{object_name}.workflow-meta.xml"):
            file = root / "objects" / object_name / "fields" / f"{name}.field-meta.xml"
            types.setdefault(name, _type_in_metadata(name, file))
        shapes[object_name] = MessageShape(object_name, types)
    return shapes


def _mapped_types(mappings: Mappings, object_name: str) -> dict[str, WireType]:
    types: dict[str, WireType] = {}
    for mapping in mappings.of_object(object_name):
        for name, field in (mapping.pull.fields if mapping.pull else {}).items():
            types[name] = _BY_MAPPING_TYPE.get(field.type, WireType.TEXT)
        for rule in mapping.intents:
            for name in (rule.when.field, *rule.facts):
                if name in _STANDARD:
                    types[name] = _STANDARD[name]
    return types


def _message_fields(workflow: Path) -> Iterable[str]:
    if not workflow.exists():
        return ()
    found = etree.parse(workflow).iterfind("m:outboundMessages/m:fields", _METADATA)
    return tuple(element.text or "" for element in found)


def _type_in_metadata(name: str, file: Path) -> WireType:
    if not file.exists():
        return _STANDARD.get(name, WireType.TEXT)
    declared = etree.parse(file).findtext("m:type", "", _METADATA)
    return _BY_METADATA_TYPE.get(declared, WireType.TEXT)


def wsdl_text(shape: MessageShape) -> bytes:
    """Write the WSDL of an object's outbound message.

    The record's fields stand in ASCII order, as Salesforce sends them (fact sheet G.2).
    """
    wsdl = ElementMaker(namespace=_WSDL, nsmap=_prefixes())
    definitions = wsdl.definitions(
        wsdl.types(_ids_schema(), _record_schema(shape), _message_schema(shape)),
        wsdl.message(wsdl.part(element="tns:notifications", name="request"), name="notifications"),
        wsdl.message(
            wsdl.part(element="tns:notificationsResponse", name="response"),
            name="notificationsResponse",
        ),
        wsdl.portType(
            wsdl.operation(
                wsdl.input(message="tns:notifications"),
                wsdl.output(message="tns:notificationsResponse"),
                name="notifications",
            ),
            name="NotificationPort",
        ),
        _binding(wsdl),
        targetNamespace=_OUTBOUND,
    )
    text: bytes = etree.tostring(
        definitions, xml_declaration=True, encoding="UTF-8", pretty_print=True
    )
    return text


def _prefixes() -> dict[str, str]:
    return {
        "wsdl": _WSDL,
        "soap": _SOAP,
        "xsd": _XSD,
        "tns": _OUTBOUND,
        "ent": _ENTERPRISE,
        "ens": SOBJECT,
    }


_XS = ElementMaker(namespace=_XSD)


def _ids_schema() -> etree._Element:
    return _XS.schema(
        _XS.simpleType(
            _XS.restriction(
                _XS.length(value="18"), _XS.pattern(value="[a-zA-Z0-9]{18}"), base="xsd:string"
            ),
            name="ID",
        ),
        targetNamespace=_ENTERPRISE,
        elementFormDefault="qualified",
    )


def _record_schema(shape: MessageShape) -> etree._Element:
    fields = [
        _XS.element(name=name, type=shape.fields[name], minOccurs="0", nillable="true")
        for name in shape._beside_id
    ]
    return _XS.schema(
        getattr(_XS, "import")(namespace=_ENTERPRISE),
        _XS.complexType(
            _XS.sequence(
                _XS.element(
                    name="fieldsToNull",
                    type="xsd:string",
                    minOccurs="0",
                    maxOccurs="unbounded",
                    nillable="true",
                ),
                _XS.element(name="Id", type=WireType.ID, minOccurs="0", nillable="true"),
            ),
            name="sObject",
        ),
        _XS.complexType(
            _XS.complexContent(_XS.extension(_XS.sequence(*fields), base="ens:sObject")),
            name=shape.object_name,
        ),
        targetNamespace=SOBJECT,
        elementFormDefault="qualified",
    )


def _message_schema(shape: MessageShape) -> etree._Element:
    notification = f"{shape.object_name}Notification"
    return _XS.schema(
        getattr(_XS, "import")(namespace=_ENTERPRISE),
        getattr(_XS, "import")(namespace=SOBJECT),
        _XS.complexType(
            _XS.sequence(
                _XS.element(name="Id", type=WireType.ID),
                _XS.element(name="sObject", type=f"ens:{shape.object_name}"),
            ),
            name=notification,
        ),
        _XS.element(
            _XS.complexType(
                _XS.sequence(
                    _XS.element(name="OrganizationId", type=WireType.ID),
                    _XS.element(name="ActionId", type=WireType.ID),
                    _XS.element(name="SessionId", type="xsd:string", nillable="true"),
                    _XS.element(name="EnterpriseUrl", type="xsd:string"),
                    _XS.element(name="PartnerUrl", type="xsd:string"),
                    _XS.element(name="Notification", type=f"tns:{notification}", maxOccurs="100"),
                )
            ),
            name="notifications",
        ),
        _XS.element(
            _XS.complexType(_XS.sequence(_XS.element(name="Ack", type="xsd:boolean"))),
            name="notificationsResponse",
        ),
        targetNamespace=_OUTBOUND,
        elementFormDefault="qualified",
    )


def _binding(wsdl: ElementMaker) -> etree._Element:
    soap = ElementMaker(namespace=_SOAP)
    return wsdl.binding(
        soap.binding(style="document", transport="http://schemas.xmlsoap.org/soap/http"),
        wsdl.operation(
            soap.operation(soapAction=""),
            wsdl.input(soap.body(use="literal")),
            wsdl.output(soap.body(use="literal")),
            name="notifications",
        ),
        name="NotificationBinding",
        type="tns:NotificationPort",
    )
