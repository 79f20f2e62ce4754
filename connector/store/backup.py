"""Backup and restore: PostgreSQL's own dump, one file, one consistent instant.

A dump is read by this and every later version of PostgreSQL, so it is also the way from an embedded
store of one major version to the next.
"""

import os
import subprocess
from pathlib import Path

import structlog
from sqlalchemy import text

from connector.errors import Misconfigured, StateConflict
from connector.store.embedded_runner import EmbeddedStoreFailed, programs, server_user
from connector.store.engine import Store

log = structlog.get_logger(__name__)

_TIMEOUT_S = 6 * 3600
_TABLES = text("""
    SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
""")


class StoreNotEmpty(StateConflict):
    """A restore fills an empty database only; it never mixes with what is there."""

    code = "store.not_empty"


def backup(store: Store, file: Path) -> int:
    """Write the whole database into one file, readable by its owner alone; return its bytes.

    Work may go on meanwhile; the file shows the instant at which the backup began. It appears under
    its name only when it is complete.

    Raises:
        Misconfigured: The file is there already, or its folder is not.
        EmbeddedStoreFailed: PostgreSQL's own words are in the message.
    """
    if file.exists():
        raise Misconfigured(f"{file} is there already.", remedy="Name a new file.")
    if not file.parent.is_dir():
        raise Misconfigured(f"There is no folder {file.parent}.", remedy="Make it first.")
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        _run(store, "pg_dump", "--format=custom", f"--file={unfinished}")
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    size = file.stat().st_size
    log.info("store.backed_up", bytes=size)
    return size


def restore(store: Store, file: Path) -> None:
    """Fill an empty database from a backup, wholly or not at all.

    The schema is that of the release that wrote the backup: migrate afterwards.

    Raises:
        StoreNotEmpty: There are tables in the database.
        Misconfigured: The file cannot be read.
        EmbeddedStoreFailed: PostgreSQL's own words are in the message.
    """
    if not file.is_file():
        raise Misconfigured(f"There is no file {file}.", remedy="Name a backup.")
    with store.read() as tx:
        tables = tx.execute(_TABLES).scalar_one()
    if tables:
        raise StoreNotEmpty(
            f"The store holds {tables} tables already.",
            remedy="Move the store's folder aside, or name an empty one in store.data_dir.",
        )
    _run(store, "pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", file)
    log.info("store.restored")


def _run(store: Store, program: str, *words: str | Path) -> None:
    url = store.engine.url
    # The password goes by the environment: a command line can be read by everybody.
    address = url.set(drivername="postgresql", password=None).render_as_string()
    command = [programs(server_user()) / program, f"--dbname={address}", "--no-privileges", *words]
    done = subprocess.run(  # noqa: S603
        [str(word) for word in command],
        env={**os.environ, "PGPASSWORD": url.password or ""},
        umask=0o077,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise EmbeddedStoreFailed(f"{program} failed: {done.stderr.strip()[-2000:]}")
