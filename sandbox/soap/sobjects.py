"""Between records as the REST handlers know them and sObjects of the partner API (F.4)."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from ..schema.model import Field, FieldType, ObjectType, Schema
from ..storage.values import parse_datetime, parse_time
from .faults import SoapFault, client_fault
from .reading import Given
from .writing import Xml, clean, written

MAX_DEPTH = 5
REST_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000\Z")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\Z")
DAY = re.compile(r"(\d{4}-\d\d-\d\d)(Z|[+-]\d\d:\d\d)?\Z")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
JsonRecord = dict[str, Any]


# --- from the caller ---


def read_record(given: Given, schema: Schema) -> JsonRecord:
    """Return an sObject as the REST handlers read records.

    Raises:
        SoapFault: It names no known type, or a value is no value of its field's type.
    """
    name = given.one("type")
    if name is None:
        raise SoapFault(
            "INVALID_TYPE", "Must send a concrete entity type.", kind="InvalidSObjectFault"
        )
    return _read(given, schema.find(name), name, depth=0)


def _read(given: Given, item: ObjectType | None, name: str | None, *, depth: int) -> JsonRecord:
    record: JsonRecord = {"attributes": {"type": name}} if name is not None else {}
    if depth > MAX_DEPTH:
        raise client_fault("The records of the message are nested too deeply")
    emptied = []
    for child in given.children():
        key = child.name
        if key == "type":
            continue
        if key == "fieldsToNull":
            emptied += [child.text] if child.text else []
        elif key == "Id":
            if child.text:
                record["Id"] = child.text
        elif child.is_nested:
            record[key] = _read(child, None, child.one("type"), depth=depth + 1)
        else:
            field = item.find(key) if item is not None else None
            record[key] = child.raw if field is None else _value(field, child)
    return record | dict.fromkeys(emptied)


def _value(field: Field, child: Given) -> Any:
    """Return a value of the type its field has; an empty one is no value."""
    text = child.text
    kind = field.type
    if not text:
        return None if kind is not FieldType.BOOLEAN else _wrong(text, "boolean")
    if kind is FieldType.BOOLEAN:
        known = BOOLEANS.get(text.lower())
        return _wrong(text, "boolean") if known is None else known
    if field.is_decimal or kind is FieldType.INT:
        return text if NUMBER.match(text) else _wrong(text, "double" if field.is_decimal else "int")
    if kind is FieldType.DATE:
        match = DAY.match(text)
        return match.group(1) if match is not None else _wrong(text, "date")
    if kind is FieldType.DATETIME:
        return text if parse_datetime(text) is not None else _wrong(text, "dateTime")
    if kind is FieldType.TIME:
        return text if parse_time(text) is not None else _wrong(text, "time")
    if kind is FieldType.BASE64:
        return re.sub(r"\s+", "", text)
    return child.raw


def _wrong(text: str, kind: str) -> Any:
    raise client_fault(f"'{text}' is not a valid value for the type xsd:{kind}")


# --- to the caller ---


def record_xml(
    tag: str, record: Mapping[str, Any] | None, schema: Schema, *, id_twice: bool
) -> Xml:
    """Return a REST record as an sObject.

    Args:
        tag: The element's name, with its prefix.
        record: What the REST handlers return; None is written as nil.
        schema: For the types of the fields.
        id_twice: Queries write the id a second time where it was selected, retrieve does not.
    """
    if record is None:
        return Xml(f'<{tag} xsi:nil="true"/>')
    name = str(record["attributes"]["type"])
    item = schema.find(name)
    record_id = record.get("Id")
    parts = [
        f"<sf:type>{clean(name)}</sf:type>",
        written("sf:Id", "ID", record_id),
    ]
    for key, value in record.items():
        if key == "attributes" or (key == "Id" and not id_twice):
            continue
        field = item.find(key) if item is not None else None
        parts.append(_field_xml(key, value, field, schema))
    return Xml(f'<{tag} xsi:type="sf:sObject">{"".join(parts)}</{tag}>')


def _field_xml(key: str, value: Any, field: Field | None, schema: Schema) -> str:
    tag = f"sf:{key}"
    if isinstance(value, Mapping):
        if "attributes" in value:
            return record_xml(tag, value, schema, id_twice=True)
        if "records" in value:
            return query_result_xml(tag, value, schema)
        inner = written(tag, "address", value)
        return inner.replace(f"<{tag}>", f'<{tag} xsi:type="address">', 1)
    if value is None:
        return f'<{tag} xsi:nil="true"/>'
    if isinstance(value, bool):
        return f"<{tag}>{'true' if value else 'false'}</{tag}>"
    if not isinstance(value, str):
        text = orjson.dumps(value, default=str).decode().strip('"')
        mark = "" if field is not None else f' xsi:type="{_number_type(text)}"'
        return f"<{tag}{mark}>{text}</{tag}>"
    is_stamp = field.type is FieldType.DATETIME if field is not None else True
    return f"<{tag}>{clean(_stamp(value) if is_stamp else value)}</{tag}>"


def _number_type(text: str) -> str:
    """Return the type of a number that no field declares: an aggregate."""
    return "xsd:int" if text.lstrip("-").isdigit() else "xsd:double"


def _stamp(text: str) -> str:
    """Return a REST datetime as SOAP writes it; other text stays."""
    return text.replace("+0000", "Z") if REST_STAMP.match(text) else text


def query_result_xml(tag: str, page: Mapping[str, Any], schema: Schema) -> Xml:
    """Return a page of a query; the locator is the last part of the REST address."""
    following = page.get("nextRecordsUrl")
    records = "".join(
        record_xml("records", record, schema, id_twice=True) for record in page["records"]
    )
    inner = (
        written("done", "boolean", page["done"])
        + written("queryLocator", "string", following.rsplit("/", 1)[-1] if following else None)
        + records
        + written("size", "int", page["totalSize"])
    )
    return Xml(f'<{tag} xsi:type="QueryResult">{inner}</{tag}>')


def stamps(value: Any) -> Any:
    """Return a JSON answer with all its datetimes as SOAP writes them."""
    if isinstance(value, str):
        return _stamp(value)
    if isinstance(value, Mapping):
        return {key: stamps(part) for key, part in value.items()}
    return [stamps(part) for part in value] if isinstance(value, list) else value
