"""Makes the database announce every change of a pushed entity by itself (design D2).

From the `marks` of the mapping files come statement-level triggers: each appends the touched keys,
a thousand per row, to `push_log`. A bulk change in SQL cannot forget to announce itself, and two
writers never wait for each other's marks (measured 3).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from connector.store.engine import driver_connection
from connector.store.mapping_files import MappingError, salesforce_mappings
from connector.store.tables.sync import push_entity
from connector.yaml_file import YamlFile

KEYS_PER_ROW = 1_000
OWN_ID = "SELECT id FROM changed"

# Where the database remembers which marks it has.
_REMEMBER = "CREATE FUNCTION push_mark_version() RETURNS text LANGUAGE sql AS $$SELECT '{digest}'$$"
_REMEMBERED = text(
    "SELECT p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
    "WHERE n.nspname = current_schema() AND p.proname = 'push_mark_version'"
)
_OUR_TRIGGERS = text(
    "SELECT t.tgname, t.tgrelid::regclass::text AS table_name FROM pg_trigger t "
    "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = current_schema() AND NOT t.tgisinternal AND t.tgname LIKE 'push\\_mark\\_%'"
)
_OUR_FUNCTIONS = text(
    "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
    "WHERE n.nspname = current_schema() AND p.proname LIKE 'push\\_mark\\_%'"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Which keys of an entity a statement on a table puts into the push log.

    `select` is a SELECT of keys from `changed`, the rows the statement wrote. With `columns`, an
    update marks only where one of them got a new value; without, where any column did.
    """

    entity: str
    table: str
    select: str
    columns: tuple[str, ...]


def install(tx: Connection, folder: Path | None = None) -> None:
    """Make the entity codes and, when the marks changed, the marking triggers anew."""
    files = salesforce_mappings(folder)
    marks = tuple(mark for file in files for mark in _marks_of(file.data))
    codes = _entity_codes(tx, sorted({mark.entity for mark in marks}))
    by_table: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        by_table[mark.table].append(mark)
    statements = [
        statement
        for table, its_marks in sorted(by_table.items())
        for statement in _statements(table, its_marks, codes)
    ]
    digest = hashlib.sha256("\n".join(statements).encode()).hexdigest()
    if digest in (tx.execute(_REMEMBERED).scalar() or ""):
        return  # making them anew would lock every table under a running system
    for file in files:
        _try_marks(tx, file)
    _drop_triggers(tx)
    for statement in [*statements, _REMEMBER.format(digest=digest)]:
        driver_connection(tx).execute(statement.encode())


def _marks_of(data: Mapping[str, Any]) -> tuple[Mark, ...]:
    return tuple(
        Mark(
            entity=data["entity"],
            table=mark["table"],
            select=mark.get("query") or f"SELECT {mark['key']} FROM changed",  # noqa: S608
            columns=tuple(mark.get("columns", ())),
        )
        for mark in data.get("push", {}).get("marks", ())
    )


def _try_marks(tx: Connection, file: YamlFile) -> None:
    """Refuse a mark the database cannot carry out: it would fail whoever changes the table.

    Raises:
        MappingError: With file and line, and what the database says.
    """
    driver = driver_connection(tx)
    for place, mark in enumerate(_marks_of(file.data)):
        listed = "".join(f", {column}" for column in mark.columns)
        try:
            with driver.transaction():
                driver.execute(
                    f"EXPLAIN WITH changed AS (SELECT * FROM {mark.table}) {mark.select}".encode()  # noqa: S608
                )
                driver.execute(f"EXPLAIN SELECT id{listed} FROM {mark.table}".encode())  # noqa: S608
        except psycopg.ProgrammingError as error:
            raise MappingError(
                file,
                ("push", "marks", place),
                f"this mark cannot be carried out: {error.diag.message_primary}",
                remedy="Correct `table`, `key`, `query` or `columns`.",
            ) from error


def _entity_codes(tx: Connection, names: list[str]) -> dict[str, int]:
    # A code is never reused: rows of the log and the queue outlive a mapping file.
    known = {row.name: row.code for row in tx.execute(push_entity.select())}
    missing = [name for name in names if name not in known]
    first = max(known.values(), default=0) + 1
    fresh = {name: first + place for place, name in enumerate(missing)}
    if fresh:
        tx.execute(
            push_entity.insert(), [{"code": code, "name": name} for name, code in fresh.items()]
        )
    return known | fresh


def _drop_triggers(tx: Connection) -> None:
    driver = driver_connection(tx)
    for row in tx.execute(_OUR_TRIGGERS).all():
        driver.execute(
            sql.SQL("DROP TRIGGER {} ON {}").format(
                sql.Identifier(row.tgname), sql.Identifier(row.table_name.strip('"'))
            )
        )
    for name in tx.execute(_OUR_FUNCTIONS).scalars().all():
        driver.execute(sql.SQL("DROP FUNCTION {}()").format(sql.Identifier(name)))


def _statements(table: str, marks: list[Mark], codes: Mapping[str, int]) -> Iterator[str]:
    for event in ("INSERT", "UPDATE", "DELETE"):
        name = f"push_mark_{table}_{event.lower()}"
        body = "\n".join(_append(mark, codes[mark.entity], event) for mark in marks)
        yield (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$mark$\nBEGIN\n{body}\n    RETURN NULL;\nEND\n$mark$"
        )
        yield (
            f"CREATE TRIGGER {name} AFTER {event} ON {table} {_REFERENCING[event]} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )
    # TRUNCATE shows no trigger which rows it removed, so it would be a silent change.
    name = f"push_mark_{table}_truncate"
    yield (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $mark$\nBEGIN\n"
        f"    RAISE EXCEPTION '{table} is shown in the CRM: use DELETE instead of TRUNCATE'\n"
        "        USING ERRCODE = 'feature_not_supported';\nEND\n$mark$"
    )
    yield (
        f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )


_REFERENCING = {
    "INSERT": "REFERENCING NEW TABLE AS written",
    "UPDATE": "REFERENCING OLD TABLE AS former NEW TABLE AS written",
    "DELETE": "REFERENCING OLD TABLE AS written",
}


def _append(mark: Mark, code: int, event: str) -> str:
    changed = "SELECT * FROM written"
    if event == "UPDATE":
        pairs = f"FROM written JOIN former USING (id) WHERE {_differs(mark.columns)}"
        changed = f"SELECT written.* {pairs}"
        if mark.select != OWN_ID:  # the row may have moved from one owner to another
            changed += f" UNION ALL SELECT former.* {pairs}"
    return f"""    INSERT INTO push_log (entity, keys)
    SELECT {code}, array_agg(key)
      FROM (SELECT key, (row_number() OVER () - 1) / {KEYS_PER_ROW} AS part
              FROM (WITH changed AS ({changed}) {mark.select}) AS marked (key)
             WHERE key IS NOT NULL) AS numbered
     GROUP BY part;"""  # noqa: S608 - the mapping files are the operator's own


def _differs(columns: tuple[str, ...]) -> str:
    if not columns:
        return "written IS DISTINCT FROM former"
    new = ", ".join(f"written.{column}" for column in columns)
    old = ", ".join(f"former.{column}" for column in columns)
    return f"ROW({new}) IS DISTINCT FROM ROW({old})"
