"""The SQL tables behind the objects."""

import sqlite3

from ..errors import SetupError
from ..schema.model import Field, FieldType, ObjectType, Schema
from .folding import COLLATION, folded_sql

INTEGER_TYPES = frozenset({FieldType.BOOLEAN, FieldType.INT, FieldType.DATETIME})
OWN_TABLES = """
CREATE TABLE IF NOT EXISTS sandbox_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sandbox_counter (object TEXT PRIMARY KEY, next INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sandbox_notification (
    id TEXT PRIMARY KEY,
    message TEXT NOT NULL,
    record_id TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    next_attempt_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'pending',
    last_error TEXT
);
CREATE INDEX IF NOT EXISTS sandbox_notification_due
    ON sandbox_notification (message, next_attempt_ms) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS sandbox_recycled (
    record_id TEXT PRIMARY KEY, root_id TEXT NOT NULL, deleted_s INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS sandbox_recycled_root ON sandbox_recycled (root_id);
CREATE INDEX IF NOT EXISTS sandbox_recycled_when ON sandbox_recycled (deleted_s);
CREATE TABLE IF NOT EXISTS sandbox_emptied (
    root_id TEXT NOT NULL, object TEXT NOT NULL, field TEXT NOT NULL,
    record_id TEXT NOT NULL, target_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS sandbox_emptied_root ON sandbox_emptied (root_id);
"""


def quoted(name: str) -> str:
    """Return an SQL identifier; names come from the schema, never from a request."""
    return f'"{name}"'


def _collation(item: Field) -> str:
    return f" COLLATE {COLLATION}" if item.folds else ""


def column_sql(item: Field) -> str:
    """Return the definition of a field's column."""
    if item.type is FieldType.ID:
        return '"Id" TEXT PRIMARY KEY NOT NULL'
    integer = item.is_decimal or item.type in INTEGER_TYPES
    return f"{quoted(item.name)} {'INTEGER' if integer else 'TEXT'}{_collation(item)}"


def value_sql(item: ObjectType, field: Field, *, alias: str | None = None) -> str:
    """Return the SQL that reads a field: its column, or its formula."""
    prefix = "" if alias is None else f"{alias}."
    if field.formula is None:
        return f"{prefix}{quoted(field.name)}"
    sql = f"l2c_formula('{item.name}.{field.name}', {prefix}\"Id\")"
    return f"({sql} COLLATE {COLLATION})" if field.is_text else sql


def create_tables(connection: sqlite3.Connection, schema: Schema) -> None:
    """Create what is missing: tables, columns added to the schema since, indexes.

    Raises:
        SetupError: Records of earlier days have the same value in a field that is unique now.
    """
    for statement in OWN_TABLES.split(";"):
        # Not executescript: it would commit the transaction this runs in.
        connection.execute(statement)
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    for item in schema:
        if item.name in there:
            _widen(connection, item)
        else:
            columns = ", ".join(column_sql(f) for f in item.stored)
            connection.execute(f"CREATE TABLE {quoted(item.name)} ({columns})")
        for sql in _index_sql(item):
            try:
                connection.execute(sql)
            except sqlite3.IntegrityError:
                raise SetupError(_collision(connection, item)) from None


def _collision(connection: sqlite3.Connection, item: ObjectType) -> str:
    """Name the first records that share a value of a unique field."""
    for f in item.stored:
        if not f.unique:
            continue
        key = folded_sql(quoted(f.name)) if f.folds else quoted(f.name)
        sql = (
            f"SELECT GROUP_CONCAT(\"Id\" || ' (' || {quoted(f.name)} || ')', ', ') "
            f'FROM {quoted(item.name)} WHERE "IsDeleted" = 0 AND {quoted(f.name)} IS NOT NULL '
            f"GROUP BY {key} HAVING COUNT(*) > 1 LIMIT 1"
        )
        found = connection.execute(sql).fetchone()
        if found is not None:
            return (
                f"the data has the same value of {item.name}.{f.name}, which is unique and takes "
                f"small and capital letters for the same, in {found[0]}: change or delete all but "
                "one with the version that wrote the data, or start with another --data file"
            )
    return f"the data has the same value of a unique field of {item.name} twice"


def _widen(connection: sqlite3.Connection, item: ObjectType) -> None:
    """Add the columns a table of earlier days does not have; drop its indexes by collation."""
    rows = connection.execute(f"PRAGMA table_info({quoted(item.name)})").fetchall()
    present = {row[1] for row in rows}
    for f in item.stored:
        if f.name not in present:
            sql = f"ALTER TABLE {quoted(item.name)} ADD COLUMN {column_sql(f)}"
            connection.execute(sql)
        if f.folds and (f.unique or f.external_id or f.id_lookup):
            for kind in ("uq", "ix"):
                name = quoted(f"{kind}_{item.name}_{f.name}")
                connection.execute(f"DROP INDEX IF EXISTS {name}")


def _index_sql(item: ObjectType) -> list[str]:
    """Return the indexes of an object; most keys and references are empty: those need no entry."""
    table = quoted(item.name)
    statements = [
        f"CREATE INDEX IF NOT EXISTS {quoted('ix_stamp_' + item.name)} "
        f'ON {table} ("SystemModstamp", "Id")'
    ]
    for f in item.stored:
        if f.type is FieldType.ID:
            continue
        column = quoted(f.name)
        key = folded_sql(column) if f.folds else column
        own = f"{item.name}_{f.name}"
        if f.unique:
            statements.append(
                f"CREATE UNIQUE INDEX IF NOT EXISTS {quoted(_prefix(f, 'uq') + own)} "
                f'ON {table} ({key}) WHERE "IsDeleted" = 0 AND {column} IS NOT NULL'
            )
        is_own_reference = f.type is FieldType.REFERENCE and "User" not in f.reference_to
        if f.external_id or f.id_lookup or is_own_reference:
            filled = "" if f.name_field else f" WHERE {column} IS NOT NULL"
            statements.append(
                f"CREATE INDEX IF NOT EXISTS {quoted(_prefix(f, 'ix') + own)} "
                f"ON {table} ({key}){filled}"
            )
    return statements


def _prefix(field: Field, kind: str) -> str:
    return f"{kind}_folded_" if field.folds else f"{kind}_"
