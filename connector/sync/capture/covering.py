"""Up to when the org shows every change: a transaction that is still open holds it back.

`getUpdated` says so (fact sheet H.2). Its window is short, because its ids are not used; where the
org will not say, the overlap alone guards against late commits.
"""

from datetime import datetime, timedelta
from urllib.parse import urlencode

import structlog

from connector.adapters.salesforce.answers import Subrequest, SubResponse
from connector.adapters.salesforce.payload import instant_text, read_instant

log = structlog.get_logger(__name__)

WINDOW = timedelta(minutes=10)


def covering(object_name: str, now_org: datetime, *, reference: str) -> Subrequest:
    """Return the question up to when changes of an object are complete."""
    window = {"start": instant_text(now_org - WINDOW), "end": instant_text(now_org)}
    return Subrequest("GET", f"sobjects/{object_name}/updated?{urlencode(window)}", reference)


def covered_by(object_name: str, answer: SubResponse) -> datetime | None:
    """Return the instant an answer names, or None where the org refuses to say."""
    if answer.is_success:
        return read_instant(answer.body["latestDateCovered"])
    log.warning("sync.not_covered", object=object_name, status=answer.status)
    return None
