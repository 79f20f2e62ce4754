"""`l2c billing systems`, `l2c invoices raw` and the doctor, through the real application."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from billing_systems_world import EXAMPLE, Oldbooks, item, oldbooks_database
from click.testing import CliRunner
from sqlalchemy import text

from connector.bootstrap import App
from connector.cli.billing import billing, findings
from connector.cli.invoices import invoices
from connector.config import load_settings
from connector.errors import Misconfigured
from connector.kernel.clock import MovableClock
from connector.resources import mappings_dir
from connector.store.engine import Store

NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
SFID = "001000000000001AAA"


@dataclass
class Shell:
    """A terminal with an open application, whose customer Oldbooks bills."""

    opened: App
    oldbooks: Oldbooks

    def app(self) -> App:
        return self.opened

    def run(self, command: Any, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(command, list(arguments), obj=self)
        assert result.exit_code == code, result.output
        return result.output

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(billing, *arguments, "--json", code=code).splitlines()[-1])


@pytest.fixture
def shell(store: Store, postgres, tmp_path: Path) -> Iterator[Shell]:
    folder = tmp_path / "mappings"
    shutil.copytree(mappings_dir(), folder)
    shutil.copy(EXAMPLE / "oldbooks.yaml", folder / "billing_systems")
    with store.transaction() as tx:
        tx.execute(
            text(
                "WITH b AS (INSERT INTO brand (key, name, legal_name, invoice_prefix) "
                "VALUES ('default', 'North', 'North', 'NT') RETURNING id) "
                "INSERT INTO account (brand_id, sfid, kind, name, currency) "
                "SELECT id, :sfid, 'business', 'Dental Group', 'EUR' FROM b"
            ),
            {"sfid": SFID},
        )
    with oldbooks_database(postgres) as oldbooks:
        oldbooks.add_debtor(700, crm_id=SFID, now=NOW)
        oldbooks.add_document(
            "OB-1",
            debtor=700,
            items=[item("100.00")],
            on=date(2026, 7, 1),
            due=date(2026, 7, 15),
            now=NOW,
        )
        config = tmp_path / "config.yaml"
        config.write_text(
            f"store: {{data_dir: {tmp_path}}}\nsync: {{mappings_dir: {folder}}}\n"
            f"billing:\n  systems:\n    oldbooks: {oldbooks.url}\n",
            encoding="utf-8",
        )
        app = App(settings=load_settings(config), store=store, clock=MovableClock(NOW))
        yield Shell(app, oldbooks)
        app.queue.close()
        for system in app.billing_systems.values():
            system.close()


def test_a_system_is_listed_checked_pulled_and_its_rows_shown(shell: Shell) -> None:
    checked = shell.json("systems", "check")
    pulled = shell.json("systems", "pull", "oldbooks")
    (listed,) = shell.json("systems", "list")["systems"]
    held = shell.json("systems", "held")
    raw = json.loads(shell.run(invoices, "raw", "OB-1", "--json").splitlines()[-1])
    told = shell.run(invoices, "raw", "OB-1")

    assert checked == {"systems": 1, "findings": []}
    assert [one["applied"] for one in pulled["systems"][0]["streams"]] == [1, 1, 0, 0, 0]
    assert (listed["system"], listed["has_address"], listed["facts"]) == ("oldbooks", True, 3)
    assert held == {"held": []}
    assert raw["documents"][0]["raw"]["doc_no"] == "OB-1"
    assert "label: Line rental" in told


def test_the_check_names_what_is_missing_and_fails(shell: Shell) -> None:
    shell.oldbooks.run("DROP TABLE ar.l2c_outbox")

    found = shell.json("systems", "check", code=1)

    assert found["findings"] == [
        {"system": "oldbooks", "message": "outbox: there is no table ar.l2c_outbox"}
    ]
    assert [str(one.message) for one in findings(shell.opened)] == [
        "outbox: there is no table ar.l2c_outbox"
    ]


def test_a_system_nobody_described_is_refused(shell: Shell) -> None:
    with pytest.raises(Misconfigured, match="no billing system 'newbooks'"):
        shell.opened.pull_billing(only="newbooks")
