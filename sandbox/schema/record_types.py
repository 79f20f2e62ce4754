"""Record types from an SFDX source folder, and the picklist values each of them lets through."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from ..errors import SetupError
from .left_out import leave_out
from .model import Field, FieldType, ObjectType, RecordType
from .xml import Node, metadata_files, read_xml

KIND = "recordType"
SUFFIX = f".{KIND}-meta.xml"
RECORD_TYPE_ID = "RecordTypeId"


def read_record_types(folder: Path | None) -> dict[str, tuple[RecordType, ...]]:
    """Return the record types of a source folder by the name of their object.

    Raises:
        SetupError: A file is broken.
    """
    found: dict[str, tuple[RecordType, ...]] = {}
    for path in metadata_files(folder, f"objects/*/{KIND}s/*{SUFFIX}"):
        name = path.parent.parent.name
        one = _read(read_xml(path), object_name=name, name=path.name.removesuffix(SUFFIX))
        found[name] = (*found.get(name, ()), one)
    return found


def _read(root: Node, *, object_name: str, name: str) -> RecordType:
    choices: dict[str, tuple[str, ...]] = {}
    defaults: dict[str, str] = {}
    for group in root.all("picklistValues"):
        field = group.text("picklist")
        if field is None:
            raise SetupError(f"{object_name}, record type {name}: a picklist has no name")
        # Values are written as in a URL: `Needs%20Analysis`.
        values = [
            (unquote(v.text("fullName") or ""), v.flag("default")) for v in group.all("values")
        ]
        choices[field] = tuple(value for value, _ in values)
        default = next((value for value, is_default in values if is_default), None)
        if default is not None:
            defaults[field] = default
    return RecordType(
        object_name=object_name,
        name=name,
        label=root.text("label") or name,
        description=root.text("description"),
        active=root.flag("active"),
        choices=choices,
        defaults=defaults,
    )


def without_unknown(
    types: Mapping[str, tuple[RecordType, ...]], objects: Iterable[ObjectType]
) -> dict[str, tuple[RecordType, ...]]:
    """Return the record types of the objects there are, with values of their fields only."""
    by_name = {item.name: item for item in objects}
    kept = {}
    for name, members in types.items():
        item = by_name.get(name)
        if item is None:
            leave_out(f"the record types of {name}", "the local org has no such object")
            continue
        named = {field for one in members for field in one.choices}
        for field in sorted(field for field in named if not item.has(field)):
            leave_out(f"the values of {name}.{field} by record type", "there is no such field")
        kept[name] = tuple(
            replace(one, choices={f: v for f, v in one.choices.items() if item.has(f)})
            for one in members
        )
    return kept


def with_record_type(
    objects: Iterable[ObjectType], types: Mapping[str, tuple[RecordType, ...]]
) -> tuple[ObjectType, ...]:
    """Return objects, those with record types widened by the field that holds them."""
    by_name = {item.name: item for item in objects}
    for name in types:
        item = by_name[name]
        if not item.has(RECORD_TYPE_ID):
            by_name[name] = replace(item, fields=(*item.fields, _FIELD))
    return tuple(by_name.values())


_FIELD = Field(
    name=RECORD_TYPE_ID,
    label="Record Type ID",
    type=FieldType.REFERENCE,
    length=18,
    defaulted=True,
    reference_to=("RecordType",),
    relationship="RecordType",
)
