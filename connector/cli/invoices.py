"""`l2c invoices`: list, show and explain invoices and credit notes."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import click

from connector.billing import invoices as reading
from connector.billing.draft import FOR_GOOD
from connector.billing.explain import explain_line
from connector.billing.four_steps import FourSteps, four_steps
from connector.billing.named_discounts import discounts_by_name
from connector.billing.realisation import realisation
from connector.billing.void import Part
from connector.cli.files import write_file
from connector.cli.number import number as exact_number
from connector.cli.printing import print_json, table
from connector.cli.session import Session

DAY = click.DateTime(["%Y-%m-%d"])
REASONS = ("Cancellation", "Correction", "Dispute", *sorted(FOR_GOOD))


@click.group()
def invoices() -> None:
    """List, show and explain invoices and credit notes."""


@invoices.command("list")
@click.option("--account", default=None, help="Number of a billing account.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(session: Session, *, account: str | None, as_json: bool) -> None:
    """List documents, newest first."""
    with session.app().store.read() as tx:
        rows = reading.list_invoices(tx=tx, account_number=account)
    if as_json:
        print_json(rows)
        return
    click.echo(
        table(
            ("Number", "Type", "Customer", "Date", "Due", "Status", "Total", "Balance", ""),
            [
                (
                    row.number or "(draft)",
                    row.type,
                    row.customer,
                    row.invoice_on,
                    row.due_on,
                    row.status,
                    row.total,
                    row.balance,
                    row.currency,
                )
                for row in rows
            ],
        )
    )


@invoices.command()
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(session: Session, *, number: str, as_json: bool) -> None:
    """Show one document with its lines."""
    with session.app().store.read() as tx:
        summary = reading.invoice_by_number(tx=tx, number=number)
        lines = reading.invoice_lines(tx=tx, invoice_id=summary.id)
    if as_json:
        print_json({"invoice": summary, "lines": lines})
        return
    click.echo(
        f"{summary.type} {summary.number} of {summary.invoice_on} for {summary.customer}: "
        f"{summary.currency} {summary.total:.2f}, {summary.status}, open {summary.balance:.2f}"
    )
    click.echo(
        table(
            ("No.", "Section", "What", "From", "To", "Net", "Tax"),
            [
                (
                    line["line_no"],
                    line["section"],
                    line["description"],
                    line["service_from"],
                    line["service_to"],
                    line["amount"],
                    line["tax_amount"],
                )
                for line in lines
            ],
        )
    )


@invoices.command()
@click.argument("number")
@click.option("--line", "line_no", type=click.IntRange(min=1), default=None, help="Only this line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def explain(session: Session, *, number: str, line_no: int | None, as_json: bool) -> None:
    """Say how every amount of a document came about, and sum it up in four steps.

    These are what it lists at, what the scheme (days, least amounts) makes of that, discounts,
    and tax. The JSON has the steps of each line with its explanation.
    """
    with session.app().store.read() as tx:
        summary = reading.invoice_by_number(tx=tx, number=number)
        lines = reading.invoice_lines(tx=tx, invoice_id=summary.id)
    wanted = [line for line in lines if line_no in (None, line["line_no"])]
    if not wanted:
        raise click.UsageError(f"{number} has {len(lines)} lines, no line {line_no}.")
    if as_json:
        print_json(
            [
                {
                    "line_no": line["line_no"],
                    "amount": line["amount"],
                    "explanation": line["explanation"],
                }
                for line in wanted
            ]
        )
        return
    click.echo("\n\n".join(explain_line(line, currency=summary.currency) for line in wanted))
    if line_no is None:
        click.echo(f"\n{_steps_table(four_steps(lines), summary.currency)}")
        named = discounts_by_name(line["explanation"] for line in lines)
        if named:
            rows = [(one.name, one.amount) for one in named]
            click.echo(f"\n{table(('Discounts in it', summary.currency), rows)}")


def _steps_table(steps: FourSteps, currency: str) -> str:
    rows = [
        ("Usage and recurring, as listed", steps.listed),
        ("By the scheme: days, least and highest amounts", steps.scheme),
        ("Discounts", steps.discount),
        ("Booked before, given back", steps.corrected),
        ("Net", steps.net),
        ("Tax", steps.tax),
        ("Total", steps.net + steps.tax),
    ]
    return table(("In four steps", currency), [row for row in rows if row[1] or row[0] == "Tax"])


@invoices.command()
@click.argument("number")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="File to write; default NUMBER.pdf in the current folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def pdf(session: Session, *, number: str, out: Path | None, as_json: bool) -> None:
    """Write the PDF of a document to a file."""
    with session.app().store.read() as tx:
        content = reading.invoice_pdf(tx=tx, number=number)
    target = out or Path(f"{number}.pdf")
    write_file(target, content)
    if as_json:
        print_json({"file": str(target), "bytes": len(content)})
    else:
        click.echo(f"{target} ({len(content)} bytes)")


@invoices.command()
@click.argument("number")
@click.option(
    "--reason", type=click.Choice(REASONS), default="Correction", show_default=True, help="Why."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def void(session: Session, *, number: str, reason: str, as_json: bool) -> None:
    """Give back all that is left of an invoice by a credit note.

    What is still due is billed anew by the next run, unless the reason is Goodwill or SLA.
    """
    note = session.app().void_invoice(number, reason=reason)
    if as_json:
        print_json({"invoice": number, "credit_note": note})
    else:
        click.echo(f"{number} is void: credit note {note}.")


@invoices.command()
@click.argument("number")
@click.option(
    "--line", "lines", type=click.IntRange(min=1), multiple=True, help="Which line; several may be."
)
@click.option(
    "--amount", type=exact_number, help="Only so much, before tax; without a line, of them all."
)
@click.option("--quantity", type=exact_number, help="Only so many of the one line.")
@click.option(
    "--reason", type=click.Choice(REASONS), default="Correction", show_default=True, help="Why."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def credit(
    session: Session,
    *,
    number: str,
    lines: tuple[int, ...],
    amount: Decimal | None,
    quantity: Decimal | None,
    reason: str,
    as_json: bool,
) -> None:
    """Give back lines of an invoice, or an amount or a quantity of them, with the tax on it.

    Without an amount or a quantity it is all that is left of the lines. What is still due is billed
    anew by the next run, unless the reason is Goodwill or SLA: that is given for good.
    """
    if amount is not None and quantity is not None:
        raise click.UsageError("Give an amount or a quantity, not both.")
    is_part = amount is not None or quantity is not None
    part = Part(amount=amount, quantity=quantity) if is_part else None
    note = session.app().credit_lines(number, lines=lines, part=part, reason=reason)
    if as_json:
        print_json({"invoice": number, "lines": lines, "credit_note": note})
    else:
        click.echo(f"{number}: credit note {note}.")


@invoices.command("write-off")
@click.argument("number")
@click.option("--reason", required=True, help="Why nobody will pay, in a few words.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def write_off(session: Session, *, number: str, reason: str, as_json: bool) -> None:
    """Book what is open on an invoice as a loss."""
    amount = session.app().write_off_invoice(number, reason=reason)
    if as_json:
        print_json({"invoice": number, "written_off": amount})
    else:
        click.echo(f"{number}: {amount} written off.")


@invoices.command()
@click.option("--from", "begins", type=DAY, required=True, help="First day.")
@click.option("--to", "ends", type=DAY, required=True, help="The day after the last one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def discounts(session: Session, *, begins: datetime, ends: datetime, as_json: bool) -> None:
    """Say which discounts were given on what, and how much of the list price came in.

    Counted are billing periods and sales that began in these days, after all corrections so far.
    """
    if ends <= begins:
        raise click.UsageError("--to is the day after the last one: name a day after --from.")
    with session.app().store.read() as tx:
        found = realisation(tx=tx, begins_on=begins.date(), ends_on=ends.date())
    if as_json:
        print_json({"products": found})
        return
    head = ("Product", "", "List", "Agreed less", "Discounts", "Net", "% of list")
    click.echo(
        table(
            head,
            [
                (
                    one.product,
                    one.currency,
                    one.listed,
                    one.agreed_off,
                    one.discounts,
                    one.net,
                    "" if one.percent is None else one.percent,
                )
                for one in found
            ],
        )
    )


@invoices.command()
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def raw(session: Session, *, number: str, as_json: bool) -> None:
    """Show the rows of your own billing system behind a document, as they were read."""
    from connector.billing.fact_store import raw_documents

    with session.app().store.read() as tx:
        documents = raw_documents(tx=tx, number=number)
    if not documents:
        raise reading.UnknownInvoice(f"No billing system of yours told of a document {number}.")
    if as_json:
        print_json({"documents": documents})
        return
    for one in documents:
        click.echo(f"{one['system']} {one['key']}, read {one['read_at']:%Y-%m-%d %H:%M} UTC")
        for row in (one, *one["lines"]):
            click.echo(f"  {row['stream']} {row['key']}: {row['reason'] or row['state']}")
            for name, value in row["raw"].items():
                click.echo(f"    {name}: {value}")
