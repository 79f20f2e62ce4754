"""`l2c sync reconcile`: both sides compared, as text, JSON or CSV; the scores of accounts."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from connector.cli.printing import print_json, table, to_json_line
from connector.cli.session import Session

if TYPE_CHECKING:
    from connector.bootstrap import App
    from connector.sync.reconcile.report import ReconcileReport


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
    written = _written(report, "json" if as_json else form)
    if out is not None:
        out.write_text(written + "\n", encoding="utf-8")
        click.echo(f"Drift: {report.drift}. The report is in {out}.")
    else:
        click.echo(written)
    if accounts:
        _show_scores(app, as_json=as_json or form == "json")
    sys.exit(1 if report.drift > report.repaired + report.deleted else 0)


def _written(report: "ReconcileReport", form: str) -> str:
    from connector.sync.reconcile.report import as_csv, as_text

    if form == "json":
        return to_json_line(report)
    return as_csv(report).rstrip("\n") if form == "csv" else as_text(report)


def _show_scores(app: "App", *, as_json: bool) -> None:
    from connector.sync.reconcile.scores import read_scores

    with app.store.read() as tx:
        scores = read_scores(tx=tx)
    if as_json:
        print_json({"accounts": scores})
        return
    rows = [(one.name, one.sfid or "", one.records, one.in_step, one.percent) for one in scores]
    click.echo(table(("account", "id", "records", "in step", "percent"), rows))
