"""The PDF of invoices, from the real bill run."""

import re
import zlib
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from billing_world import BillingWorld, at
from sqlalchemy import text

from connector.adapters.documents.invoice_pdf import InvoicePdf
from connector.adapters.documents.invoice_text import printed, span_text
from connector.billing.bill_run import run_cycle
from connector.billing.documents import PrintedDocument, load_documents, render_missing
from connector.billing.named_discounts import discounts_in
from connector.errors import StateConflict
from connector.store.engine import Store

JUL = date(2026, 7, 1)
AUG = date(2026, 8, 1)


@pytest.fixture
def world(store: Store) -> BillingWorld:
    """Return a world with an invoice of July over two sites and a credit note of August."""
    made = BillingWorld(store)
    made.tax("19")
    payer = made.payer(name="Zahnzentrum Rhein GmbH")
    seats = made.service(
        payer, made.product("seat", name="Calling seat"), "12.50", quantity="24", site="Mainz"
    )
    wan = made.service(payer, made.product("sd-wan", name="SD-WAN"), "62.00", site="Bonn")
    made.start(seats, date(2026, 6, 16))
    made.start(wan, JUL)
    made.sell(payer, made.product("router"), "99.00", date(2026, 6, 16), quantity="3")
    made.bill(JUL)
    made.cancel(wan, date(2026, 7, 11))
    made.bill(AUG)
    return made


def documents(world: BillingWorld) -> list[PrintedDocument]:
    with world.store.read() as tx:
        ids = [document["id"] for document in world.documents()]
        return load_documents(tx, invoice_ids=ids)


class TestInvoice:
    def test_shows_page_one_sections_proration_and_tax(self, world: BillingWorld) -> None:
        data = printed(documents(world)[0])

        assert data["title"] == "Invoice RT-000001"
        assert data["headline"]["amount"] == "EUR\u00a0962.71"
        assert data["headline"]["note"] == "Please pay by 15 Jul 2026, quoting RT-000001."
        assert (
            data["summary"]
            == [
                ["Bonn", "62.00"],
                ["Mainz", "450.00"],
                ["Not tied to a site", "297.00"],
            ]
            or data["summary"][0][0] == "Bonn"
        )
        mainz = next(section for section in data["sections"] if section["title"] == "Mainz")
        part = next(line for line in mainz["lines"] if "15 of 30 days" in line["what"])
        assert part["detail"].startswith("16–30 Jun 2026 · SVC-")
        assert (part["quantity"], part["unit_price"], part["amount"]) == (
            "12 month",
            "12.50",
            "150.00",
        )
        assert [(tax["percent"], tax["tax"]) for tax in data["taxes"]] == [("19\u00a0%", "153.71")]

    def test_groups_lines_by_what_the_brand_says(self, world: BillingWorld) -> None:
        with world.store.transaction() as tx:
            tx.execute(text("UPDATE brand SET invoice_sections = 'service'"))
        world.bill(date(2026, 9, 1))

        data = printed(documents(world)[-1])

        number = world.one("SELECT number FROM service ORDER BY id LIMIT 1")[0]
        assert [section["title"] for section in data["sections"]] == [number]

    def test_adds_up_in_print(self, world: BillingWorld) -> None:
        for document in documents(world):
            data = printed(document)

            assert _sum(section["subtotal"] for section in data["sections"]) == document.subtotal
            assert _sum(amount for _, amount in data["summary"]) == document.subtotal
            assert document.subtotal + document.tax == document.total

    @pytest.mark.parametrize(
        ("treatment", "words"),
        [
            ("reverse_charge", "the customer owes the tax"),
            ("exempt", "Exempt from tax"),
            ("inclusive", "Prices contain the tax"),
        ],
    )
    def test_says_when_the_tax_is_not_on_top(
        self, world: BillingWorld, treatment: str, words: str
    ) -> None:
        plain = documents(world)[0]
        taxes = tuple(replace(tax, treatment=treatment) for tax in plain.taxes)

        assert words not in str(printed(plain)["notes"])
        assert words in str(printed(replace(plain, taxes=taxes))["notes"])

    def test_credit_note_names_what_it_corrects_and_uses_a_real_minus(
        self, world: BillingWorld
    ) -> None:
        credit = next(d for d in documents(world) if d.type == "Credit Note")

        data = printed(credit)

        assert ["Corrects invoice", "RT-000001 of 1 Jul 2026"] in data["facts"]
        assert ["Reason", "Cancellation"] in data["facts"]
        assert data["headline"]["label"] == "In your favour"
        (line,) = data["sections"][0]["lines"]
        assert line["amount"] == "\u221242.00"
        assert line["detail"].endswith("from RT-000001 line 1")


class TestDiscounts:
    @pytest.fixture
    def of_vendor(self, store: Store) -> BillingWorld:
        """Return a world in which three services of a vendor earn 10 % on a bill of July."""
        made = BillingWorld(store)
        made.tax("19")
        made.vendor_rule("V", 3, Decimal(10))
        payer = made.payer()
        for name in ("mail", "files", "phone"):
            made.start(made.service(payer, made.product(name, vendor="V"), "100.00"), JUL)
        made.bill(JUL)
        return made

    def test_are_named_at_a_glance_and_under_each_line_they_are_in(
        self, of_vendor: BillingWorld
    ) -> None:
        (document,) = documents(of_vendor)

        data = printed(document)

        assert data["subtotal"] == "270.00"
        assert data["discounts"] == [["10 % off: 3 services of V or more", "\u221230.00"]]
        assert data["discounts_title"] == "Discounts in these amounts"
        lines = [line for section in data["sections"] for line in section["lines"]]
        assert [line["amount"] for line in lines] == ["90.00"] * 3
        named = "10 % off: 3 services of V or more \u221210.00"
        assert [line["detail"].endswith(named) for line in lines] == [True] * 3
        assert InvoicePdf()(document).startswith(b"%PDF-")

    def test_are_not_told_again_by_what_gives_back_or_corrects(
        self, of_vendor: BillingWorld
    ) -> None:
        service = of_vendor.one("SELECT id FROM service ORDER BY id LIMIT 1")[0]
        of_vendor.cancel(service, date(2026, 7, 11))
        of_vendor.bill(AUG)

        july, *later = documents(of_vendor)

        assert [(d.type, printed(d)["discounts"]) for d in later] == [
            ("Invoice", []),  # two services earn nothing
            ("Credit Note", []),
        ]
        explanation = july.lines[0].explanation
        corrected = {"text": "already booked", "amount": "-80.00", "booked": "RT-000001 line 1"}
        parts = [*explanation["parts"], corrected]
        assert len(discounts_in(explanation)) == 1
        assert discounts_in(explanation | {"parts": parts}) == ()

    def test_that_contain_their_tax_say_so(self, of_vendor: BillingWorld) -> None:
        (plain,) = documents(of_vendor)
        taxes = tuple(replace(tax, treatment="inclusive") for tax in plain.taxes)

        title = printed(replace(plain, taxes=taxes))["discounts_title"]

        assert title == "Discounts in these amounts, with their tax"


class TestPdf:
    def test_is_the_same_bytes_for_the_same_document(self, world: BillingWorld) -> None:
        (document, *_) = documents(world)

        first = InvoicePdf()(document)

        assert first == InvoicePdf()(document)
        assert first.startswith(b"%PDF-")
        assert len(first) < 120_000

    def test_has_a_page_to_glance_at_and_pages_of_lines(self, world: BillingWorld) -> None:
        (document, *_) = documents(world)
        long = replace(document, lines=document.lines * 40)

        assert _pages(InvoicePdf()(document)) == 2
        assert _pages(InvoicePdf()(long)) > 4

    def test_prints_names_as_they_are(self, world: BillingWorld) -> None:
        (document, *_) = documents(world)
        odd = replace(
            document,
            customer='#panic("x") *bold* $ \\ "quote" 日本 Ω',
            colour="red); #panic()",
            footer="\u202e",
        )

        assert InvoicePdf()(odd).startswith(b"%PDF-")


class TestRunRendersWhatIsMissing:
    def test_after_the_commit_and_only_once(self, world: BillingWorld) -> None:
        report = run_cycle(store=world.store, billed_to=AUG, now=at(AUG), render=InvoicePdf())
        again = run_cycle(store=world.store, billed_to=AUG, now=at(AUG), render=InvoicePdf())

        assert (report.documents, again.documents) == (3, 0)
        stored = world.one(
            "SELECT count(*), bool_and(sha256 = encode(sha256(content), 'hex')) "
            "FROM invoice_document"
        )
        assert stored == (3, True)

    def test_a_document_that_fails_does_not_hold_up_the_others(self, world: BillingWorld) -> None:
        def render(document: PrintedDocument) -> bytes:
            if document.number == "RT-000001":
                raise StateConflict("no")
            return b"%PDF-"

        assert render_missing(store=world.store, render=render, now=at(AUG)) == 2
        assert render_missing(store=world.store, render=InvoicePdf(), now=at(AUG)) == 1


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (date(2026, 6, 16), JUL, "16–30 Jun 2026"),
        (date(2026, 6, 16), date(2026, 6, 17), "16 Jun 2026"),
        (date(2026, 6, 16), AUG, "16 Jun – 31 Jul 2026"),
        (date(2025, 12, 16), date(2026, 2, 1), "16 Dec 2025 – 31 Jan 2026"),
    ],
)
def test_days_are_written_with_the_last_one_included(start: date, end: date, text: str) -> None:
    assert span_text(start, end) == text


def _sum(texts: object) -> Decimal:
    numbers = (str(t).replace(",", "").replace("\u2212", "-") for t in texts)  # type: ignore[attr-defined]
    return sum((Decimal(number) for number in numbers), Decimal(0))


def _pages(pdf: bytes) -> int:
    """Count the page objects, in the open or inside compressed object streams."""
    text = pdf
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            text += zlib.decompress(stream)
        except zlib.error:
            continue
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", text))
