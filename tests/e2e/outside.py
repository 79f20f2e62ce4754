"""What an outsider sees of a told story: plain simple-salesforce and plain SQL, no product code.

The database and the org are opened on the kept folder the way an operator would; nothing here
shares a query or a mapping with the connector.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import requests
from simple_salesforce import Salesforce

from connector.store.embedded import EmbeddedPostgres

DATABASE = "l2c"
OPTIONS = ("--json", "--tls", "--exit-with-stdin")


@dataclass(frozen=True)
class Outside:
    """Counts and sums per currency on both sides."""

    counts: dict[str, tuple[int, int]]
    sums: dict[str, tuple[dict[str, Decimal], dict[str, Decimal]]]
    twice: list[str]

    @property
    def disagreements(self) -> list[str]:
        pairs = {**self.counts, **self.sums}
        return [f"{name}: hub {hub}, CRM {crm}" for name, (hub, crm) in pairs.items() if hub != crm]


PAIRS = {
    "orders": ("SELECT count(*) FROM customer_order", "L2C_Customer_Order__c"),
    "lines": ("SELECT count(*) FROM order_line", "L2C_Order_Line__c"),
    "work orders": ("SELECT count(*) FROM work_order", "L2C_Work_Order__c"),
    "tasks": ("SELECT count(*) FROM task", "L2C_Work_Order_Task__c"),
    "services": ("SELECT count(*) FROM service", "L2C_Service__c"),
    "invoices": ("SELECT count(*) FROM invoice WHERE number IS NOT NULL", "L2C_Invoice__c"),
    "payments": (
        "SELECT count(*) FROM payment WHERE billing_account_id IS NOT NULL",
        "L2C_Payment__c",
    ),
    "allocations": ("SELECT count(*) FROM allocation", "L2C_Allocation__c"),
    "usage summaries": ("SELECT count(*) FROM usage_summary", "L2C_Usage_Summary__c"),
}
FILES = (
    "SELECT count(*) FROM invoice_document WHERE media_type = 'application/pdf'",
    "ContentVersion WHERE L2C_Billing_Key__c != null",
)

SUMS = {
    "invoice totals": (
        "SELECT currency, sum(total) FROM invoice WHERE number IS NOT NULL GROUP BY 1",
        "SELECT Currency__c c, SUM(Total__c) s FROM L2C_Invoice__c GROUP BY Currency__c",
    ),
    "payment totals": (
        "SELECT currency, sum(amount) FROM payment WHERE billing_account_id IS NOT NULL GROUP BY 1",
        "SELECT Currency__c c, SUM(Amount__c) s FROM L2C_Payment__c GROUP BY Currency__c",
    ),
}


def look(folder: Path) -> Outside:
    """Open a kept folder from outside and compare both sides."""
    with (
        EmbeddedPostgres.start(folder / "postgres", durable=False) as server,
        psycopg.connect(server.url_of(DATABASE).replace("+psycopg", "")) as sql,
        _org(folder / "org.sqlite") as crm,
    ):
        counts = {
            name: (_scalar(sql, query), crm.query(f"SELECT COUNT() FROM {thing}")["totalSize"])
            for name, (query, thing) in (PAIRS | {"PDFs": FILES}).items()
        }
        sums = {
            name: (
                {currency: Decimal(total) for currency, total in sql.execute(query).fetchall()},
                {
                    row["c"]: Decimal(str(row["s"]))
                    for row in crm.query(soql)["records"]
                    if row["c"] is not None
                },
            )
            for name, (query, soql) in SUMS.items()
        }
        twice = [
            f"{thing} {row['Billing_Key__c']} stands {row['n']} times"
            for _, thing in PAIRS.values()
            for row in crm.query(
                f"SELECT Billing_Key__c, COUNT(Id) n FROM {thing} "
                "GROUP BY Billing_Key__c HAVING COUNT(Id) > 1"
            )["records"]
        ]
    return Outside(counts, sums, twice)


def _scalar(sql: psycopg.Connection[Any], query: str) -> int:
    row = sql.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def _org(data: Path) -> Iterator[Salesforce]:
    process = subprocess.Popen(
        [sys.executable, "-m", "l2c_sandbox", *OPTIONS, "--data", str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        facts = json.loads(process.stdout.readline())
        http = requests.Session()
        http.trust_env = False
        http.verify = facts["ca_file"]
        token = http.post(
            f"{facts['https_url']}/services/oauth2/token",
            data={
                "grant_type": "client_credentials",
                "client_id": facts["client_id"],
                "client_secret": facts["client_secret"],
            },
            timeout=30,
        ).json()["access_token"]
        with http:
            yield Salesforce(instance_url=facts["https_url"], session_id=token, session=http)
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdin.close()
        process.stdout.close()
