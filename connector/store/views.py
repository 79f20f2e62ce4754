"""Makes the hub's views from `views/*.sql`, in the order of the file names, when one changed.

Views hold no data and follow the release, so they are no migrations.
"""

import hashlib
from pathlib import Path

import psycopg
import structlog
from psycopg import sql
from psycopg.errors import DependentObjectsStillExist
from sqlalchemy import Connection, text

from connector.errors import Misconfigured
from connector.store.engine import driver_connection

log = structlog.get_logger(__name__)

FOLDER = Path(__file__).parent / "views"
# Where the database remembers which views it has; the table is always there after a migration.
_REMEMBER = sql.SQL("COMMENT ON TABLE alembic_version IS {}")
_REMEMBERED = text("""
    SELECT coalesce(obj_description(to_regclass('alembic_version'), 'pg_class'), '')
""")
_OURS = text(r"""
    SELECT viewname FROM pg_views
     WHERE schemaname = current_schema()
       AND (viewname LIKE 'v\_%' OR viewname LIKE 'push\_%')
     ORDER BY viewname
""")


def install(tx: Connection, folder: Path = FOLDER) -> None:
    """Make every view of the folder anew, whatever there was."""
    drop(tx)
    create(tx, folder)


def are_current(tx: Connection, folder: Path = FOLDER) -> bool:
    """Return whether the database has just the views of the folder."""
    return bool(tx.execute(_REMEMBERED).scalar_one() == _mark(folder))


def drop(tx: Connection) -> None:
    """Drop every view whose name begins with `v_` or `push_`, so that tables can change.

    Raises:
        Misconfigured: A view of somebody else reads one of ours; nothing of theirs is dropped.
    """
    names = tx.execute(_OURS).scalars().all()
    if not names:
        return
    # One statement, because they read each other.
    listed = sql.SQL(", ").join(sql.Identifier(name) for name in names)
    try:
        driver_connection(tx).execute(sql.SQL("DROP VIEW {}").format(listed))
    except DependentObjectsStillExist as error:
        raise Misconfigured(
            f"The hub's views cannot be renewed: {error.diag.message_detail}.",
            remedy="Drop that view, upgrade, and create it again.",
        ) from error


def create(tx: Connection, folder: Path = FOLDER) -> None:
    """Create the views from the files of the folder."""
    files = sorted(folder.glob("*.sql"))
    driver = driver_connection(tx)
    for file in files:
        try:
            driver.execute(file.read_bytes())
        except psycopg.Error as error:
            error.add_note(f"in {file.name}")  # PostgreSQL knows the line, not the file
            raise
    driver.execute(_REMEMBER.format(sql.Literal(_mark(folder))))
    log.info("store.views_made", files=len(files))


def _mark(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.sql")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"views {digest.hexdigest()}"
