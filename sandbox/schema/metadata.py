"""Reads custom objects and fields from an SFDX source folder (fact sheet K.1, K.2)."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import SetupError
from .currencies import with_currencies
from .fields import api_name, read_field, read_value_sets
from .left_out import NotHere, leave_out
from .model import Field, FieldType, ObjectType, Schema
from .persons import without_persons
from .record_types import read_record_types, with_record_type, without_unknown
from .standard import read_standard_objects, system_fields
from .xml import SUFFIX, Node, metadata_files, read_xml

PREFIX_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
EVENT_SUFFIX = "__e"
OTHER_SUFFIXES = ("__mdt", "__b", "__x", "__kav")  # of kinds the local org does not have
ACTIVITY = ("Event", "Task")  # what is added to Activity is theirs


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
        SetupError: The folder holds broken metadata. What the local org lacks is left out.
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
        for path in metadata_files(folder, f"*.object{SUFFIX}"):
            if path.name.removesuffix(f".object{SUFFIX}").endswith(OTHER_SUFFIXES):
                leave_out(path.name, "the local org has no objects of this kind")
        for name, extra in fields.items():
            _extend(standard, name, extra)
    # A file can be linked to what people write, not to what the org tells of itself.
    if not person_accounts:
        standard = {name: without_persons(item) for name, item in standard.items()}
    known = [*standard.values(), *custom.values()]
    types = without_unknown(read_record_types(folder), known)
    written = with_record_type(known, types)
    if multi_currency:
        written = tuple(map(with_currencies, written))
    names = tuple(item.name for item in written if item.createable and not item.event)
    objects = _with_known_parents(tuple(_widened(item, names) for item in written))
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
    value_sets = read_value_sets(folder)
    for path in metadata_files(folder, f"objects/*/fields/*.field{SUFFIX}"):
        object_name = path.parent.parent.name
        name = path.name.removesuffix(f".field{SUFFIX}")
        if object_name.endswith(OTHER_SUFFIXES) or not name.endswith("__c"):
            # Objects of these kinds are told as a whole; the org's own fields are as they are.
            continue
        try:
            field = read_field(read_xml(path), value_sets)
        except NotHere as missing:
            leave_out(f"{object_name}.{name}", missing)
            continue
        except ValueError as error:
            raise SetupError(f"{path}: {error}") from error
        if any(field.name.lower() == other.name.lower() for other in found[object_name]):
            raise SetupError(f"{path}: {object_name} has a field {field.name} already")
        found[object_name].append(field)
    return found


def _read_object(path: Path, fields: list[Field], *, prefix: str) -> ObjectType:
    root = read_xml(path)
    name = _object_name(path)
    name_node = root.one("nameField")
    if name_node is None and root.text("customSettingsType") is None:
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


def _object_name(path: Path) -> str:
    try:
        return api_name(path.name.removesuffix(f".object{SUFFIX}"))
    except ValueError as error:
        raise SetupError(f"{path}: {error}") from error


def _read_event(path: Path, fields: list[Field], *, prefix: str) -> ObjectType:
    """Return a platform event: its fields can be given when it is published, and that is all."""
    root = read_xml(path)
    name = _object_name(path)
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


def _name_field(node: Node | None) -> Field:
    automatic = node is not None and node.text("type") == "AutoNumber"
    return Field(
        name="Name",
        label=(node.text("label") if node is not None else None) or "Name",
        type=FieldType.STRING,
        length=80,
        # A text name that is not given becomes the record's id.
        nillable=False,
        defaulted=True,
        createable=not automatic,
        updateable=not automatic,
        name_field=True,
        id_lookup=True,
        auto_number=(node.text("displayFormat") or "{0}") if node and automatic else None,
    )


def _extend(standard: dict[str, ObjectType], name: str, extra: list[Field]) -> None:
    for known in ACTIVITY if name == "Activity" else (name,):
        item = standard.get(known)
        if item is None:
            leave_out(f"the fields of {known}", "the local org has no such object")
        else:
            standard[known] = replace(item, fields=(*item.fields, *extra))


def _widened(item: ObjectType, names: tuple[str, ...]) -> ObjectType:
    if not any(f.reference_to == ("*",) for f in item.fields):
        return item
    fields = tuple(
        replace(f, reference_to=names) if f.reference_to == ("*",) else f for f in item.fields
    )
    return replace(item, fields=fields)


def _with_known_parents(objects: tuple[ObjectType, ...]) -> tuple[ObjectType, ...]:
    """Return objects without the lookups to what is not there."""
    names = {item.name for item in objects}
    kept = []
    for item in objects:
        lost = [ref for ref in item.references if not names.issuperset(ref.reference_to)]
        for ref in lost:
            targets = ", ".join(sorted(set(ref.reference_to) - names))
            leave_out(f"{item.name}.{ref.name}", f"the local org has no {targets}")
        fields = tuple(f for f in item.fields if f not in lost)
        kept.append(replace(item, fields=fields) if lost else item)
    return tuple(kept)


def _typed_summaries(objects: tuple[ObjectType, ...]) -> tuple[ObjectType, ...]:
    """Give every roll-up the type and scale of the field it sums."""
    by_name = {item.name: item for item in objects}
    return tuple(
        replace(item, fields=tuple(_with_summaries(item, by_name)))
        if any(f.summary for f in item.fields)
        else item
        for item in objects
    )


def _with_summaries(owner: ObjectType, objects: dict[str, ObjectType]) -> Iterator[Field]:
    for item in owner.fields:
        try:
            yield _typed_summary(item, owner, objects)
        except NotHere as missing:
            leave_out(f"{owner.name}.{item.name}", missing)


def _typed_summary(item: Field, owner: ObjectType, objects: dict[str, ObjectType]) -> Field:
    if item.summary is None:
        return item
    child = objects.get(item.summary.child)
    reference = child.find(item.summary.child_reference) if child else None
    if child is None or reference is None or owner.name not in reference.reference_to:
        raise NotHere(f"the roll-up names no detail of {owner.name}")
    for test in item.summary.filters:
        if not child.has(test.field):
            raise NotHere(f"{child.name} has no field {test.field} to filter by")
    if item.summary.child_field is None:
        return replace(item, type=FieldType.DOUBLE, precision=18, scale=0)
    source = child.find(item.summary.child_field)
    if source is None:
        raise NotHere(f"{child.name} has no field {item.summary.child_field} to sum")
    return replace(item, type=source.type, precision=18, scale=source.scale)
