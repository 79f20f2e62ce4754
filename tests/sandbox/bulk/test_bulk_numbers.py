"""The quick way of reading numbers agrees with the exact one."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from l2c_sandbox.records.convert import Refused, converter
from l2c_sandbox.schema.model import Field, FieldType, Schema
from l2c_sandbox.storage.values import to_scaled

MONEY = Field(name="M", label="M", type=FieldType.CURRENCY, precision=18, scale=2)
READ = converter(MONEY, Schema(objects=()))


@given(
    number=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)
)
@example(Decimal("-0.25"))
@example(Decimal("0.005"))
@example(Decimal("999999999999999.99"))
def test_every_notation_of_a_number_is_stored_as_its_exact_value(number: Decimal) -> None:
    exact = to_scaled(number, scale=2)
    for text in (str(number), f"{number:f}", f"{number:E}"):
        if abs(exact) >= 10**18:
            with pytest.raises(Refused) as refused:
                READ(text)
            assert refused.value.error.code == "NUMBER_OUTSIDE_VALID_RANGE"
            continue
        assert READ(text) == exact
