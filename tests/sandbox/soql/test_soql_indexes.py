"""Names and keys are found by an index, whatever the case of their letters."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from l2c_sandbox.errors import SetupError
from l2c_sandbox.schema.metadata import build_schema
from l2c_sandbox.schema.model import Schema
from l2c_sandbox.soql.planner import plan_query
from l2c_sandbox.storage.database import Database
from l2c_sandbox.storage.tables import create_tables

FOLDER = Path(__file__).parents[1] / "schema"


@pytest.fixture(scope="module")
def schema() -> Schema:
    return build_schema(FOLDER, prefixes={})


@pytest.fixture(scope="module")
def database(schema: Schema) -> Iterator[Database]:
    made = Database(None)
    with made.write() as connection:
        create_tables(connection, schema)
    yield made
    made.close()


def _steps(database: Database, schema: Schema, soql: str) -> str:
    plan = plan_query(soql, schema, include_deleted=False)
    sql = f"SELECT {plan.id_sql} FROM {plan.from_sql} WHERE {plan.where_sql}{plan.order_sql}"
    with database.read() as connection:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {sql}", plan.params).fetchall()
    return "; ".join(step[3] for step in steps)


@pytest.mark.parametrize(
    ("soql", "index"),
    [
        ("SELECT Id FROM Account WHERE Name = 'Acme'", "ix_folded_Account_Name"),
        ("SELECT Id FROM Account WHERE Name IN ('Acme', 'Nord')", "ix_folded_Account_Name"),
        ("SELECT Id FROM Account WHERE Name >= 'Acme'", "ix_folded_Account_Name"),
        ("SELECT Id FROM Account ORDER BY Name", "ix_folded_Account_Name"),
        ("SELECT Id FROM Bill__c WHERE Key__c = 'x'", "folded_Bill__c_Key__c"),
        ("SELECT Id FROM Bill__c WHERE Key__c IN ('x')", "folded_Bill__c_Key__c"),
        ("SELECT Id FROM Bill__c WHERE Name != 'x' AND Key__c = 'x'", "folded_Bill__c_Key__c"),
    ],
)
def test_a_query_by_name_or_key_uses_its_index(
    database: Database, schema: Schema, soql: str, index: str
) -> None:
    assert index in _steps(database, schema, soql)


def test_indexes_of_data_from_earlier_days_are_replaced(schema: Schema) -> None:
    database = Database(None)
    with database.write() as connection:
        connection.execute('CREATE TABLE "Account" ("Id" TEXT, "Name" TEXT COLLATE FOLDED)')
        connection.execute('CREATE INDEX "ix_Account_Name" ON "Account" ("Name")')
        create_tables(connection, schema)
        names = {row[1] for row in connection.execute('PRAGMA index_list("Account")')}
    database.close()

    assert "ix_folded_Account_Name" in names
    assert "ix_Account_Name" not in names


def test_values_that_are_alike_by_now_are_named(schema: Schema) -> None:
    database = Database(None)
    with pytest.raises(SetupError) as refused, database.write() as connection:
        connection.execute('CREATE TABLE "Bill__c" ("Id" TEXT, "Key__c" TEXT, "IsDeleted" INT)')
        rows = [("a1", "ÄRGER"), ("a2", "ärger"), ("a3", "other")]
        connection.executemany('INSERT INTO "Bill__c" VALUES (?, ?, 0)', rows)
        create_tables(connection, schema)
    database.close()

    assert "Bill__c.Key__c" in str(refused.value)
    assert "a1 (ÄRGER), a2 (ärger)" in str(refused.value)
