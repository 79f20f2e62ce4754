"""Reads what a caller wants written: fields, relationships by external id, or nonsense."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import RowError
from ..schema.model import Field, FieldType, ObjectType, Schema
from .convert import Converter, Refused, converted, converter
from .transaction import Row

NOT_WRITABLE = (
    "Unable to create/update fields: {name}. Please check the security settings of this field "
    "and verify that it is read/write for your profile or permission set."
)


@dataclass(slots=True)
class Link:
    """A parent named by one of its keys instead of its id."""

    field: Field
    target: ObjectType
    key: Field
    value: Any


@dataclass(slots=True)
class Draft:
    """One record on its way into the org."""

    creating: bool
    id: str | None = None
    values: Row = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    old: Row = field(default_factory=dict)
    new: Row = field(default_factory=dict)

    def refuse(self, code: str, message: str, *fields: str) -> None:
        """Add a reason why the record is not saved."""
        self.errors.append(RowError(code=code, message=message, fields=fields))

    def changed(self, name: str) -> bool:
        """Whether the save gives a field another value."""
        return self.old.get(name) != self.new.get(name)


class RowReader:
    """Turns JSON objects of one object type into drafts; keeps what it learned about keys."""

    def __init__(self, item: ObjectType, schema: Schema) -> None:
        self._item = item
        self._schema = schema
        self._known: dict[str, tuple[Field, Converter | None] | None] = {}
        # By key, for updates and creates: fields found writable before, with their converters.
        self._ready: tuple[dict[str, tuple[str, Converter]], ...] = ({}, {})

    def read(self, raw: Mapping[str, Any], *, draft: Draft, system: bool = False) -> None:
        """Fill a draft from a JSON object; every problem becomes an error of the draft."""
        ready, values = self._ready[draft.creating], draft.values
        for key, value in raw.items():
            if key in ready:
                name, convert = ready[key]
                try:
                    values[name] = convert(value)
                except Refused as refused:
                    draft.errors.append(refused.error)
            elif key != "attributes":
                self._read_one(key, value, draft, system=system)

    def read_all(
        self, rows: Iterable[tuple[Mapping[str, Any], Draft]], *, system: bool = False
    ) -> None:
        """Fill drafts as `read` does; rows with the same members are read column by column."""
        shapes: dict[tuple[object, ...], list[tuple[Mapping[str, Any], Draft]]] = defaultdict(list)
        for raw, draft in rows:
            shapes[draft.creating, *raw].append((raw, draft))
        for (first, draft), *others in shapes.values():
            self.read(first, draft=draft, system=system)
            if not others or self._read_columns(others, self._ready[draft.creating]):
                continue
            for raw, other in others:
                self.read(raw, draft=other, system=system)

    def _read_columns(
        self,
        rows: Sequence[tuple[Mapping[str, Any], Draft]],
        ready: Mapping[str, tuple[str, Converter]],
    ) -> bool:
        """Fill drafts whose rows have the same members; False: one of them needs a closer look."""
        keys = list(rows[0][0])
        if any(key not in ready and key != "attributes" for key in keys):
            return False
        given = zip(keys, zip(*(raw.values() for raw, _ in rows), strict=True), strict=True)
        named = [(ready[key], column) for key, column in given if key != "attributes"]
        try:
            columns = [converted(column, convert) for (_, convert), column in named]
        except Refused:
            return False
        if not columns:
            return True
        names = [name for (name, _), _ in named]
        for (_, draft), values in zip(rows, zip(*columns, strict=True), strict=True):
            draft.values.update(zip(names, values, strict=True))
        return True

    def _read_one(self, key: str, value: Any, draft: Draft, *, system: bool) -> None:
        known = self._known[key] if key in self._known else self._learn(key)
        if known is None:
            message = f"No such column '{key}' on sobject of type {self._item.name}"
            draft.refuse("INVALID_FIELD", message, key)
            return
        item, convert = known
        if not (system or self._writable(item, draft)):
            return
        try:
            if convert is None:
                self._read_link(item, value, draft)
            else:
                self._ready[draft.creating][key] = (item.name, convert)
                draft.values[item.name] = convert(value)
        except Refused as refused:
            draft.errors.append(refused.error)

    def _learn(self, key: str) -> tuple[Field, Converter | None] | None:
        found: tuple[Field, Converter | None] | None = None
        item = self._item.find(key)
        if item is not None:
            found = (item, converter(item, self._schema))
        elif key.lower() in self._item.by_relationship:
            found = (self._item.by_relationship[key.lower()], None)
        self._known[key] = found
        return found

    def _writable(self, item: Field, draft: Draft) -> bool:
        if item.type is FieldType.ID and draft.creating:
            message = "cannot specify Id in an insert call"
            draft.refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, "Id")
            return False
        # A detail's parent may be named again on update; moving it is refused when saving.
        fixed = item.master_detail and not draft.creating
        if fixed or (item.createable if draft.creating else item.updateable):
            return True
        message = NOT_WRITABLE.format(name=item.name)
        draft.refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, item.name)
        return False

    def _read_link(self, item: Field, value: Any, draft: Draft) -> None:
        """Read `{"Parent__r": {"Key__c": "x"}}`."""
        if value is None:
            draft.values[item.name] = None
            return
        name = item.relationship or item.name
        if not isinstance(value, dict):
            raise Refused("INVALID_FIELD", f"{name}: a related record must be an object", name)
        keys = {k: v for k, v in value.items() if k != "attributes"}
        target = self._target(item, value)
        if target is None or len(keys) != 1:
            message = f"{name}: specify exactly one external ID of one known sobject type"
            raise Refused("INVALID_FIELD", message, name)
        (key_name, key_value), *_ = keys.items()
        key = target.find(key_name)
        if key is None or not (key.external_id or key.id_lookup):
            message = (
                f"No such column '{key_name}' on sobject of type {target.name}"
                if key is None
                else f"{key_name} is not an External ID or indexed field on {target.name}"
            )
            raise Refused("INVALID_FIELD", message, name)
        if key.type is FieldType.ID:
            draft.values[item.name] = converter(item, self._schema)(key_value)
            return
        stored = converter(key, self._schema)(key_value)
        draft.links.append(Link(field=item, target=target, key=key, value=stored))

    def _target(self, item: Field, value: dict[str, Any]) -> ObjectType | None:
        attributes = value.get("attributes")
        named = attributes.get("type") if isinstance(attributes, dict) else None
        if isinstance(named, str):
            found = self._schema.find(named)
            return found if found is not None and found.name in item.reference_to else None
        return self._schema.get(item.reference_to[0])
