"""Text compares without regard to case in every alphabet (fact sheet C.3, F.5)."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from l2c_sandbox.storage.folding import add_folding, folded_sql, folded_text
from org_client import Client


@pytest.fixture
def people(org: Client) -> Client:
    for name in ("Äpfel", "ÉCLAIR", "straße", "Ωmega ΣΑΣ", "Привет"):
        org.create("Account", Name=name)
    return org


class TestText:
    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ("Name = 'äPFEL'", ["Äpfel"]),
            ("Name IN ('éclair', 'ПРИВЕТ')", ["ÉCLAIR", "Привет"]),
            ("Name LIKE 'äp%'", ["Äpfel"]),
            ("Name LIKE '%ПРИ%'", ["Привет"]),
            ("Name = 'ωmega σας'", ["Ωmega ΣΑΣ"]),
            ("Name = 'strasse'", []),
        ],
    )
    def test_is_found_in_any_case(self, people: Client, where: str, found: list[str]) -> None:
        rows = people.query(f"SELECT Name FROM Account WHERE {where} ORDER BY Name")

        assert [row["Name"] for row in rows] == found

    def test_is_grouped_in_any_case(self, people: Client) -> None:
        people.create("Account", Name="ÄPFEL")

        rows = people.query("SELECT COUNT(Id) n FROM Account GROUP BY Name HAVING COUNT(Id) > 1")

        assert [row["n"] for row in rows] == [2]


class TestKeys:
    def test_an_external_id_is_matched_in_any_case(self, org: Client) -> None:
        path = "/sobjects/Account/Billing_Key__c"

        made = org.patch(f"{path}/MÜL-É", {"Name": "Mül"})
        again = org.patch(f"{path}/mül-é", {"Name": "Mül 2"})
        other = org.patch(f"{path}/mul-e", {"Name": "Mul"})
        refused = org.post("/sobjects/Account", {"Name": "x", "Billing_Key__c": "mÜL-é"})

        assert (made.status_code, again.status_code, other.status_code) == (201, 200, 201)
        assert refused.json()[0]["errorCode"] == "DUPLICATE_VALUE"

    def test_an_index_is_used(self, org: Client, server: object) -> None:
        database = server.org.database  # type: ignore[attr-defined]
        sql = 'EXPLAIN QUERY PLAN SELECT "Id" FROM "Account" WHERE "Billing_Key__c" = ?'

        with database.read() as connection:
            plan = " ".join(row[3] for row in connection.execute(sql, ("ä",)))

        assert "USING INDEX" in plan


class TestFolding:
    @given(text=st.text(max_size=8))
    def test_sqlite_folds_a_column_as_everything_else_does(self, text: str) -> None:
        connection = sqlite3.connect(":memory:")
        add_folding(connection)
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.execute("INSERT INTO t VALUES (?), (NULL)", (text,))

        found = connection.execute(f"SELECT {folded_sql('x')}, {folded_sql('(x)')} FROM t")

        assert found.fetchall() == [(folded_text(text),) * 2, (None, None)]
        connection.close()
