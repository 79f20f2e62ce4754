"""Through which door the present call came in, as change events tell it (fact sheet H.3)."""

import re
from contextvars import ContextVar

_VERSION = re.compile(r"/(?:v|u/|c/)(\d{2,3}\.\d)(?:/|$)", re.IGNORECASE)
_CLIENT = re.compile(r"(?:^|[;,])\s*client\s*=\s*([^;,]{1,100})", re.IGNORECASE)
# Work that no call began, such as a worker's, says so itself.
origin: ContextVar[str] = ContextVar("origin", default="")


def origin_of(path: str, call_options: str) -> str:
    """Return `com/salesforce/api/{door}/{version};client={client}` of a call over HTTP."""
    found = _VERSION.search(path)
    lower = path.lower()
    door = "soap" if lower.startswith("/services/soap") else "rest"
    if "/jobs/" in lower:
        door = "bulkapi"
    version = found.group(1) if found is not None else ""
    client = _CLIENT.search(call_options)
    return _named(door, version, client.group(1) if client is not None else "")


def soap_origin(version: str, client: str | None) -> str:
    """Return the same of a SOAP call, whose client is named inside the envelope."""
    return _named("soap", version, client or "")


def _named(door: str, version: str, client: str) -> str:
    named = f";client={client.strip()}" if client.strip() else ""
    return f"com/salesforce/api/{door}/{version}{named}"
