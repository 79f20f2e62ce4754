"""Somebody else's billing database, and a small script that plays the system behind it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from connector.adapters.billing_systems.sql.database import SqlBillingSystem
from connector.adapters.billing_systems.sql.definition import load_system
from connector.resources import mappings_dir
from connector.store.embedded import EmbeddedPostgres

EXAMPLE = mappings_dir() / "billing_systems" / "examples"
CENT = Decimal("0.01")
NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
ON = date(2026, 7, 1)
SFID = "001000000000001AAA"
DEBTOR = 700


@contextmanager
def oldbooks_database(postgres: EmbeddedPostgres) -> Iterator["Oldbooks"]:
    """Make the example's database on the tests' server, and drop it at the end."""
    name = f"oldbooks_{uuid4().hex[:12]}"
    admin_address = postgres.url_of("postgres").replace("+psycopg", "")
    with psycopg.connect(admin_address, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    url = postgres.url_of(name)
    system = SqlBillingSystem(load_system(EXAMPLE / "oldbooks.yaml"), url)
    try:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as theirs:
            theirs.execute((EXAMPLE / "oldbooks.sql").read_bytes())
            yield Oldbooks(url, theirs, system)
    finally:
        system.close()
        with psycopg.connect(admin_address, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Oldbooks:
    """The foreign billing system: its clerk, and its side of the outbox."""

    url: str
    theirs: psycopg.Connection[Any]
    system: SqlBillingSystem

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        return self.theirs.cursor(row_factory=dict_row).execute(query, values).fetchall()

    def run(self, statement: str, *values: object) -> None:
        self.theirs.execute(statement, values)

    def mapping_with(self, folder: Path, words: Mapping[str, str]) -> Path:
        """Write the example's mapping file with some words replaced."""
        text = (EXAMPLE / "oldbooks.yaml").read_text(encoding="utf-8")
        for old, new in words.items():
            assert old in text, old
            text = text.replace(old, new)
        path = folder / "oldbooks.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def read_by(self, mapping: Path) -> SqlBillingSystem:
        """Return the system as another mapping file reads it; the caller closes it."""
        return SqlBillingSystem(load_system(mapping), self.url)

    # --- what the system does by itself ---

    def work_off_outbox(self, now: datetime) -> int:
        """Open the debtors that commands ask for; other commands wait for the billing day."""
        opened = 0
        for row in self.rows(
            "SELECT key, account_reference, payload FROM ar.l2c_outbox "
            "WHERE command = 'open_account' AND done_at IS NULL ORDER BY sequence"
        ):
            payer = row["payload"]["account"]
            self.add_debtor(
                700 + len(self.rows("SELECT 1 FROM ar.debtors")),
                reference=row["account_reference"],
                currency=payer["currency"],
                mail=payer.get("email"),
                now=now,
            )
            self.run("UPDATE ar.l2c_outbox SET done_at = %s WHERE key = %s", now, row["key"])
            opened += 1
        return opened

    def add_debtor(
        self,
        number: int,
        *,
        now: datetime,
        reference: str | None = None,
        crm_id: str | None = None,
        currency: str = "EUR",
        mail: str | None = None,
    ) -> int:
        self.run(
            "INSERT INTO ar.debtors (debtor_no, crm_ref, ext_ref, curr, mail, since_ts, touched_ts)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            *(number, crm_id, reference, currency, mail, now, now),
        )
        return number

    def add_document(
        self,
        number: str,
        *,
        debtor: int,
        items: Sequence[dict[str, Any]],
        on: date,
        due: date,
        now: datetime,
        kind: str = "R",
        stat: str = "B",
        currency: str = "EUR",
        period: tuple[date, date] | None = None,
        gross: Decimal | None = None,
        corrects: int | None = None,
    ) -> int:
        """Book a document; items are `pos` upwards with net, vat and what else they say."""
        net = sum((item["net"] for item in items), Decimal(0))
        vat = sum((item["vat"] for item in items), Decimal(0))
        first, last = period or (on, on)
        (made,) = self.rows(
            "INSERT INTO ar.documents (debtor_no, doc_no, doc_kind, doc_stat, curr, doc_date, "
            "due_date, svc_from, svc_to, gross, vat, booked_ts, origin_doc, touched_ts) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING doc_id",
            *(debtor, number, kind, stat, currency, on, due, first, last),
            *(net + vat if gross is None else gross, vat, now, corrects, now),
        )
        document = int(made["doc_id"])
        for position, item in enumerate(items, start=1):
            self.run(
                "INSERT INTO ar.items (doc_id, pos, kind, label, qty, unit_net, net, vat, "
                "svc_from, svc_to, origin_key) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                *(document, position, item.get("kind", "A"), item.get("label", "Line rental")),
                *(item.get("qty", 1), item.get("unit", item["net"]), item["net"], item["vat"]),
                *(item.get("first", first), item.get("last", last), item.get("origin")),
            )
        return document

    def add_receipt(
        self,
        number: str,
        *,
        debtor: int,
        amount: str,
        on: date,
        currency: str = "EUR",
        payer_text: str | None = None,
    ) -> int:
        (made,) = self.rows(
            "INSERT INTO ar.receipts (receipt_no, debtor_no, value_date, amount, curr, payer_text) "
            "VALUES (%s, %s, %s, %s, %s, %s) RETURNING receipt_id",
            *(number, debtor, on, Decimal(amount), currency, payer_text),
        )
        return int(made["receipt_id"])

    def match(self, *, document: int, receipt: int, amount: str, now: datetime) -> int:
        (made,) = self.rows(
            "INSERT INTO ar.matches (doc_id, receipt_id, amount, matched_ts) "
            "VALUES (%s, %s, %s, %s) RETURNING match_id",
            *(document, receipt, Decimal(amount), now),
        )
        return int(made["match_id"])


def item(net: str, *, percent: str = "19", **facts: Any) -> dict[str, Any]:
    amount = Decimal(net)
    vat = (amount * Decimal(percent) / 100).quantize(CENT, rounding=ROUND_HALF_UP)
    return {"net": amount, "vat": vat} | facts
