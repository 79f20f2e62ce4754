"""`l2c estimate`: what a basket or a deal would cost, and which of several schemes is cheapest."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli.printing import print_json, table
from connector.cli.session import Session
from connector.cli.simulate import document_text
from connector.simulation.estimate import Estimate
from connector.simulation.estimate import estimate as estimate_of
from connector.simulation.outcome import plain, shown_document
from connector.simulation.read import read_model
from connector.simulation.world import Document

if TYPE_CHECKING:
    from connector.flows.deal_estimate import EstimatedBill


@click.command()
@click.argument(
    "basket", metavar="[FILE]", required=False, type=click.Path(path_type=Path, dir_okay=False)
)
@click.option("--opportunity", metavar="ID", help="Of a deal of the CRM: its quote that counts.")
@click.option("--quote", metavar="ID", help="Of this quote of the CRM.")
@click.option(
    "--at", type=click.DateTime(["%Y-%m-%d"]), help="The day a deal is won; default today."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def estimate(
    session: Session,
    *,
    basket: Path | None,
    opportunity: str | None,
    quote: str | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Show what a basket costs now, on the next invoice, a month and over its term.

    Several schemes are laid side by side. Of a deal or a quote of the CRM the first two invoices
    are shown, as they will be. Nothing is stored. See docs/how-to/estimate.md.
    """
    if sum(one is not None for one in (basket, opportunity, quote)) != 1:
        raise click.UsageError("Name a FILE, an --opportunity or a --quote.")
    if basket is not None:
        _show_basket(basket, as_json=as_json)
        return
    bills = session.app().estimate_deal(
        opportunity or quote or "", is_quote=quote is not None, on=at.date() if at else None
    )
    shown = [_shown_bill(bill, number) for number, bill in enumerate(bills, start=1)]
    if as_json:
        print_json(plain({"is_official": False, "invoices": shown}))
    else:
        click.echo("\n\n".join(map(document_text, shown)) or "Nothing would be billed.")


def _show_basket(basket: Path, *, as_json: bool) -> None:
    asked, _ = read_model(basket, Estimate)
    shown = estimate_of(asked)
    if as_json:
        print_json(plain(shown))
    elif "schemes" in shown:
        click.echo(_schemes(shown))
    else:
        click.echo(_basket(shown))


def _shown_bill(bill: "EstimatedBill", number: int) -> dict[str, Any]:
    """Return a document as a simulation shows it; `is_new` tells what the deal itself makes."""
    draft = bill.document
    shown = shown_document(Document(f"EST-{number}", draft.payer.number, draft, draft.total))
    for line, taxed in zip(shown["lines"], draft.lines, strict=True):
        line["is_new"] = taxed.line.charge.order_line_id in bill.order_line_ids
    return shown


def _basket(shown: dict[str, Any]) -> str:
    due, following = shown["due_now"], shown["next_invoice"]
    rows: list[tuple[object, ...]] = [
        (f"Due now, invoiced on {due['invoiced_on']}", due["amount"], due["tax"])
    ]
    if following:
        tax = following["total"] - following["subtotal"]
        rows.append((f"Next invoice, of {following['date']}", following["subtotal"], tax))
    rows.append(("A month", shown["monthly"], ""))
    rows.append((f"Over {shown['term_months']} months", shown["total"], ""))
    head = ("An estimate, no invoice", shown["currency"], "Tax")
    return table(head, rows)


def _schemes(shown: dict[str, Any]) -> str:
    months = [str(one) for one in shown["horizons"]]
    rows = [
        (
            row["scheme"],
            row["due_now"]["amount"],
            row["monthly"],
            *(row["totals"][one] for one in months),
            "cheapest" if row["is_cheapest"] else "",
        )
        for row in shown["schemes"]
    ]
    head = (f"Scheme, {shown['currency']}", "Due now", "A month")
    return table((*head, *(f"{one} months" for one in months), ""), rows)
