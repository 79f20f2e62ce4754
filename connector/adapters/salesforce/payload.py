"""JSON for an org: exact numbers, dates as Salesforce reads them."""

from datetime import UTC, date, datetime
from decimal import Decimal

import orjson


def encode(value: object) -> bytes:
    """Encode a body; a Decimal keeps its digits, an instant becomes UTC with milliseconds."""
    return orjson.dumps(value, default=_exact, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _exact(value: object) -> object:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"JSON has no {value}")
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def instant_text(instant: datetime) -> str:
    """Write an instant for a body or a SOQL filter."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_instant(text: str) -> datetime:
    """Read an instant of REST (`+0000`) or SOAP (`Z`)."""
    if text.endswith("+0000"):
        text = text[:-5] + "+00:00"
    return datetime.fromisoformat(text).astimezone(UTC)
