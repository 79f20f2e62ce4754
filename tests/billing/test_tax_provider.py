"""Bills whose taxes a provider knows, asked over real HTTP."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from billing_world import BillingWorld, at
from sqlalchemy import text
from tax_rates import Rates

from connector.adapters.tax.http import TaxProviderDown
from connector.billing.bill_run import BillRunReport, run_cycle
from connector.billing.tax_answers import TaxNotAnswered, choose_provider
from connector.bootstrap import App
from connector.config import load_settings
from connector.kernel.clock import MovableClock

JUL, AUG = date(2026, 7, 1), date(2026, 8, 1)


def bill(world: BillingWorld, rates: Rates, on: date) -> BillRunReport:
    return run_cycle(store=world.store, billed_to=on, now=at(on), provider=rates.provider)


def sell(world: BillingWorld, price: str = "100", **payer: Any) -> int:
    payer_id = world.payer(**payer)
    world.start(world.service(payer_id, world.product(f"seat-{payer_id}"), price), JUL)
    return payer_id


def test_the_answer_taxes_the_bill_and_not_the_table(world: BillingWorld, rates: Rates) -> None:
    sell(world)

    assert bill(world, rates, JUL).totals == {"EUR": Decimal("108.88")}  # 8.875 %, not 19


def test_payers_of_one_place_are_one_question_of_one_call(
    world: BillingWorld, rates: Rates
) -> None:
    for _ in range(3):
        sell(world)
    sell(world, country="US")
    sell(world, is_tax_exempt=True)

    assert bill(world, rates, JUL).invoices == 5
    (questions,) = rates.asked
    assert [(one["country"], one["city"], one["supplied_on"]) for one in questions] == [
        ("DE", "Mainz", "2026-07-31"),
        ("US", "Mainz", "2026-07-31"),
    ]


def test_what_was_answered_is_not_asked_again(world: BillingWorld, rates: Rates) -> None:
    payer = sell(world)
    bill(world, rates, JUL)
    rates.percents["standard"] = "50"
    world.start(world.service(payer, world.product("line"), "20"), JUL)

    bill(world, rates, AUG)

    days = [one["supplied_on"] for questions in rates.asked for one in questions]
    assert days == ["2026-07-31", "2026-08-31"]


def test_nobody_is_billed_untaxed_while_it_is_down(world: BillingWorld, rates: Rates) -> None:
    sell(world)
    rates.is_down = True

    report = bill(world, rates, JUL)

    assert report.invoices == 0
    assert [one.code for one in report.problems] == ["billing.tax_not_answered"]
    rates.is_down = False
    assert bill(world, rates, JUL).invoices == 1


def test_one_category_it_does_not_know_holds_up_nobody_else(
    world: BillingWorld, rates: Rates
) -> None:
    sell(world)
    other = world.payer()
    rare = world.product("rare", tax_category="rare")
    world.start(world.service(other, rare, "5"), JUL)

    report = bill(world, rates, JUL)

    assert report.invoices == 1
    assert [one.billing_account_id for one in report.problems] == [other]


def watch_transactions(world: BillingWorld, rates: Rates) -> list[int]:
    """Return how many transactions are open each time the provider is asked, as it is asked."""
    seen: list[int] = []

    def watching() -> None:
        seen.append(
            world.one(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "   AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
            )[0]
        )

    rates.when_asked = watching
    return seen


def test_no_transaction_is_open_while_it_is_asked(world: BillingWorld, rates: Rates) -> None:
    sell(world)
    seen = watch_transactions(world, rates)

    bill(world, rates, JUL)

    assert seen == [0]


class TestBeforeTheRun:
    """What looks ahead asks too: the answers are there when the bill is made."""

    @pytest.fixture
    def app(self, world: BillingWorld, rates: Rates, tmp_path: Path) -> Iterator[App]:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"store: {{data_dir: {tmp_path}}}\n"
            f"billing: {{tax_source: http, tax_url: '{rates.url}'}}\n",
            encoding="utf-8",
        )
        clock = MovableClock(at(JUL))
        made = App(settings=load_settings(config), store=world.store, clock=clock)
        yield made
        made.close()

    def test_a_preview_of_one_asks_and_equals_the_bill(
        self, world: BillingWorld, rates: Rates, app: App
    ) -> None:
        payer = sell(world)
        world.start(world.service(payer, world.product("call", tax_category="telecom"), "10"), JUL)
        rates.percents["telecom"] = "20"

        (shown,) = app.preview_bill(number_of(world, payer), JUL)

        assert shown.total == Decimal("120.88")  # 8.875 % on 100.00 and 20 % on 10.00
        assert world.documents() == []
        assert app.run_bills(JUL).totals == {"EUR": shown.total}
        assert len(rates.asked) == 2

    def test_a_preview_of_all_asks_in_one_call(
        self, world: BillingWorld, rates: Rates, app: App
    ) -> None:
        sell(world)
        sell(world, country="US")

        shown = app.preview_bills(JUL)

        assert (shown.invoices, shown.totals, shown.problems) == (2, {"EUR": Decimal("217.76")}, ())
        assert (world.documents(), len(rates.asked)) == ([], 1)

    def test_a_bill_of_the_day_of_an_order_asks(
        self, world: BillingWorld, rates: Rates, app: App
    ) -> None:
        payer = sell(world)
        with world.store.transaction() as tx:
            tx.execute(
                text(
                    "UPDATE charge SET policy = policy || "
                    " jsonb_build_object('invoice_partials_on', 'on_order')"
                )
            )

        (number,) = app.bill_order(number_of(world, payer), JUL)

        assert world.documents()[0]["total"] == Decimal("108.88")
        assert number == "RT-000001"

    def test_no_transaction_is_open_while_a_preview_asks(
        self, world: BillingWorld, rates: Rates, app: App
    ) -> None:
        payer = sell(world)
        sell(world, country="US")
        seen = watch_transactions(world, rates)

        app.preview_bill(number_of(world, payer), JUL)
        app.preview_bills(JUL)

        assert seen == [0, 0]

    def test_what_it_does_not_know_is_named(
        self, world: BillingWorld, rates: Rates, app: App
    ) -> None:
        payer = sell(world)
        rates.percents.clear()

        with pytest.raises(TaxNotAnswered, match="no answer on 'standard'"):
            app.preview_bill(number_of(world, payer), JUL)
        assert [one.code for one in app.preview_bills(JUL).problems] == ["billing.tax_not_answered"]

    def test_while_it_is_down_a_preview_of_one_says_so(
        self, world: BillingWorld, rates: Rates, app: App
    ) -> None:
        payer = sell(world)
        rates.is_down = True

        with pytest.raises(TaxProviderDown, match="3 tries"):
            app.preview_bill(number_of(world, payer), JUL)


def number_of(world: BillingWorld, payer_id: int) -> str:
    (number,) = world.one("SELECT number FROM billing_account WHERE id = :id", id=payer_id)
    return str(number)


def test_the_table_counts_again_once_it_is_chosen(world: BillingWorld, rates: Rates) -> None:
    sell(world)
    bill(world, rates, JUL)

    with world.store.transaction() as tx:
        choose_provider(tx, None)
        assert tx.scalar(text("SELECT count(*) FROM tax_answer")) == 1
    assert world.bill(AUG).totals == {"EUR": Decimal("119.00")}
