"""Many rows at once are read and noted as each alone would be."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from l2c_sandbox.bulk.job import Job, State
from l2c_sandbox.bulk.text import written
from l2c_sandbox.ids import make_id, make_ids
from l2c_sandbox.records.draft import Draft, RowReader
from l2c_sandbox.schema.metadata import build_schema
from org_client import Client

JOB = Job(
    id="750", is_query=False, operation="insert", object="Account", state=State.OPEN,
    user_id="", username="", version="59.0", created_s=0, changed_s=0,
)  # fmt: skip
CELL = st.text(alphabet='a",;\n ü', max_size=4)
VALUE = st.sampled_from(
    [None, "", " a ", "true", True, False, 1, 0, 7, "7.5", "1e400", [], {}, "x" * 300]
)
FIELDS = ("Name", "IsPrivate", "Probability", "Amount", "StageName", "CloseDate", "Nothing")


@pytest.fixture(scope="module")
def schema() -> Any:
    return build_schema(None, prefixes={})


@given(rows=st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUE), max_size=12))
def test_rows_read_together_are_what_each_is_alone(schema: Any, rows: list[dict[str, Any]]) -> None:
    opportunity = schema.get("Opportunity")
    together = [Draft(creating=True) for _ in rows]
    alone = [Draft(creating=True) for _ in rows]

    RowReader(opportunity, schema).read_all(zip(rows, together, strict=True))
    for row, draft in zip(rows, alone, strict=True):
        RowReader(opportunity, schema).read(row, draft=draft)

    assert together == alone


@given(first=st.integers(1, 62**8), count=st.integers(0, 200))
def test_ids_made_together_are_those_made_alone(first: int, count: int) -> None:
    alone = [make_id(prefix="a00", number=n) for n in range(first, first + count)]

    assert make_ids(prefix="a00", first=first, count=count) == alone


@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=2)))
def test_lines_of_results_come_back_as_the_cells_they_were(rows: list[list[str]]) -> None:
    text = "".join(written(rows, JOB))

    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == rows


def test_the_audit_tells_what_each_of_many_was_and_is(org: Client) -> None:
    account = {"attributes": {"type": "Account"}}
    long = "x" * 3_000
    rows = [{**account, "Name": "A", "Description": long}, {**account, "Name": "B", "Site": "here"}]
    created = org.post("/composite/sobjects", {"records": rows}).json()
    changes = [{**account, "id": row["id"], "Site": None, "Phone": "1"} for row in created]
    org.patch("/composite/sobjects", {"records": changes})

    *changed, second, first = org.get("/__sandbox__/audit?limit=4").json()["audit"]

    assert [entry["verb"] for entry in (second, first)] == ["create", "create"]
    assert (first["id"], first["old"]) == (created[0]["id"], {})
    assert first["new"]["Description"] == "x" * 2_000 + "…"
    assert "Site" not in first["new"]
    assert (second["new"]["Name"], second["new"]["Site"]) == ("B", "here")
    told = {entry["id"]: (entry["old"], entry["new"]) for entry in changed}
    assert told[created[1]["id"]][0]["Site"] == "here"
    assert told[created[1]["id"]][1]["Site"] is None
    assert told[created[0]["id"]][1]["Phone"] == "1"
