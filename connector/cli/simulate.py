"""`l2c simulate`: the invoices of a scripted life of customers, without touching the store."""

from pathlib import Path
from typing import Any

import click

from connector.billing.tax import NoTaxRate
from connector.cli.printing import print_json, table
from connector.simulation.checks import differences
from connector.simulation.outcome import outcome, plain
from connector.simulation.play import EventRefused, play
from connector.simulation.read import located, read_script


@click.command()
@click.argument("scenario", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def simulate(*, scenario: Path, as_json: bool) -> int:
    """Show the invoices of a scenario, and check what its `then` says.

    Nothing is stored. The grammar is in docs/how-to/simulate.md. Exit code 1 when a check fails.
    """
    script, file = read_script(scenario)
    wanted = script.then.refused if script.then else None
    try:
        shown = outcome(play(script))
    except EventRefused as error:
        if wanted == error.cause.code:
            click.echo(f"Refused as expected: {located(error, file).message}", err=True)
            if as_json:
                print_json({"invoices": [], "refused": error.cause.code})
            return 0
        raise located(error, file) from error
    except NoTaxRate as error:
        error.message = f"{scenario}: {error.message}"
        error.remedy = "Add the rate to `tax`, by country and category."
        raise
    wrong = differences(script, shown)
    if wanted:
        wrong.append(f"refused: nothing was, although {wanted} should have been")
    if as_json:
        print_json(plain(shown))
    else:
        click.echo(_as_text(shown))
    for difference in wrong:
        click.echo(f"not as expected: {difference}", err=True)
    return 1 if wrong else 0


def _as_text(shown: dict[str, Any]) -> str:
    documents = shown["invoices"]
    if not documents:
        return "Nothing would be billed."
    return "\n\n".join(document_text(document) for document in documents)


def document_text(document: dict[str, Any]) -> str:
    """Return an invoice or credit note as a table."""
    corrects = f", corrects {document['corrects']}" if document["corrects"] else ""
    title = f"{document['number']} {document['type']} of {document['date']}"
    rows: list[tuple[object, ...]] = [
        (line["service"], line["text"], f"{line['from']} – {line['to']}", line["amount"])
        for line in document["lines"]
    ]
    rows += [
        ("", f"Tax {one['percent'].normalize():f} % on {one['basis']}", "", one["tax"])
        for one in document["tax"]
    ]
    rows.append(("", "Total", "", document["total"]))
    head = ("Service", "What", "Days", document["currency"])
    return f"{title} to {document['account']}{corrects}\n{table(head, rows)}"
