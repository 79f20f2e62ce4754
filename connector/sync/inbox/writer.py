"""Stores envelopes for the webhook: on disk before a sender hears of it (design D4)."""

from collections import deque
from threading import Semaphore
from typing import Any

import psycopg
from psycopg import pq

from connector.errors import TransientFailure

_INSERT = b"""
    INSERT INTO inbox (source, received_at, organization_id, topic, content)
    VALUES ('outbound_message', now(), $1, $2, $3)
"""
_STATEMENT = b"l2c_store_envelope"
_FORMATS = (pq.Format.TEXT, pq.Format.TEXT, pq.Format.BINARY)


class InboxBusy(TransientFailure):
    """Every connection of the inbox is taken."""

    code = "inbox.busy"


class InboxWriter:
    """Stores envelopes over connections of its own, opened when they are needed.

    One prepared statement that commits itself: all a sender waits for (measured 5). It is given to
    libpq directly, and the connections are kept here: psycopg's cursor and pool take longer over a
    message than PostgreSQL in memory. Threads share one writer.
    """

    def __init__(self, conninfo: str, *, size_max: int = 8, wait_s_max: int = 5) -> None:
        self._wait_s_max = wait_s_max
        self._free = Semaphore(size_max)
        # The one used last is used next: the server has it at hand.
        self._lines = deque(_Line(conninfo, wait_s_max) for _ in range(size_max))

    def store_envelope(self, *, organization_id: str, action_id: str, content: bytes) -> None:
        """Store one envelope; when this returns, it is durable.

        Raises:
            InboxBusy: No connection came free in time.
            psycopg.Error: It is not stored, or nobody knows.
        """
        if not self._free.acquire(timeout=self._wait_s_max):
            raise InboxBusy("Every connection of the inbox is taken.")
        try:
            line = self._lines.pop()
            try:
                line.insert(organization_id.encode(), action_id.encode(), content)
            finally:
                self._lines.append(line)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the connections; to be called when nobody stores any more."""
        for line in self._lines:
            line.close()


class _Line:
    """A connection that is opened when it is first needed, and again after it broke."""

    def __init__(self, conninfo: str, wait_s_max: int) -> None:
        self._conninfo = conninfo
        self._wait_s_max = wait_s_max
        self._connection: psycopg.Connection[Any] | None = None

    def insert(self, *values: bytes) -> None:
        connection = self._connection or self._connect()
        try:
            _done(connection.pgconn.exec_prepared(_STATEMENT, values, _FORMATS))
        finally:
            if connection.broken:
                self.close()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self._conninfo,
            autocommit=True,
            application_name="l2c-inbox",
            connect_timeout=self._wait_s_max,
        )
        try:
            _done(connection.pgconn.prepare(_STATEMENT, _INSERT))
        except psycopg.Error:
            connection.close()
            raise
        self._connection = connection
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _done(result: pq.abc.PGresult) -> None:
    if result.status != pq.ExecStatus.COMMAND_OK:
        # The detail would show values.
        reason = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"The server is away."
        raise psycopg.OperationalError(reason.decode(errors="replace"))
