"""What a change event says about a record is what any Avro reader finds in it (fact sheet H.3)."""

from typing import Any

import pytest
from l2c_sandbox.events.avro import change_shape
from l2c_sandbox.schema.metadata import build_schema

HEADER = {
    "entityName": "Account",
    "recordIds": ["001Sb0000000001IAA"],
    "changeType": "CREATE",
    "changeOrigin": "",
    "transactionKey": "k",
    "sequenceNumber": 1,
    "commitTimestamp": 1,
    "commitNumber": 1,
    "commitUser": "005Sb0000000001IAA",
    "nulledFields": [],
    "diffFields": [],
    "changedFields": [],
}
LONG = "ü" * 40_000


@pytest.fixture(scope="module")
def account() -> Any:
    return change_shape(build_schema(None, prefixes={}).get("Account"))


def _read(account: Any, **row: Any) -> dict[str, Any]:
    found: dict[str, Any] = account.schema.decode(account.payload(HEADER, account.body(row)))
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
    assert found.pop("ChangeEventHeader")["recordIds"] == HEADER["recordIds"]
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
