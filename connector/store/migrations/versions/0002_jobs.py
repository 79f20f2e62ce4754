"""The job queue: Procrastinate's own schema, as its release 3.10 ships it."""

from pathlib import Path

from alembic import op

from connector.store.engine import driver_connection

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


_FILES = ("0002_jobs.sql", "0002_jobs_lock.sql", "0002_jobs_wake.sql")


def upgrade() -> None:
    """Create the tables and functions of the job queue."""
    for name in _FILES:
        statements = Path(__file__).with_name(name).read_bytes()
        driver_connection(op.get_bind()).execute(statements)
