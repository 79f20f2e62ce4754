"""The shadow mode: a push is computed and its counts are kept, but nothing is sent (issue 4).

Marks are still collapsed into the queue, or the log would grow without end; the queue stays.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.store.engine import Store
from connector.sync.mapping.definition import Mappings
from connector.sync.push.collapse import collapse
from connector.sync.push.preview import preview_push

log = structlog.get_logger(__name__)

ROWS_PER_LOOK = 20_000
SHOWN = 20

_QUEUE = text("""
    SELECT count(*) || '/' || coalesce(sum(version), 0) || '/' || coalesce(max(entity), 0)
      FROM push_queue
""")
_LAST = text("SELECT queue, content, made_at FROM shadow_push")
_KEEP = text("""
    INSERT INTO shadow_push (id, queue, content, made_at) VALUES (1, :queue, :content, :now)
    ON CONFLICT (id) DO UPDATE
       SET queue = excluded.queue, content = excluded.content, made_at = excluded.made_at
""").bindparams(bindparam("content", type_=JSONB))


@dataclass(frozen=True, slots=True)
class ShadowState:
    """What a push would have sent when it was last computed."""

    made_at: datetime
    to_write: int
    api_calls: int
    is_cut: bool
    entities: list[dict[str, Any]]
    records: list[dict[str, Any]]


def shadow_push(*, store: Store, mappings: Mappings, now: datetime, bulk_from: int) -> bool:
    """Compute what a push would send and keep it; return False when the queue is as it was."""
    with store.transaction() as tx:
        collapse(tx=tx)
    with store.read() as tx:
        queue = str(tx.execute(_QUEUE).scalar_one())
        last = tx.execute(_LAST).one_or_none()
    if last is not None and last.queue == queue:
        return False
    preview = preview_push(
        store=store, mappings=mappings, now=now, bulk_from=bulk_from, shown=SHOWN,
        rows=ROWS_PER_LOOK,
    )  # fmt: skip
    content = asdict(preview) | {"to_write": preview.to_write}
    with store.transaction() as tx:
        tx.execute(_KEEP, {"queue": queue, "content": content, "now": now})
    log.info("push.shadowed", to_write=preview.to_write, api_calls=preview.api_calls)
    return True


def shadow_state(tx: Connection) -> ShadowState | None:
    """Return what was computed last, None before the first time."""
    row = tx.execute(_LAST).one_or_none()
    return ShadowState(made_at=row.made_at, **row.content) if row is not None else None
