"""`l2c sync reconcile`: both sides compared, as text, JSON or CSV; the scores of accounts."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from connector.cli.files import write_file
from connector.cli.printing import table, to_json_line
from connector.cli.session import Session

if TYPE_CHECKING:
    from connector.bootstrap import App
    from connector.sync.reconcile.report import ReconcileReport
    from connector.sync.reconcile.scores import AccountScore


@click.command()
@click.option("--repair", is_flag=True, help="Send again what is missing or differs in the CRM.")
@click.option(
    "--delete-extra",
    is_flag=True,
    help="Delete records in the CRM that have a key of the hub but are not in it.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="Form of the report",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write the report into this file.",
)
@click.option("--accounts", is_flag=True, help="Show the scores of accounts, the worst first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def reconcile(
    session: Session,
    *,
    repair: bool,
    delete_extra: bool,
    form: str,
    out: Path | None,
    accounts: bool,
    as_json: bool,
) -> None:
    """Compare both sides in full; exit 1 when they differ and were not repaired."""
    app = session.app()
    report = app.reconcile(repair=repair, delete_extra=delete_extra)
    if report.repaired and not app.settings.sync.shadow:
        app.push_by_hand()
    form = "json" if as_json else form
    scores = _scores(app) if accounts else None
    written = _written(report, form, scores)
    if out is not None:
        write_file(out, f"{written}\n".encode())
        # Whoever asks for JSON finds nothing else on standard output.
        click.echo(f"Drift: {report.drift}. The report is in {out}.", err=as_json)
    else:
        click.echo(written)
    if scores is not None and form != "json":
        rows = [(one.name, one.sfid or "", one.records, one.in_step, one.percent) for one in scores]
        click.echo(table(("account", "id", "records", "in step", "percent"), rows))
    sys.exit(1 if report.drift > report.repaired + report.deleted else 0)


def _written(report: "ReconcileReport", form: str, scores: "Sequence[AccountScore] | None") -> str:
    from connector.sync.reconcile.report import as_csv, as_text

    if form == "json":
        shown = orjson.loads(to_json_line(report))
        return to_json_line(shown if scores is None else shown | {"accounts": scores})
    return as_csv(report).rstrip("\n") if form == "csv" else as_text(report)


def _scores(app: "App") -> "Sequence[AccountScore]":
    from connector.sync.reconcile.scores import read_scores

    with app.store.read() as tx:
        return read_scores(tx=tx)
