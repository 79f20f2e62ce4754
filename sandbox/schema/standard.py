"""Reads the description of the standard objects.

Each field is one line, `type(arguments) flags`:

* `string(80)`, `currency(18,2)`, `int(9)`, `picklist(A|B*|C)` with `*` on the default,
  `lookup(Account,Contact)`; `lookup(*)` refers to any object;
* `required`, `readonly`, `createonly`, `defaulted`, `name`, `unique`, `idLookup`;
* `children=NAME` names the relationship seen from the parent, `cascade`/`restrict` its delete rule;
* `compound=NAME` makes the field part of an address, `auto={0000}` numbers records.
"""

import re
from functools import cache
from typing import Any

from ..shipped import read_shipped
from .model import Field, FieldType, ObjectType, OnDelete, PicklistValue

FILES = (
    "crm.yaml",
    "sales.yaml",
    "orders.yaml",
    "service.yaml",
    "marketing.yaml",
    "platform.yaml",
    "definitions.yaml",
)
_SPEC = re.compile(r"(\w+)(?:\(([^)]*)\))?\s*(.*)\Z")
_FLAG = re.compile(r"(\w+)(?:=(\S+))?")
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z0-9])")
SYSTEM_LABELS = {
    "IsDeleted": "Deleted",
    "CreatedById": "Created By ID",
    "LastModifiedById": "Last Modified By ID",
    "SystemModstamp": "System Modstamp",
}


def label_of(name: str) -> str:
    """Return the label people see for an API name: `BillingCity` is `Billing City`."""
    words = _WORD.sub(" ", name.removesuffix("2"))
    return words[:-2] + "ID" if words.endswith(" Id") else words


def system_fields(*, first: tuple[Field, ...], owner: tuple[str, ...]) -> tuple[Field, ...]:
    """Return the fields every record has, around the object's own (fact sheet I.1)."""

    def stamp(name: str, kind: FieldType, *targets: str) -> Field:
        return Field(
            name=name,
            label=SYSTEM_LABELS.get(name, label_of(name)),
            type=kind,
            length=18 if kind is FieldType.REFERENCE else 0,
            nillable=False,
            createable=False,
            updateable=False,
            defaulted=True,
            reference_to=targets,
            relationship=name.removesuffix("Id") if targets else None,
        )

    record_id = Field(
        name="Id",
        label="Record ID",
        type=FieldType.ID,
        length=18,
        nillable=False,
        createable=False,
        updateable=False,
        defaulted=True,
        id_lookup=True,
    )
    owners = (
        Field(
            name="OwnerId",
            label="Owner ID",
            type=FieldType.REFERENCE,
            length=18,
            nillable=False,
            defaulted=True,
            reference_to=owner,
            relationship="Owner",
        ),
    )
    return (
        record_id,
        stamp("IsDeleted", FieldType.BOOLEAN),
        *(owners if owner else ()),
        *first,
        stamp("CreatedDate", FieldType.DATETIME),
        stamp("CreatedById", FieldType.REFERENCE, "User"),
        stamp("LastModifiedDate", FieldType.DATETIME),
        stamp("LastModifiedById", FieldType.REFERENCE, "User"),
        stamp("SystemModstamp", FieldType.DATETIME),
    )


@cache
def read_standard_objects(*, multi_currency: bool = False) -> tuple[ObjectType, ...]:
    """Return the standard objects; `lookup(*)` is left as `("*",)` for the caller to widen."""
    found = []
    for file in (*FILES, *(("currencies.yaml",) if multi_currency else ())):
        for name, spec in read_shipped("schema", "standard", file).items():
            found.append(_object(name, spec))
    return tuple(found)


def _object(name: str, spec: dict[str, Any]) -> ObjectType:
    own = tuple(_field(field_name, text) for field_name, text in spec["fields"].items())
    owner = tuple(part.strip() for part in spec.get("owner", "").split(",") if part.strip())
    api = spec.get("api", "all")
    label = spec.get("label", label_of(name))
    plural = spec.get("plural", label[:-1] + "ies" if label.endswith("y") else label + "s")
    return ObjectType(
        name=name,
        label=label,
        plural=plural,
        prefix=spec["prefix"],
        fields=system_fields(first=own, owner=owner),
        createable=api not in {"read", "no-create"},
        updateable=api != "read",
        deletable=api not in {"read", "no-delete"},
    )


def _field(name: str, text: str) -> Field:
    match = _SPEC.match(text)
    assert match is not None, text
    kind, arguments, rest = match.group(1), match.group(2) or "", match.group(3)
    flags = {key: value or True for key, value in _FLAG.findall(rest)}
    auto = re.search(r"auto=(\S+)", rest)
    field_type = FieldType.REFERENCE if kind == "lookup" else FieldType(kind)
    boolean = field_type is FieldType.BOOLEAN
    picklist = _choices(arguments) if field_type is FieldType.PICKLIST else ()
    has_default = any(choice.default for choice in picklist)
    readonly = "readonly" in flags or auto is not None or field_type is FieldType.ADDRESS
    numbers = _numbers(field_type, arguments)
    return Field(
        name=name,
        label=label_of(name),
        type=field_type,
        length=numbers.get("length", 0),
        precision=numbers.get("precision", 0),
        scale=numbers.get("scale", 0),
        nillable=not ("required" in flags or boolean or auto is not None),
        createable=not readonly,
        updateable=not readonly and "createonly" not in flags,
        defaulted="defaulted" in flags or boolean or has_default or auto is not None,
        unique="unique" in flags,
        id_lookup="idLookup" in flags,
        name_field="name" in flags,
        default=False if boolean else next((c.value for c in picklist if c.default), None),
        picklist=picklist,
        reference_to=tuple(arguments.split(",")) if kind == "lookup" else (),
        relationship=name.removesuffix("Id") if kind == "lookup" else None,
        children=_text(flags.get("children")),
        on_delete=_delete_rule(flags),
        compound=_text(flags.get("compound")),
        auto_number=auto.group(1) if auto else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _delete_rule(flags: dict[str, Any]) -> OnDelete:
    if "cascade" in flags:
        return OnDelete.CASCADE
    return OnDelete.RESTRICT if "restrict" in flags else OnDelete.SET_NULL


def _choices(arguments: str) -> tuple[PicklistValue, ...]:
    values = (part for part in arguments.split("|") if part)
    return tuple(
        PicklistValue(value=v.rstrip("*"), label=v.rstrip("*"), default=v.endswith("*"))
        for v in values
    )


def _numbers(kind: FieldType, arguments: str) -> dict[str, int]:
    if kind in {FieldType.CURRENCY, FieldType.DOUBLE, FieldType.PERCENT}:
        precision, scale = arguments.split(",")
        return {"precision": int(precision), "scale": int(scale)}
    if kind is FieldType.INT:
        return {"precision": int(arguments)}
    if kind is FieldType.PICKLIST:
        return {"length": 255}
    if kind is FieldType.REFERENCE:
        return {"length": 18}
    return {"length": int(arguments)} if arguments else {}
