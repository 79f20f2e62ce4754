"""`l2c bill`: run and preview the billing cycle."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import click

from connector.billing.bill_run import BillRunReport
from connector.billing.draft import DocumentDraft, TaxTotal
from connector.billing.leakage import find_leaks, sums_of
from connector.billing.review import list_runs, review
from connector.billing.run_plan import Plan
from connector.cli.printing import print_json, table
from connector.cli.session import Session

DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group()
def bill() -> None:
    """Run and preview the billing cycle."""


@bill.command()
@click.option("--to", "billed_to", type=DAY, required=True, help="First day not billed any more.")
@click.option("--draft", is_flag=True, help="Keep drafts for review; the next run makes them anew.")
@click.option("--preview", "only_shows", is_flag=True, help="Write nothing, show the totals.")
@click.option("--on-workers", is_flag=True, help="Leave the chunks to the workers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def run(
    session: Session,
    *,
    billed_to: datetime,
    draft: bool,
    only_shows: bool,
    on_workers: bool,
    as_json: bool,
) -> int:
    """Bill every account whose billing month begins on the day; run again, it finds its work."""
    app = session.app()
    if only_shows and (draft or on_workers):
        raise click.UsageError("--preview writes nothing: leave out --draft and --on-workers.")
    if on_workers:
        return _left(app.hand_over_bills(billed_to.date(), keep_drafts=draft), as_json=as_json)
    if only_shows:
        report = app.preview_bills(billed_to.date())
    else:
        report = app.run_bills(billed_to.date(), keep_drafts=draft)
    return _told(report, as_json=as_json)


@bill.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def runs(session: Session, *, as_json: bool) -> None:
    """List bill runs and how far they are, the latest day first."""
    with session.app().store.read() as tx:
        found = list_runs(tx=tx)
    if as_json:
        print_json(found)
        return
    click.echo(
        table(
            ("Run", "Accounts", "Chunks", "Drafts", "Finalised", "Problems", "State"),
            [
                (
                    one.billed_to,
                    one.accounts,
                    f"{one.done} of {one.chunks}",
                    one.drafts,
                    one.finalised,
                    one.problems,
                    "running" if one.finished_at is None else "in review" if one.drafts else "done",
                )
                for one in found
            ],
        )
    )


@bill.command("review")
@click.argument("run", type=DAY)
@click.option("--percent", type=click.INT, default=50, show_default=True, help="A jump from here.")
@click.option("--amount", type=click.INT, default=10, show_default=True, help="And by so much.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def review_(session: Session, *, run: datetime, percent: int, amount: int, as_json: bool) -> None:
    """Compare a run (its day) with the bills before: who jumps, is missing or gets money back."""
    with session.app().store.read() as tx:
        seen = review(
            tx=tx,
            billed_to=run.date(),
            jump_percent=Decimal(percent),
            jump_amount=Decimal(amount),
        )
    if as_json:
        print_json(seen)
        return
    for currency, total in sorted(seen.totals.items()):
        click.echo(f"{currency} {total:.2f}, last time {seen.before[currency]:.2f}")
    click.echo(
        ", ".join(f"{count} {flag}" for flag, count in sorted(seen.flags.items())) or "Even."
    )
    if seen.outliers:
        rows = [
            (one.flag, one.account, one.customer, one.total, one.before, one.currency)
            for one in seen.outliers
        ]
        click.echo(table(("Why", "Account", "Customer", "Now", "Last time", ""), rows))


@bill.command()
@click.argument("run", type=DAY)
@click.option("--on-workers", is_flag=True, help="Leave the chunks to the workers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def finalise(session: Session, *, run: datetime, on_workers: bool, as_json: bool) -> int:
    """Give the drafts of a run (its day) their numbers; what changed meanwhile stays a draft."""
    if on_workers:
        return _left(session.app().hand_over_drafts(run.date()), as_json=as_json)
    return _told(session.app().finalise_bills(run.date()), as_json=as_json)


@bill.command()
@click.argument("account")
@click.option("--to", "billed_to", type=DAY, required=True, help="First day not billed any more.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def preview(session: Session, *, account: str, billed_to: datetime, as_json: bool) -> None:
    """Show what a billing account (its number) would get, and write nothing."""
    documents = session.app().preview_bill(account, billed_to.date())
    if as_json:
        print_json([_as_json(document) for document in documents])
        return
    if not documents:
        click.echo("Nothing would be billed.")
    for document in documents:
        click.echo(_as_text(document))


@bill.command()
@click.argument("account")
@click.option("--on", type=DAY, default=None, help="Day of the order; default the payer's today.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def order(session: Session, *, account: str, on: datetime | None, as_json: bool) -> None:
    """Invoice now what orders made due, where the policy says invoice_partials_on: on_order."""
    numbers = session.app().bill_order(account, on.date() if on else None)
    if as_json:
        print_json({"documents": numbers})
    else:
        click.echo("\n".join(numbers) or "Nothing is due on order.")


@bill.command()
@click.option("--on", type=DAY, default=None, help="Look at this day; default today.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def leakage(session: Session, *, on: datetime | None, as_json: bool) -> int:
    """Find services without charges, charges without services and usage without a price.

    Exit code 1 when there are any.
    """
    app = session.app()
    with app.store.read() as tx:
        leaks = find_leaks(tx=tx, on=on.date() if on else app.clock.now().date())
    if as_json:
        print_json({"sums": sums_of(leaks), "leaks": leaks})
    elif leaks:
        heads = ("Check", "What", "Account", "Customer", "Since", "Amount", "", "Why")
        rows = [
            (
                one.check_name,
                one.what,
                one.account,
                one.customer,
                one.since,
                "" if one.amount is None else f"{one.amount:.2f}",
                one.currency,
                one.reason,
            )
            for one in leaks
        ]
        click.echo(table(heads, rows))
    else:
        click.echo("Nothing leaks.")
    return 1 if leaks else 0


def _left(plan: Plan, *, as_json: bool) -> int:
    said = f"{plan.accounts} billing accounts in {plan.chunks} chunks are left to the workers."
    print_json(plan) if as_json else click.echo(said)
    return 0


def _told(report: BillRunReport, *, as_json: bool) -> int:
    if as_json:
        print_json(report)
    else:
        click.echo(report)
        for problem in report.problems:
            click.echo(f"  {problem.code}: {problem.reason} {problem.remedy}", err=True)
    return 1 if report.problems else 0


def _as_json(document: DocumentDraft) -> dict[str, Any]:
    return {
        "type": document.type,
        "currency": document.payer.currency,
        "invoice_on": document.invoice_on,
        "due_on": document.due_on,
        "corrects": document.corrects_number,
        "reason": document.reason,
        "lines": [
            {
                "line_no": taxed.line_no,
                "section": taxed.section,
                "kind": taxed.line.kind,
                "service": taxed.line.charge.service_number,
                "description": taxed.line.description,
                "from": taxed.line.service_from,
                "to": taxed.line.service_to,
                "quantity": taxed.line.quantity,
                "unit_price": taxed.line.unit_price,
                "amount": taxed.line.amount,
                "tax_percent": taxed.tax_percent,
                "tax": taxed.tax_amount,
                "explanation": taxed.line.explanation,
            }
            for taxed in document.lines
        ],
        "tax": [
            {
                "category": t.category,
                "name": t.name,
                "percent": t.percent,
                "basis": t.basis,
                "tax": t.tax,
            }
            for t in document.taxes
        ],
        "subtotal": document.subtotal,
        "total": document.total,
    }


def _as_text(document: DocumentDraft) -> str:
    corrects = f", corrects {document.corrects_number}" if document.corrects_number else ""
    title = f"{document.type} of {document.invoice_on}{corrects}"
    rows = [
        (
            taxed.section,
            taxed.line.description,
            f"{taxed.line.service_from} – {taxed.line.service_to}",
            taxed.line.amount,
        )
        for taxed in document.lines
    ]
    rows += [("", f"{t.name or 'Tax'}{_rate(t)} on {t.basis}", "", t.tax) for t in document.taxes]
    rows.append(("", "Total", "", document.total))
    return f"{title}\n{table(('Site', 'What', 'Days', document.payer.currency), rows)}"


def _rate(tax: TaxTotal) -> str:
    is_fixed = tax.name and not tax.percent
    return "" if is_fixed else f" {tax.percent.normalize():f} %"
