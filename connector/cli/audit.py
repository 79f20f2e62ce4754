"""`l2c audit`: an org's services against invoices, before anything is installed."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from connector.cli.printing import to_json_line
from connector.cli.session import Session
from connector.errors import Misconfigured

if TYPE_CHECKING:
    from connector.adapters.salesforce.client import OrgClient
    from connector.sync.reconcile.audit.findings import AuditReport


@click.command()
@click.option("--org", "login_url", help="My Domain address; default is the one in the settings.")
@click.option("--client-id", help="Consumer key; default is the one in the settings.")
@click.option("--client-secret-env", help="Name of the variable that holds the consumer secret.")
@click.option(
    "--invoices",
    required=True,
    help="CSV file, or postgresql://user@host/database?view=NAME.",
)
@click.option(
    "--services",
    "definition_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File that says where services and invoice columns are; default mappings/audit.yaml.",
)
@click.option("--month", help="Only lines dated in this month, such as 2026-06.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="Form of the report",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def audit(
    session: Session,
    *,
    login_url: str | None,
    client_id: str | None,
    client_secret_env: str | None,
    invoices: str,
    definition_file: Path | None,
    month: str | None,
    form: str,
    as_json: bool,
) -> None:
    """Find services that are not billed, billed but ceased, and sums that differ; exit 1 if any.

    Nothing is installed and nothing is written: the org is asked by GET alone, the database in
    read-only transactions, and no store is opened.
    """
    from connector.sync.reconcile.audit.billed import billed_lines
    from connector.sync.reconcile.audit.definition import load_definition
    from connector.sync.reconcile.audit.findings import audit as compare
    from connector.sync.reconcile.audit.services import read_services

    definition = load_definition(definition_file)
    org = _org(session, login_url, client_id, client_secret_env)
    try:
        report = compare(
            read_services(org, definition.services),
            billed_lines(invoices, columns=definition.invoices, month=month),
        )
    finally:
        org.close()
    click.echo(_written(report, "json" if as_json else form))
    sys.exit(1 if report.findings else 0)


def _org(
    session: Session, login_url: str | None, client_id: str | None, secret_env: str | None
) -> "OrgClient":
    from pydantic import SecretStr

    from connector.adapters.salesforce.client import OrgClient
    from connector.adapters.salesforce.configured import login_of

    settings = session.settings.salesforce
    given: dict[str, object] = {}
    if login_url is not None and login_url != settings.login_url:
        # What the settings hold is for another org: it must not be sent to this one.
        given = {"login_url": login_url, "organization_id": None, "client_id": None}
    if client_id is not None:
        given |= {"client_id": client_id, "auth": "client_credentials", "client_secret": None}
    if secret_env is not None:
        secret = os.environ.get(secret_env)
        if not secret:
            raise Misconfigured(
                f"The variable {secret_env} is empty.",
                remedy="Put the consumer secret into it; it is never given on the command line.",
            )
        given["client_secret"] = SecretStr(secret)
    login = login_of(settings.model_copy(update=given))
    return OrgClient(
        login,
        api_version=settings.api_version,
        timeout_s=settings.timeout_s,
        is_read_only=True,
    )


def _written(report: "AuditReport", form: str) -> str:
    from connector.sync.reconcile.audit.report import as_csv, as_text

    if form == "json":
        return to_json_line(report)
    return as_csv(report).rstrip("\n") if form == "csv" else as_text(report)
