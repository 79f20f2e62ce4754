"""What a change event says about a record is what any Avro reader finds in it (fact sheet H.3)."""

from typing import Any

import pytest
from l2c_sandbox.events.avro import change_shape
from l2c_sandbox.events.bitmap import bitmaps
from l2c_sandbox.events.header import Commit
from l2c_sandbox.schema.metadata import build_schema

COMMIT = Commit(key="k", number=1, user_id="005Sb0000000001IAA", at_ms=-1, origin="")
RECORD = "001Sb0000000001IAA"
LONG = "ü" * 40_000


@pytest.fixture(scope="module")
def account() -> Any:
    return change_shape(build_schema(None, prefixes={}).get("Account"))


def _read(account: Any, **row: Any) -> dict[str, Any]:
    header = COMMIT.header(account, kind="CREATE", record_ids=[RECORD], sequence=1)
    found: dict[str, Any] = account.schema.decode(header + account.body(row))
    return found


@pytest.mark.parametrize(
    ("field", "stored", "told"),
    [
        ("NumberOfEmployees", 0, 0),
        ("NumberOfEmployees", 63, 63),
        ("NumberOfEmployees", 64, 64),
        ("NumberOfEmployees", -1, -1),
        ("NumberOfEmployees", -(2**31), -(2**31)),
        ("NumberOfEmployees", 2**31 - 1, 2**31 - 1),
        ("AnnualRevenue", -750, -750.0),
        ("AnnualRevenue", 10**17 + 1, 1e17),
        ("CreatedDate", 1_700_000_000, 1_700_000_000_000),
        ("PersonBirthdate", "1969-12-31", -86_400_000),
        ("IsPersonAccount", 1, True),
        ("IsPersonAccount", 0, False),
        ("Sic", "", ""),
        ("Description", LONG, LONG),
    ],
)
def test_a_value_is_told_as_it_is_stored(account: Any, field: str, stored: Any, told: Any) -> None:
    found = _read(account, **{field: stored})
    assert found.pop("ChangeEventHeader")["recordIds"] == [RECORD]
    assert found.pop(field) == told
    assert set(found.values()) == {None}


def test_a_compound_has_its_given_parts(account: Any) -> None:
    found = _read(account, BillingCity="Berlin", ShippingStreet="Street 1")
    given = {name: value for name, value in found["BillingAddress"].items() if value is not None}
    assert given == {"City": "Berlin"}
    assert found["ShippingAddress"]["Street"] == "Street 1"


@pytest.mark.parametrize(("stored", "told"), [(-1, -0.01), (10**15 + 7, 10_000_000_000_000.07)])
def test_an_amount_is_told_with_its_decimal_places(stored: int, told: float) -> None:
    opportunity = change_shape(build_schema(None, prefixes={}).get("Opportunity"))
    assert _read(opportunity, Amount=stored)["Amount"] == told


def test_records_told_together_are_told_as_each_alone(account: Any) -> None:
    rows = [
        {"Name": "A", "BillingCity": "Berlin", "AnnualRevenue": 1},
        {"Name": None, "BillingCity": None, "AnnualRevenue": None},
        {"Name": "C", "BillingCity": None, "AnnualRevenue": -5},
    ]
    columns = {name: tuple(row[name] for row in rows) for name in rows[0]}

    assert account.bodies(columns, count=3) == [account.body(row) for row in rows]


def test_a_header_says_what_any_reader_finds_in_it(account: Any) -> None:
    commit = Commit(key="schlüssel", number=10**12, user_id="005", at_ms=2**41, origin="a/b;c")
    ids = [f"001{n:015}" for n in range(200)]

    header = commit.header(
        account, kind="GAP_UPDATE", record_ids=ids, sequence=70,
        nulled=frozenset({"BillingCity"}), changed=frozenset({"BillingCity", "Name"}),
    )  # fmt: skip
    told = account.schema.decode(header + account.body({}))["ChangeEventHeader"]

    assert (told.pop("entityName"), told.pop("recordIds")) == ("Account", ids)
    assert (told.pop("changeType"), told.pop("sequenceNumber")) == ("GAP_UPDATE", 70)
    assert (told.pop("changeOrigin"), told.pop("transactionKey")) == ("a/b;c", "schlüssel")
    assert (told.pop("commitTimestamp"), told.pop("commitNumber")) == (2**41, 10**12)
    assert (told.pop("commitUser"), told.pop("diffFields")) == ("005", [])
    assert told == {
        "nulledFields": bitmaps(account.slots, frozenset({"BillingCity"})),
        "changedFields": bitmaps(account.slots, frozenset({"BillingCity", "Name"})),
    }
