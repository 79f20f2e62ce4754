"""The queue of notifications and the workers that send them (fact sheet G.4).

Each message definition has a worker of its own, so that a slow receiver holds up nobody else.
At-least-once: a notification keeps its id until an answer acknowledges it or it is 24 hours old.
"""

import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .. import clock
from ..faults import Faults
from ..schema.automation import Automation, OutboundMessage
from ..schema.model import Schema
from ..storage.database import Database
from ..storage.tables import quoted, value_sql
from .envelope import acknowledged, build_envelope
from .transport import TIMEOUT_S, NotDelivered, post

BATCH = 100
MS = 1_000
FIRST_RETRY_MS = 1_000
LONGEST_RETRY_MS = 2 * 3_600 * MS
LIFE_S = 24 * 3_600
KEPT_DELIVERED = 10_000
SHOWN = 1_000
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(slots=True)
class Routing:
    """Where messages go and how they are retried; set by the admin call."""

    endpoint_base: str | None = None
    endpoints: dict[str, str] = field(default_factory=dict)
    first_retry_ms: int = FIRST_RETRY_MS
    longest_retry_ms: int = LONGEST_RETRY_MS
    timeout_s: float = TIMEOUT_S

    def url_of(self, message: OutboundMessage) -> str | None:
        """Return the address of a message; None while nobody named a reachable one.

        The address in the metadata is used by itself only where it is this machine's own.
        """
        if message.full_name in self.endpoints:
            return self.endpoints[message.full_name]
        parts = urlsplit(message.endpoint_url)
        if self.endpoint_base is not None:
            query = f"?{parts.query}" if parts.query else ""
            return self.endpoint_base.rstrip("/") + parts.path + query
        return message.endpoint_url if parts.hostname in LOOPBACK else None


class OutboundQueue:
    """Durable notifications of one org and their delivery."""

    def __init__(
        self,
        *,
        schema: Schema,
        automation: Automation,
        database: Database,
        organization_id: str,
        faults: Faults,
    ) -> None:
        self._faults = faults
        self._schema = schema
        self._messages = {m.full_name: m for m in automation.messages}
        self._database = database
        self._organization_id = organization_id
        self._wakeup = threading.Condition()
        self._version = 0
        self._closing = False
        self._threads: list[threading.Thread] = []
        self.routing = Routing()
        self.base_url = "http://127.0.0.1"
        self.delivered = 0
        self.failed_attempts = 0

    def start(self) -> None:
        """Start one worker per message definition."""
        for message in self._messages.values():
            thread = threading.Thread(
                target=self._work,
                args=(message,),
                name=f"outbound {message.full_name}",
                daemon=True,
            )
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Tell the workers that there is something new to look at."""
        with self._wakeup:
            self._version += 1
            self._wakeup.notify_all()

    def close(self) -> None:
        """Stop the workers; what is not delivered stays queued."""
        with self._wakeup:
            self._closing = True
            self._wakeup.notify_all()
        for thread in self._threads:
            thread.join(timeout=2)

    # --- what the admin calls show and do ---

    def overview(self) -> dict[str, Any]:
        """Return counts and the notifications still queued, oldest first."""
        sql = (
            "SELECT id, message, record_id, attempts, last_error, next_attempt_ms, created_s "
            "FROM sandbox_notification WHERE state = 'pending' ORDER BY id LIMIT ?"
        )
        with self._database.read() as connection:
            (pending,) = connection.execute(
                "SELECT COUNT(*) FROM sandbox_notification WHERE state = 'pending'"
            ).fetchone()
            rows = connection.execute(sql, (SHOWN,)).fetchall()
        names = ("id", "message", "record_id", "attempts", "last_error")
        now_ms = _now_ms()
        return {
            "pending": pending,
            "delivered": self.delivered,
            "failed_attempts": self.failed_attempts,
            "endpoint_base": self.routing.endpoint_base,
            "messages": [
                dict(zip(names, row[:5], strict=True))
                | {"next_attempt_in_s": max(0, row[5] - now_ms) / MS}
                for row in rows
            ],
        }

    def route(self, routing: Routing) -> None:
        """Set the addresses; what waits is tried at once."""
        self.routing = routing
        self.retry_now()

    def retry_now(self) -> int:
        """Make every queued notification due and return how many there are."""
        with self._database.write() as connection:
            cursor = connection.execute(
                "UPDATE sandbox_notification SET next_attempt_ms = 0 WHERE state = 'pending'"
            )
        self.wake()
        return int(cursor.rowcount)

    def resend(self, *, notification_id: str | None, last: int, times: int) -> int:
        """Deliver notifications again, as a real org may even after an acknowledgement."""
        where = "id = ?"
        params: tuple[str | int, ...] = (notification_id or "",)
        if notification_id is None:
            where = "id IN (SELECT id FROM sandbox_notification ORDER BY id DESC LIMIT ?)"
            params = (last,)
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT id, message, record_id FROM sandbox_notification WHERE {where} "
                "ORDER BY id",
                params,
            ).fetchall()
        for _ in range(times):
            for message in {row[1] for row in rows}:
                chosen = [(i, record) for i, name, record in rows if name == message]
                for start in range(0, len(chosen), BATCH):
                    self._send(self._messages[message], chosen[start : start + BATCH])
        return len(rows) * times

    # --- delivery ---

    def _work(self, message: OutboundMessage) -> None:
        while True:
            with self._wakeup:
                if self._closing:
                    return
                seen = self._version
            pause_s = self._deliver_due(message)
            with self._wakeup:
                if not self._closing and self._version == seen:
                    self._wakeup.wait(timeout=pause_s)

    def _deliver_due(self, message: OutboundMessage) -> float | None:
        """Send one batch; return how long to wait for the next (None: until woken)."""
        self._drop_old(message)
        if self.routing.url_of(message) is None:
            return None
        sql = (
            "SELECT id, record_id, next_attempt_ms FROM sandbox_notification "
            "WHERE state = 'pending' AND message = ? ORDER BY next_attempt_ms, id LIMIT ?"
        )
        with self._database.read() as connection:
            rows = connection.execute(sql, (message.full_name, BATCH)).fetchall()
        now_ms = _now_ms()
        due = [(i, record) for i, record, next_ms in rows if next_ms <= now_ms]
        if due:
            ids = [i for i, _ in due]
            if len(due) > 1 and self._is_hit("event_reorder", message):
                due = due[::-1]
            error = self._send(message, due)
            if error is None and self._is_hit("event_duplicate", message):
                self._send(message, due)  # once more, although it was acknowledged
            self._record(ids, error)
            return 0.0
        if rows:
            wait_ms = int(rows[0][2]) - now_ms
            return max(0.01, wait_ms / MS)
        return None

    def _drop_old(self, message: OutboundMessage) -> None:
        """Give up what nobody took for 24 hours, whether or not it could be tried."""
        before_s = clock.epoch_s() - LIFE_S
        where = "state = 'pending' AND message = ? AND created_s < ?"
        wanted = (message.full_name, before_s)
        sql = f"SELECT 1 FROM sandbox_notification WHERE {where} LIMIT 1"
        with self._database.read() as connection:
            if connection.execute(sql, wanted).fetchone() is None:
                return
        sql = f"UPDATE sandbox_notification SET state = 'dropped' WHERE {where}"
        with self._database.write() as connection:
            connection.execute(sql, wanted)

    def _is_hit(self, kind: str, message: OutboundMessage) -> bool:
        """Return whether a fault of events hits; its path is the message's name."""
        name = message.full_name
        about = frozenset({message.object.lower()})
        return self._faults.for_request(name, (kind,), objects=lambda: about) is not None

    def _send(self, message: OutboundMessage, due: list[tuple[str, str]]) -> str | None:
        """Send one message; return why it was not acknowledged, or None."""
        url = self.routing.url_of(message)
        if url is None:
            return "no endpoint"
        body = self._envelope(message, due)
        try:
            status, answer = post(url, body, timeout_s=self.routing.timeout_s)
        except NotDelivered as error:
            return str(error)
        if acknowledged(status, answer):
            return None
        return f"HTTP {status} without acknowledgement"

    def _envelope(self, message: OutboundMessage, due: list[tuple[str, str]]) -> bytes:
        """Read the records as they are now and write the envelope."""
        item = self._schema.get(message.object)
        names = ["Id", *message.fields]
        stored = [n for n in names if item.has(n)]
        marks = ", ".join("?" * len(due))
        columns = ", ".join(value_sql(item, item.by_name[n.lower()]) for n in stored)
        sql = (
            f'SELECT {columns} FROM {quoted(item.name)} WHERE "Id" IN ({marks}) AND "IsDeleted" = 0'
        )
        with self._database.read() as connection:
            rows = connection.execute(sql, [record for _, record in due]).fetchall()
        values = {row[0]: dict(zip(stored, row, strict=True)) for row in rows}
        return build_envelope(
            message,
            item,
            [(i, record, values.get(record)) for i, record in due],
            organization_id=self._organization_id,
            base_url=self.base_url,
            session_id=None,
        )

    def _record(self, ids: list[str], error: str | None) -> None:
        marks = ", ".join("?" * len(ids))
        with self._database.write() as connection:
            if error is None:
                self.delivered += len(ids)
                connection.execute(
                    "UPDATE sandbox_notification SET state = 'delivered', "
                    f"attempts = attempts + 1 WHERE id IN ({marks})",
                    ids,
                )
                self._trim(connection)
                return
            self.failed_attempts += 1
            connection.execute(
                "UPDATE sandbox_notification SET attempts = attempts + 1, last_error = ?, "
                "next_attempt_ms = ? + MIN(? * (1 << MIN(attempts, 24)), ?) "
                f"WHERE id IN ({marks})",
                [
                    error[:500],
                    _now_ms(),
                    self.routing.first_retry_ms,
                    self.routing.longest_retry_ms,
                    *ids,
                ],
            )

    def _trim(self, connection: Any) -> None:
        connection.execute(
            "DELETE FROM sandbox_notification WHERE state <> 'pending' AND id < "
            "(SELECT id FROM sandbox_notification ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (KEPT_DELIVERED,),
        )


def _now_ms() -> int:
    return clock.epoch_ms()
