"""The policy file of numbers: which range gives numbers to which class of service."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connector.errors import Misconfigured
from connector.inventory.operator_file import read_operator_file

RANGE_NUMBERS_MAX = 1_000_000  # free numbers are looked for by counting through the range


class BadNumberRanges(Misconfigured):
    """The number policy cannot be used."""

    code = "inventory.bad_number_ranges"
    remedy = "Correct the file; mappings/policies/number_ranges.yaml shows the form."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumberRange(_Strict):
    """Consecutive telephone numbers, both ends included."""

    key: str
    products: tuple[str, ...] = ()
    service_classes: tuple[str, ...] = ()
    first: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{5,14}$")]
    last: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{5,14}$")]
    per_unit: Annotated[int, Field(ge=1, le=1000)] = 1
    quarantine_days: Annotated[int, Field(ge=0, le=3650)] = 90

    @model_validator(mode="after")
    def _in_order(self) -> "NumberRange":
        if len(self.first) != len(self.last) or self.first > self.last:
            raise ValueError("`first` and `last` need the same length, and `first` comes first")
        if int(self.last) - int(self.first) >= RANGE_NUMBERS_MAX:
            raise ValueError(f"a range holds at most {RANGE_NUMBERS_MAX:,} numbers; part it")
        if not self.products and not self.service_classes:
            raise ValueError("say which `products` or `service_classes` the range serves")
        return self


class Subscriptions(_Strict):
    """How a cloud subscription is named; `{number}` is the service number in lower case."""

    service_classes: tuple[str, ...]
    pattern: Annotated[str, Field(pattern=r"\{number\}")]


class _File(_Strict):
    ranges: tuple[NumberRange, ...] = ()
    subscriptions: Subscriptions | None = None


@dataclass(frozen=True, slots=True)
class NumberPolicy:
    """Where the aliases of new services come from."""

    ranges: tuple[NumberRange, ...]
    subscriptions: Subscriptions | None

    def ranges_for(self, *, product_key: str, service_class: str | None) -> tuple[NumberRange, ...]:
        """Return the ranges that serve a product, in the order to try.

        Ranges that name the product serve it alone; otherwise those of its class do.
        """
        own = tuple(one for one in self.ranges if product_key in one.products)
        return own or tuple(one for one in self.ranges if service_class in one.service_classes)

    def names_subscription(self, service_class: str | None) -> bool:
        """Tell whether services of this class get a subscription id."""
        return (
            self.subscriptions is not None and service_class in self.subscriptions.service_classes
        )


def load_number_policy(path: Path) -> NumberPolicy:
    """Read the policy file.

    Raises:
        BadNumberRanges: It says something it may not.
        UnreadableFile: It is missing or not plain YAML.
    """
    read = read_operator_file(path, _File, BadNumberRanges)
    return NumberPolicy(ranges=read.ranges, subscriptions=read.subscriptions)
