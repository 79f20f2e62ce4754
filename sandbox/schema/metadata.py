"""Reads custom objects and fields from an SFDX source folder (fact sheet K.1, K.2)."""

import re
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ..errors import SetupError
from .currencies import with_currencies
from .model import (
    Field,
    FieldType,
    ObjectType,
    OnDelete,
    PicklistValue,
    Schema,
    Summary,
    SummaryFilter,
)
from .persons import without_persons
from .record_types import read_record_types, with_record_type
from .standard import read_standard_objects, system_fields
from .xml import Node, metadata_files, read_xml

TYPES = {
    "Text": FieldType.STRING,
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
    "Picklist": FieldType.PICKLIST,
    "MultiselectPicklist": FieldType.MULTIPICKLIST,
    "Lookup": FieldType.REFERENCE,
    "MasterDetail": FieldType.REFERENCE,
    "Url": FieldType.URL,
    "Email": FieldType.EMAIL,
    "Phone": FieldType.PHONE,
    "Summary": FieldType.DOUBLE,
}
LENGTHS = {"TextArea": 255, "Url": 255, "Email": 80, "Phone": 40, "Picklist": 255}
PREFIX_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FORMULA_TEXT = 1_300  # characters of a formula's text
SUMMARY_OPERATIONS = {
    "equals": "=",
    "notEqual": "IS NOT",
    "lessThan": "<",
    "greaterThan": ">",
    "lessOrEqual": "<=",
    "greaterOrEqual": ">=",
}
SUFFIX = "-meta.xml"
EVENT_SUFFIX = "__e"


def build_schema(
    folder: Path | None,
    *,
    prefixes: dict[str, str],
    multi_currency: bool = False,
    person_accounts: bool = True,
) -> Schema:
    """Return the standard objects widened by the custom ones of a source folder.

    Args:
        folder: An SFDX project or package folder; None for the standard objects alone.
        prefixes: Id prefixes given to custom objects so far; new ones are added to it.
        multi_currency: Whether records have a currency of their own.
        person_accounts: Whether an account can be a person.

    Raises:
        SetupError: The folder holds broken or contradictory metadata.
    """
    standard = {item.name: item for item in read_standard_objects(multi_currency=multi_currency)}
    custom: dict[str, ObjectType] = {}
    if folder is not None:
        fields = _read_fields(folder)
        for path in metadata_files(folder, f"*__c.object{SUFFIX}"):
            name = path.name.removesuffix(f".object{SUFFIX}")
            prefix = prefixes.setdefault(name, _next_prefix(prefixes))
            custom[name] = _read_object(path, fields.pop(name, []), prefix=prefix)
        for path in metadata_files(folder, f"*{EVENT_SUFFIX}.object{SUFFIX}"):
            name = path.name.removesuffix(f".object{SUFFIX}")
            prefix = prefixes.setdefault(name, _next_event_prefix(prefixes))
            custom[name] = _read_event(path, fields.pop(name, []), prefix=prefix)
        for name, extra in fields.items():
            if name not in standard:
                raise SetupError(f"{folder}: fields for {name}, an object the org does not have")
            standard[name] = _extended(standard[name], extra)
    # A file can be linked to what people write, not to what the org tells of itself.
    if not person_accounts:
        standard = {name: without_persons(item) for name, item in standard.items()}
    types = read_record_types(folder)
    written = with_record_type([*standard.values(), *custom.values()], types)
    if multi_currency:
        written = tuple(map(with_currencies, written))
    names = tuple(item.name for item in written if item.createable and not item.event)
    objects = tuple(_widened(item, names) for item in written)
    _check_references(objects)
    return Schema(objects=_typed_summaries(objects), record_types=types)


def _next_prefix(prefixes: dict[str, str]) -> str:
    number = sum(not name.endswith(EVENT_SUFFIX) for name in prefixes)
    high, low = divmod(number, len(PREFIX_LETTERS))
    return "a" + PREFIX_LETTERS[high] + PREFIX_LETTERS[low]


def _next_event_prefix(prefixes: dict[str, str]) -> str:
    number = sum(name.endswith(EVENT_SUFFIX) for name in prefixes)
    high, low = divmod(number, len(PREFIX_LETTERS))
    return "e" + PREFIX_LETTERS[high] + PREFIX_LETTERS[low]


def _read_fields(folder: Path) -> dict[str, list[Field]]:
    found: dict[str, list[Field]] = defaultdict(list)
    for path in metadata_files(folder, f"objects/*/fields/*.field{SUFFIX}"):
        object_name = path.parent.parent.name
        try:
            found[object_name].append(_read_field(read_xml(path)))
        except (ValueError, KeyError, AssertionError) as error:
            raise SetupError(f"{path}: {error!r} is missing or not understood") from error
    return found


def _read_object(path: Path, fields: list[Field], *, prefix: str) -> ObjectType:
    root = read_xml(path)
    name = path.name.removesuffix(f".object{SUFFIX}")
    name_node = root.one("nameField")
    if name_node is None:
        raise SetupError(f"{path}: nameField is missing")
    owned = not any(item.master_detail for item in fields)
    label = root.text("label") or name
    return ObjectType(
        name=name,
        label=label,
        plural=root.text("pluralLabel") or label,
        prefix=prefix,
        fields=system_fields(
            first=(_name_field(name_node), *fields), owner=("User", "Group") if owned else ()
        ),
        custom=True,
    )


def _read_event(path: Path, fields: list[Field], *, prefix: str) -> ObjectType:
    """Return a platform event: its fields can be given when it is published, and that is all."""
    root = read_xml(path)
    name = path.name.removesuffix(f".object{SUFFIX}")
    label = root.text("label") or name
    replay = Field(
        name="ReplayId",
        label="Replay ID",
        type=FieldType.STRING,
        length=1000,
        createable=False,
        updateable=False,
    )
    return ObjectType(
        name=name,
        label=label,
        plural=root.text("pluralLabel") or label,
        prefix=prefix,
        fields=system_fields(first=(replay, *fields), owner=()),
        custom=True,
        updateable=False,
        deletable=False,
        event=True,
    )


def _name_field(node: Node) -> Field:
    automatic = node.text("type") == "AutoNumber"
    return Field(
        name="Name",
        label=node.text("label") or "Name",
        type=FieldType.STRING,
        length=80,
        # A text name that is not given becomes the record's id.
        nillable=False,
        defaulted=True,
        createable=not automatic,
        updateable=not automatic,
        name_field=True,
        id_lookup=True,
        auto_number=(node.text("displayFormat") or "{0}") if automatic else None,
    )


def _read_field(node: Node) -> Field:
    kind = node.text("type")
    name = node.text("fullName")
    assert kind is not None, "type"
    assert name is not None, "fullName"
    if kind not in TYPES:
        raise SetupError(f"field {name}: type {kind} is not supported by the local org")
    basic = _basic_field(node, name=name, kind=kind)
    if kind in {"Lookup", "MasterDetail"}:
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


def _basic_field(node: Node, *, name: str, kind: str) -> Field:
    field_type = TYPES[kind]
    boolean = field_type is FieldType.BOOLEAN
    picklist, restricted = _value_set(node)
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
    target = node.text("referenceTo")
    assert target is not None, "referenceTo"
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
    key = node.text("summaryForeignKey")
    operation = node.text("summaryOperation")
    assert key is not None, "summaryForeignKey"
    assert operation is not None, "summaryOperation"
    child, reference = key.split(".")
    summarized = node.text("summarizedField")
    filters = tuple(map(_summary_filter, node.all("summaryFilterItems")))
    return Summary(
        operation=operation.lower(),
        child=child,
        child_reference=reference,
        child_field=summarized.split(".")[1] if summarized else None,
        filters=filters,
    )


def _summary_filter(node: Node) -> SummaryFilter:
    field, operation = node.text("field"), node.text("operation") or ""
    assert field is not None, "summaryFilterItems.field"
    if operation not in SUMMARY_OPERATIONS:
        raise SetupError(
            f"roll-up filter on {field}: {operation} is not supported by the local org"
        )
    values = tuple(part.strip() for part in (node.text("value") or "").split(","))
    return SummaryFilter(field.split(".")[-1], SUMMARY_OPERATIONS[operation], values)


def _value_set(node: Node) -> tuple[tuple[PicklistValue, ...], bool]:
    value_set = node.one("valueSet")
    if value_set is None:
        return (), False
    definition = value_set.one("valueSetDefinition")
    values = [] if definition is None else list(definition.all("value"))
    choices = tuple(
        PicklistValue(
            value=item.text("fullName") or "",
            label=item.text("label") or item.text("fullName") or "",
            default=item.flag("default"),
        )
        for item in values
    )
    return choices, value_set.flag("restricted") and bool(choices)


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


def _extended(standard: ObjectType, extra: list[Field]) -> ObjectType:
    return replace(standard, fields=(*standard.fields, *extra))


def _widened(item: ObjectType, names: tuple[str, ...]) -> ObjectType:
    if not any(f.reference_to == ("*",) for f in item.fields):
        return item
    fields = tuple(
        replace(f, reference_to=names) if f.reference_to == ("*",) else f for f in item.fields
    )
    return replace(item, fields=fields)


def _check_references(objects: tuple[ObjectType, ...]) -> None:
    names = {item.name for item in objects}
    for item in objects:
        for ref in item.references:
            for target in ref.reference_to:
                if target not in names:
                    text = f"{item.name}.{ref.name} refers to {target}, which does not exist"
                    raise SetupError(text)


def _typed_summaries(objects: tuple[ObjectType, ...]) -> tuple[ObjectType, ...]:
    """Give every roll-up the type and scale of the field it sums."""
    by_name = {item.name: item for item in objects}
    return tuple(
        replace(item, fields=tuple(_typed_summary(f, item, by_name) for f in item.fields))
        if any(f.summary for f in item.fields)
        else item
        for item in objects
    )


def _typed_summary(item: Field, owner: ObjectType, objects: dict[str, ObjectType]) -> Field:
    if item.summary is None:
        return item
    child = objects.get(item.summary.child)
    reference = child.find(item.summary.child_reference) if child else None
    if child is None or reference is None or owner.name not in reference.reference_to:
        raise SetupError(f"{owner.name}.{item.name}: the roll-up names no detail of {owner.name}")
    for test in item.summary.filters:
        if not child.has(test.field):
            raise SetupError(f"{owner.name}.{item.name}: no field {test.field} to filter by")
    if item.summary.child_field is None:
        return replace(item, type=FieldType.DOUBLE, precision=18, scale=0)
    source = child.find(item.summary.child_field)
    if source is None:
        raise SetupError(f"{owner.name}.{item.name}: no field {item.summary.child_field} to sum")
    return replace(item, type=source.type, precision=18, scale=source.scale)
