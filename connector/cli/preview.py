"""`l2c sync push --dry-run` and the shadow mode: what would be sent, for a reader."""

from typing import TYPE_CHECKING

import click

from connector.cli.printing import print_json

if TYPE_CHECKING:
    from connector.bootstrap import App
    from connector.sync.push.preview import PreviewedRecord, PushPreview
    from connector.sync.push.shadow import ShadowState


def show_preview(app: "App", *, show: int, as_json: bool) -> None:
    """Print what a push would send now."""
    from connector.sync.push.preview import preview_push

    preview = preview_push(
        store=app.store,
        mappings=app.mappings,
        now=app.wall_clock.now(),
        bulk_from=app.settings.sync.bulk_from_rows,
        shown=show,
    )
    if as_json:
        print_json({"to_write": preview.to_write, "preview": preview})
        return
    for record in preview.records:
        _show_record(record)
    for one in preview.entities:
        said = f"{one.object:26} {one.new} new, {one.changed} changed, {one.removed} to delete"
        said += f", {one.unchanged} need nothing"
        if one.waiting:
            said += f", {one.waiting} follow a record they belong to"
        if one.refused:
            said += f", {one.refused} the CRM would refuse"
        click.echo(said + f"; by {one.transport}")
    click.echo(_summary(preview))


def _show_record(record: "PreviewedRecord") -> None:
    after = f", after its {record.waits_for}" if record.waits_for else ""
    click.echo(f"{record.object} {record.key} {record.sfid or ''} {record.kind}{after}")
    for change in record.fields:
        click.echo(f"  {change.name}: {_said(change.theirs)} -> {_said(change.ours)}")
    if record.refusal:
        click.echo(f"  the CRM would refuse it: {record.refusal}")


def _said(value: object) -> str:
    return "nothing" if value is None else str(value)


def _summary(preview: "PushPreview") -> str:
    if not preview.entities:
        return "Nothing is owed."
    more = " at least, since only a part was looked at" if preview.is_cut else ""
    return (
        f"{preview.to_write} records would be written in about {preview.api_calls} API calls"
        f"{more}. Nothing was sent."
    )


def show_shadow(shadow: "ShadowState | None") -> None:
    """Say that nothing is sent, and what would have been."""
    if shadow is None:
        click.echo("Shadow mode: nothing is sent. No push was computed yet.")
        return
    more = " at least" if shadow.is_cut else ""
    click.echo(
        f"Shadow mode: nothing is sent. At {shadow.made_at:%Y-%m-%d %H:%M}{more} "
        f"{shadow.to_write} records in about {shadow.api_calls} API calls would have been."
    )
