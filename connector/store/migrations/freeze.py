"""Writes `versions/0001_hub.sql` from the table definitions.

For the time before the first release only: `python -m connector.store.migrations.freeze`. From then
on the file is history, and a change of the tables is a new revision.
"""

from pathlib import Path

from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import (
    AddConstraint,
    CreateIndex,
    CreateTable,
    DDLElement,
    ForeignKeyConstraint,
    sort_tables_and_constraints,
)

from connector.store.tables import metadata

TARGET = Path(__file__).parent / "versions" / "0001_hub.sql"


def schema_sql() -> str:
    """Return the statements that make every table, its constraints and its indexes."""
    # "named" leaves a percent sign in a check alone; the driver's own style would double it.
    dialect = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]
    elements: list[DDLElement] = []
    late: list[ForeignKeyConstraint] = []
    ordered = sort_tables_and_constraints(metadata.tables.values())  # type: ignore[no-untyped-call]
    for table, constraints in ordered:
        if table is None:
            late.extend(constraints)
            continue
        elements.append(CreateTable(table, include_foreign_key_constraints=constraints))
        elements.extend(
            CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))
        )
    elements.extend(AddConstraint(one) for one in late)
    statements = [str(one.compile(dialect=dialect)).strip() for one in elements]
    tidy = "\n".join(line.rstrip() for line in ";\n\n".join(statements).splitlines())
    return tidy + ";\n"


if __name__ == "__main__":
    TARGET.write_text(schema_sql(), encoding="utf-8")
