"""`l2c bill`, `l2c invoices` and `l2c payments`, through the real application."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from billing_world import BillingWorld
from click import UsageError
from click.testing import CliRunner

from connector.bootstrap import App
from connector.cli.bill import bill
from connector.cli.files import UnwritableFile
from connector.cli.invoices import invoices
from connector.cli.orders import orders
from connector.cli.payments import payments
from connector.cli.services import services
from connector.config import load_settings
from connector.errors import ConnectorError
from connector.kernel.clock import MovableClock
from connector.store.engine import Store

JUL = date(2026, 7, 1)


@dataclass
class Shell:
    """A terminal with an open application."""

    world: BillingWorld
    opened: App
    folder: Path

    def app(self) -> App:
        return self.opened

    def run(self, command: Any, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(
            command, list(arguments), obj=self, catch_exceptions=False, standalone_mode=False
        )
        assert (result.return_value or 0) == code
        return result.output

    def json(self, command: Any, *arguments: str, code: int = 0) -> Any:
        printed = self.run(command, *arguments, "--json", code=code)
        return json.loads(printed.splitlines()[-1])  # log lines may come before


@pytest.fixture
def shell(store: Store, tmp_path: Path) -> Iterator[Shell]:
    """Return a shell on a world in which a service started on 16 June."""
    config = tmp_path / "config.yaml"
    config.write_text(f"store: {{data_dir: {tmp_path}}}", encoding="utf-8")
    world = BillingWorld(store)
    world.tax("19")
    payer = world.payer(name="Zahnzentrum Rhein GmbH")
    seats = world.service(payer, world.product("seat", name="Calling seat"), "10.00", site="Mainz")
    world.start(seats, date(2026, 6, 16))
    clock = MovableClock(datetime(2026, 7, 1, 9, tzinfo=UTC))
    app = App(settings=load_settings(config), store=store, clock=clock)
    yield Shell(world, app, tmp_path)
    app.queue.close()


def test_a_bill_is_previewed_run_listed_shown_explained_and_printed(shell: Shell) -> None:
    account = shell.world.one("SELECT number FROM billing_account")[0]

    previewed = shell.json(bill, "preview", account, "--to", "2026-07-01")
    ran = shell.json(bill, "run", "--to", "2026-07-01")
    listed = shell.json(invoices, "list", "--account", account)
    shown = shell.json(invoices, "show", "RT-000001")
    explained = shell.json(invoices, "explain", "RT-000001", "--line", "2")
    printed = shell.json(invoices, "pdf", "RT-000001", "--out", str(shell.folder / "invoice.pdf"))

    assert (ran["invoices"], ran["totals"], ran["problems"]) == (1, {"EUR": "17.85"}, [])
    assert previewed[0]["total"] == listed[0]["total"] == shown["invoice"]["total"] == "17.85"
    assert [line["amount"] for line in shown["lines"]] == ["10.00", "5.00"]
    assert explained[0]["explanation"]["inputs"]["days"] == 15
    in_steps = shell.run(invoices, "explain", "RT-000001").split("In four steps")[1]
    assert [line.split()[-1] for line in in_steps.splitlines() if line[-3:-2] == "."] == [
        "20.00", "-5.00", "15.00", "2.85", "17.85",
    ]  # fmt: skip
    days = ("--from", "2026-06-01", "--to", "2026-08-01")
    (seat,) = shell.json(invoices, "discounts", *days)["products"]
    assert (seat["listed"], seat["discounts"], seat["net"]) == ("15.00", "0.00", "15.00")
    assert "Calling seat" in shell.run(invoices, "discounts", *days)
    content = (shell.folder / "invoice.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(content) == printed["bytes"]


def test_people_get_tables_and_sentences(shell: Shell) -> None:
    account = shell.world.one("SELECT number FROM billing_account")[0]

    texts = [
        shell.run(bill, "preview", account, "--to", "2026-07-01"),
        shell.run(bill, "run", "--to", "2026-07-01", "--draft"),
        shell.run(bill, "run", "--to", "2026-07-01"),
        shell.run(invoices, "list"),
        shell.run(invoices, "show", "RT-000001"),
        shell.run(invoices, "explain", "RT-000001"),
        shell.run(payments, "list"),
    ]

    for text, said in zip(
        texts,
        (
            "Calling seat, 15 of 30 days",
            "1 billing accounts due on 2026-07-01: 1 invoices and 0 credit notes, 17.85 EUR",
            "1 invoices",
            "Zahnzentrum Rhein GmbH",
            "EUR 17.85, Issued, open 17.85",
            "10.00  1 × 10.00 a month, the whole month from 2026-07-01",
            "Held why",
        ),
        strict=True,
    ):
        assert said in text


def test_an_explanation_names_the_discounts_of_a_vendor(shell: Shell) -> None:
    world = shell.world
    world.vendor_rule("V", 1, Decimal(10))
    payer = world.payer()
    world.start(world.service(payer, world.product("mail", vendor="V"), "100.00"), JUL)
    world.bill(JUL)
    number = world.one("SELECT number FROM invoice WHERE subtotal = 90")[0]

    explained = shell.run(invoices, "explain", number)

    assert "-10.00  less 10 % from 2026-07-01 to before 2026-08-01 (1 services of V" in explained
    rest = explained.split("Discounts in it")[1]
    assert "10 % off: 1 services of V or more" in rest
    assert rest.split()[-1] == "-10.00"


def test_a_part_of_a_line_is_given_back(shell: Shell) -> None:
    shell.run(bill, "run", "--to", "2026-07-01")

    by_amount = shell.json(
        invoices, "credit", "RT-000001", "--line", "2", "--amount", "1.50", "--reason", "Goodwill"
    )
    shell.run(invoices, "credit", "RT-000001", "--line", "1", "--quantity", "0.5")

    assert by_amount["credit_note"] == "RT-CN-000001"
    shown = [shell.json(invoices, "show", f"RT-CN-00000{n}")["invoice"]["total"] for n in (1, 2)]
    assert shown == ["-1.79", "-5.95"]
    assert "a part of the line" in shell.run(invoices, "explain", "RT-CN-000001", "--json")
    for wrong in (["--amount", "x"], ["--amount", "NaN"], ["--amount", "1", "--quantity", "1"]):
        with pytest.raises(UsageError):
            shell.run(invoices, "credit", "RT-000001", "--line", "1", *wrong)


def test_payments_are_imported_held_and_assigned(shell: Shell) -> None:
    shell.run(bill, "run", "--to", "2026-07-01")
    file = shell.folder / "bank.csv"
    file.write_text(
        "reference,date,amount,currency,invoice_number\n"
        "B-1,2026-07-05,10.00,EUR,RT-000001\n"
        "B-2,2026-07-05,7.85,EUR,RT-1\n"
        "B-3,5.7.2026,1.00,EUR,RT-000001\n",
        encoding="utf-8",
    )

    report = shell.json(payments, "import", str(file), code=1)
    (held,) = shell.json(payments, "list", "--held")
    shell.run(payments, "assign", held["number"], "--invoice", "RT-000001")

    assert (report["recorded"], len(report["held"])) == (2, 1)
    assert report["problems"] == [
        {"line_no": 4, "reason": "'5.7.2026' is not a date like 2026-07-10."}
    ]
    assert held["hold_reason"] == "Unknown invoice RT-1."
    assert shell.json(invoices, "list")[0]["status"] == "Paid"


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        (invoices, ("show", "RT-9"), "no invoice or credit note RT-9"),
        (invoices, ("pdf", "RT-9"), "no PDF of RT-9"),
        (bill, ("preview", "BA-9", "--to", "2026-07-01"), "no billing account BA-9"),
        (bill, ("run", "--to", "2027-07-01"), "too far ahead"),
        (bill, ("order", "BA-9"), "no billing account BA-9"),
        (payments, ("assign", "PAY-9", "--invoice", "RT-9"), "PAY-9"),
        (services, ("show", "SRV-9"), "no service SRV-9"),
        (orders, ("show", "ORD-9"), "no order ORD-9"),
    ],
)
def test_a_mistake_ends_in_a_sentence(
    shell: Shell, command: Any, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConnectorError, match=said) as refused:
        shell.run(command, *arguments)
    assert refused.value.remedy


def test_a_pdf_that_cannot_be_written_ends_in_a_sentence(shell: Shell) -> None:
    shell.run(bill, "run", "--to", "2026-07-01")

    with pytest.raises(UnwritableFile, match="pdf cannot be written"):
        shell.run(
            invoices, "pdf", "RT-000001", "--out", str(shell.folder / "no-such-folder/invoice.pdf")
        )


def test_discounts_of_days_that_go_back_are_refused(shell: Shell) -> None:
    with pytest.raises(click.UsageError, match="name a day after --from"):
        shell.run(invoices, "discounts", "--from", "2026-07-01", "--to", "2026-07-01")


def test_drafts_are_shown_reviewed_finalised_and_an_invoice_voided(shell: Shell) -> None:
    shown = shell.json(bill, "run", "--to", "2026-07-01", "--preview")
    shell.run(bill, "run", "--to", "2026-07-01", "--draft")
    reviewed = shell.json(bill, "review", "2026-07-01")
    finalised = shell.json(bill, "finalise", "2026-07-01")
    with pytest.raises(ConnectorError, match="is finalised"):
        shell.run(bill, "finalise", "2026-07-01")
    listed = shell.json(bill, "runs")
    voided = shell.json(invoices, "void", "RT-000001")
    explained = shell.run(invoices, "explain", "RT-CN-000001")

    assert shown["totals"] == reviewed["totals"] == finalised["totals"] == {"EUR": "17.85"}
    assert (reviewed["flags"], reviewed["run"]["drafts"]) == ({"first": 1}, 1)
    assert (listed[0]["billed_to"], listed[0]["drafts"], listed[0]["finalised"]) == (
        "2026-07-01",
        0,
        1,
    )
    assert voided == {"invoice": "RT-000001", "credit_note": "RT-CN-000001"}
    assert "-10.00  given back of RT-000001 line 1" in explained


def test_what_nobody_pays_is_written_off_and_what_leaks_is_found(shell: Shell) -> None:
    shell.run(bill, "run", "--to", "2026-07-01")

    written_off = shell.json(invoices, "write-off", "RT-000001", "--reason", "insolvent")
    leaks = shell.json(bill, "leakage", code=1)

    assert written_off == {"invoice": "RT-000001", "written_off": "17.85"}
    assert [leak["check_name"] for leak in leaks["leaks"]] == ["charge_without_service"]
