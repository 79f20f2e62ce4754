"""`l2c sync dead-letters`: what the CRM refused, why, and what becomes of it."""

import sys
from typing import TYPE_CHECKING

import click

from connector.cli.naming import STORE_ID, refuse_unknown
from connector.cli.printing import print_json
from connector.cli.session import Session

if TYPE_CHECKING:
    from connector.sync.status import DeadLetter

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_ENTITY = click.option("--entity", default=None, help="Only this entity, such as invoice.")


@click.group("dead-letters")
def dead_letters() -> None:
    """See, retry or drop the records that the CRM refused."""


@dead_letters.command("list")
@_ENTITY
@click.option("--limit", default=500, show_default=True, type=click.IntRange(1, 100_000))
@_JSON
@click.pass_obj
def list_(session: Session, *, entity: str | None, limit: int, as_json: bool) -> None:
    """List them with cause and remedy."""
    from connector.sync import status as standing

    app = session.app()
    with app.store.read() as tx:
        letters = standing.dead_letters(tx=tx, entity=entity, limit=limit)
        count = standing.dead_letter_count(tx=tx, entity=entity)
    if not letters:
        refuse_unknown(app.mappings, entity)
    if as_json:
        print_json({"dead_letters": list(letters), "count": count})
        return
    for letter in letters:
        _show(letter)
    shown = f", {len(letters)} of them shown (--limit)" if len(letters) < count else ""
    click.echo(f"{count} dead letters{shown}.")


@dead_letters.command()
@click.argument("entity")
@click.argument("hub_id", type=STORE_ID)
@_JSON
@click.pass_obj
def show(session: Session, *, entity: str, hub_id: int, as_json: bool) -> None:
    """Show one: how often it was tried, and when it is tried again by itself."""
    from connector.sync import status as standing

    app = session.app()
    with app.store.read() as tx:
        found = standing.dead_letters(tx=tx, entity=entity, hub_id=hub_id)
    if not found:
        refuse_unknown(app.mappings, entity)
        click.echo(
            f"{entity} {hub_id} is no dead letter. See: l2c sync dead-letters list", err=True
        )
        sys.exit(1)
    (letter,) = found
    if as_json:
        print_json(letter)
        return
    _show(letter)
    click.echo(f"  tried {letter.attempts} times")
    if letter.next_attempt_at is not None:
        click.echo(f"  tried again by itself at {letter.next_attempt_at:%Y-%m-%d %H:%M} UTC")


@dead_letters.command()
@click.argument("hub_ids", nargs=-1, type=STORE_ID)
@_ENTITY
@_JSON
@click.pass_obj
def retry(session: Session, *, hub_ids: tuple[int, ...], entity: str | None, as_json: bool) -> None:
    """Owe them to the CRM once more: all, one entity's, or some of one entity.

    Exit 1 when one of the named is no dead letter.
    """
    from connector.sync import status as standing

    if hub_ids and entity is None:
        raise click.UsageError("Say of which entity these are: --entity invoice.")
    app = session.app()
    with app.store.transaction() as tx:
        retried = standing.retry_dead_letters(tx=tx, entity=entity, hub_ids=hub_ids)
    if not retried:
        refuse_unknown(app.mappings, entity)
    if as_json:
        print_json({"retried": retried})
    else:
        click.echo(f"{retried} are sent again with the next push.")
    sys.exit(1 if retried < len(set(hub_ids)) else 0)


@dead_letters.command()
@click.argument("entity")
@click.argument("hub_ids", nargs=-1, type=STORE_ID, required=True)
@_JSON
@click.pass_obj
def drop(session: Session, *, entity: str, hub_ids: tuple[int, ...], as_json: bool) -> None:
    """Give up on some until they change; exit 1 when one of them is no dead letter."""
    from connector.sync import status as standing

    app = session.app()
    with app.store.transaction() as tx:
        dropped = standing.drop_dead_letters(tx=tx, entity=entity, hub_ids=hub_ids)
    if not dropped:
        refuse_unknown(app.mappings, entity)
    if as_json:
        print_json({"dropped": dropped})
    else:
        click.echo(f"{dropped} dropped; a change of the record sends it again.")
    sys.exit(1 if dropped < len(set(hub_ids)) else 0)


def _show(letter: "DeadLetter") -> None:
    click.echo(
        f"{letter.entity} {letter.hub_id} ({letter.sfid or 'not in the CRM'}): "
        f"{letter.code}: {letter.error}\n  {letter.remedy}"
    )
