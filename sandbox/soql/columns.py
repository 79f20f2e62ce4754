"""What `columns=true` tells about a query instead of running it."""

from typing import Any

from ..schema.model import FieldType
from .planner import Plan
from .select import Column

APEX_TYPES = {
    FieldType.ID: "Id",
    FieldType.REFERENCE: "Id",
    FieldType.BOOLEAN: "Boolean",
    FieldType.INT: "Integer",
    FieldType.CURRENCY: "Double",
    FieldType.DOUBLE: "Double",
    FieldType.PERCENT: "Double",
    FieldType.DATE: "Date",
    FieldType.DATETIME: "Datetime",
    FieldType.TIME: "Time",
    FieldType.BASE64: "Blob",
    FieldType.ADDRESS: "Address",
}


def columns_json(plan: Plan) -> dict[str, Any]:
    """Return the columns of a plan as the API shows them."""
    found = _tree(plan.columns, depth=0)
    for child in plan.children:
        inner = columns_json(child.plan)
        found.append(_entry(child.relationship, joined=inner["columnMetadata"], aggregate=True))
    selected = {c.name for c in plan.columns if not c.parents}
    return {
        "columnMetadata": found,
        "entityName": plan.item.name,
        "groupBy": plan.is_grouped,
        "idSelected": "Id" in selected and not plan.is_aggregate,
        "keyPrefix": plan.item.prefix,
    }


def _tree(columns: list[Column], *, depth: int) -> list[dict[str, Any]]:
    """Return fields of this level, and parents with the fields selected through them."""
    found: dict[str, dict[str, Any]] = {}
    for column in columns:
        if len(column.parents) == depth:
            found[f"={column.name}"] = _entry(column.name, column=column)
            continue
        name = column.parents[depth]
        if f">{name}" not in found:
            below = [c for c in columns if c.parents[depth : depth + 1] == (name,)]
            joined = _tree(below, depth=depth + 1)
            found[f">{name}"] = _entry(name, joined=joined)
    return list(found.values())


def _entry(
    name: str,
    *,
    column: Column | None = None,
    joined: list[dict[str, Any]] | None = None,
    aggregate: bool = False,
) -> dict[str, Any]:
    item = column.field if column is not None else None
    kind = item.type if item is not None else None
    return {
        "aggregate": aggregate or (column is not None and column.aggregate),
        "apexType": None if kind is None else APEX_TYPES.get(kind, "String"),
        "booleanType": kind is FieldType.BOOLEAN,
        "columnName": name,
        "custom": item is not None and item.custom,
        "displayName": name,
        "foreignKeyName": None,
        "insertable": item is not None and item.createable,
        "joinColumns": joined or [],
        "numberType": item is not None and (item.is_decimal or kind is FieldType.INT),
        "textType": item is not None and item.is_text,
        "updatable": item is not None and item.updateable,
    }
