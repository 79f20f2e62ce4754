"""The hub: parties, catalogue, orders, services, charges, invoices, journal, sync."""

from pathlib import Path

from alembic import op

from connector.store.engine import driver_connection

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FILES = ("0001_hub.sql", "0001_hub_triggers.sql")


def upgrade() -> None:
    """Create the hub's tables, constraints and triggers."""
    for name in _FILES:
        statements = Path(__file__).with_name(name).read_bytes()
        driver_connection(op.get_bind()).execute(statements)
