"""The schema in the database is the schema in the code, however many bring it there."""

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from procrastinate.schema import SchemaManager
from sqlalchemy import Connection
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError

from connector.errors import Misconfigured
from connector.store import views
from connector.store.engine import Store, violated_constraint
from connector.store.migrate import is_current, upgrade
from connector.store.migrations import freeze
from connector.store.tables import metadata

_QUEUE = "procrastinate_"


def test_the_frozen_schema_is_that_of_the_table_definitions() -> None:
    assert freeze.TARGET.read_text() == freeze.schema_sql(), (
        "the tables changed: run `make freeze-schema`"
    )


def test_a_migrated_database_differs_in_nothing_from_the_metadata(store: Store) -> None:
    with store.read() as tx:
        context = MigrationContext.configure(
            tx,
            opts={
                "compare_server_default": True,
                "include_object": lambda _object, name, kind, _reflected, _to: (
                    not (kind == "table" and str(name).startswith(_QUEUE))
                ),
            },
        )
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_the_job_queue_has_the_schema_its_library_expects() -> None:
    frozen = freeze.TARGET.with_name("0002_jobs.sql").read_text()

    assert frozen == SchemaManager.get_schema()


def test_four_processes_may_migrate_at_once(empty_store: Store) -> None:
    failures: list[BaseException] = []

    def migrate() -> None:
        store = Store(empty_store.url, pool_size=1)
        try:
            upgrade(store)
        except BaseException as error:
            failures.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert is_current(empty_store)


def test_an_empty_database_is_not_current(empty_store: Store) -> None:
    assert not is_current(empty_store)


def test_refuses_a_database_of_a_newer_release(store: Store) -> None:
    with store.transaction() as tx:
        tx.execute(sql("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Misconfigured, match="9999"):
        upgrade(store)


class TestTheViews:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for function in (views.are_current, views.create):
            monkeypatch.setattr(function, "__defaults__", (tmp_path,))
        (tmp_path / "20_second.sql").write_text("CREATE VIEW v_second AS SELECT * FROM v_first;")
        (tmp_path / "10_first.sql").write_text("CREATE VIEW v_first AS SELECT 1 AS one;")
        return tmp_path

    def test_are_made_in_the_order_of_their_files(self, store: Store, folder: Path) -> None:
        upgrade(store)

        with store.read() as tx:
            assert tx.execute(sql("SELECT one FROM v_second")).scalar_one() == 1

    def test_are_made_anew_when_a_file_changes_and_left_alone_otherwise(
        self, store: Store, folder: Path
    ) -> None:
        def identity() -> object:
            with store.read() as tx:
                return tx.execute(sql("SELECT 'v_first'::regclass::oid")).scalar_one()

        upgrade(store)
        first = identity()
        upgrade(store)
        assert identity() == first

        (folder / "10_first.sql").write_text("CREATE VIEW v_first AS SELECT '2' AS one;")
        upgrade(store)
        with store.read() as tx:
            assert tx.execute(sql("SELECT one FROM v_second")).scalar_one() == "2"

    def test_nothing_of_somebody_else_is_dropped(self, store: Store, folder: Path) -> None:
        upgrade(store)
        with store.transaction() as tx:
            tx.execute(sql("CREATE VIEW report AS SELECT * FROM v_first"))
        (folder / "10_first.sql").write_text("CREATE VIEW v_first AS SELECT '2' AS one;")

        with pytest.raises(Misconfigured, match="view report depends on"):
            upgrade(store)


class TestTheJournal:
    ENTRY = sql(
        "INSERT INTO journal_entry (document_type, document_id, posted_on, currency, text,"
        " created_at) VALUES ('invoice', 1, '2026-01-31', 'EUR', 'x', now()) RETURNING id"
    )
    LINES = sql(
        "INSERT INTO journal_line (entry_id, line_no, account_code, debit, credit)"
        " VALUES (:entry, 1, '1', :debit, 0), (:entry, 2, '1', 0, :credit)"
    )

    def _post(self, tx: Connection, debit: str, credit: str) -> None:
        entry = tx.execute(self.ENTRY).scalar_one()
        tx.execute(self.LINES, {"entry": entry, "debit": debit, "credit": credit})

    def test_takes_a_balanced_entry(self, tx: Connection) -> None:
        self._post(tx, "10.0000", "10.0000")

    def test_refuses_an_entry_that_is_out_of_balance(self, tx: Connection) -> None:
        with pytest.raises(DBAPIError) as refused, tx.begin_nested():
            self._post(tx, "10.0000", "10.0100")

        assert violated_constraint(refused.value) == "journal_entry_balances"

    def test_refuses_to_move_a_line_to_another_entry(self, tx: Connection) -> None:
        self._post(tx, "10.0000", "10.0000")
        other = tx.execute(
            sql(str(self.ENTRY).replace("'invoice', 1", "'invoice', 2"))
        ).scalar_one()

        with pytest.raises(DBAPIError, match="out of balance"), tx.begin_nested():
            tx.execute(sql("UPDATE journal_line SET entry_id = :other WHERE debit > 0"),
                       {"other": other})  # fmt: skip
            tx.execute(sql("SET CONSTRAINTS ALL IMMEDIATE"))
