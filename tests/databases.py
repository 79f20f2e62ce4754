"""Databases for tests, on the server all tests of a run share."""

import fcntl
from pathlib import Path
from uuid import uuid4

import psycopg

from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.migrate import upgrade

TEMPLATE = "l2c_template"


def migrated_template(postgres: EmbeddedPostgres, shared: Path) -> str:
    """Return the name of a migrated database to clone, made once for all workers."""
    with (shared / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with admin(postgres) as server:
            found = server.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate", [TEMPLATE]
            ).fetchone()
            if found:
                return TEMPLATE
            server.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")  # one that was not finished
            server.execute(f"CREATE DATABASE {TEMPLATE}")
            store = Store(postgres.url_of(TEMPLATE), pool_size=1)
            try:
                upgrade(store)
            finally:
                store.close()  # a template with a connection cannot be cloned
            server.execute(f"ALTER DATABASE {TEMPLATE} IS_TEMPLATE true")
    return TEMPLATE


def clone(postgres: EmbeddedPostgres, template: str) -> str:
    """Make a copy of a database; return its name."""
    name = f"test_{uuid4().hex[:16]}"
    with admin(postgres) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return name


def drop(postgres: EmbeddedPostgres, name: str) -> None:
    """Drop a database, whoever is still connected to it."""
    with admin(postgres) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def admin(postgres: EmbeddedPostgres) -> psycopg.Connection[tuple[object, ...]]:
    """Connect to the server itself."""
    return psycopg.connect(
        host=str(postgres.socket_dir), user="postgres", dbname="postgres", autocommit=True
    )
