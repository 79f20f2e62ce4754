"""The inbox: what came in is on disk before anybody hears that it arrived (design D4)."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.store.engine import to_json
from connector.sync.inbox.arrivals import OrgRow, row_of

TRIES_MAX = 8  # of a failed row, the last one after about two days

_STORE_PAGE = text(
    """
    INSERT INTO inbox (source, received_at, organization_id, topic, content, next_attempt_at)
    VALUES (:source, now(), :organization_id, :topic, :content,
            now() + make_interval(secs => CAST(:pause_s AS int)))
    """
)
_PENDING = text(
    """
    SELECT id, source, topic, content, attempts FROM inbox
     WHERE state = 'pending' AND (next_attempt_at IS NULL OR next_attempt_at <= now())
        OR state = 'failed' AND next_attempt_at <= now()
     ORDER BY id LIMIT :limit
    """
)
_IN_WAITING_PAGES = text(
    """
    SELECT DISTINCT record ->> 'Id'
      FROM inbox, json_array_elements(CAST(convert_from(content, 'UTF8') AS json)) AS record
     WHERE state = 'pending' AND source IN ('sweep', 'bulk') AND topic = :object
       AND (CAST(:sfids AS text[]) IS NULL OR record ->> 'Id' = ANY(:sfids))
    """
)
_SEEN = text("SELECT notification_id FROM seen_notification WHERE notification_id = ANY(:ids)")
_REMEMBER_SEEN = text(
    """
    INSERT INTO seen_notification (notification_id, seen_at)
    SELECT id, now() FROM unnest(CAST(:ids AS text[])) AS n(id) ORDER BY id
        ON CONFLICT DO NOTHING
    """
)
_FINISH = text(
    """
    UPDATE inbox i SET state = n.state, error = n.error,
           next_attempt_at = CASE WHEN n.state = 'failed' AND i.attempts < :tries_max
                                  THEN now() + interval '10 min' * power(2, i.attempts) END,
           applied_at = CASE WHEN n.state = 'applied' THEN now() END, attempts = attempts + 1
      FROM jsonb_to_recordset(:rows) AS n(id bigint, state text, error text) WHERE i.id = n.id
    """
).bindparams(bindparam("rows", type_=JSONB))
_POSTPONE = text(
    """
    UPDATE inbox SET attempts = attempts + 1, error = :error,
           next_attempt_at =
               now() + least(interval '15 min', interval '1 s' * power(2, least(attempts, 12)))
     WHERE id = ANY(:ids)
    """
)
_RETRY = text("UPDATE inbox SET state = 'pending', next_attempt_at = NULL WHERE state = 'failed'")
_FORGET = text(
    """
    WITH gone AS (
        DELETE FROM inbox WHERE state = 'applied' AND applied_at < now() - interval '7 days'
    )
    DELETE FROM seen_notification WHERE seen_at < now() - interval '7 days'
    """
)


def store_page(
    tx: Connection,
    *,
    object_name: str,
    organization_id: str,
    records: Sequence[Mapping[str, Any]],
    source: Literal["sweep", "bulk"] = "sweep",
    pause_s: int | None = None,
) -> None:
    """Store records a sweep or a first load found; the caller commits them with its place.

    With a pause they are not applied before it is over.
    """
    tx.execute(
        _STORE_PAGE,
        {
            "source": source,
            "organization_id": organization_id,
            "topic": object_name,
            "content": to_json(records),
            "pause_s": pause_s,
        },
    )


def read_page(object_name: str, content: bytes, *, source: str = "sweep") -> list[OrgRow]:
    """Return the records of a stored page."""
    records = json.loads(content, parse_float=Decimal)
    return [row_of(object_name, record, source=source) for record in records]


def in_waiting_pages(
    tx: Connection, object_name: str, sfids: Sequence[str] | None = None
) -> set[str]:
    """Return which records of an object, or which of some, stand in pages not yet applied."""
    if sfids is not None and not sfids:
        return set()
    asked = {"object": object_name, "sfids": None if sfids is None else list(sfids)}
    return set(tx.scalars(_IN_WAITING_PAGES, asked))


def pending(tx: Connection, *, limit: int) -> Sequence[Row[Any]]:
    """Return what waits and is due, oldest first."""
    return tx.execute(_PENDING, {"limit": limit}).all()


def seen(tx: Connection, notification_ids: Sequence[str]) -> set[str]:
    """Return which notifications were applied before (fact sheet G.4: they come twice)."""
    return set(tx.scalars(_SEEN, {"ids": list(notification_ids)}))


def remember_seen(tx: Connection, notification_ids: Sequence[str]) -> None:
    """Remember notifications as applied."""
    tx.execute(_REMEMBER_SEEN, {"ids": list(notification_ids)})


def finish(tx: Connection, outcomes: Mapping[int, str | None]) -> None:
    """Mark rows as applied, or as failed with the reason: those are tried again, more rarely."""
    rows = [
        {"id": number, "state": "failed" if error else "applied", "error": error}
        for number, error in outcomes.items()
    ]
    tx.execute(_FINISH, {"rows": rows, "tries_max": TRIES_MAX})


def postpone(tx: Connection, ids: Sequence[int], *, reason: str) -> None:
    """Leave rows for later, with growing pauses up to a quarter of an hour."""
    tx.execute(_POSTPONE, {"ids": list(ids), "error": reason})


def retry_failed(tx: Connection) -> int:
    """Let failed rows be applied again, as after a repair; return how many."""
    count: int = tx.execute(_RETRY).rowcount
    return count


def forget_old(tx: Connection) -> None:
    """Delete what was applied a week ago; Salesforce repeats for a day at most."""
    tx.execute(_FORGET)
