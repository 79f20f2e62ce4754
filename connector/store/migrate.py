"""Brings a database to this release's schema, safely from many processes at once."""

import importlib
import importlib.util
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from connector.errors import Misconfigured
from connector.store import views
from connector.store.engine import Store, advisory_lock

log = structlog.get_logger(__name__)

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = "connector.store.migrate"
# What follows the mappings, not the release (the triggers of the push log); has `install`.
_DERIVED_SCHEMA = ("connector.store.push_schema",)


def upgrade(store: Store, *, mappings: Path | None = None) -> None:
    """Apply the migrations that are missing, then make views and triggers that changed.

    All of it is one transaction: a failed upgrade leaves the database as it was. `mappings` is the
    operator's own folder of mapping files, None for those that come along.

    Raises:
        Misconfigured: The database was made by a newer release.
    """
    with store.transaction() as tx:
        # Two upgrades at once would both create the version table, and one would fail.
        advisory_lock(tx, _LOCK)
        before = _revision(tx)
        scripts = ScriptDirectory.from_config(_config(tx))
        if before is not None and before not in {one.revision for one in scripts.walk_revisions()}:
            raise Misconfigured(
                f"The database is at revision {before}, which this release does not know.",
                remedy="Install the release that wrote it, or a newer one.",
            )
        stale = before != scripts.get_current_head() or not views.are_current(tx)
        if stale:  # a table under a view cannot change
            views.drop(tx)
        command.upgrade(_config(tx), "head")
        if stale:
            views.create(tx)
        for module in _DERIVED_SCHEMA:
            if importlib.util.find_spec(module) is not None:
                importlib.import_module(module).install(tx, mappings)
        after = _revision(tx)
    if before != after:
        log.info("store.migrated", before=before, after=after)


def is_current(store: Store) -> bool:
    """Return whether the database is at this release's last migration."""
    with store.read() as tx:
        return _revision(tx) == ScriptDirectory.from_config(_config(tx)).get_current_head()


def _revision(tx: Connection) -> str | None:
    return MigrationContext.configure(tx).get_current_revision()


def _config(tx: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = tx
    return config
