"""The end of the story: the same counts and sums read from hub, journal and CRM."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from connector.cli.demo.crm_user import CrmUser
from connector.store.engine import Store

Sums = dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Side:
    """What one side holds: numbers and sums per currency."""

    counts: Mapping[str, int]
    sums: Mapping[str, Sums]


HUB_COUNTS = {
    "opportunities": "SELECT count(DISTINCT opportunity_sfid) FROM customer_order",
    "orders": "SELECT count(*) FROM customer_order",
    "work_orders": "SELECT count(*) FROM work_order",
    "tasks": "SELECT count(*) FROM task",
    "services": "SELECT count(*) FROM service",
    "services_in_service": "SELECT count(*) FROM service WHERE state = 'In Service'",
    "usage_records": "SELECT coalesce(sum(accepted), 0) FROM usage_file",
    "rated_records": "SELECT coalesce(sum(records), 0) FROM usage_summary",
    "invoices": "SELECT count(*) FROM invoice WHERE state = 'finalised' AND type = 'Invoice'",
    "credit_notes": "SELECT count(*) FROM invoice WHERE state = 'finalised' "
    "AND type = 'Credit Note'",
    "payments": "SELECT count(*) FROM payment WHERE billing_account_id IS NOT NULL",
    "held_payments": "SELECT count(*) FROM payment WHERE billing_account_id IS NULL",
}

HUB_SUMS = {
    "invoices": "SELECT currency, sum(total) FROM invoice WHERE state = 'finalised' GROUP BY 1",
    # Money whose owner nobody knows is held apart and not in the CRM.
    "payments": "SELECT currency, sum(amount) FROM payment "
    "WHERE billing_account_id IS NOT NULL GROUP BY 1",
    "balances": "SELECT i.currency, sum(b.balance) FROM v_invoice_balance b "
    "JOIN invoice i ON i.id = b.invoice_id WHERE i.state = 'finalised' GROUP BY 1",
}

# Receivables hold what customers owe; customer credits (unapplied money) are a liability apart.
JOURNAL_SUMS = {
    "invoices": "SELECT e.currency, sum(l.debit - l.credit) FROM journal_entry e "
    "JOIN journal_line l ON l.entry_id = e.id WHERE l.account_code = '1200' "
    "AND e.document_type IN ('invoice', 'credit_note') GROUP BY 1",
    "payments": "SELECT e.currency, sum(l.debit - l.credit) FROM journal_entry e "
    "JOIN journal_line l ON l.entry_id = e.id "
    "JOIN payment p ON e.document_type = 'payment' AND p.id = e.document_id "
    "WHERE l.account_code = '1000' AND p.billing_account_id IS NOT NULL GROUP BY 1",
    "balances": "SELECT e.currency, sum(l.debit - l.credit) FROM journal_entry e "
    "JOIN journal_line l ON l.entry_id = e.id WHERE l.account_code = '1200' GROUP BY 1",
}

CRM_COUNTS = {
    "invoices": "SELECT COUNT(Id) n FROM L2C_Invoice__c",
    "payments": "SELECT COUNT(Id) n FROM L2C_Payment__c",
    "services": "SELECT COUNT(Id) n FROM L2C_Service__c",
    "work_orders": "SELECT COUNT(Id) n FROM L2C_Work_Order__c",
}

CRM_SUMS = {
    "invoices": "SELECT Currency__c c, SUM(Total__c) s FROM L2C_Invoice__c GROUP BY Currency__c",
    "payments": "SELECT Currency__c c, SUM(Amount__c) s FROM L2C_Payment__c GROUP BY Currency__c",
    "balances": "SELECT Currency__c c, SUM(Balance__c) s FROM L2C_Invoice__c GROUP BY Currency__c",
}


def read_hub(store: Store) -> Side:
    """Read the hub's counts and sums."""
    with store.read() as tx:
        counts = {name: int(tx.scalar(text(sql)) or 0) for name, sql in HUB_COUNTS.items()}
        sums = {name: _sums(tx.execute(text(sql)).all()) for name, sql in HUB_SUMS.items()}
    return Side(counts, sums)


def read_journal(store: Store) -> tuple[Side, bool]:
    """Read the journal's sums, and whether every entry balances."""
    with store.read() as tx:
        entries = int(tx.scalar(text("SELECT count(*) FROM journal_entry")) or 0)
        sums = {name: _sums(tx.execute(text(sql)).all()) for name, sql in JOURNAL_SUMS.items()}
        off = tx.scalar(
            text(
                "SELECT count(*) FROM (SELECT entry_id FROM journal_line GROUP BY entry_id "
                "HAVING sum(debit) <> sum(credit)) AS unbalanced"
            )
        )
    return Side({"entries": entries}, sums), off == 0


def read_crm(crm: CrmUser) -> Side:
    """Read the CRM's counts and sums with plain queries."""
    counts = {name: int(crm.rows(soql)[0]["n"]) for name, soql in CRM_COUNTS.items()}
    sums: dict[str, Sums] = {}
    for name, soql in CRM_SUMS.items():
        rows = crm.rows(soql)
        sums[name] = {r["c"]: Decimal(str(r["s"] or 0)) for r in rows if r["c"] is not None}
    return Side(counts, sums)


def differences(hub: Side, journal: Side, crm: Side) -> list[str]:
    """Name every sum or count that is not the same everywhere."""
    found = []
    for name, sums in hub.sums.items():
        for currency in sorted(set(sums) | set(journal.sums[name]) | set(crm.sums[name])):
            values = {
                side: of.sums[name].get(currency, Decimal(0))
                for side, of in (("hub", hub), ("journal", journal), ("CRM", crm))
            }
            if len(set(values.values())) > 1:
                found.append(f"{name} in {currency}: {values}")
    documents = hub.counts["invoices"] + hub.counts["credit_notes"]
    pairs = {
        "invoices": documents,
        "payments": hub.counts["payments"],
        "services": hub.counts["services"],
        "work_orders": hub.counts["work_orders"],
    }
    found += [
        f"{name}: hub {count}, CRM {crm.counts[name]}"
        for name, count in pairs.items()
        if crm.counts[name] != count
    ]
    return found


def as_json(sums: Sums) -> dict[str, str]:
    """Return sums as strings with two places, fit for JSON."""
    return {currency: f"{total:.2f}" for currency, total in sorted(sums.items())}


def _sums(rows: Any) -> Sums:
    return {row[0]: Decimal(row[1]) for row in rows}
