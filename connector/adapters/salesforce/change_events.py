"""Change events as they travel: Avro, of which only the header is read (fact sheet H.3, H.4).

An event is a hint. Its values would come as floats and without a stamp; which records changed, how
and when stands in the header, the first field of every change event.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro

from connector.errors import InvalidInput

HEADER = "ChangeEventHeader"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UnreadableEvent(InvalidInput):
    """An event does not say which records changed."""

    code = "org.unreadable_event"
    remedy = "Nothing is lost: the records of the topic are read again by a sweep."


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """What changed in one transaction of the org, for one or several records of one object.

    Attributes:
        record_ids: 18 characters each, except in gap events, where one may stand for many.
        change_type: CREATE, UPDATE, DELETE, UNDELETE, or GAP_ and one of these, or GAP_OVERFLOW.
        commit_at: When the transaction was committed, by the org's clock.
        change_origin: Through which API and client it came.
        changed_fields: Empty unless it is an UPDATE; parts of a compound as `Compound.Part`.
    """

    object_name: str
    record_ids: tuple[str, ...]
    change_type: str
    commit_at: datetime
    change_origin: str
    transaction_key: str
    sequence_number: int
    changed_fields: tuple[str, ...] = ()
    nulled_fields: tuple[str, ...] = ()
    diff_fields: tuple[str, ...] = ()


class EventSchema:
    """The Avro schema of the change events of an object; another set of fields is another one."""

    def __init__(self, schema_json: str) -> None:
        """Read a schema.

        Raises:
            UnreadableEvent: It is none of a change event.
        """
        try:
            schema = json.loads(schema_json)
            self._fields: list[Mapping[str, Any]] = schema["fields"]
            header = self._fields[0]
            if header["name"] != HEADER:
                raise UnreadableEvent(f"A schema begins with {header['name']}, not {HEADER}.")
            # A record is its fields one after the other: the first can be read alone.
            self._header = fastavro.parse_schema(
                {
                    "type": "record",
                    "name": "Beginning",
                    "namespace": schema.get("namespace", ""),
                    "fields": [header],
                },
                named_schemas={},
            )
        except (ValueError, KeyError, TypeError, IndexError, fastavro.schema.SchemaParseException):
            raise UnreadableEvent("A schema is none of a change event.") from None

    def read(self, payload: bytes) -> ChangeEvent:
        """Return what an event says.

        Raises:
            UnreadableEvent: The payload does not follow the schema.
        """
        try:
            datum: Any = fastavro.schemaless_reader(io.BytesIO(payload), self._header, None)
            return self._event_of(datum[HEADER])
        except Exception as error:
            # The reader meets foreign bytes with whatever its steps happen to raise.
            raise UnreadableEvent(
                f"An event does not follow its schema ({type(error).__name__})."
            ) from None

    def _event_of(self, header: Mapping[str, Any]) -> ChangeEvent:
        return ChangeEvent(
            object_name=header["entityName"],
            record_ids=tuple(header["recordIds"]),
            change_type=header["changeType"],
            commit_at=_EPOCH + timedelta(milliseconds=header["commitTimestamp"]),
            change_origin=header["changeOrigin"] or "",
            transaction_key=header["transactionKey"],
            sequence_number=header["sequenceNumber"],
            changed_fields=tuple(self._names(header.get("changedFields") or ())),
            nulled_fields=tuple(self._names(header.get("nulledFields") or ())),
            diff_fields=tuple(self._names(header.get("diffFields") or ())),
        )

    def _names(self, bitmaps: Iterable[str]) -> Iterator[str]:
        """Yield the names behind `0x..` (top level) and `7-0x..` (parts of the field 7)."""
        for bitmap in bitmaps:
            place, separator, bits = bitmap.rpartition("-")
            if separator:
                parent = self._fields[int(place)]
                yield from _marked(int(bits, 16), _parts(parent), f"{parent['name']}.")
            else:
                yield from _marked(int(bits, 16), self._fields, "")


def _marked(bits: int, fields: list[Mapping[str, Any]], prefix: str) -> Iterator[str]:
    if bits >> len(fields):
        raise ValueError("a bitmap marks fields that the schema does not have")
    for place, field in enumerate(fields):
        if bits >> place & 1:
            yield prefix + field["name"]


def _parts(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    for kind in kinds:
        if isinstance(kind, dict) and kind.get("type") == "record":
            parts: list[Mapping[str, Any]] = kind["fields"]
            return parts
    raise ValueError(f"{field['name']} has no parts")
