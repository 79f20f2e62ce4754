"""What the partner API is asked and answers, in our words."""

from dataclasses import dataclass
from datetime import datetime

from connector.adapters.salesforce.answers import RowError


@dataclass(frozen=True, slots=True)
class Updated:
    """Records changed in a window, and up to when the answer is complete."""

    sfids: tuple[str, ...]
    latest_date_covered: datetime


@dataclass(frozen=True, slots=True)
class Deleted:
    """Records deleted in a window, by id with the instant, and how far the log reaches."""

    records: tuple[tuple[str, datetime], ...]
    earliest_date_available: datetime
    latest_date_covered: datetime


@dataclass(frozen=True, slots=True)
class LeadConversion:
    """How one lead is to be converted; None leaves the choice to the org (fact sheet F.5)."""

    lead_id: str
    converted_status: str
    account_id: str | None = None
    contact_id: str | None = None
    opportunity_name: str | None = None
    owner_id: str | None = None
    without_opportunity: bool = False


@dataclass(frozen=True, slots=True)
class Converted:
    """What a lead has become, or why it could not be converted."""

    lead_id: str
    account_id: str | None
    contact_id: str | None
    opportunity_id: str | None
    errors: tuple[RowError, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """Which records were merged into the master, or why none was."""

    master_id: str
    loser_ids: tuple[str, ...]
    errors: tuple[RowError, ...] = ()
