"""The port of rating engines: DuckDB in process today, Spark on a cluster later."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from connector.errors import ConnectorError
from connector.rating.snapshot import Snapshot

FAULTS = {
    "unknown_alias": "No service had this number or subscription on that day.",
    "no_rate_plan": "The product of the service has no rate plan.",
    "wrong_currency": "The rate plan and the service have different currencies.",
    "no_rate": "The rate plan has no price for this destination or meter on that day.",
    "amount_out_of_range": "The quantity is too large for an exact amount.",
}


class InexactResult(ConnectorError):
    """An engine answered with numbers that are not exact integers; nothing was published."""

    code = "rating.inexact_result"


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """Sums of rated usage that share service, class, unit, scale and block; integers, exact."""

    service_id: int
    usage_class: str
    unit: str
    is_meter: bool
    scale: int
    block: int
    records: int
    quantity: int
    charged: int
    included: int
    sell: int
    cost: int


@dataclass(frozen=True, slots=True)
class Unrated:
    """A usage record that could not be rated, and why."""

    usage_file_id: int
    line_no: int
    fault: str
    raw: str


@dataclass(frozen=True, slots=True)
class EngineResult:
    """What an engine made of a period; the rated file holds the rated records only."""

    rated: int
    unrated: int
    groups: tuple[UsageGroup, ...]


class RatingEngine(Protocol):
    """Runs the rating plan over usage files."""

    def rate(
        self, *, snapshot: Snapshot, usage: Sequence[Path], rated_file: Path, unrated_file: Path
    ) -> EngineResult:
        """Write rated records and unrated ones to Parquet and return the sums.

        Raises:
            InexactResult: A column of the result is not an integer where it must be.
        """

    def unrated(self, path: Path) -> Iterator[Unrated]:
        """Return the records of an unrated file."""
