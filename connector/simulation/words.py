"""The small words of the scenario grammar: amounts, days, names."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from connector.catalog.pricing.document import Pricing, read_pricing
from connector.catalog.pricing.refusals import UnusablePrice
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


def _pricing(value: Any) -> Any:
    if isinstance(value, Pricing):
        return value
    if not isinstance(value, dict):
        raise ValueError("a price model is a mapping of its fields")
    try:
        return read_pricing(_texts(value))
    except UnusablePrice as error:
        raise ValueError(str(error)) from None


def _texts(value: Any) -> Any:
    """Return a document with its numbers as texts: the file keeps them exact, so they stay so."""
    if isinstance(value, dict):
        return {str(name): _texts(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return format(value, "f") if is_number else value


PriceModel = Annotated[
    Pricing,
    PlainValidator(_pricing),
    PlainSerializer(Pricing.as_json),
    WithJsonSchema(
        {
            "type": "object",
            "required": ["model"],
            "description": "A price as l2c price takes it, without currency and quantity.",
        }
    ),
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
