"""`l2c db`: the store's schema, its backup and its return."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from connector.bootstrap import DATABASE, ensure_database
from connector.cli.session import Session
from connector.config import Settings
from connector.store.backup import backup as write_backup
from connector.store.backup import restore as read_backup
from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.migrate import is_current, upgrade


@click.group()
def db() -> None:
    """Care for the store."""


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def migrate(session: Session, *, as_json: bool) -> None:
    """Bring the store to this release's schema; safe to run from many processes at once."""
    # Opening the application migrates; the command exists so that a deployment can do it first.
    current = is_current(session.app().store)
    click.echo(orjson.dumps({"is_current": current}) if as_json else "The store is up to date.")


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def backup(session: Session, file: Path, *, as_json: bool) -> None:
    """Write the whole store into FILE; work may go on meanwhile."""
    with _as_it_is(session.settings) as store:
        size = write_backup(store, file)
    done = f"{file} holds the store ({size} bytes). Usage files and documents are not in it."
    click.echo(orjson.dumps({"file": str(file), "bytes": size}) if as_json else done)


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def restore(session: Session, file: Path, *, as_json: bool) -> None:
    """Fill an empty store from FILE and bring it to this release's schema."""
    with _as_it_is(session.settings) as store:
        read_backup(store, file)
        upgrade(store, mappings=session.settings.sync.mappings_dir)
    click.echo(orjson.dumps({"restored": True}) if as_json else "The store is back.")


@contextmanager
def _as_it_is(settings: Settings) -> Iterator[Store]:
    """Open the store without migrating it."""
    if settings.store.url is not None:
        yield from _opened(settings.store.url.get_secret_value())
        return
    folder = settings.store.data_dir / "postgres"
    with EmbeddedPostgres.start(folder, durable=settings.store.durable) as server:
        ensure_database(server)
        yield from _opened(server.url_of(DATABASE))


def _opened(url: str) -> Iterator[Store]:
    store = Store(url, pool_size=2)
    try:
        yield store
    finally:
        store.close()
