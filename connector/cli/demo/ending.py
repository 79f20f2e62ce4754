"""The end of the story: tie-out table, reconcile, and the summary as data."""

from decimal import Decimal
from typing import Any

from connector.cli.demo import tie_out
from connector.cli.demo.crm_user import CrmUser
from connector.cli.demo.narrator import Narrator
from connector.cli.demo.stage import Stage
from connector.errors import StateConflict


class StoryDoesNotTieOut(StateConflict):
    """Hub, journal and CRM tell different stories."""

    code = "demo.no_tie_out"


def summarise(*, stage: Stage, crm: CrmUser, narrator: Narrator) -> dict[str, Any]:
    """Compare hub, journal and CRM, reconcile, print the table and return the summary.

    Raises:
        StoryDoesNotTieOut: A count, a sum or a record is not the same everywhere.
    """
    narrator.chapter("Do hub, journal and CRM tell one story?")
    hub = tie_out.read_hub(stage.app.store)
    journal, balanced = tie_out.read_journal(stage.app.store)
    seen = tie_out.read_crm(crm)
    narrator.table(_table(hub, journal, seen))
    drift = stage.app.reconcile().drift
    calls = stage.app.org.calls
    narrator.say(
        f"journal {'balanced' if balanced else 'NOT BALANCED'}, "
        f"reconcile: {drift} differences, {calls} API calls, {narrator.seconds} s"
    )
    wrong = tie_out.differences(hub, journal, seen)
    if not balanced:
        wrong.append("an entry of the journal does not balance")
    if drift:
        wrong.append(f"{drift} records differ between hub and CRM")
    if wrong:
        raise StoryDoesNotTieOut(f"{'; '.join(wrong)}.")
    counts = hub.counts
    return {
        name: counts[name]
        for name in (
            "opportunities",
            "orders",
            "work_orders",
            "tasks",
            "services_in_service",
            "usage_records",
            "rated_records",
            "invoices",
        )
    } | {
        "invoice_total": tie_out.as_json(hub.sums["invoices"]),
        "payments": counts["payments"],
        "payment_total": tie_out.as_json(hub.sums["payments"]),
        "open_balance": tie_out.as_json(hub.sums["balances"]),
        "credit_notes": counts["credit_notes"],
        "held_payments": counts["held_payments"],
        "crm": {
            "invoice": seen.counts["invoices"],
            "payment": seen.counts["payments"],
            "service": seen.counts["services"],
            "work_order": seen.counts["work_orders"],
        },
        "crm_invoice_total": tie_out.as_json(seen.sums["invoices"]),
        "journal_balanced": balanced,
        "drift": drift,
        "api_calls": calls,
        "seconds": narrator.seconds,
    }


def _table(hub: tie_out.Side, journal: tie_out.Side, crm: tie_out.Side) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("", "hub", "journal", "CRM")]
    documents = hub.counts["invoices"] + hub.counts["credit_notes"]
    rows.append(("invoices and credit notes", str(documents), "", str(crm.counts["invoices"])))
    rows.append(("payments", str(hub.counts["payments"]), "", str(crm.counts["payments"])))
    rows.append(("services", str(hub.counts["services"]), "", str(crm.counts["services"])))
    for name in ("invoices", "payments", "balances"):
        sides = (hub, journal, crm)
        for currency in sorted({c for side in sides for c in side.sums[name]}):
            amounts = (f"{side.sums[name].get(currency, Decimal(0)):,.2f}" for side in sides)
            rows.append((f"{name} {currency}", *amounts))
    return rows
