"""`l2c usage`: import, rate and inspect usage."""

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path

import click

from connector.cli.printing import print_json, table
from connector.cli.session import Session
from connector.kernel.period import Period, add_months
from connector.mediation.feeds import feed_named, read_feeds, shipped_feeds
from connector.mediation.imports import import_usage_file, replay_suspense
from connector.mediation.queries import open_counts, open_lines
from connector.rating.days import usage_days
from connector.rating.records import RECORDS_MAX, rated_records
from connector.rating.result_queries import (
    months_with_new_usage,
    service_id_of,
    summaries,
)
from connector.rating.run import RatingReport
from connector.rating.trial import try_call

FEEDS = click.option(
    "--feeds",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=None,
    help="Folder of feed definitions; default: feeds/ of sync.mappings_dir, else those that came.",
)
MONTH = click.option(
    "--month",
    type=click.DateTime(formats=["%Y-%m"]),
    required=True,
    help="Calendar month, such as 2026-06.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
LINES_MAX = 10_000


@click.group()
def usage() -> None:
    """Import, rate and inspect usage."""


@usage.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--feed", required=True, help="Name of the feed definition.")
@click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Move the file to this folder afterwards.",
)
@FEEDS
@JSON
@click.pass_obj
def import_(
    session: Session,
    *,
    file: Path,
    feed: str,
    archive: Path | None,
    feeds: Path | None,
    as_json: bool,
) -> None:
    """Import a vendor's usage file; broken lines wait in suspense, the rest goes on."""
    app = session.app()
    report = import_usage_file(
        store=app.store,
        lake=app.lake,
        feed=feed_named(feed, folder=feeds or _own_feeds(session)),
        path=file,
        now=app.clock.now(),
        archive=archive,
    )
    if as_json:
        print_json(report.as_dict())
        return
    click.echo(
        f"{report.name}: {report.lines_read:,} lines read, {report.accepted:,} accepted, "
        f"{report.duplicate:,} duplicate, {report.suspense:,} in suspense."
    )
    if report.suspense:
        click.echo("See why with: l2c usage suspense", err=True)


@usage.command()
@click.option("--feed", required=True, help="Name of the feed definition.")
@FEEDS
@JSON
@click.pass_obj
def replay(session: Session, *, feed: str, feeds: Path | None, as_json: bool) -> None:
    """Judge the lines of a feed that wait in suspense again, after a fix."""
    app = session.app()
    report = replay_suspense(
        store=app.store,
        lake=app.lake,
        feed=feed_named(feed, folder=feeds or _own_feeds(session)),
        now=app.clock.now(),
    )
    if as_json:
        print_json(report.as_dict())
        return
    click.echo(
        f"{report.lines:,} lines judged again: {report.accepted:,} accepted, "
        f"{report.duplicate:,} duplicate, {report.still_waiting:,} still wait."
    )


@usage.command()
@click.option(
    "--month",
    type=click.DateTime(formats=["%Y-%m"]),
    default=None,
    help="Calendar month, such as 2026-06; default: every month with usage not rated yet.",
)
@JSON
@click.pass_obj
def rate(session: Session, *, month: datetime | None, as_json: bool) -> int:
    """Rate and charge usage by the month; with unchanged input nothing changes."""
    app = session.app()
    if month is None:
        with app.store.read() as tx:
            months = months_with_new_usage(tx)
    else:
        months = [month.date()]
    reports = [app.rate_usage(_month(first)) for first in months]
    if as_json:
        print_json({"months": [report.as_dict() for report in reports]})
    else:
        for report in reports:
            click.echo(_as_text(report))
        if not reports:
            click.echo("No month has usage that is not rated.")
    unrated = any(report.unrated for report in reports)
    if unrated and not as_json:
        click.echo("See why with: l2c usage suspense", err=True)
    return 1 if unrated else 0


def _as_text(report: RatingReport) -> str:
    state = "was up to date" if report.was_up_to_date else "rated"
    return (
        f"{report.period_start:%B %Y} {state}: {report.records:,} records, "
        f"{report.summaries:,} summaries, {report.unrated:,} unrated, snapshot {report.snapshot}."
    )


@usage.command("try")
@click.option("--to", "called", required=True, help="Called number, such as +442079460000.")
@click.option("--seconds", type=click.IntRange(0, 10_000_000), required=True)
@click.option("--plan", required=True, help="Key of the rate plan.")
@click.option(
    "--on", type=click.DateTime(formats=["%Y-%m-%d"]), default=None, help="Today if left."
)
@click.option(
    "--included-left", type=click.IntRange(0), default=0, help="Seconds of allowance still there."
)
@JSON
@click.pass_obj
def try_(
    session: Session,
    *,
    called: str,
    seconds: int,
    plan: str,
    on: datetime | None,
    included_left: int,
    as_json: bool,
) -> None:
    """Price one call on paper and say why; nothing is written."""
    app = session.app()
    day = app.clock.now().date() if on is None else on.date()
    with app.store.read() as tx:
        tried = try_call(
            tx=tx,
            plan_key=plan,
            called=called,
            duration_s=seconds,
            on=day,
            allowance_left_s=included_left,
        )
    if as_json:
        print_json(asdict(tried))
        return
    click.echo(
        f"{tried.currency} {tried.price.normalize():f} ({tried.rounded} alone on an invoice), "
        f"cost {tried.cost.normalize():f}\n"
        f"  {tried.destination}, class {tried.usage_class}: prefix {tried.prefix} of {tried.deck}\n"
        f"  {tried.rule}\n"
        f"  {tried.duration_s} s, charged {tried.charged_s} s, of which included "
        f"{tried.included_s} s"
    )


@usage.command()
@click.option("--feed", default=None, help="Only lines of this feed.")
@click.option("--limit", type=click.IntRange(1, LINES_MAX), default=20, show_default=True)
@JSON
@click.pass_obj
def suspense(session: Session, *, feed: str | None, limit: int, as_json: bool) -> None:
    """Show the lines that wait, with file, line number and reason."""
    with session.app().store.read() as tx:
        counts = [row for row in open_counts(tx) if feed in (None, row["feed"])]
        lines = open_lines(tx=tx, limit=limit, feed=feed)
    if as_json:
        print_json({"counts": counts, "lines": [asdict(line) for line in lines]})
        return
    if not counts:
        click.echo("Nothing waits in suspense.")
        return
    click.echo(
        table(
            ("Lines", "Feed", "Waits at", "Reason"),
            [(row["lines"], row["feed"], row["stage"], row["reason"]) for row in counts],
        )
    )
    click.echo(
        "\n"
        + table(
            ("Line", "File", "Reason", "Text"),
            [(line.line_no, line.file, line.reason_code, line.raw[:60]) for line in lines],
        )
    )


@usage.command()
@MONTH
@JSON
@click.pass_obj
def summary(session: Session, *, month: datetime, as_json: bool) -> None:
    """Show the rated usage of a month by service and class."""
    start = month.date()
    with session.app().store.read() as tx:
        rows = summaries(tx, start)
    if as_json:
        print_json(
            [
                {
                    "service": row.service_number,
                    "usage_class": row.usage_class,
                    "units": row.units,
                    "unit": row.unit,
                    "included_units": row.included_units,
                    "rated_amount": row.rated_amount,
                    "cost_amount": row.cost_amount,
                    "currency": row.currency,
                    "records": row.records,
                    "late_records": row.late_records,
                    "is_final": row.is_final,
                    "derivation": row.derivation,
                }
                for row in rows
            ]
        )
        return
    if not rows:
        click.echo(f"No rated usage in {start:%B %Y}.")
        return
    click.echo(
        table(
            ("Records", "Service", "Class", "Units", "", "Included", "Amount", "Cost", "", "State"),
            [
                (
                    row.records,
                    row.service_number,
                    row.usage_class,
                    row.units,
                    row.unit,
                    row.included_units,
                    row.rated_amount,
                    row.cost_amount,
                    row.currency,
                    "final" if row.is_final else "provisional",
                )
                for row in rows
            ],
        )
    )


@usage.command()
@click.argument("service")
@MONTH
@click.option("--class", "usage_class", default=None, help="Only this class of usage.")
@click.option("--limit", type=click.IntRange(1, RECORDS_MAX), default=20, show_default=True)
@JSON
@click.pass_obj
def records(
    session: Session,
    *,
    service: str,
    month: datetime,
    usage_class: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show the rated records of a service (its number): the evidence of an invoice line."""
    app = session.app()
    with app.store.read() as tx:
        rows = rated_records(
            tx=tx,
            lake=app.lake,
            service_id=service_id_of(tx, service),
            period_start=month.date(),
            usage_class=usage_class,
            limit=limit,
        )
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    click.echo(
        table(
            ("Quantity", "Charged", "Included", "Amount", "Unit", "UTC", "To", "Prefix", "Class"),
            [
                (
                    row.quantity,
                    row.charged,
                    row.included,
                    row.amount,
                    row.unit,
                    row.used_at,
                    row.called or row.meter,
                    row.prefix,
                    row.usage_class,
                )
                for row in rows
            ],
        )
    )


@usage.command()
@click.argument("service")
@MONTH
@click.option("--class", "usage_class", default=None, help="Only this class of usage.")
@JSON
@click.pass_obj
def days(
    session: Session, *, service: str, month: datetime, usage_class: str | None, as_json: bool
) -> None:
    """Show a service's usage day by day (its number) and what the month has come to so far."""
    app = session.app()
    with app.store.read() as tx:
        rows = usage_days(
            tx=tx,
            lake=app.lake,
            service_id=service_id_of(tx, service),
            period_start=month.date(),
            usage_class=usage_class,
        )
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    click.echo(
        table(
            ("Records", "Day", "Class", "Units", "", "Units so far", "Amount so far"),
            [
                (
                    row.records,
                    row.day,
                    row.usage_class,
                    row.units,
                    row.unit,
                    row.units_so_far,
                    row.amount_so_far,
                )
                for row in rows
            ],
        )
    )


@usage.command("feeds")
@FEEDS
@JSON
@click.pass_obj
def feeds_(session: Session, *, feeds: Path | None, as_json: bool) -> None:
    """List the feed definitions."""
    known = read_feeds(feeds or _own_feeds(session) or shipped_feeds()).values()
    if as_json:
        print_json([{"feed": f.name, "kind": f.kind, "about": f.about} for f in known])
    else:
        click.echo(table(("Feed", "Kind", "About"), [(f.name, f.kind, f.about) for f in known]))


def _own_feeds(session: Session) -> Path | None:
    folder = session.settings.sync.mappings_dir
    return folder / "feeds" if folder else None


def _month(first: date) -> Period:
    return Period(first, add_months(first, 1))
