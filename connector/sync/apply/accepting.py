"""Lets the hub take a value that was typed into one of its fields in the CRM."""

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, OperationalError

from connector.store.engine import violated_constraint
from connector.sync.mapping.columns import columns_from_crm
from connector.sync.mapping.definition import Mapping as EntityMapping

log = structlog.get_logger(__name__)


def can_take_theirs(mapping: EntityMapping, name: str) -> bool:
    """Return whether the hub has a column for what the CRM shows in the field."""
    field = mapping.fields.get(name)
    return field is not None and field.column in columns_from_crm(mapping.table)


def take_theirs(
    tx: Connection, mapping: EntityMapping, name: str, values: Mapping[int, Any]
) -> set[int]:
    """Write one field's values by hub id; return the ids of rows whose store refuses them."""
    ours_of = {theirs: ours for ours, theirs in (mapping.fields[name].values or {}).items()}
    rows = [{"id": hub_id, "value": ours_of.get(value, value)} for hub_id, value in values.items()]
    column = mapping.fields[name].column
    statement = text(
        f"""
        UPDATE "{mapping.table}" t SET "{column}" = n.value
          FROM jsonb_to_recordset(:rows) AS n(id bigint, value text) WHERE t.id = n.id
        """  # noqa: S608 - names come from checked mappings
    ).bindparams(bindparam("rows", type_=JSONB))
    try:
        with tx.begin_nested():
            tx.execute(statement, {"rows": rows})
    except OperationalError:
        raise
    except DBAPIError:
        return {row["id"] for row in rows if not _takes(tx, statement, row, mapping)}
    return set()


def _takes(tx: Connection, statement: Any, row: dict[str, Any], mapping: EntityMapping) -> bool:
    try:
        with tx.begin_nested():
            tx.execute(statement, {"rows": [row]})
    except OperationalError:
        raise
    except DBAPIError as error:
        log.warning(
            "sync.edit_refused",
            entity=mapping.entity,
            hub_id=row["id"],
            reason=violated_constraint(error) or type(error.orig).__name__,
        )
        return False
    return True
