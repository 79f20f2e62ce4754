"""The hub's views: `views/*.sql` in the order of their names, made anew when one of them changes."""

import hashlib
from pathlib import Path

import structlog
from sqlalchemy import Connection, text

from connector.store.engine import driver_connection

log = structlog.get_logger(__name__)

_FOLDER = Path(__file__).parent / "views"
# Where the database remembers which views it has; the table is always there after a migration.
_REMEMBER = "COMMENT ON TABLE alembic_version IS 'views {digest}'"
_REMEMBERED = text("""
    SELECT coalesce(obj_description(to_regclass('alembic_version'), 'pg_class'), '')
""")
_OURS = text(r"""
    SELECT quote_ident(viewname) FROM pg_views
     WHERE schemaname = current_schema()
       AND (viewname LIKE 'v\_%' OR viewname LIKE 'push\_%')
     ORDER BY viewname
""")


def are_current(tx: Connection) -> bool:
    """Return whether the database has the views of this release."""
    return bool(tx.execute(_REMEMBERED).scalar_one() == f"views {_digest()}")


def drop(tx: Connection) -> None:
    """Drop the hub's views, so that tables under them can change.

    A view of somebody else that reads one of ours stops this with PostgreSQL's own message, which
    names it; nothing of theirs is dropped.
    """
    names = tx.execute(_OURS).scalars().all()
    if names:
        # One statement, because they read each other.
        driver_connection(tx).execute(f"DROP VIEW {', '.join(names)}".encode())


def create(tx: Connection) -> None:
    """Create the hub's views from their files."""
    for file in _files():
        driver_connection(tx).execute(file.read_bytes())
    driver_connection(tx).execute(_REMEMBER.format(digest=_digest()).encode())
    log.info("store.views_made", files=len(_files()))


def _files() -> list[Path]:
    return sorted(_FOLDER.glob("*.sql"))


def _digest() -> str:
    digest = hashlib.sha256()
    for file in _files():
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
