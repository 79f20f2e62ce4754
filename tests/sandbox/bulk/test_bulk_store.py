"""What Bulk keeps is packed; what was kept before packing began is read as it is."""

import sqlite3

from l2c_sandbox.bulk import store

INSERT = "INSERT INTO sandbox_bulk_data (job, kind, place, count, content) VALUES (?, ?, ?, ?, ?)"


def _tables() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    store.create_tables(connection)
    return connection


def test_an_upload_is_kept_smaller_than_it_came() -> None:
    connection = _tables()
    content = b"Name,City\n" + b"Acme,Berlin\n" * 1_000
    assert store.put_upload(connection, "a", content)
    assert store.upload(connection, "a") == content
    (size,) = connection.execute("SELECT LENGTH(content) FROM sandbox_bulk_data").fetchone()
    assert size < len(content) / 10


def test_an_empty_upload_comes_back_empty() -> None:
    connection = _tables()
    assert store.put_upload(connection, "a", b"")
    assert store.upload(connection, "a") == b""


def test_data_of_earlier_days_is_read() -> None:
    connection = _tables()
    connection.execute(INSERT, ("a", store.UPLOAD, 0, 0, b"Name\nAcme\n"))
    connection.execute(INSERT, ("a", "failed", 1, 2, b'["one","two"]'))
    assert store.upload(connection, "a") == b"Name\nAcme\n"
    assert list(store.lines(connection, "a", "failed", start=1, most=5)) == ["two"]
