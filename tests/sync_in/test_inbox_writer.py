"""The connections that store envelopes."""

from collections.abc import Iterator

import psycopg
import pytest

from connector.sync.inbox.writer import InboxBusy, InboxWriter

ENVELOPE = {"organization_id": "00D000000000001EAA", "action_id": "04k000000000001AAA"}


@pytest.fixture
def writer(way_in) -> Iterator[InboxWriter]:
    writer = InboxWriter(way_in.store.conninfo, size_max=1, wait_s_max=1)
    yield writer
    writer.close()


def test_one_that_finds_every_connection_taken_is_told_so(way_in, writer) -> None:
    taken = writer._lines[0]
    taken.insert = lambda *_: writer.store_envelope(**ENVELOPE, content=b"second")

    with pytest.raises(InboxBusy):
        writer.store_envelope(**ENVELOPE, content=b"first")

    del taken.insert
    writer.store_envelope(**ENVELOPE, content=b"third")
    assert way_in.rows("SELECT content FROM inbox") == [{"content": b"third"}]


def test_a_refusal_shows_no_value_and_costs_no_connection(way_in, writer) -> None:
    writer.store_envelope(**ENVELOPE, content=b"before")
    way_in.run_sql("ALTER TABLE inbox ADD CHECK (content <> 'secret body')")

    with pytest.raises(psycopg.Error) as refused:
        writer.store_envelope(**ENVELOPE, content=b"secret body")

    assert "secret" not in str(refused.value)
    assert b"secret body".hex() not in str(refused.value)
    kept = writer._lines[0]._connection
    writer.store_envelope(**ENVELOPE, content=b"after")
    assert writer._lines[0]._connection is kept


def test_a_server_that_is_away_is_told_and_asked_again(way_in) -> None:
    nowhere = InboxWriter("host=127.0.0.1 port=1 user=nobody dbname=none", wait_s_max=1)

    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            nowhere.store_envelope(**ENVELOPE, content=b"x")
    nowhere.close()
