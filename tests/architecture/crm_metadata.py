"""Reads the CRM schema in `salesforce/` and the Metadata API's own description of such files."""

import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lxml import etree

SALESFORCE = Path(__file__).parents[2] / "salesforce"
SOURCE = SALESFORCE / "force-app" / "main" / "default"
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
XSD = "{http://www.w3.org/2001/XMLSchema}"
PREFIX = "L2C_"

OWN_OBJECTS = {
    f"L2C_{name}__c"
    for name in (
        *("Service", "Service_Add_On", "Service_Change", "Location", "Price_Entry"),
        *("Customer_Order", "Order_Line", "Work_Order", "Work_Order_Task", "Task_Dependency"),
        *("Billing_Account", "Invoice", "Invoice_Line", "Payment", "Allocation", "Usage_Summary"),
    )
}
STAMPS = {
    *("Id", "Name", "OwnerId", "CreatedById", "CreatedDate"),
    *("LastModifiedById", "LastModifiedDate", "SystemModstamp"),
}
# Fields Salesforce brings along, as far as this schema names them.
STANDARD_FIELDS: dict[str, set[str]] = {
    "Account": {
        *("BillingStreet", "BillingCity", "BillingPostalCode", "BillingState", "BillingCountry"),
        "Phone",
    },
    "Opportunity": {
        *("AccountId", "Amount", "CloseDate", "IsClosed", "IsWon", "StageName"),
        "SyncedQuoteId",
    },
    "OpportunityLineItem": set(),
    "Quote": set(),
    "QuoteLineItem": set(),
    "Product2": set(),
}


def parse(path: Path) -> etree._Element:
    return etree.parse(str(path)).getroot()


def local(element: etree._Element) -> str:
    return etree.QName(element).localname


def text(element: etree._Element, path: str) -> str | None:
    found = element.findtext("/".join(NAMESPACE + step for step in path.split("/")))
    return found.strip() if found is not None else None


def texts(element: etree._Element, path: str) -> list[str]:
    found = element.iterfind("/".join(NAMESPACE + step for step in path.split("/")))
    return [(each.text or "").strip() for each in found]


@cache
def documents(pattern: str) -> dict[Path, etree._Element]:
    return {path: parse(path) for path in sorted(SOURCE.glob(pattern))}


@cache
def objects() -> dict[str, etree._Element]:
    return {
        path.parent.name: root for path, root in documents("objects/*/*.object-meta.xml").items()
    }


@cache
def fields() -> dict[str, dict[str, etree._Element]]:
    """All custom fields: object, then API name."""
    result: dict[str, dict[str, etree._Element]] = {}
    for path, root in documents("objects/*/fields/*.field-meta.xml").items():
        result.setdefault(path.parents[1].name, {})[text(root, "fullName") or ""] = root
    return result


def known_fields(object_name: str) -> set[str]:
    return STAMPS | STANDARD_FIELDS.get(object_name, set()) | set(fields().get(object_name, {}))


def all_fields() -> Iterator[tuple[str, str, etree._Element]]:
    for object_name, by_name in fields().items():
        for name, root in by_name.items():
            yield object_name, name, root


def is_detail(object_name: str) -> bool:
    return any(text(root, "type") == "MasterDetail" for root in fields()[object_name].values())


@dataclass(frozen=True, slots=True)
class Part:
    """One element a type may contain."""

    type: str
    required: bool
    many: bool


class MetadataTypes:
    """The complex and simple types of the Metadata API."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("simple_salesforce")
        assert spec is not None
        assert spec.origin is not None
        root = etree.parse(str(Path(spec.origin).with_name("metadata.wsdl"))).getroot()
        self._complex = {t.get("name"): t for t in root.iter(XSD + "complexType") if t.get("name")}
        self._enums = {
            t.get("name"): {value.get("value") for value in t.iter(XSD + "enumeration")}
            for t in root.iter(XSD + "simpleType")
            if t.find(f".//{XSD}enumeration") is not None
        }
        self._parts: dict[str, dict[str, Part]] = {}

    def parts(self, type_name: str) -> dict[str, Part] | None:
        """The elements of a type with those it inherits; None if the type is unknown."""
        if type_name not in self._complex:
            return None
        if type_name not in self._parts:
            node = self._complex[type_name]
            extension = node.find(f".//{XSD}extension")
            parts: dict[str, Part] = {}
            if extension is not None:
                parts |= self.parts(extension.get("base").split(":")[-1]) or {}
            for element in node.iter(XSD + "element"):
                parts[element.get("name")] = Part(
                    type=element.get("type"),
                    required=element.get("minOccurs", "1") != "0",
                    many=element.get("maxOccurs", "1") == "unbounded",
                )
            self._parts[type_name] = parts
        return self._parts[type_name]

    def faults(self, element: etree._Element, type_name: str, path: str = "") -> Iterator[str]:
        """Everything in an element that the Metadata API would refuse."""
        path = f"{path}/{local(element)}"
        parts = self.parts(type_name)
        if parts is None:
            yield f"{path}: no such type: {type_name}"
            return
        names = [local(child) for child in element if isinstance(child.tag, str)]
        counts = Counter(names)
        for name, part in parts.items():
            if part.required and name not in counts:
                yield f"{path}: {name} is missing"
            if not part.many and counts[name] > 1:
                yield f"{path}: {name} is given {counts[name]} times"
        runs = [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]
        yield from (f"{path}: {name} is split" for name, n in Counter(runs).items() if n > 1)
        for child in element:
            if isinstance(child.tag, str):
                yield from self._value_faults(child, parts.get(local(child)), path)

    def _value_faults(self, child: etree._Element, part: Part | None, path: str) -> Iterator[str]:
        name, value = local(child), (child.text or "").strip()
        if part is None:
            yield f"{path}: {name} is unknown"
        elif part.type.startswith("xsd:"):
            pattern = {
                "xsd:boolean": "true|false",
                "xsd:int": r"-?\d+",
                "xsd:double": r"-?\d+(\.\d+)?",
            }.get(part.type, "(?s).*")
            if not re.fullmatch(pattern, value):
                yield f"{path}/{name}: {value!r} is not {part.type}"
            if len(child):
                yield f"{path}/{name}: has elements"
        elif (bare := part.type.split(":")[-1]) in self._enums:
            if value not in self._enums[bare]:
                yield f"{path}/{name}: {value!r} is not a {bare}"
        else:
            yield from self.faults(child, bare, path)
