"""Migrated databases that tests borrow, emptied again when they come back.

Emptying one takes a few milliseconds and keeps its connections and the statements compiled for
it; a clone of the template takes ten times that. What cannot be shown to be as good as new is
dropped.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from databases import clone, drop

from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store

_MOST_TESTS = 60  # what was deleted stays in the files until a vacuum

_TABLES = """
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND pg_relation_size(c.oid) > 0
       AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    """
_EMPTY_ALL = f"""
    DO $$
    DECLARE one text;
    BEGIN
        FOR one IN {_TABLES} LOOP
            EXECUTE 'DELETE FROM ' || one;
        END LOOP;
        PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence
          WHERE pg_sequence_last_value(seqrelid) IS NOT NULL;
    END $$
    """
# Any change of the schema writes a row of one of these anew.
_SHAPE = "SELECT " + ", ".join(
    f"(SELECT (count(*), max(xmin::text::bigint))::text FROM {catalog})"
    for catalog in ("pg_class", "pg_attribute", "pg_constraint", "pg_trigger", "pg_proc")
)
_STRANGERS = """
    SELECT (SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend')
         + (SELECT count(*) FROM pg_locks
             WHERE locktype = 'advisory'
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    """


@dataclass(frozen=True, slots=True)
class _Lent:
    name: str
    store: Store
    shape: tuple[str, ...]
    seeds: Mapping[str, str]  # table -> its rows as JSON, where migrations left some
    tests: int


class SpareStores:
    """Lends the tests of one process a migrated database each."""

    def __init__(self, postgres: EmbeddedPostgres, template: str) -> None:
        self._postgres = postgres
        self._template = template
        self._spare: _Lent | None = None

    @contextmanager
    def lend(self) -> Iterator[Store]:
        """Lend a database nobody else uses, as the migrations leave one."""
        lent = self._spare or self._made()
        self._spare = None
        try:
            yield lent.store
        finally:
            lent.store.use_mappings(None)
            if self._spare is None and lent.tests < _MOST_TESTS and _emptied(lent):
                self._spare = replace(lent, tests=lent.tests + 1)
            else:
                self._dropped(lent)

    def close(self) -> None:
        """Drop the database that is left."""
        if self._spare is not None:
            self._dropped(self._spare)

    def _made(self) -> _Lent:
        name = clone(self._postgres, self._template)
        store = Store(self._postgres.url_of(name))
        with store.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            return _Lent(name, store, driver.execute(_SHAPE).fetchone(), _seeds(driver), 1)

    def _dropped(self, lent: _Lent) -> None:
        lent.store.close()
        drop(self._postgres, lent.name)


def _seeds(driver: Any) -> dict[str, str]:
    tables = [table for (table,) in driver.execute(_TABLES).fetchall()]
    every = "SELECT coalesce(jsonb_agg(t), '[]')::text FROM {} t"
    return {table: driver.execute(every.format(table)).fetchone()[0] for table in tables}


def _emptied(lent: _Lent) -> bool:
    """Empty a database; False if it is not to be had as new."""
    pool: Any = lent.store.engine.pool
    if lent.store.is_closed or pool.checkedout():
        return False
    try:
        with lent.store.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            (strangers,) = driver.execute(_STRANGERS).fetchone()
            if strangers > pool.checkedin() + pool.checkedout():
                return False  # a thread or a process of the test is still there
            if driver.execute(_SHAPE).fetchone() != lent.shape:
                return False
            driver.execute("SET LOCAL lock_timeout = '2s'")
            driver.execute("SET LOCAL session_replication_role = replica")  # no triggers, no keys
            driver.execute(_EMPTY_ALL)
            for table, rows in lent.seeds.items():
                planted = f"SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s)"
                driver.execute(f"INSERT INTO {table} {planted}", [rows])
            driver.commit()
            return True
    except psycopg.Error:
        return False
