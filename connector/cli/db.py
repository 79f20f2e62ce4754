"""`l2c db`: the store's schema."""

import click
import orjson

from connector.cli.session import Session
from connector.store.migrate import is_current


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
