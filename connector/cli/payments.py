"""`l2c payments`: import and list payments."""

from pathlib import Path

import click

from connector.billing.invoices import list_payments
from connector.billing.payments import assign_held_payment
from connector.cli.printing import print_json, table
from connector.cli.session import Session
from connector.errors import InvalidInput


@click.group()
def payments() -> None:
    """Import and list payments."""


@payments.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def import_(session: Session, *, file: Path, as_json: bool) -> int:
    """Record the payments of a CSV file; the same file again records nothing."""
    try:
        content = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8 text.", remedy="Save it as UTF-8.") from None
    report = session.app().import_payments(content)
    if as_json:
        print_json(report)
    else:
        click.echo(report)
        for held in report.held:
            click.echo(f"  line {held.line_no}, {held.reference}: held. {held.reason}", err=True)
        for problem in report.problems:
            click.echo(f"  line {problem.line_no}: {problem.reason}", err=True)
    return 1 if report.problems else 0


@payments.command("list")
@click.option("--held", is_flag=True, help="Only payments nobody can be matched to.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(session: Session, *, held: bool, as_json: bool) -> None:
    """List payments, newest first, with what is left of them."""
    with session.app().store.read() as tx:
        rows = list_payments(tx=tx, held_only=held)
    if as_json:
        print_json(rows)
        return
    click.echo(
        table(
            ("Number", "Reference", "Customer", "Received", "Amount", "Unapplied", "", "Held why"),
            [
                (
                    row["number"],
                    row["reference"],
                    row["customer"] or "?",
                    row["received_on"],
                    row["amount"],
                    row["unapplied"],
                    row["currency"],
                    row["hold_reason"] or "",
                )
                for row in rows
            ],
        )
    )


@payments.command()
@click.argument("payment")
@click.option("--invoice", "invoice_number", required=True, help="Invoice it was meant for.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def assign(session: Session, *, payment: str, invoice_number: str, as_json: bool) -> None:
    """Give a held payment (its number) to the customer of an invoice."""
    app = session.app()
    with app.store.transaction() as tx:
        payment_id = assign_held_payment(
            tx=tx, payment_number=payment, invoice_number=invoice_number, now=app.clock.now()
        )
    if as_json:
        print_json({"payment_id": payment_id})
    else:
        click.echo(f"{payment} is set against {invoice_number}.")
