"""Reads one custom field of an SFDX source folder (fact sheet K.2)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from .left_out import NotHere
from .model import (
    Field,
    FieldType,
    OnDelete,
    PicklistValue,
    Summary,
    SummaryFilter,
)
from .xml import SUFFIX, Node, metadata_files, read_xml

ValueSets = Mapping[str, tuple[PicklistValue, ...]]

TYPES = {
    "Text": FieldType.STRING,
    "EncryptedText": FieldType.STRING,
    "AutoNumber": FieldType.STRING,
    "TextArea": FieldType.TEXTAREA,
    "LongTextArea": FieldType.TEXTAREA,
    "Html": FieldType.TEXTAREA,
    "Number": FieldType.DOUBLE,
    "Currency": FieldType.CURRENCY,
    "Percent": FieldType.PERCENT,
    "Checkbox": FieldType.BOOLEAN,
    "Date": FieldType.DATE,
    "DateTime": FieldType.DATETIME,
    "Time": FieldType.TIME,
    "Picklist": FieldType.PICKLIST,
    "MultiselectPicklist": FieldType.MULTIPICKLIST,
    "Lookup": FieldType.REFERENCE,
    "MasterDetail": FieldType.REFERENCE,
    "Hierarchy": FieldType.REFERENCE,
    "Url": FieldType.URL,
    "Email": FieldType.EMAIL,
    "Phone": FieldType.PHONE,
    "Summary": FieldType.DOUBLE,
}
LENGTHS = {"TextArea": 255, "Url": 255, "Email": 80, "Phone": 40, "Picklist": 255}
FORMULA_TEXT = 1_300  # characters of a formula's text
API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
SUMMARIES = frozenset({"count", "sum", "min", "max"})
SUMMARY_OPERATIONS = {
    "equals": "=",
    "notEqual": "IS NOT",
    "lessThan": "<",
    "greaterThan": ">",
    "lessOrEqual": "<=",
    "greaterOrEqual": ">=",
}


def read_value_sets(folder: Path) -> ValueSets:
    """Return the global value sets of a folder by name."""
    found = {}
    for path in metadata_files(folder, f"globalValueSets/*.globalValueSet{SUFFIX}"):
        name = path.name.removesuffix(f".globalValueSet{SUFFIX}")
        found[name] = _choices(read_xml(path).all("customValue"))
    return found


def api_name(text: str) -> str:
    """Return a name that can be one of an object or field, and so of a table or column.

    Raises:
        ValueError: It has other characters than letters, digits and underscores.
    """
    if not API_NAME.fullmatch(text):
        raise ValueError(f"'{text}' is no API name")
    return text


def _given(node: Node, name: str) -> str:
    text = node.text(name)
    if text is None:
        raise ValueError(f"{name} is missing")
    return text


def read_field(node: Node, value_sets: ValueSets) -> Field:
    """Return a custom field as its file describes it.

    Raises:
        NotHere: The local org has no such type of field, or no such way to sum up.
        ValueError: The file lacks a part, or has one that means nothing.
    """
    kind = _given(node, "type")
    name = api_name(_given(node, "fullName"))
    if kind not in TYPES:
        raise NotHere(f"the local org has no fields of type {kind}")
    basic = _basic_field(node, value_sets, name=name, kind=kind)
    if TYPES[kind] is FieldType.REFERENCE:
        return _reference_field(node, basic, kind=kind)
    if kind == "Summary":
        return replace(
            basic, createable=False, updateable=False, nillable=True, summary=_summary(node)
        )
    formula = node.text("formula")
    if formula is not None:
        return replace(
            basic,
            createable=False,
            updateable=False,
            formula=formula,
            blank_is_zero=node.text("formulaTreatBlanksAs") != "BlankAsBlank",
            length=FORMULA_TEXT if basic.is_text else basic.length,
            nillable=True,
            defaulted=False,
            default=None,
            default_formula=None,
        )
    if kind == "AutoNumber":
        return replace(
            basic,
            createable=False,
            updateable=False,
            nillable=False,
            defaulted=True,
            length=30,
            auto_number=node.text("displayFormat") or "{0}",
        )
    return basic


def _basic_field(node: Node, value_sets: ValueSets, *, name: str, kind: str) -> Field:
    field_type = TYPES[kind]
    boolean = field_type is FieldType.BOOLEAN
    picklist, restricted = _value_set(node, value_sets)
    default = _default(node, field_type) or next((c.value for c in picklist if c.default), None)
    formula = None if boolean or default is not None else node.text("defaultValue")
    if boolean:
        default = node.text("defaultValue") == "true"
    external = node.flag("externalId")
    return Field(
        name=name,
        label=node.text("label") or name,
        type=field_type,
        length=node.number("length", LENGTHS.get(kind, 0)),
        precision=node.number("precision", 18 if field_type in _NUMERIC else 0),
        scale=node.number("scale", 0),
        nillable=not (node.flag("required") or boolean),
        defaulted=default is not None or formula is not None,
        unique=node.flag("unique"),
        case_sensitive=node.flag("caseSensitive"),
        external_id=external,
        id_lookup=external,
        custom=True,
        html=kind == "Html",
        default=default,
        default_formula=formula,
        picklist=picklist,
        restricted=restricted,
        help=node.text("inlineHelpText"),
    )


_NUMERIC = frozenset({FieldType.DOUBLE, FieldType.CURRENCY, FieldType.PERCENT})


def _reference_field(node: Node, basic: Field, *, kind: str) -> Field:
    target = "User" if kind == "Hierarchy" else _given(node, "referenceTo")
    detail = kind == "MasterDetail"
    rule = OnDelete.CASCADE if detail else OnDelete(node.text("deleteConstraint") or "SetNull")
    if basic.required and not detail and node.text("deleteConstraint") is None:
        rule = OnDelete.RESTRICT
    children = node.text("relationshipName")
    return replace(
        basic,
        length=18,
        nillable=basic.nillable and not detail,
        updateable=not detail or node.flag("reparentableMasterDetail"),
        reference_to=(target,),
        relationship=basic.name.removesuffix("__c") + "__r",
        children=f"{children}__r" if children else None,
        on_delete=rule,
        master_detail=detail,
        reparentable=node.flag("reparentableMasterDetail"),
    )


def _summary(node: Node) -> Summary:
    key = _given(node, "summaryForeignKey")
    child, dot, reference = key.partition(".")
    if not dot:
        raise ValueError(f"summaryForeignKey '{key}' names no field of a detail")
    operation = _given(node, "summaryOperation").lower()
    if operation not in SUMMARIES:
        raise NotHere(f"the local org has no roll-up by {operation}")
    summarized = node.text("summarizedField")
    filters = tuple(map(_summary_filter, node.all("summaryFilterItems")))
    return Summary(
        operation=operation,
        child=child,
        child_reference=reference,
        child_field=summarized.split(".")[-1] if summarized else None,
        filters=filters,
    )


def _summary_filter(node: Node) -> SummaryFilter:
    field, operation = _given(node, "field"), node.text("operation") or ""
    if operation not in SUMMARY_OPERATIONS:
        raise NotHere(f"the local org sums up nothing where {field} {operation}")
    values = tuple(part.strip() for part in (node.text("value") or "").split(","))
    return SummaryFilter(field.split(".")[-1], SUMMARY_OPERATIONS[operation], values)


def _value_set(node: Node, value_sets: ValueSets) -> tuple[tuple[PicklistValue, ...], bool]:
    value_set = node.one("valueSet")
    if value_set is None:
        return (), False
    definition = value_set.one("valueSetDefinition")
    shared = value_set.text("valueSetName") or ""
    choices = (
        value_sets.get(shared, ()) if definition is None else _choices(definition.all("value"))
    )
    return choices, bool(choices) and (value_set.flag("restricted") or definition is None)


def _choices(values: Iterable[Node]) -> tuple[PicklistValue, ...]:
    return tuple(
        PicklistValue(
            value=item.text("fullName") or "",
            label=item.text("label") or item.text("fullName") or "",
            default=item.flag("default"),
        )
        for item in values
        if item.text("isActive") != "false"
    )


def _default(node: Node, kind: FieldType) -> object:
    """Return a literal default; None where there is none, or a formula computes it."""
    text = node.text("defaultValue")
    if text is None or kind is FieldType.BOOLEAN:
        return None
    quoted = re.fullmatch(r"""\s*(["'])((?:(?!\1)[^\\])*)\1\s*""", text)
    if quoted:
        return quoted.group(2)
    if kind in _NUMERIC:
        try:
            return Decimal(text.strip())
        except InvalidOperation:
            return None
    return None
