"""What was backed up comes back to the last cent, into an empty store only."""

from pathlib import Path

import pytest
from sqlalchemy import text as sql

from connector.errors import Misconfigured
from connector.store.backup import StoreNotEmpty, backup, restore
from connector.store.embedded_runner import EmbeddedStoreFailed
from connector.store.engine import Store
from connector.store.migrate import is_current, upgrade

ENTRY = sql(
    "INSERT INTO journal_entry (document_type, document_id, posted_on, currency, text, created_at)"
    " VALUES ('invoice', 7, '2026-01-31', 'EUR', :text, now())"
)


@pytest.fixture
def file(tmp_path: Path, store: Store) -> Path:
    with store.transaction() as tx:
        tx.execute(ENTRY, {"text": "Grüße \\ 'quoted'\n"})
    made = tmp_path / "hub.backup"
    assert backup(store, made) == made.stat().st_size
    return made


def test_everything_comes_back(file: Path, empty_store: Store) -> None:
    restore(empty_store, file)
    upgrade(empty_store)

    assert is_current(empty_store)
    with empty_store.transaction() as tx:
        texts = tx.execute(sql("SELECT text FROM journal_entry")).scalars().all()
        fresh_id = tx.execute(
            sql(str(ENTRY).replace("'invoice', 7", "'invoice', 8") + " RETURNING id"), {"text": "x"}
        ).scalar_one()
    assert fresh_id == 2  # the counters came along
    assert texts == ["Grüße \\ 'quoted'\n"]


def test_a_backup_is_for_its_owners_eyes(file: Path) -> None:
    assert file.stat().st_mode & 0o077 == 0


def test_never_mixes_with_what_is_there(file: Path, store: Store) -> None:
    with pytest.raises(StoreNotEmpty, match="tables already"):
        restore(store, file)


def test_never_overwrites_a_backup(file: Path, store: Store) -> None:
    before = file.read_bytes()

    with pytest.raises(Misconfigured, match="there already"):
        backup(store, file)

    assert file.read_bytes() == before


def test_a_broken_backup_leaves_the_store_empty(file: Path, empty_store: Store) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])

    with pytest.raises(EmbeddedStoreFailed, match="pg_restore failed"):
        restore(empty_store, file)

    assert not is_current(empty_store)


def test_a_failed_backup_leaves_no_file(tmp_path: Path, store: Store) -> None:
    wrong = Store(store.url.replace("/test_", "/no_such_"))

    with pytest.raises(EmbeddedStoreFailed, match="pg_dump failed"):
        backup(wrong, tmp_path / "hub.backup")

    assert list(tmp_path.iterdir()) == []
    wrong.close()
