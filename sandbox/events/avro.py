"""Avro schemas of change events and platform events, and values in them (fact sheet H.3, H.5)."""

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

from ..records.transaction import Row
from ..schema.model import Field, FieldType, ObjectType
from ..storage.values import from_scaled
from .binary import GIVEN, NULL, Encoder, day_ms, encoder, text, time_ms

Columns = Mapping[str, Sequence[Any]]  # stored values of some records, by field
Column = bytes | list[bytes]  # of each record, or what is the same in all of them
NAMESPACE = "com.sforce.eventbus"
CHANGE_TYPES = (
    "CREATE", "UPDATE", "DELETE", "UNDELETE", "SNAPSHOT",
    "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW",
)  # fmt: skip
# Fields of records that change events do not have, beside blobs.
LEFT_OUT = frozenset(
    {
        "Id", "IsDeleted", "SystemModstamp", "Fiscal", "FiscalQuarter", "FiscalYear",
        "LastActivityDate", "LastReferencedDate", "LastViewedDate",
    }
)  # fmt: skip
NAME_PARTS = ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix")
_TYPES = {
    FieldType.BOOLEAN: "boolean",
    FieldType.INT: "int",
    FieldType.DATE: "long",
    FieldType.DATETIME: "long",
    FieldType.TIME: "long",
    FieldType.CURRENCY: "double",
    FieldType.DOUBLE: "double",
    FieldType.PERCENT: "double",
}


@dataclass(frozen=True, slots=True, eq=False)
class EventSchema:
    """One Avro schema; its id is a hash of its text, so other fields mean another id."""

    id: str
    text: str

    @property
    def parsed(self) -> Any:
        """The schema as the Avro library has it."""
        return _parsed(self.text)

    def encode(self, datum: dict[str, Any]) -> bytes:
        """Return the bare Avro binary of a datum."""
        import fastavro  # records do without it: only who publishes waits for it

        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, self.parsed, datum)
        return stream.getvalue()

    def decode(self, payload: bytes) -> dict[str, Any]:
        """Return the datum of a payload.

        Raises:
            ValueError: The payload is no datum of this schema.
        """
        import fastavro

        stream = io.BytesIO(payload)
        try:
            datum = fastavro.schemaless_reader(stream, self.parsed, None)
        except Exception as error:
            # The reader meets foreign bytes with whatever its steps happen to raise.
            raise ValueError(f"the payload does not follow schema {self.id}") from error
        if stream.read(1) or not isinstance(datum, dict):
            raise ValueError(f"the payload does not follow schema {self.id}")
        return datum


@dataclass(frozen=True, slots=True)
class Slot:
    """One top-level field of a change event: a plain one, or a compound with its parts."""

    name: str
    parts: tuple[tuple[str, Field], ...]
    nested: bool
    encoders: tuple[Encoder, ...]  # of the parts

    def column(self, columns: Columns, *, count: int) -> Column:
        """Return the slot of so many records as Avro binary.

        A compound without any part is null.
        """
        parts = [
            _written(columns.get(field.name, ()), encode)
            for (_, field), encode in zip(self.parts, self.encoders, strict=True)
        ]
        if not self.nested:
            return parts[0]
        alike = [part for part in parts if isinstance(part, bytes)]
        if len(alike) == len(parts):
            return _compound(alike)
        every = [[part] * count if isinstance(part, bytes) else part for part in parts]
        return [_compound(row) for row in zip(*every, strict=True)]


def _written(values: Sequence[Any], encode: Encoder) -> Column:
    if not values:
        return NULL
    first = values[0]
    if values.count(first) == len(values):
        return NULL if first is None else encode(first)
    return [NULL if value is None else encode(value) for value in values]


def _compound(parts: Sequence[bytes]) -> bytes:
    return GIVEN + b"".join(parts) if parts.count(NULL) < len(parts) else NULL


@dataclass(frozen=True, slots=True, eq=False)
class ChangeShape:
    """The change event of one object."""

    entity: str
    slots: tuple[Slot, ...]
    schema: EventSchema
    name: bytes  # of the entity, as Avro binary

    def bodies(self, columns: Columns, *, count: int) -> list[bytes]:
        """Return what follows the header: the given values of records, null for all others.

        A load makes an event for each record: so many values are faster column by column.
        """
        written: list[Iterable[bytes]] = []
        alike: list[bytes] = []
        for slot in self.slots:
            column = slot.column(columns, count=count)
            if isinstance(column, bytes):
                alike.append(column)
            else:
                written += [repeat(b"".join(alike), count), column]
                alike = []
        written.append(repeat(b"".join(alike), count))
        return list(map(b"".join, zip(*written, strict=True)))

    def body(self, row: Row) -> bytes:
        """Return the same of one record."""
        return self.bodies({name: (value,) for name, value in row.items()}, count=1)[0]


def avro_value(field: Field, stored: Any) -> Any:
    """Return a stored value as Avro has it: moments are milliseconds since 1970 or midnight."""
    if field.type is FieldType.BOOLEAN:
        return stored == 1
    if stored is None:
        return None
    if field.is_decimal:
        return float(from_scaled(stored, scale=field.scale))
    if field.type is FieldType.DATETIME:
        return stored * 1_000
    if field.type is FieldType.DATE:
        return day_ms(stored)
    if field.type is FieldType.TIME:
        return time_ms(stored)
    return stored


def change_event_name(entity: str) -> str:
    """Return the name of an object's change event: `AccountChangeEvent`, `X__ChangeEvent`."""
    return entity.removesuffix("__c") + (
        "__ChangeEvent" if entity.endswith("__c") else "ChangeEvent"
    )


@lru_cache(maxsize=1_024)
def change_shape(item: ObjectType) -> ChangeShape:
    """Return the change event of an object."""
    slots = tuple(_slots(item))
    defined: dict[str, tuple[str, ...]] = {}
    fields = [_slot_schema(slot, defined) for slot in slots]
    header = {"name": "ChangeEventHeader", "type": _header_schema()}
    schema = _schema(change_event_name(item.name), [header, *fields])
    return ChangeShape(entity=item.name, slots=slots, schema=schema, name=text(item.name))


@lru_cache(maxsize=1_024)
def platform_schema(item: ObjectType) -> EventSchema:
    """Return the schema of a platform event."""
    fields: list[dict[str, Any]] = [
        {"name": "CreatedDate", "type": "long"},
        {"name": "CreatedById", "type": "string"},
    ]
    fields += [_optional(f.name, _avro_type(f)) for f in item.fields if f.custom]
    return _schema(item.name, fields)


@lru_cache(maxsize=1)
def channel_schema() -> EventSchema:
    """Return what all change events have: the schema shown for a channel of several objects."""
    header = {"name": "ChangeEventHeader", "type": _header_schema()}
    return _schema("ChangeEvents", [header])


def _slots(item: ObjectType) -> list[Slot]:
    parts_of: dict[str, list[tuple[str, Field]]] = {}
    for f in item.fields:
        if f.compound is not None:
            prefix = f.compound.removesuffix("Address")
            parts_of.setdefault(f.compound, []).append((f.name.removeprefix(prefix), f))
    name = item.name_field
    if name is not None and not name.createable and item.has("LastName"):
        present = [f for f in map(item.find, NAME_PARTS) if f is not None]
        parts_of[name.name] = [(f.name, f) for f in present]
    inside = {f.name for parts in parts_of.values() for _, f in parts}
    slots = []
    for f in item.fields:
        if f.name in parts_of:
            slots.append(_slot(f.name, parts_of[f.name], nested=True))
        elif not (f.name in inside or f.name in LEFT_OUT or f.type is FieldType.BASE64):
            slots.append(_slot(f.name, [("", f)], nested=False))
    return [slot for slot in slots if slot.parts and slot.parts[0][1].stored]


def _slot(name: str, parts: Sequence[tuple[str, Field]], *, nested: bool) -> Slot:
    encoders = tuple(encoder(field) for _, field in parts)
    return Slot(name=name, parts=tuple(parts), nested=nested, encoders=encoders)


def _slot_schema(slot: Slot, defined: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    if not slot.nested:
        return _optional(slot.name, _avro_type(slot.parts[0][1]))
    names = tuple(part for part, _ in slot.parts)
    kind = "PersonName" if "LastName" in names else "Address"
    if defined.get(kind) == names:
        return _optional(slot.name, kind)
    if kind in defined:
        kind = f"{slot.name}_{kind}"
    defined[kind] = names
    fields = [_optional(part, _avro_type(field)) for part, field in slot.parts]
    return _optional(slot.name, {"type": "record", "name": kind, "fields": fields})


def _optional(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "default": None}


def _avro_type(field: Field) -> str:
    return _TYPES.get(field.type, "string")


def _header_schema() -> dict[str, Any]:
    texts = {"type": "array", "items": "string"}
    kinds: dict[str, Any] = {
        "entityName": "string",
        "recordIds": texts,
        "changeType": {"type": "enum", "name": "ChangeType", "symbols": list(CHANGE_TYPES)},
        "changeOrigin": "string",
        "transactionKey": "string",
        "sequenceNumber": "int",
        "commitTimestamp": "long",
        "commitNumber": "long",
        "commitUser": "string",
        "nulledFields": texts,
        "diffFields": texts,
        "changedFields": texts,
    }
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    return {"type": "record", "name": "ChangeEventHeader", "fields": fields}


def _schema(name: str, fields: Sequence[dict[str, Any]]) -> EventSchema:
    text = json.dumps({"type": "record", "name": name, "namespace": NAMESPACE, "fields": fields})
    return schema_of_text(text)


@lru_cache(maxsize=1_024)
def schema_of_text(text: str) -> EventSchema:
    """Return the schema of its JSON text."""
    digest = hashlib.sha256(text.encode()).digest()[:16]
    return EventSchema(id=base64.urlsafe_b64encode(digest).decode().rstrip("="), text=text)


@lru_cache(maxsize=1_024)
def _parsed(text: str) -> Any:
    import fastavro

    return fastavro.parse_schema(json.loads(text))
