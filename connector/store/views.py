"""Makes the views anew from `views/*.sql`, in the order of the file names.

Views hold no data and follow the release, so they are not migrated: dropped and created each time.
"""

from pathlib import Path

from psycopg import sql
from sqlalchemy import Connection, text

from connector.store.engine import driver_connection

FOLDER = Path(__file__).parent / "views"

_OURS = text(
    "SELECT viewname FROM pg_views WHERE schemaname = current_schema() "
    "AND (viewname LIKE 'v\\_%' OR viewname LIKE 'push\\_%')"
)


def install(tx: Connection, folder: Path = FOLDER) -> None:
    """Drop every view whose name begins with `v_` or `push_` and run the files of the folder."""
    driver = driver_connection(tx)
    for name in tx.execute(_OURS).scalars().all():
        driver.execute(sql.SQL("DROP VIEW IF EXISTS {} CASCADE").format(sql.Identifier(name)))
    for file in sorted(folder.glob("*.sql")):
        driver.execute(file.read_bytes())
