"""From the header of an upload to rows as every other call writes them (fact sheet E.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from ..errors import RowError
from ..records.service import JsonRow
from ..schema.model import Field, FieldType, ObjectType, Schema
from .job import Job
from .text import BadUploadError

NULL = "#N/A"
BOOLEANS = {"1": "true", "0": "false"}
XSD = {
    FieldType.BOOLEAN: "boolean",
    FieldType.INT: "int",
    FieldType.DATE: "date",
    FieldType.DATETIME: "dateTime",
    FieldType.TIME: "time",
    FieldType.BASE64: "base64Binary",
}


@dataclass(frozen=True, slots=True)
class _Parent:
    """A column that names a parent by one of its keys."""

    at: int
    relationship: str
    key: str
    type: str | None  # said where the relationship leads to several objects

    def value(self, cell: str) -> dict[str, Any] | None:
        if cell == NULL:
            return None
        row: dict[str, Any] = {self.key: cell}
        if self.type is not None:
            row["attributes"] = {"type": self.type}
        return row


class Columns:
    """The columns of one upload, in their order.

    Raises:
        BadUploadError: A column is no field, or one the operation needs is missing.
    """

    def __init__(self, header: Sequence[str], job: Job, item: ObjectType, schema: Schema) -> None:
        self._item = item
        self._schema = schema
        self._fields: list[Field | None] = []
        self._parents: list[_Parent] = []
        self._names: list[str] = []
        self._places: list[int] = []
        seen: set[str] = set()
        for at, name in enumerate(header):
            self._learn(at, name)
            known = (self._parents[-1].relationship if "." in name else name).lower()
            if known in seen:
                raise BadUploadError(f"InvalidBatch : Duplicate field name found : {name}")
            seen.add(known)
        self._booleans = [
            at for at, f in enumerate(self._fields) if f and f.type is FieldType.BOOLEAN
        ]
        self.key = self._key(header, job)
        self._names = [n for n, at in zip(self._names, self._places, strict=True) if at != self.key]
        places = [at for at in self._places if at != self.key]
        self._take = _taker(places)

    def _learn(self, at: int, name: str) -> None:
        if "." in name:
            parent = self._parent(at, name)
            self._parents.append(parent)
            self._fields.append(self._item.by_relationship[parent.relationship.lower()])
            return
        field = self._item.find(name)
        if field is None or not field.stored:
            raise BadUploadError(f"InvalidBatch : Field name not found : {name}")
        self._fields.append(field)
        self._names.append(field.name)
        self._places.append(at)

    def _parent(self, at: int, name: str) -> _Parent:
        """Read `Account.Key__c`, or `Lead:Who.Email` where a relationship has several targets."""
        wrong = BadUploadError(f"InvalidBatch : Field name not found : {name}")
        head, _, key_name = name.partition(".")
        kind, colon, relationship = head.rpartition(":")
        reference = self._item.by_relationship.get(relationship.lower())
        if reference is None or (len(reference.reference_to) > 1) != bool(colon):
            raise wrong
        target = self._schema.find(kind if colon else reference.reference_to[0])
        if target is None or target.name not in reference.reference_to:
            raise wrong
        key = target.find(key_name)
        if key is None or not (key.external_id or key.id_lookup):
            raise wrong
        shown = reference.relationship or reference.name
        return _Parent(at, shown, key.name, target.name if colon else None)

    def _key(self, header: Sequence[str], job: Job) -> int:
        """Return the place of the column that finds records; -1 where there is none."""
        if job.operation == "insert":
            return -1
        if job.operation in {"delete", "hardDelete"} and len(header) != 1:
            raise BadUploadError(f"InvalidBatch : {job.operation} batch must contain only ids")
        wanted = (job.external_id or "Id").lower()
        for name, at in zip(self._names, self._places, strict=True):
            if name.lower() == wanted:
                return at
        raise BadUploadError(f"InvalidBatch : Field name not found : {job.external_id or 'Id'}")

    def rows(self, cells: Sequence[list[str]]) -> list[JsonRow]:
        """Return rows as JSON objects; an empty cell says nothing, `#N/A` says null.

        The column that finds records is left out: `keys` returns it.
        """
        for at in self._booleans:
            for row in cells:
                row[at] = BOOLEANS.get(row[at], row[at])
        names, take = self._names, self._take
        made: list[JsonRow] = []
        for row in cells:
            if "" in row or NULL in row:
                values: dict[str, Any] = {
                    name: None if cell == NULL else cell
                    for name, cell in zip(names, take(row), strict=True)
                    if cell != ""
                }
            else:
                values = dict(zip(names, take(row), strict=True))
            for parent in self._parents:
                cell = row[parent.at]
                if cell != "":
                    values[parent.relationship] = parent.value(cell)
            made.append(values)
        return made

    def keys(self, cells: Sequence[Sequence[str]]) -> list[str | None]:
        """Return the values that find records."""
        found = (row[self.key] for row in cells)
        return [None if cell in {"", NULL} else cell for cell in found]

    @property
    def key_name(self) -> str:
        """The field that finds records."""
        field = self._fields[self.key]
        assert field is not None
        return field.name

    def explain(self, errors: Sequence[RowError], row: Sequence[str]) -> str:
        """Return the text of `sf__Error` (fact sheet E.3)."""
        return "".join(self._text(error, row) for error in errors)

    def _text(self, error: RowError, row: Sequence[str]) -> str:
        code, message, names = error.code, error.message, ",".join(error.fields)
        if code == "JSON_PARSER_ERROR" and error.fields:
            # A caller that never sent JSON is told about its cell.
            for at, field in enumerate(self._fields):
                if field is not None and field.name == error.fields[0]:
                    code = "INVALID_FIELD"
                    message = (
                        f"Failed to deserialize field at col {at}. Due to, '{row[at]}' is not a "
                        f"valid value for the type xsd:{_xsd(field)}"
                    )
        return f"{code}:{message}:{names + ' ' if names else ''}--"


def _xsd(field: Field) -> str:
    return "double" if field.is_decimal else XSD.get(field.type, "string")


def _taker(places: Sequence[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return the function that picks cells of a row."""
    if len(places) == 1:
        only = places[0]
        return lambda row: (row[only],)
    return itemgetter(*places) if places else lambda _: ()
