"""A mapping that does not fit halts its own entity on its own way, until it is mended."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sync_out.other_org import CHECKOUT
from sync_out.world import NOW

from connector.bootstrap import App
from connector.config import Settings
from connector.sync.apply.run import apply_pending
from connector.sync.budget.lanes import Lane, Leave
from connector.sync.capture.sweep import sweep
from connector.sync.inbox.arrivals import objects_to_watch
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.findings import halted, read_findings
from connector.sync.mapping.loading import load_mappings
from connector.sync.mapping.validate import validate
from connector.sync.status import sync_status

OPEN_TRANSACTIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "   AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
)


@pytest.fixture
def files(tmp_path) -> Path:
    folder = tmp_path / "mappings"
    shutil.copytree(CHECKOUT / "mappings", folder)
    return folder / "salesforce"


@pytest.fixture
def alter(files) -> Callable[..., Mappings]:
    def run(entity: str, instead_of: str, written: str) -> Mappings:
        path = files / f"{entity}.yaml"
        path.write_text(path.read_text().replace(instead_of, written, 1))
        return load_mappings(files)

    return run


@pytest.fixture
def check(store, client) -> Callable[[Mappings], object]:
    def run(mappings: Mappings) -> object:
        return validate(store=store, org=client, mappings=mappings, now=NOW)

    return run


def line_of(name: str, mappings: Mappings) -> int:
    """Return the line of the payment's mapping file that names a field."""
    lines = mappings.by_entity["payment"].file.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if name in line)


class TestOnTheWayOut:
    @pytest.fixture
    def wrong(self, alter) -> Mappings:
        return alter("payment", "  Reference__c:", "  Remark__c:")

    def test_only_the_entity_concerned_stands_still(self, world, wrong, check, push, crm):
        check(wrong)

        report = push(with_mappings=wrong)

        assert [halt.entity for halt in report.halts] == ["payment"]
        place = f"payment.yaml:{line_of('Remark__c', wrong)}: Remark__c"
        assert f"{place}: The org shows no such field" in report.halts[0].message
        assert crm.count("L2C_Payment__c") == 0
        assert crm.count("L2C_Invoice__c") == 1

    def test_nothing_of_it_is_sent_to_find_that_out(self, world, wrong, check, push, crm, store):
        check(wrong)

        push(with_mappings=wrong)

        with store.read() as tx:
            refused = tx.execute(text("SELECT count(*) FROM crm_record WHERE status = 'Error'"))
            assert refused.scalar_one() == 0

    def test_it_goes_on_by_itself_once_it_is_mended(self, world, wrong, mappings, check, push, crm):
        check(wrong)
        push(with_mappings=wrong)

        check(mappings)
        push()

        assert crm.count("L2C_Payment__c") == 1
        assert crm.count("L2C_Allocation__c") == 1

    def test_status_names_file_line_and_remedy(self, wrong, check, store):
        check(wrong)

        with store.read() as tx:
            standing = sync_status(tx=tx)

        (finding,) = standing.halted
        assert not standing.is_quiet
        assert f"payment.yaml:{line_of('Remark__c', wrong)}" in str(finding)
        assert "Nothing of it is sent" in str(finding)
        assert "Deploy the metadata" in str(finding)

    def test_a_remark_halts_nothing(self, world, alter, check, push, crm, store):
        long = alter(
            "payment",
            "length: 255",
            "length: 400",
        )
        check(long)

        report = push(with_mappings=long)

        with store.read() as tx:
            assert [one.halts for one in read_findings(tx)] == [None]
        assert report.halts == ()
        assert crm.count("L2C_Payment__c") == 1

    def test_an_entity_that_is_mapped_no_more_leaves_no_finding(self, wrong, check, files, store):
        check(wrong)
        (files / "payment.yaml").unlink()
        (files / "allocation.yaml").unlink()

        check(load_mappings(files))

        with store.read() as tx:
            assert read_findings(tx) == ()


class TestOnTheWayIn:
    @pytest.fixture
    def wrong(self, alter) -> Mappings:
        return alter("account", "    Phone: {to: phone", "    Phones__c: {to: phone")

    @pytest.fixture
    def sweep_once(self, store, client) -> Callable[..., object]:
        def run(mappings: Mappings) -> object:
            return sweep(store=store, org=client, mappings=mappings, now_org=NOW)

        return run

    def test_what_does_not_fit_is_not_asked_for(self, wrong, check, sweep_once):
        check(wrong)

        report = sweep_once(wrong)

        assert set(objects_to_watch(wrong)) - set(report.seen) == {"Account"}

    def test_what_the_org_refuses_unexpectedly_does_not_hold_up_the_others(
        self, wrong, sweep_once, store
    ):
        report = sweep_once(wrong)

        assert set(report.refused) == {"Account"}
        assert set(report.seen) == set(objects_to_watch(wrong)) - {"Account"}
        with store.read() as tx:
            places = set(tx.scalars(text("SELECT object FROM sync_cursor WHERE kind = 'changes'")))
        assert "Account" not in places

    def test_a_condition_the_org_refuses_is_told_with_its_line(self, alter, check, sweep_once):
        wrong = alter("account", "pull:\n", "pull:\n  where: Naem != null\n")

        (finding,) = check(wrong).findings

        lines = wrong.by_entity["account"].file.read_text().splitlines()
        assert lines[finding.line - 1] == "  where: Naem != null"
        assert "Naem" in finding.problem
        assert finding.halts is None
        assert set(sweep_once(wrong).refused) == {"Account"}

    def test_no_transaction_is_open_while_the_org_judges_a_condition(
        self, alter, check, client, store, monkeypatch
    ):
        judge, open_then = client.query_all, []

        def watching(soql: str) -> list[dict[str, object]]:
            with store.read() as tx:
                open_then.append(tx.scalar(OPEN_TRANSACTIONS))
            return judge(soql)

        monkeypatch.setattr(client, "query_all", watching)

        check(alter("account", "pull:\n", "pull:\n  where: Name != null\n"))

        assert open_then == [0]

    def test_hints_about_other_objects_are_read_all_the_same(
        self, wrong, world, crm, client, store, tell
    ):
        account = crm.one("SELECT Id FROM Account")["Id"]
        location = crm.create("L2C_Location__c", Name="Harbour 1", Account__c=account)
        tell("Account", account)
        tell("L2C_Location__c", location)

        report = apply_pending(
            store=store, org=client, mappings=wrong, flows={"win": lambda _: None}, now=NOW
        )

        assert (report.postponed, report.records) == (1, 1)


@pytest.fixture
def tell(store) -> Callable[[str, str], None]:
    """Store an outbound message about a record, as the webhook does."""

    def run(object_name: str, sfid: str) -> None:
        content = (
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
            '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
            "<OrganizationId>x</OrganizationId><Notification>"
            f'<Id>04l{sfid[:3]}{sfid[6:]}</Id><sObject xsi:type="sf:{object_name}" '
            'xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
            f"<sf:Id>{sfid}</sf:Id></sObject></Notification></notifications>"
            "</soapenv:Body></soapenv:Envelope>"
        )
        with store.transaction() as tx:
            tx.execute(
                text(
                    "INSERT INTO inbox (source, received_at, organization_id, topic, content)"
                    " VALUES ('outbound_message', now(), 'x', 'x', :content)"
                ),
                {"content": content.encode()},
            )

    return run


class TestTheWorker:
    @pytest.fixture
    def app(self, store, org, files) -> Iterator[App]:
        settings = Settings(
            salesforce={  # type: ignore[arg-type]
                "login_url": org.base_url,
                "client_id": org.client_id,
                "client_secret": org.client_secret,
            },
            sync={"mappings_dir": files.parent},  # type: ignore[arg-type]
        )
        app = App(settings=settings, store=store)
        yield app
        app.stop_background()
        app.org.close()

    def test_looks_at_hub_and_org_before_it_moves_the_first_record(
        self, alter, app, world, crm, store
    ):
        alter("payment", "  Reference__c:", "  Remark__c:")
        app.expect_a_look()

        report = app.push_changes()

        assert [halt.code for halt in report.halts] == ["MAPPING_DOES_NOT_FIT"]
        assert crm.count("L2C_Invoice__c") == 1

    def test_looks_again_at_what_stands_still_and_at_nothing_else(
        self, alter, app, world, crm, store
    ):
        alter("payment", "  Reference__c:", "  Remark__c:")
        app.describe_org()
        calls = app.org.calls

        app.recheck_halted()

        assert app.org.calls == calls + 1
        with store.read() as tx:
            assert halted(tx, "push") == {"payment"}

    def test_asks_nothing_while_all_fits(self, app, world):
        app.describe_org()
        calls = app.org.calls

        app.recheck_halted()

        assert app.org.calls == calls

    def test_goes_by_what_was_found_before_when_no_call_is_left_for_a_look(
        self, app, world, crm, monkeypatch
    ):
        def held(lane: Lane) -> Leave:
            return Leave(0, "nothing left") if lane is Lane.INTERACTIVE else Leave()

        monkeypatch.setattr(app.governor, "leave", held)
        app.expect_a_look()

        report = app.push_changes()

        assert report.halts == ()
        assert crm.count("L2C_Payment__c") == 1
