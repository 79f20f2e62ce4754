"""`l2c services suspend`, `resume` and `transfer`: said first, asked, then done by an order."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pytest
from click.testing import CliRunner, Result
from delivery_world import DeliveryWorld, at, customer, line

from connector.bootstrap import App
from connector.cli.services import services
from connector.config import Settings
from connector.errors import ConnectorError
from connector.kernel.clock import MovableClock

JUNE_1 = date(2026, 6, 1)
JUNE_11 = date(2026, 6, 11)
DAUGHTER = "001000000000002AAA"


@dataclass
class OpenSession:
    opened: App

    def app(self) -> App:
        return self.opened


@dataclass
class Shell:
    world: DeliveryWorld
    app: App

    def run(self, *arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(
            services,
            arguments,
            obj=OpenSession(self.app),
            input=answer,
            standalone_mode=False,
            catch_exceptions=False,
        )

    def state(self) -> str:
        return str(self.world.one("SELECT state FROM service").state)


@pytest.fixture
def shell(world: DeliveryWorld) -> Iterator[Shell]:
    """Return a shell on 11 June, where SRV-000001 is in service since the 1st."""
    world.delivered_service(JUNE_1)
    with App(settings=Settings(), store=world.store, clock=MovableClock(at(JUNE_11))) as app:
        yield Shell(world, app)


def test_says_what_will_happen_and_does_nothing_without_a_yes(shell: Shell) -> None:
    told = shell.run("suspend", "SRV-000001", answer="n\n")

    assert told.return_value == 1
    assert (
        "From 2026-06-11 on SRV-000001 (Line 100 Mbit/s, Dental Group) rests; meanwhile it is "
        "billed on to" in told.output
    )
    assert (shell.state(), shell.world.count("customer_order")) == ("In Service", 1)


def test_rests_and_goes_on_by_orders_once_it_is_confirmed(shell: Shell) -> None:
    rests = shell.run("suspend", "SRV-000001", "--on", "2026-06-05", answer="y\n")
    state = shell.state()
    goes_on = shell.run("resume", "SRV-000001", "--yes")

    assert "Order ORD-000002 is Completed." in rests.output
    assert state == "Suspended for Non-Pay"
    assert "Order ORD-000003 is Completed." in goes_on.output
    assert shell.state() == "In Service"
    changes = shell.world.rows("SELECT type, effective_on FROM service_change ORDER BY id")
    assert [tuple(row) for row in changes] == [
        ("SUSPEND", date(2026, 6, 5)),
        ("RESUME", JUNE_11),
    ]
    origins = shell.world.rows("SELECT origination FROM customer_order ORDER BY id")
    assert [row.origination for row in origins] == ["Opportunity", "Manual", "Manual"]


def test_goes_to_another_account_that_pays_from_the_day_on(shell: Shell) -> None:
    shell.world.win(shell.world.deal([line("router")], account=customer(DAUGHTER, name="Daughter")))

    told = shell.run("transfer", "SRV-000001", "--to", DAUGHTER, "--yes")

    assert "belongs to Daughter, who pays for it" in told.output
    paid = shell.world.rows(
        "SELECT a.name, c.starts_on, c.ends_on FROM charge c "
        "JOIN billing_account b ON b.id = c.billing_account_id "
        "JOIN account a ON a.id = b.account_id WHERE c.kind = 'recurring' ORDER BY c.id"
    )
    assert [tuple(row) for row in paid] == [
        ("Dental Group", JUNE_1, JUNE_11),
        ("Daughter", JUNE_11, None),
    ]


def test_json_says_only_what_would_happen_until_it_is_told_yes(shell: Shell) -> None:
    asked = json.loads(shell.run("suspend", "SRV-000001", "--json").stdout.splitlines()[-1])
    before = shell.state()
    done = json.loads(shell.run("suspend", "SRV-000001", "--json", "--yes").stdout.splitlines()[-1])

    assert (asked["plan"]["on"], asked["plan"]["while_suspended"]) == ("2026-06-11", "continue")
    assert (asked["order"], before) == (None, "In Service")
    assert (done["order"]["number"], done["order"]["state"]) == ("ORD-000002", "Completed")
    assert shell.state() == "Suspended for Non-Pay"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("suspend", "SRV-9"), "There is no service SRV-9"),
        (("resume", "SRV-000001"), "is In Service, not Suspended"),
        (("suspend", "SRV-000001", "--on", "2026-06-12"), "today is 2026-06-11"),
        (("suspend", "SRV-000001", "--on", "2026-05-31"), "started on 2026-06-01"),
        (("transfer", "SRV-000001", "--to", DAUGHTER), "knows no account 001000000000002AAA"),
        (("transfer", "SRV-000001", "--to", customer().sfid), "is this customer's already"),
    ],
)
def test_is_refused_with_the_reason(shell: Shell, arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConnectorError, match=reason):
        shell.run(*arguments, "--yes")

    assert shell.world.count("customer_order") == 1


def test_of_a_product_that_nobody_can_suspend_is_refused(shell: Shell) -> None:
    shell.world.win(shell.world.deal([line("cloud")]), JUNE_1)
    shell.world.deliver(JUNE_1)

    with pytest.raises(ConnectorError, match="no price for SUSPEND"):
        shell.run("suspend", "SRV-000002", "--yes")
