"""The hub's database on an embedded server."""

import psycopg
from psycopg import sql

from connector.store.embedded import EmbeddedPostgres

DATABASE = "l2c"
MAINTENANCE_DATABASE = "postgres"


def ensure_database(server: EmbeddedPostgres) -> None:
    """Make the hub's database on an embedded server if it is missing."""
    address = server.url_of(MAINTENANCE_DATABASE).replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
        ).fetchone()
        if found is None:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return  # another process was quicker
