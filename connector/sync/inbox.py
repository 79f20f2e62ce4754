"""The inbox: what came in is on disk before anybody hears that it arrived (design D4)."""

from psycopg_pool import ConnectionPool

_INSERT = """
    INSERT INTO inbox (source, received_at, organization_id, topic, content)
    VALUES ('outbound_message', now(), %s, %s, %s)
"""


class InboxWriter:
    """Stores envelopes over connections of its own.

    One statement that commits itself, prepared on its first use: all a sender waits for
    (measured 5). Threads share one writer.
    """

    def __init__(self, conninfo: str, *, size_max: int = 8, wait_s_max: float = 5) -> None:
        self._pool = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=size_max,
            timeout=wait_s_max,
            kwargs={"autocommit": True, "prepare_threshold": 1, "application_name": "l2c-inbox"},
            open=False,
            name="inbox",
        )
        self._pool.open()

    def store_envelope(self, *, organization_id: str, action_id: str, content: bytes) -> None:
        """Store one envelope; when this returns, it is durable."""
        with self._pool.connection() as connection:
            connection.execute(_INSERT, (organization_id, action_id, content))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()
