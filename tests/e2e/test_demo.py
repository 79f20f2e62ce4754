"""The whole story from outside: told once, told again, killed and told to the end."""

import signal
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.outside import Outside, look
from tests.e2e.teller import kills, live, tell, tell_and_end
from tests.e2e.visitor import visit

CALLS = 2_000
SUMMARY_KEYS = {
    "opportunities",
    "orders",
    "work_orders",
    "tasks",
    "services_in_service",
    "usage_records",
    "rated_records",
    "invoices",
    "invoice_total",
    "payments",
    "payment_total",
    "open_balance",
    "credit_notes",
    "crm",
    "crm_invoice_total",
    "journal_balanced",
    "drift",
    "api_calls",
    "seconds",
}
CHANGES_BY_RUN = {"api_calls", "seconds"}


class Told(NamedTuple):
    """A story told to its end, and what stands after it."""

    folder: Path
    summary: dict[str, Any]
    outside: Outside
    length_s: float


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("told")
    started = time.monotonic()
    summary = tell(folder, calls=CALLS)
    length_s = time.monotonic() - started
    return Told(folder, summary, look(folder), length_s)


class TestToldOnce:
    def test_the_summary_has_every_promised_key(self, told: Told) -> None:
        assert set(told.summary) >= SUMMARY_KEYS

    def test_hub_and_crm_hold_the_same_counts_and_sums(self, told: Told) -> None:
        assert told.outside.disagreements == []

    def test_no_record_stands_twice_in_the_crm(self, told: Told) -> None:
        assert told.outside.twice == []

    def test_the_summary_says_what_is_seen_from_outside(self, told: Told) -> None:
        hub, crm = told.outside.sums["invoice totals"]

        assert told.summary["invoice_total"] == {c: f"{s:.2f}" for c, s in hub.items()}
        assert told.summary["crm_invoice_total"] == {c: f"{s:.2f}" for c, s in crm.items()}

    def test_two_months_of_three_customers_make_six_invoices_and_a_credit_note(
        self, told: Told
    ) -> None:
        assert told.summary["invoices"] == 6
        assert told.summary["credit_notes"] == 1
        assert told.summary["opportunities"] == told.summary["orders"] == 5

    def test_every_usage_record_is_rated(self, told: Told) -> None:
        assert told.summary["usage_records"] > 2 * CALLS
        assert told.summary["rated_records"] == told.summary["usage_records"]

    def test_the_journal_balances_and_nothing_drifts(self, told: Told) -> None:
        assert told.summary["journal_balanced"] is True
        assert told.summary["drift"] == 0

    def test_only_the_partly_paid_invoices_stay_open(self, told: Told) -> None:
        still_open = {c: Decimal(s) for c, s in told.summary["open_balance"].items()}

        assert still_open["GBP"] > 0


class TestToldAgain:
    def test_finds_everything_and_makes_nothing(self, told: Told) -> None:
        again = tell(told.folder, calls=CALLS)

        same = {k: v for k, v in again.items() if k not in CHANGES_BY_RUN}
        assert same == {k: v for k, v in told.summary.items() if k not in CHANGES_BY_RUN}
        assert again["drift"] == 0
        assert look(told.folder) == told.outside


class TestStaysUp:
    def test_a_visitor_finds_console_org_and_webhooks_and_one_signal_ends_it(
        self, told: Told
    ) -> None:
        seen = visit(told.folder, calls=CALLS)

        assert "Zahnzentrum Rhein GmbH" in seen.start_page
        assert "NC-000001" in seen.account_page
        assert seen.health == "ok"
        assert seen.newest_api_version >= "60.0"
        assert seen.exit_code == 0


class TestEndedInTheMiddle:
    def test_clears_everything_away(self) -> None:
        with tempfile.TemporaryDirectory(prefix="l2c-t-") as scratch:
            Path(scratch).chmod(0o711)  # the server's user has to pass

            exit_code = tell_and_end(Path(scratch), calls=CALLS, at="Won in the CRM")

            assert exit_code == 128 + signal.SIGTERM
            assert list(Path(scratch).iterdir()) == []


class TestKilled:
    def test_three_kills_leave_nothing_twice_and_nothing_missing(
        self, told: Told, tmp_path: Path
    ) -> None:
        planned = kills(seed=20_260_601, longest_s=told.length_s)

        life = live(tmp_path / "killed", calls=CALLS, planned=planned, kills_max=3)

        assert life.kills > 0
        assert look(life.folder) == told.outside
        assert {k: v for k, v in life.summary.items() if k not in CHANGES_BY_RUN} == {
            k: v for k, v in told.summary.items() if k not in CHANGES_BY_RUN
        }
