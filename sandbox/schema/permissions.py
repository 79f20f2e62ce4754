"""Permission sets of a source folder, and the schema as a user with some of them sees it.

A profile that may modify all data shows everything. Any other profile shows the standard objects
with their standard fields; custom objects and custom fields come from permission sets alone.
Required fields and details' masters cannot be granted and are seen wherever their object is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .model import Field, ObjectType, Schema
from .xml import SUFFIX, Node, metadata_files, read_xml

KIND = "permissionset"


@dataclass(frozen=True, slots=True)
class ObjectRights:
    """What may be done with the records of one object."""

    read: bool = False
    create: bool = False
    edit: bool = False
    delete: bool = False


@dataclass(frozen=True, slots=True)
class PermissionSet:
    """One permission set: names are lower case, fields are `object.field`."""

    name: str
    label: str
    description: str | None
    objects: dict[str, ObjectRights]
    readable: frozenset[str]
    editable: frozenset[str]
    custom: frozenset[str]
    user: frozenset[str]


def read_permission_sets(folder: Path | None) -> tuple[PermissionSet, ...]:
    """Return the permission sets of a source folder, by name."""
    return tuple(
        _read(path.name.removesuffix(f".{KIND}{SUFFIX}"), read_xml(path))
        for path in metadata_files(folder, f"*.{KIND}{SUFFIX}")
    )


def _read(name: str, root: Node) -> PermissionSet:
    objects = {
        (node.text("object") or "").lower(): ObjectRights(
            read=node.flag("allowRead"),
            create=node.flag("allowCreate"),
            edit=node.flag("allowEdit"),
            delete=node.flag("allowDelete"),
        )
        for node in root.all("objectPermissions")
    }
    fields = [
        ((node.text("field") or "").lower(), node.flag("readable"), node.flag("editable"))
        for node in root.all("fieldPermissions")
    ]
    return PermissionSet(
        name=name,
        label=root.text("label") or name,
        description=root.text("description"),
        objects=objects,
        readable=frozenset(field for field, readable, editable in fields if readable or editable),
        editable=frozenset(field for field, _, editable in fields if editable),
        custom=_enabled(root, "customPermissions"),
        user=_enabled(root, "userPermissions"),
    )


def _enabled(root: Node, kind: str) -> frozenset[str]:
    return frozenset(
        (node.text("name") or "").lower() for node in root.all(kind) if node.flag("enabled")
    )


def schema_for(schema: Schema, sets: Sequence[PermissionSet]) -> Schema:
    """Return the schema as a user without right to all data sees it."""
    readable = frozenset().union(*(one.readable for one in sets))
    editable = frozenset().union(*(one.editable for one in sets))
    shown = []
    for item in schema:
        rights = _rights(item, sets)
        if rights.read:
            shown.append(_seen(item, rights, readable=readable, editable=editable))
    names = {item.name for item in shown}
    return Schema(objects=tuple(_without_hidden_parents(item, names) for item in shown))


def _rights(item: ObjectType, sets: Sequence[PermissionSet]) -> ObjectRights:
    if not item.custom:
        return ObjectRights(read=True, create=True, edit=True, delete=True)
    given = [one.objects[item.name.lower()] for one in sets if item.name.lower() in one.objects]
    return ObjectRights(
        read=any(r.read for r in given),
        create=any(r.create for r in given),
        edit=any(r.edit for r in given),
        delete=any(r.delete for r in given),
    )


def _seen(
    item: ObjectType, rights: ObjectRights, *, readable: frozenset[str], editable: frozenset[str]
) -> ObjectType:
    fields = []
    for field in item.fields:
        key = f"{item.name}.{field.name}".lower()
        if not _grantable(field) or key in editable:
            fields.append(field)
        elif key in readable:
            fields.append(replace(field, createable=False, updateable=False))
    return replace(
        item,
        fields=tuple(fields),
        createable=item.createable and rights.create,
        updateable=item.updateable and rights.edit,
        deletable=item.deletable and rights.delete,
    )


def _grantable(field: Field) -> bool:
    """Whether field permissions decide about a field (fact sheet K.2)."""
    if not field.custom or field.master_detail:
        return False
    return field.nillable or field.calculated or field.type == "boolean"


def _without_hidden_parents(item: ObjectType, names: Iterable[str]) -> ObjectType:
    """Keep lookups to hidden objects as plain ids: no relationship leads there."""
    known = set(names)
    if all(set(f.reference_to) <= known for f in item.fields):
        return item
    return replace(item, fields=tuple(_cut(field, known) for field in item.fields))


def _cut(field: Field, known: set[str]) -> Field:
    left = tuple(name for name in field.reference_to if name in known)
    if left == field.reference_to:
        return field
    if left:
        return replace(field, reference_to=left)
    return replace(field, relationship=None, children=None)
