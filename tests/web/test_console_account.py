"""The account page: the whole story, every amount explained, every record's state in the CRM."""

import re
from datetime import date
from html import unescape
from types import SimpleNamespace

import pytest
from console_world import JULY, PDF, ConsoleWorld, Visitor


@pytest.fixture
def told(world: ConsoleWorld) -> SimpleNamespace:
    payer = world.payer(name="Zahnzentrum Rhein")
    service = world.deliver(payer)
    usage = world.use(service)
    world.bill(JULY)
    (invoice,) = world.documents()
    payment = world.pay("100.00", reference="bank-1", invoice=invoice["number"])
    world.print_invoice(invoice["id"])
    world.all_pushed()
    return SimpleNamespace(
        account=world.account_of(payer),
        service=service,
        usage=usage,
        invoice=invoice,
        payment=payment,
    )


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, flags=re.DOTALL)
    assert found, f"there is no section {name}"
    return found.group(1)


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).strip()


class TestStory:
    def test_tells_how_much_of_the_account_the_last_comparison_found_in_step(
        self, told: SimpleNamespace, visitor: Visitor, world: ConsoleWorld
    ) -> None:
        address = f"/console/accounts/{told.account}"
        assert "records in step" not in visitor.page(address)

        world.do(
            "INSERT INTO account_score VALUES (:account, 16, 15, '2026-07-02T02:30:00Z')",
            account=told.account,
        )

        assert "15 of 16 records in step (93.7 %), compared 02 Jul 2026" in words(
            visitor.page(address)
        )

    def test_tells_every_step_from_opportunity_to_balance(
        self, told: SimpleNamespace, visitor: Visitor
    ) -> None:
        page = visitor.page(f"/console/accounts/{told.account}")

        assert "opportunity 006000000000001AAA" in section(page, "orders")
        assert "1 of 2 tasks" in section(page, "orders")
        assert "next: Test calls" in section(page, "orders")
        assert "Ship phones" in section(page, "orders")
        assert "Calling seat" in section(page, "services")
        assert "300.00" in section(page, "services")
        assert "31 Jul 2026" in words(section(page, "services"))
        assert "4,321" in section(page, "usage")
        assert "1–30 Jun 2026" in section(page, "usage")
        assert told.invoice["number"] in section(page, "invoices")
        assert "EUR 535.50" in section(page, "invoices")
        assert "open 435.50, due 15 Jul 2026" in words(section(page, "invoices"))
        assert f"{told.invoice['number']} 100.00" in section(page, "payments")
        assert "EUR 435.50" in words(page.split('class="tiles money"')[1].split("</dl>")[0])

    def test_counts_and_sums_the_chain_from_lead_to_cash(
        self, told: SimpleNamespace, visitor: Visitor
    ) -> None:
        page = visitor.page(f"/console/accounts/{told.account}")

        chain = words(page.split('<ol class="chain"')[1].split("</ol>")[0])
        for said in (
            "1 opportunity",
            "1 of 2 tasks done",
            "1 service EUR 300.00 a month",
            "4,321 records EUR 45.6789",
            "EUR 535.50 1 document",
            "EUR 100.00 1 payment",
        ):
            assert said in chain

    def test_explains_every_line_down_to_its_amount(
        self, told: SimpleNamespace, visitor: Visitor
    ) -> None:
        page = section(visitor.page(f"/console/accounts/{told.account}"), "invoices")

        explanations = re.findall(r"<pre>(.*?)</pre>", page, flags=re.DOTALL)
        amounts = [str(line["amount"]).removesuffix("00") for line in told.invoice["lines"]]
        assert sorted(amounts) == ["150.00", "300.00"]
        for amount, explanation in zip(amounts, explanations, strict=True):
            assert f"{amount}  EUR, the amount of the line" in explanation

    def test_a_link_opens_one_explanation(self, told: SimpleNamespace, visitor: Visitor) -> None:
        line = told.invoice["lines"][1]["id"]

        page = visitor.page(f"/console/accounts/{told.account}?line={line}")

        opened = re.findall(r'<details class="explanation" open>.*?line=(\d+)', page, re.DOTALL)
        assert opened == [str(line)]

    def test_an_account_without_any_story_says_so_step_by_step(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        account = world.account_of(world.payer())

        page = visitor.page(f"/console/accounts/{account}")

        for said in ("No order yet", "No service yet", "No usage", "Nothing has been invoiced",
                     "No payment has come in"):  # fmt: skip
            assert said in page

    def test_shows_what_was_asked_in_the_crm_and_not_done(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do(
            "INSERT INTO intent (flow, object, sfid, version, facts, state, reason, remedy, "
            "created_at) SELECT 'win', 'Opportunity', '006000000000009AAA', '1', "
            "jsonb_build_object('AccountId', sfid), 'parked', 'Unknown product X-1.', "
            "'Load it.', now() FROM account WHERE id = :id",
            id=told.account,
        )

        page = words(visitor.page(f"/console/accounts/{told.account}"))

        assert "parked win Opportunity 006000000000009AAA Unknown product X-1. Load it." in page

    def test_there_is_no_page_of_an_unknown_account(self, visitor: Visitor) -> None:
        for path in ("/console/accounts/4711", f"/console/accounts/{2**63 - 1}"):
            answer = visitor.get(path)

            assert answer.status_code == 404
            assert "There is no such account." in answer.text

    @pytest.mark.parametrize("path", [f"/console/accounts/{2**63}", "/console/accounts/-1"])
    def test_an_impossible_number_is_no_page_either(self, visitor: Visitor, path: str) -> None:
        assert visitor.get(path).status_code == 404


class TestPdf:
    def test_shows_the_pdf_under_its_number(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        path = f"/console/invoices/{told.invoice['id']}.pdf"
        assert path in visitor.page(f"/console/accounts/{told.account}")

        answer = visitor.get(path)

        assert answer.data == PDF
        assert answer.mimetype == "application/pdf"
        assert f"{told.invoice['number']}.pdf" in answer.headers["Content-Disposition"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def test_offers_no_pdf_that_is_not_there(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do("DELETE FROM invoice_document")

        assert ".pdf" not in visitor.page(f"/console/accounts/{told.account}")
        answer = visitor.get(f"/console/invoices/{told.invoice['id']}.pdf")
        assert answer.status_code == 404
        assert "bill run makes it" in answer.text


class TestSyncState:
    def test_everything_in_step(self, told: SimpleNamespace, visitor: Visitor) -> None:
        page = visitor.page(f"/console/accounts/{told.account}")

        for name in ("orders", "services", "usage", "invoices", "payments"):
            assert "in step" in section(page, name)
            assert "pending" not in section(page, name)

    def test_pending_while_the_queue_owes_it(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.owe("invoice", told.invoice["id"])

        page = visitor.page(f"/console/accounts/{told.account}")

        assert "pending" in section(page, "invoices")
        assert "pending" not in section(page, "services")

    def test_pending_from_the_moment_of_the_change(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        # Only the trigger's mark is there yet; nobody has collapsed it into the queue.
        world.do("UPDATE service SET mr_price = 13 WHERE id = :id", id=told.service)

        page = visitor.page(f"/console/accounts/{told.account}")

        assert "pending" in section(page, "services")

    def test_of_the_opportunity_stands_beside_it(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        order = world.one("SELECT id FROM customer_order").id
        world.refuse("opportunity", order, error="No edit access.", remedy="", status="Error")

        said = words(section(visitor.page(f"/console/accounts/{told.account}"), "orders"))

        assert "opportunity 006000000000001AAA ✕ failed No edit access." in said
        assert "CRM ✓ in step" in said

    def test_failed_with_reason_and_remedy(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.refuse(
            "invoice",
            told.invoice["id"],
            error="bad value for restricted picklist field",
            remedy="Add the value to the picklist.",
            status="Error",
        )

        said = words(section(visitor.page(f"/console/accounts/{told.account}"), "invoices"))

        assert "failed bad value for restricted picklist field Add the value" in said

    def test_a_refusal_that_is_tried_again_is_told_while_it_is_pending(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.refuse(
            "payment",
            told.payment,
            error="unable to obtain exclusive access",
            remedy="Nothing: it is sent again by itself.",
            status="Pending",
        )

        said = words(section(visitor.page(f"/console/accounts/{told.account}"), "payments"))

        assert "pending unable to obtain exclusive access" in said

    def test_the_crm_is_not_told_of_what_it_never_saw(
        self, told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do("DELETE FROM crm_record WHERE entity = 'usage_summary'")

        assert "not sent" in section(visitor.page(f"/console/accounts/{told.account}"), "usage")


def test_a_hostile_name_is_only_text(world: ConsoleWorld, visitor: Visitor) -> None:
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    payer = world.payer(name=hostile)
    world.deliver(payer)
    world.do("UPDATE product SET name = :n, display_name = :n", n=hostile)
    world.do("UPDATE charge SET description = :n", n=hostile)
    world.do("UPDATE location SET name = :n", n=hostile)
    world.do("UPDATE task SET error_message = :n, queue = :n", n=hostile)
    world.bill(JULY)

    for path in (f"/console/accounts/{world.account_of(payer)}", "/console/"):
        page = visitor.page(path)
        assert "<script" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page


def test_a_day_span_never_shows_its_exclusive_end(
    told: SimpleNamespace, world: ConsoleWorld, visitor: Visitor
) -> None:
    said = words(section(visitor.page(f"/console/accounts/{told.account}"), "invoices"))

    assert {line["service_to"] for line in told.invoice["lines"]} == {date(2026, 8, 1), JULY}
    assert "1–31 Jul 2026" in said
    assert "16–30 Jun 2026" in said
    assert "Aug 2026" not in said
