"""The delivery policy: an operator's choices about orders, read from one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

from connector.errors import Misconfigured
from connector.inventory.operator_file import read_operator_file
from connector.kernel.period import local_date

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class BadDeliveryPolicy(Misconfigured):
    """The delivery policy cannot be used."""

    code = "ordering.bad_policy"
    remedy = "Correct the file; mappings/policies/delivery.yaml shows the form."


class DowngradeDate(StrEnum):
    """From when a downgrade counts."""

    TASK_DATE = "task_date"
    NEXT_BILL_DAY = "next_bill_day"


class RenewalPrice(StrEnum):
    """What a service costs in the term that follows."""

    STAYS = "stays"
    CATALOGUE = "catalogue"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How orders are delivered. The retry ladder is in minutes."""

    timezone: str = "Europe/Berlin"
    working_days: frozenset[int] = frozenset({0, 1, 2, 3, 4})  # Monday is 0
    end_of_working_day: time = time(17)
    auto_start: bool = True
    won_since: date | None = None
    effective_days_back_max: int = 400
    effective_days_ahead_max: int = 92
    downgrade_effective: DowngradeDate = DowngradeDate.NEXT_BILL_DAY
    renewal_price: RenewalPrice = RenewalPrice.STAYS
    retry_minutes: tuple[int, ...] = (1, 5, 15, 60, 360)

    def today(self, now: datetime) -> date:
        """Return the business date of an instant."""
        return local_date(now, self.timezone)

    def end_of(self, day: date) -> datetime:
        """Return the instant at which the working day ends."""
        return datetime.combine(day, self.end_of_working_day, tzinfo=ZoneInfo(self.timezone))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str = "Europe/Berlin"
    working_days: Annotated[tuple[Literal[_DAYS], ...], Field(min_length=1)] = _DAYS[:5]  # type: ignore[valid-type]
    end_of_working_day: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "17:00"
    auto_start: bool = True
    won_since: date | None = None
    effective_days_back_max: Annotated[int, Field(ge=0, le=3650)] = 400
    effective_days_ahead_max: Annotated[int, Field(ge=0, le=3650)] = 92
    downgrade_effective: DowngradeDate = DowngradeDate.NEXT_BILL_DAY
    renewal_price: RenewalPrice = RenewalPrice.STAYS
    retry_minutes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=20)] = (
        1,
        5,
        15,
        60,
        360,
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"'{name}' is no time zone")
        return name


def load_delivery_policy(path: Path) -> DeliveryPolicy:
    """Read the policy file.

    Raises:
        BadDeliveryPolicy: It says something it may not.
        UnreadableFile: It is missing or not plain YAML.
    """
    read = read_operator_file(path, _File, BadDeliveryPolicy)
    days: Sequence[str] = read.working_days
    return DeliveryPolicy(
        timezone=read.timezone,
        working_days=frozenset(_DAYS.index(day) for day in days),
        end_of_working_day=time.fromisoformat(read.end_of_working_day),
        auto_start=read.auto_start,
        won_since=read.won_since,
        effective_days_back_max=read.effective_days_back_max,
        effective_days_ahead_max=read.effective_days_ahead_max,
        downgrade_effective=read.downgrade_effective,
        renewal_price=read.renewal_price,
        retry_minutes=read.retry_minutes,
    )
