"""Through which door the present call came in, as change events tell it (fact sheet H.3)."""

import re
from contextvars import ContextVar

_VERSION = re.compile(r"/(?:v|u/|c/)(\d{2,3}\.\d)(?:/|$)", re.IGNORECASE)
_CLIENT = re.compile(r"(?:^|[;,])\s*client\s*=\s*([^;,]{1,100})", re.IGNORECASE)
# Work that no call began, such as a worker's, says so itself.
origin: ContextVar[str] = ContextVar("origin", default="")


def origin_of(path: str, call_options: str) -> str:
    """Return `com/salesforce/api/{door}/{version};client={client}`."""
    found = _VERSION.search(path)
    lower = path.lower()
    door = "soap" if lower.startswith("/services/soap") else "rest"
    if "/jobs/" in lower:
        door = "bulkapi"
    version = found.group(1) if found is not None else ""
    client = _CLIENT.search(call_options)
    named = f";client={client.group(1).strip()}" if client is not None else ""
    return f"com/salesforce/api/{door}/{version}{named}"
