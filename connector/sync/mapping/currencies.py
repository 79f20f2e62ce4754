"""In an org with several currencies every record of money names its own (fact sheet I.6)."""

from sqlalchemy import Connection, text

from connector.sync.mapping.definition import (
    CURRENCY_FIELD,
    FieldType,
    Mapping,
    Mappings,
    Owner,
    PushField,
)

_HAVE = text("""
    SELECT object FROM org_describe
     WHERE object = ANY (CAST(:objects AS text[]))
       AND content -> 'fields' @> jsonb_build_array(
               jsonb_build_object('name', CAST(:name AS text), 'createable', true))
""")


def with_currencies(tx: Connection, mappings: Mappings) -> Mappings:
    """Return the mappings as this org takes them: with the record's currency where it has one."""
    wanted = sorted({one.object for one in mappings.pushed if one.currency is not None})
    if not wanted:
        return mappings
    found = tx.execute(_HAVE, {"objects": wanted, "name": CURRENCY_FIELD})
    having = set(found.scalars())
    if not having:
        return mappings
    return Mappings(
        tuple(
            _with_currency(one, one.currency) if one.currency and one.object in having else one
            for one in mappings
        )
    )


def _with_currency(mapping: Mapping, column: str) -> Mapping:
    field = PushField.model_validate(
        {"from": column, "owner": Owner.BILLING, "type": FieldType.PICKLIST}
    )
    return mapping.model_copy(update={"fields": {**mapping.fields, CURRENCY_FIELD: field}})
