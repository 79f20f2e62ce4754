"""EntityDefinition and FieldDefinition: the schema as records that can be queried."""

import sqlite3
from typing import Any

from ..ids import make_ids
from ..storage.tables import quoted
from .model import Field, FieldType, ObjectType, Schema

ENTITIES, FIELDS = "EntityDefinition", "FieldDefinition"
DEFINITIONS = frozenset({ENTITIES, FIELDS})
LONG_TEXT = 255
DATA_TYPES = {
    FieldType.BOOLEAN: "Checkbox",
    FieldType.DATE: "Date",
    FieldType.DATETIME: "Date/Time",
    FieldType.TIME: "Time",
    FieldType.PICKLIST: "Picklist",
    FieldType.MULTIPICKLIST: "Picklist (Multi-Select)",
    FieldType.EMAIL: "Email",
    FieldType.PHONE: "Phone",
    FieldType.ADDRESS: "Address",
    FieldType.BASE64: "Base64",
    FieldType.ID: "Lookup()",
}
NUMBER_NAMES = {
    FieldType.CURRENCY: "Currency",
    FieldType.PERCENT: "Percent",
    FieldType.DOUBLE: "Number",
}


def write_definitions(
    connection: sqlite3.Connection, schema: Schema, *, now_s: int, user_id: str
) -> None:
    """Replace the records that describe the schema."""
    stamps = {
        "IsDeleted": 0,
        "CreatedDate": now_s,
        "LastModifiedDate": now_s,
        "SystemModstamp": now_s,
        "CreatedById": user_id,
        "LastModifiedById": user_id,
    }
    entities: list[dict[str, Any]] = []
    fields: list[dict[str, Any]] = []
    count = sum(len(item.fields) for item in schema)
    field_ids = iter(make_ids(prefix=schema.get(FIELDS).prefix, first=1, count=count))
    prefix = schema.get(ENTITIES).prefix
    entity_ids = make_ids(prefix=prefix, first=1, count=len(schema.objects))
    for item, entity_id in zip(schema, entity_ids, strict=True):
        entities.append({"Id": entity_id, **_entity(item), **stamps})
        fields += (
            {"Id": next(field_ids), "EntityDefinitionId": entity_id, **_field(item, f), **stamps}
            for f in item.fields
        )
    _replace(connection, ENTITIES, entities)
    _replace(connection, FIELDS, fields)


def _replace(connection: sqlite3.Connection, name: str, rows: list[dict[str, Any]]) -> None:
    connection.execute(f"DELETE FROM {quoted(name)}")
    names = list(rows[0])
    columns = ", ".join(quoted(column) for column in names)
    marks = ", ".join("?" * len(names))
    sql = f"INSERT INTO {quoted(name)} ({columns}) VALUES ({marks})"
    connection.executemany(sql, [tuple(row.values()) for row in rows])


def _entity(item: ObjectType) -> dict[str, Any]:
    return {
        "DurableId": item.name,
        "QualifiedApiName": item.name,
        "DeveloperName": item.name.removesuffix("__c"),
        "MasterLabel": item.label,
        "Label": item.label,
        "PluralLabel": item.plural,
        "KeyPrefix": item.prefix,
        "IsCustomizable": int(item.updateable),
        "IsCustomSetting": 0,
        "IsDeprecatedAndHidden": 0,
        "IsQueryable": 1,
        "IsReplicateable": 1,
        "IsRetrieveable": 1,
        "IsSearchable": 1,
        "IsTriggerable": 1,
        "IsApexTriggerable": int(item.updateable),
        "IsWorkflowEnabled": int(item.updateable),
        "IsLayoutable": 1,
        "IsIdEnabled": 1,
    }


def _field(item: ObjectType, field: Field) -> dict[str, Any]:
    return {
        "DurableId": f"{item.name}.{field.name}",
        "QualifiedApiName": field.name,
        "DeveloperName": field.name.removesuffix("__c"),
        "MasterLabel": field.label,
        "Label": field.label,
        "DataType": data_type(field)[:255],
        "ValueTypeId": str(field.type),
        "Length": field.length,
        "Precision": field.precision,
        "Scale": field.scale,
        "RelationshipName": field.relationship,
        "IsIndexed": int(
            field.unique
            or field.external_id
            or field.id_lookup
            or field.type in {FieldType.ID, FieldType.REFERENCE}
        ),
        "IsNillable": int(field.nillable),
        "IsCalculated": int(field.calculated),
        "IsNameField": int(field.name_field),
        "IsHtmlFormatted": int(field.html),
        "IsCompound": int(field.type is FieldType.ADDRESS),
    }


def data_type(field: Field) -> str:
    """Return the type as the setup pages write it: `Text(80)`, `Lookup(Account)`."""
    if field.summary is not None:
        return f"Roll-Up Summary ({field.summary.operation.upper()} {field.summary.child})"
    if field.auto_number is not None:
        return "Auto Number"
    plain = _plain(field)
    return f"Formula ({plain.partition('(')[0].strip()})" if field.formula is not None else plain


def _plain(field: Field) -> str:
    if field.type is FieldType.REFERENCE:
        kind = "Master-Detail" if field.master_detail else "Lookup"
        return f"{kind}({','.join(field.reference_to)})"
    if field.type in NUMBER_NAMES:
        return f"{NUMBER_NAMES[field.type]}({field.precision - field.scale}, {field.scale})"
    if field.type is FieldType.INT:
        return f"Number({field.precision}, 0)"
    if field.type is FieldType.URL:
        return f"URL({field.length})"
    if field.type is FieldType.TEXTAREA:
        if field.html:
            return f"Rich Text Area({field.length})"
        return f"{'Long ' if field.length > LONG_TEXT else ''}Text Area({field.length})"
    return DATA_TYPES.get(field.type) or f"Text({field.length})"
