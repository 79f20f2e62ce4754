"""The small words of the scenario grammar: amounts, days, names."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from connector.errors import ConnectorError
from connector.kernel.money import minor_digits

DIGITS_MAX = 18
PLACES_MAX = 9
NAME_LENGTH_MAX = 80

Moment = date | datetime


class Part(BaseModel):
    """A part of a scenario; a key that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _exact(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError("write a number, in quotes or not")
    if isinstance(value, int | Decimal):
        return str(value)
    return value


def _moment(value: Any) -> Moment:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(f"'{value}' is no day such as 2026-06-01") from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant needs its offset, such as 2026-06-30T22:30Z")
        return value
    if isinstance(value, date):
        return value
    raise ValueError(f"'{value}' is no day such as 2026-06-01")


def _currency(code: str) -> str:
    try:
        minor_digits(code)
    except ConnectorError as error:
        raise ValueError(str(error)) from None
    return code


_NUMBER_SCHEMA = {"type": ["string", "number"]}

Exact = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(max_digits=DIGITS_MAX, decimal_places=PLACES_MAX, allow_inf_nan=False),
    WithJsonSchema(_NUMBER_SCHEMA),
]
Amount = Annotated[Exact, Field(ge=0)]
Percent = Annotated[Exact, Field(ge=0, le=100)]
Day = Annotated[
    Moment,
    BeforeValidator(_moment),
    WithJsonSchema(
        {
            "type": "string",
            "description": "A local day, 2026-06-01, or an instant with its offset.",
        }
    ),
]
Currency = Annotated[str, AfterValidator(_currency)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH_MAX)]
