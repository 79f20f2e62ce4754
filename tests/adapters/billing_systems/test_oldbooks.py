"""Facts come in exactly once and exactly as they are; commands go out exactly once."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from billing_systems_world import DEBTOR, NOW, ON, SFID, Oldbooks, item
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from connector.adapters.billing_systems.sql.database import (
    BillingSystemAway,
    BillingSystemUnfit,
    SqlBillingSystem,
)
from connector.billing.commands import open_account
from connector.billing.fact_store import Landing, held_facts, raw_documents
from connector.billing.facts import Stream
from connector.billing.payments import PaymentNotice, record_payment
from connector.billing.routing import Routing
from connector.flows.billing_systems import PullReport, deliver_commands, pull_billing, pull_each
from connector.parties.billing_accounts import PayerTerms
from connector.store.engine import Store

DUE = date(2026, 7, 15)


@pytest.fixture
def pull(store: Store, oldbooks: Oldbooks):
    def run(system: Any = None, **options: Any) -> PullReport:
        return pull_billing(store=store, system=system or oldbooks.system, now=NOW, **options)

    return run


@pytest.fixture
def rows(store: Store):
    def run(query: str) -> list[tuple[Any, ...]]:
        with store.read() as tx:
            return [tuple(row) for row in tx.execute(text(query))]

    return run


@pytest.fixture
def reasons(store: Store):
    def run() -> dict[str, str]:
        with store.read() as tx:
            return {f"{one.stream} {one.key}": one.reason for one in held_facts(tx=tx)}

    return run


def invoice(oldbooks: Oldbooks, number: str = "OB-1", net: str = "100.00", **facts: Any) -> int:
    given = {"debtor": DEBTOR, "items": [item(net)], "on": ON, "due": DUE, "now": NOW}
    return oldbooks.add_document(number, **given | facts)


class TestFacts:
    def test_come_in_once_however_often_they_are_read(self, pull, rows, oldbooks) -> None:
        document = invoice(oldbooks)
        receipt = oldbooks.add_receipt("R-1", debtor=DEBTOR, amount="19.05", on=ON)
        oldbooks.match(document=document, receipt=receipt, amount="19.05", now=NOW)

        first, second, all_again = pull(), pull(), pull(from_start=True)

        assert [one.applied for one in first.streams] == [1, 1, 0, 1, 1]
        assert second.changed == all_again.changed == 0
        assert rows("SELECT number, total, balance FROM push_invoice") == [
            ("OB-1", Decimal("119.0000"), Decimal("99.9500"))
        ]
        assert rows("SELECT count(*) FROM journal_entry") == [(0,)]

    def test_follow_their_original(self, pull, rows, oldbooks) -> None:
        document = invoice(oldbooks)
        pull()
        oldbooks.run("UPDATE ar.items SET net = 90, vat = 17.10 WHERE doc_id = %s", document)
        oldbooks.run("UPDATE ar.documents SET gross = 107.10, vat = 17.10, touched_ts = %s", NOW)

        pull()

        assert rows("SELECT total, tax FROM invoice") == [(Decimal("107.1"), Decimal("17.1"))]
        assert rows("SELECT amount FROM invoice_line") == [(Decimal(90),)]

    def test_show_a_cancelled_document_as_void_and_owe_nothing(self, pull, rows, oldbooks) -> None:
        invoice(oldbooks)
        pull()
        oldbooks.run("UPDATE ar.documents SET doc_stat = 'S', touched_ts = %s", NOW)

        pull()

        assert rows("SELECT status, balance FROM push_invoice") == [("Void", Decimal(0))]
        assert rows("SELECT balance FROM push_billing_account") == [(Decimal(0),)]

    def test_that_are_drafts_stay_away(self, pull, rows, reasons, oldbooks) -> None:
        invoice(oldbooks, stat="E")

        pull()

        assert rows("SELECT count(*) FROM invoice") == [(0,)]
        assert [key for key in reasons() if key.startswith("invoice ")] == []

    def test_reverse_a_match_that_vanished(self, pull, rows, oldbooks) -> None:
        document = invoice(oldbooks)
        receipt = oldbooks.add_receipt("R-1", debtor=DEBTOR, amount="50.00", on=ON)
        oldbooks.match(document=document, receipt=receipt, amount="20.00", now=NOW)
        oldbooks.match(document=document, receipt=receipt, amount="30.00", now=NOW)
        pull()
        oldbooks.run("DELETE FROM ar.matches WHERE amount = 30")

        pull()

        assert rows("SELECT amount, is_reversed FROM allocation ORDER BY id") == [
            (Decimal(20), False),
            (Decimal(30), True),
        ]
        assert rows("SELECT unapplied FROM push_payment") == [(Decimal(30),)]

    def test_are_not_believed_gone_when_a_whole_view_is_empty(self, pull, rows, oldbooks) -> None:
        document = invoice(oldbooks)
        receipt = oldbooks.add_receipt("R-1", debtor=DEBTOR, amount="50.00", on=ON)
        oldbooks.match(document=document, receipt=receipt, amount="20.00", now=NOW)
        pull()
        oldbooks.run("DELETE FROM ar.matches")

        report = pull()

        assert report.warnings == (
            "allocation: nothing was there at all; what is known stays as it is.",
        )
        assert rows("SELECT is_reversed FROM allocation") == [(False,)]

    def test_link_a_credit_note_to_the_invoice_of_the_same_pull(
        self, pull, rows, reasons, oldbooks
    ) -> None:
        wrong = invoice(oldbooks, "OB-2")
        note = invoice(oldbooks, "OB-1-C", "25.00", kind="G", corrects=wrong)
        oldbooks.run(
            "INSERT INTO ar.matches (doc_id, credit_id, amount, matched_ts) "
            "VALUES (%s, %s, %s, %s)",
            *(wrong, note, Decimal("29.75"), NOW),
        )

        pull()

        assert reasons() == {}
        assert rows("SELECT number, total, balance FROM push_invoice ORDER BY number") == [
            ("OB-1-C", Decimal("-29.75"), Decimal(0)),
            ("OB-2", Decimal(119), Decimal("89.25")),
        ]

    def test_can_be_seen_as_they_were_read(self, pull, store, oldbooks) -> None:
        invoice(oldbooks)
        pull()

        with store.read() as tx:
            (document,) = raw_documents(tx=tx, number="OB-1")

        assert document["raw"]["gross"] == Decimal("119.00")
        assert [line["raw"]["label"] for line in document["lines"]] == ["Line rental"]


class TestBrokenFacts:
    def test_are_held_with_a_reason_and_do_not_stop_the_others(
        self, pull, rows, reasons, oldbooks
    ) -> None:
        oldbooks.add_debtor(701, crm_id="001000000000009AAA", now=NOW)
        oldbooks.add_debtor(702, crm_id=SFID, currency="XQX", now=NOW)
        good = invoice(oldbooks)
        invoice(oldbooks, "OB-2", debtor=701)
        invoice(oldbooks, "OB-3", currency="USD")
        invoice(oldbooks, "OB-4", gross=Decimal("119.01"))
        invoice(oldbooks, "OB-5", items=[])
        invoice(oldbooks, "OB-6", items=[item("5.00", kind="?")])
        lost = oldbooks.add_receipt("R-1", debtor=701, amount="5.00", on=ON)
        oldbooks.match(document=good, receipt=lost, amount="5.00", now=NOW)

        pull()

        assert reasons() == {
            "account 701": "Neither the CRM account 001000000000009AAA nor the reference - is "
            "known.",
            "account 702": "'XQX' is not a currency.",
            "invoice 2": "Billing account 701 is not known.",
            "invoice 3": "It is in USD, its billing account in EUR.",
            "invoice 4": "The lines sum to 100.0000, the document to 100.01 without tax.",
            "invoice 5": "It has no lines.",
            "invoice 6": "Line 6/1: kind is '?', which is none of Recurring, One-time, Usage, "
            "Proration, Discount, Fee, Credit.",
            "invoice_line 6/1": "kind is '?', which is none of Recurring, One-time, Usage, "
            "Proration, Discount, Fee, Credit.",
            "payment 1": "Billing account 701 is not known.",
            "allocation 1": "Payment 1 is not known.",
        }
        assert rows("SELECT number FROM invoice") == [("OB-1",)]

    def test_come_in_by_themselves_once_what_they_need_is_there(
        self, pull, rows, reasons, oldbooks
    ) -> None:
        oldbooks.add_debtor(701, now=NOW, crm_id="001000000000009AAA")
        invoice(oldbooks, "OB-2", debtor=701)
        pull()
        oldbooks.run("UPDATE ar.debtors SET crm_ref = %s, touched_ts = %s", SFID, NOW)

        pull()

        assert reasons() == {}
        assert rows("SELECT number FROM invoice") == [("OB-2",)]

    def test_with_a_number_that_another_has_are_found_in_their_chunk(
        self, pull, rows, reasons, oldbooks
    ) -> None:
        oldbooks.run("ALTER TABLE ar.documents DROP CONSTRAINT IF EXISTS documents_doc_no_key")
        invoice(oldbooks, "OB-1")
        invoice(oldbooks, "OB-1")
        invoice(oldbooks, "OB-2")

        pull()

        assert reasons() == {
            "invoice 2": "Another row has the same number (uq_invoice_series_number)."
        }
        assert rows("SELECT number FROM invoice ORDER BY 1") == [("OB-1",), ("OB-2",)]

    def test_with_fractions_of_a_cent_are_not_rounded(
        self, pull, rows, reasons, oldbooks, tmp_path
    ) -> None:
        oldbooks.add_receipt("R-1", debtor=DEBTOR, amount="5.00", on=ON)
        oldbooks.run(
            "CREATE OR REPLACE VIEW ar.odd_receipts AS "
            "SELECT r.*, amount + 0.005 AS exact_amount FROM ar.receipts r"
        )
        path = oldbooks.mapping_with(
            tmp_path,
            {
                "from: ar.receipts": "from: ar.odd_receipts",
                "value_date\n      amount: amount": "value_date\n      amount: exact_amount",
            },
        )
        system = oldbooks.read_by(path)

        pull(system)
        system.close()

        assert reasons() == {"payment 1": "amount is 5.005; it may have 2 places."}
        assert rows("SELECT count(*) FROM payment") == [(0,)]


class TestReading:
    def test_goes_on_where_it_stopped(self, store, oldbooks, tmp_path) -> None:
        path = oldbooks.mapping_with(tmp_path, {"chunk_rows: 5000": "chunk_rows: 2"})
        system = oldbooks.read_by(path)
        for n in range(1, 6):
            invoice(oldbooks, f"OB-{n}", now=NOW + timedelta(hours=n))
        landing = Landing("oldbooks", Stream.INVOICE, system.mapping_digest)
        reading = system.read(Stream.INVOICE, after=None)
        with store.transaction() as tx:
            landing.store(tx, next(reading), now=NOW)
        reading.close()

        with store.read() as tx:
            position = landing.position(tx)
        keys = [
            row.fact.key for rows in system.read(Stream.INVOICE, after=position) for row in rows
        ]
        system.close()

        assert keys == ["2", "3", "4", "5"]

    def test_starts_again_when_the_mapping_file_is_another(self, store, pull, oldbooks) -> None:
        invoice(oldbooks)
        pull()

        with store.read() as tx:
            position = Landing("oldbooks", Stream.INVOICE, "another").position(tx)

        assert position is None

    def test_writes_nothing_in_their_database(self, oldbooks) -> None:
        with pytest.raises(BillingSystemUnfit, match="read-only"), oldbooks.system._reading() as tx:
            tx.execute(text("DELETE FROM ar.debtors"))

    def test_says_that_the_system_is_away_and_lets_the_others_go_on(self, store, oldbooks) -> None:
        nobody = SqlBillingSystem(
            oldbooks.system.definition, "postgresql://nobody@127.0.0.1:1/nothing"
        )

        away, there = pull_each(store=store, systems=[nobody, oldbooks.system], now=NOW)

        assert away.error is not None
        assert "does not answer" in away.error
        assert there.error is None

    def test_lets_only_one_pull_of_a_system_go_on(self, store, pull) -> None:
        with store.transaction() as other:
            other.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended('billing:oldbooks', 0))")
            )

            assert pull().is_busy


class TestCommands:
    def _ask(self, store: Store) -> int:
        with store.transaction() as tx:
            account_id = tx.scalar(text("SELECT id FROM account"))
            return open_account(
                tx=tx,
                account_id=account_id,
                currency="EUR",
                terms=PayerTerms(),
                routing=Routing(brands={"default": "oldbooks"}),
                now=NOW,
            )

    def test_arrive_once_although_they_are_asked_and_delivered_twice(self, store, oldbooks) -> None:
        asked = self._ask(store)
        assert self._ask(store) == asked
        deliver_commands(store=store, system=oldbooks.system, now=NOW)
        with store.transaction() as tx:  # as after a crash between their commit and ours
            tx.execute(text("UPDATE billing_command SET delivered_at = NULL"))

        assert deliver_commands(store=store, system=oldbooks.system, now=NOW) == 1

        (row,) = oldbooks.rows("SELECT key, command, account_reference FROM ar.l2c_outbox")
        assert row == {
            "key": f"open:{asked}",
            "command": "open_account",
            "account_reference": f"l2c:billing_account:{asked}",
        }

    def test_wait_while_the_system_is_away(self, store, oldbooks) -> None:
        self._ask(store)
        nobody = SqlBillingSystem(
            oldbooks.system.definition, "postgresql://nobody@127.0.0.1:1/nothing"
        )
        with pytest.raises(BillingSystemAway):
            deliver_commands(store=store, system=nobody, now=NOW)
        assert oldbooks.rows("SELECT 1 FROM ar.l2c_outbox") == []

        assert deliver_commands(store=store, system=oldbooks.system, now=NOW) == 1
        assert deliver_commands(store=store, system=oldbooks.system, now=NOW) == 0

    def test_give_the_account_here_the_number_it_got_there(
        self, store, pull, rows, oldbooks
    ) -> None:
        asked = self._ask(store)
        oldbooks.run("DELETE FROM ar.debtors")
        pull()
        oldbooks.work_off_outbox(NOW)

        pull()

        assert rows("SELECT id, foreign_key, number FROM billing_account") == [
            (asked, "700", "700")
        ]


class TestTheBuiltInSystem:
    def test_keeps_its_rules_beside_foreign_documents(self, store, pull, rows, oldbooks) -> None:
        invoice(oldbooks)
        pull()
        refused = {
            "UPDATE invoice SET system = 'builtin', foreign_key = NULL": "billing_system_stays",
            "UPDATE invoice SET series = 'NT'": "ck_invoice_foreign_series",
            "INSERT INTO billing_account (brand_id, account_id, number, currency, opened_at) "
            "SELECT brand_id, account_id, 'X', 'EUR', now() FROM billing_account; "
            "UPDATE invoice SET billing_account_id = (SELECT id FROM billing_account "
            "WHERE system = 'builtin')": "fk_invoice_billing_account_id_system",
        }

        for statement, constraint in refused.items():
            with pytest.raises(IntegrityError, match=constraint), store.transaction() as tx:
                for part in statement.split("; "):
                    tx.execute(text(part))

    def test_does_not_take_a_payment_for_a_foreign_invoice(
        self, store, pull, rows, oldbooks
    ) -> None:
        invoice(oldbooks)
        pull()
        notice = PaymentNotice("csv", "7", ON, Decimal(5), "EUR", invoice_number="OB-1")

        with store.transaction() as tx:
            record_payment(tx=tx, notice=notice, now=NOW)

        assert rows("SELECT hold_reason FROM payment") == [("Unknown invoice OB-1.",)]


class TestCheck:
    def test_finds_the_example_right(self, oldbooks) -> None:
        assert oldbooks.system.problems() == []

    def test_names_what_is_missing(self, oldbooks, tmp_path) -> None:
        path = oldbooks.mapping_with(
            tmp_path,
            {
                "from: ar.receipts": "from: ar.nothing",
                "invoice_on: doc_date": "invoice_on: day",
                "outbox: ar.l2c_outbox": "outbox: ar.matches",
            },
        )
        system = oldbooks.read_by(path)
        found = system.problems()
        system.close()

        assert "payment: there is no table or view ar.nothing" in found
        assert "invoice: ar.l2c_documents has no column day" in found
        assert "outbox: ar.matches has no column key" in found
