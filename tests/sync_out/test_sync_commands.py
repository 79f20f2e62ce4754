"""The commands of `l2c sync` and `l2c mappings`, as a script would call them."""

import csv
import io
import json
import shutil
from dataclasses import dataclass

import pytest
from click.testing import CliRunner
from sync_out.conftest import FOLDER
from sync_out.world import NOW

from connector.bootstrap import App
from connector.cli.files import UnwritableFile
from connector.cli.mappings import mappings as mappings_group
from connector.cli.naming import EntityUnknown
from connector.cli.sync import sync as sync_group
from connector.errors import Misconfigured
from connector.sync.apply.run import hold_off_passes
from connector.sync.inbox.hints import Hint, store_hints
from connector.sync.mapping.describes import refresh_describes


@dataclass
class _Session:
    opened: App

    def app(self) -> App:
        return self.opened


@pytest.fixture
def run_with(open_app):
    def prepare(**sync: object):
        session = _Session(open_app(**sync))

        def call(*words: str):
            group = mappings_group if words[0] == "mappings" else sync_group
            return CliRunner().invoke(group, words[1:], obj=session, catch_exceptions=False)

        return call

    return prepare


@pytest.fixture
def run(run_with):
    return run_with()


def _json(result):
    return json.loads(result.stdout.splitlines()[-1])


def test_push_then_reconcile_says_that_nothing_differs(world, run):
    pushed = run("sync", "push", "--json")
    compared = run("sync", "reconcile", "--json")

    assert (pushed.exit_code, _json(pushed)["written"]) == (0, 18)
    assert (compared.exit_code, _json(compared)["drift"]) == (0, 0)


def test_a_comparison_shows_the_sums_of_both_sides_alike(world, run):
    run("sync", "push")

    assert "EUR 23.80 = 23.80" in run("sync", "reconcile").stdout


def test_reconcile_exits_1_on_drift_and_0_once_repaired(world, run, crm):
    run("sync", "push")
    crm.delete("L2C_Allocation__c", crm.one("SELECT Id FROM L2C_Allocation__c")["Id"])

    assert run("sync", "reconcile").exit_code == 1
    assert run("sync", "reconcile", "--repair").exit_code == 0
    assert run("sync", "reconcile").exit_code == 0


def test_a_comparison_is_written_as_a_table(world, run, crm, tmp_path):
    run("sync", "push")
    invoice = crm.one("SELECT Id FROM L2C_Invoice__c")["Id"]
    crm.update("L2C_Invoice__c", invoice, Total__c=99)
    file = tmp_path / "report.csv"

    result = run("sync", "reconcile", "--format", "csv", "--out", str(file))

    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    of_invoice = {line["kind"]: line for line in lines if line["entity"] == "invoice"}
    assert "Drift: 1" in result.stdout
    assert of_invoice["differing"]["records"] == "1"
    assert (of_invoice["field"]["name"], of_invoice["field"]["owner"]) == ("Total__c", "billing")
    assert (of_invoice["sum"]["hub"], of_invoice["sum"]["crm"]) == ("23.8", "99.00")


def test_a_comparison_shows_the_scores_of_accounts(world, run, crm):
    run("sync", "push")
    crm.delete("L2C_Allocation__c", crm.one("SELECT Id FROM L2C_Allocation__c")["Id"])

    result = run("sync", "reconcile", "--accounts")

    *_, scored = result.stdout.splitlines()
    assert scored.split()[:2] == ["Dental", "Group"]
    assert scored.split()[-1] == "93.70"


def test_a_comparison_asked_for_as_json_is_one_object_wherever_it_goes(world, run, tmp_path):
    run("sync", "push")
    file = tmp_path / "report.json"

    shown = run("sync", "reconcile", "--accounts", "--json")
    kept = run("sync", "reconcile", "--accounts", "--json", "--out", str(file))

    assert _json(shown)["accounts"] == json.loads(file.read_text())["accounts"]
    assert [one["name"] for one in _json(shown)["accounts"]] == ["Dental Group"]
    assert ("Drift" in kept.stdout, "Drift: 0" in kept.stderr) == (False, True)


@pytest.mark.parametrize(
    "arguments", [("sync", "reconcile", "--out"), ("mappings", "describe", "--save")]
)
def test_a_place_nobody_can_write_to_is_told(run, tmp_path, arguments):
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(UnwritableFile, match="Not a directory"):
        run(*arguments, str(file / "below"))


def test_what_the_hub_does_not_have_is_deleted_on_request_only(world, run, crm):
    run("sync", "push")
    crm.create("L2C_Location__c", Name="Ghost", Billing_Key__c="l2c:location:999")

    assert run("sync", "reconcile", "--repair").exit_code == 1
    assert run("sync", "reconcile", "--delete-extra").exit_code == 0
    assert crm.rows("SELECT Id FROM L2C_Location__c WHERE Name = 'Ghost'") == []


def test_status_counts_what_is_owed_and_then_nothing(world, run):
    assert _json(run("sync", "status", "--json"))["owed"]["task"] == 2

    run("sync", "push")

    assert "nothing owed" in run("sync", "status").stdout


def test_status_tells_how_each_topic_of_change_events_stands(run, store):
    with store.transaction() as tx:
        tx.exec_driver_sql(
            "INSERT INTO event_topic (topic, replay_id, followed_since, commit_at, received_at,"
            " problem) VALUES ('/data/AccountChangeEvent', '\\x0400', now(),"
            " '2026-06-15T10:00:00Z', '2026-06-15T10:00:03Z',"
            " 'org.unavailable: The org ended the stream of events.')"
        )
        tx.exec_driver_sql(
            "INSERT INTO owed_sweep (object, position_at, reason, owed_at) VALUES"
            " ('Account', now(), 'the org reported GAP_OVERFLOW', now())"
        )

    (topic,) = _json(run("sync", "status", "--json"))["topics"]
    told = run("sync", "status").stdout

    assert (topic["replay_id"], topic["delay_s"], topic["is_connected"]) == ("0400", 3, False)
    assert (
        "/data/AccountChangeEvent: not connected, last event 2026-06-15 10:00:00 after 3 s,"
        " replay id 0400\n  org.unavailable" in told
    )
    assert "Account will be read again: the org reported GAP_OVERFLOW." in told


def test_status_tells_what_came_in_and_could_not_be_applied(run, store):
    with store.transaction() as tx:
        tx.exec_driver_sql(
            "INSERT INTO inbox (source, received_at, organization_id, topic, content, state, error)"
            " VALUES ('outbound_message', now(), 'x', 'x', '', 'failed', 'notification 7: No id.'),"
            " ('sweep', now(), 'x', 'Account', '', 'pending', 'Salesforce refused it')"
        )

    (waiting, failed) = _json(run("sync", "status", "--json"))["stuck"]
    told = run("sync", "status").stdout

    assert (failed["error"], waiting["state"]) == ("notification 7: No id.", "pending")
    assert f"  outbound_message {failed['id']} (failed): notification 7: No id." in told
    assert "l2c sync pull --retry" in told


def test_dead_letters_tell_cause_and_remedy_and_can_be_sent_again(world, run, change):
    change("UPDATE order_line SET renewal_type = 'Weekly'")
    assert run("sync", "push").exit_code == 1

    listed = run("sync", "dead-letters", "list")
    assert "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" in listed.stdout
    assert "mapping file" in listed.stdout
    assert _json(run("sync", "dead-letters", "retry", "--json"))["retried"] == 1
    assert _json(run("sync", "status", "--json"))["owed"] == {"order_line": 1}


class TestDeadLettersOfTwoRecords:
    @pytest.fixture(autouse=True)
    def refused(self, world, run, change):
        change("UPDATE order_line SET renewal_type = 'Weekly'")
        change("UPDATE service SET renewal_type = 'Weekly'")
        run("sync", "push")

    def test_a_list_cut_short_says_how_many_there_are(self, run):
        cut = run("sync", "dead-letters", "list", "--limit", "1")
        whole = run("sync", "dead-letters", "list")

        assert cut.stdout.splitlines()[-1] == "2 dead letters, 1 of them shown (--limit)."
        assert whole.stdout.splitlines()[-1] == "2 dead letters."

    @pytest.mark.parametrize("verb", ["retry", "drop"])
    def test_naming_one_that_is_none_exits_1_and_does_the_others(self, run, verb):
        named = ("--entity", "service") if verb == "retry" else ("service",)

        result = run("sync", "dead-letters", verb, *named, "1", "99")

        assert (result.exit_code, result.stdout[:2]) == (1, "1 ")


@pytest.mark.parametrize(
    "asked",
    [
        ("list", "--entity", "invioce"),
        ("show", "invioce", "1"),
        ("retry", "--entity", "invioce"),
        ("drop", "invioce", "1"),
    ],
)
def test_dead_letters_of_an_entity_nobody_mapped_are_refused_with_those_there_are(run, asked):
    with pytest.raises(EntityUnknown, match=r"'invioce'\. There are: .*, invoice_line,"):
        run("sync", "dead-letters", *asked)


def test_conflicts_of_an_entity_nobody_mapped_are_refused_too(run):
    with pytest.raises(EntityUnknown, match="'invioce'"):
        run("sync", "conflicts", "list", "--entity", "invioce")


@pytest.mark.parametrize(
    "asked",
    [
        ("dead-letters", "drop", "invoice"),
        ("dead-letters", "show", "invoice"),
        ("duplicates", "adopt"),
    ],
)
def test_a_number_the_store_cannot_have_is_a_wrong_use(run, asked):
    assert run("sync", *asked, "99999999999999999999").exit_code == 2


def test_the_shipped_mappings_fit_the_local_org(run, mappings):
    result = run("mappings", "check", "--json")

    assert result.exit_code == 0
    assert _json(result) == {"entities": len(mappings.all), "findings": []}


class TestChecksWithoutTheOrg:
    def test_what_was_saved_in_a_folder_is_enough(self, run, mappings, tmp_path, org):
        saved = run("mappings", "describe", "--save", str(tmp_path))
        org.admin("faults", body={"faults": [{"kind": "http", "status": 503}]})

        result = run("mappings", "check", "--describe", str(tmp_path), "--json")

        assert saved.exit_code == 0
        assert result.exit_code == 0
        assert _json(result) == {"entities": len(mappings.all), "findings": []}

    def test_one_file_checks_the_mappings_of_its_object(self, run, tmp_path):
        run("mappings", "describe", "--save", str(tmp_path))
        file = tmp_path / "L2C_Payment__c.json"
        file.write_text(file.read_text().replace('"Reference__c"', '"Other__c"'))

        result = run("mappings", "check", "--describe", str(file))

        assert result.exit_code == 1
        assert "Reference__c: The org shows no such field." in result.stdout

    def test_what_the_store_keeps_is_enough(self, run, store, client, mappings, org):
        objects = {mapping.object for mapping in mappings}
        refresh_describes(store=store, org=client, objects=objects, now=NOW)
        org.admin("faults", body={"faults": [{"kind": "http", "status": 503}]})

        assert run("mappings", "check", "--saved").exit_code == 0

    def test_a_path_that_leaves_what_was_saved_is_told(self, run, run_with, tmp_path):
        run("mappings", "describe", "--save", str(tmp_path / "describes"))
        files = shutil.copytree(FOLDER.parent, tmp_path / "mappings")
        account = files / "salesforce" / "account.yaml"
        way_up = "pull:\n  unstamped: {Name: Owner.Manager}\n"
        account.write_text(account.read_text().replace("pull:\n", way_up))
        saved = str(tmp_path / "describes")

        result = run_with(mappings_dir=files)("mappings", "check", "--describe", saved)

        assert result.exit_code == 0
        assert result.stderr == (
            "Account: Owner.Manager leads through User, which was never described: "
            "not followed further.\n"
        )

    def test_a_store_that_knows_nothing_says_so(self, run):
        with pytest.raises(Misconfigured, match="Nothing is known"):
            run("mappings", "check", "--saved")

    def test_a_file_that_is_no_describe_says_so(self, run, tmp_path):
        (tmp_path / "x.json").write_text("[]")

        with pytest.raises(Misconfigured, match="is no describe"):
            run("mappings", "check", "--describe", str(tmp_path))


class TestDiff:
    def test_tells_in_words_what_differs(self, run, tmp_path):
        shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
        (tmp_path / "usage_summary.yaml").unlink()
        payment = tmp_path / "payment.yaml"
        payment.write_text(
            payment.read_text()
            .replace("  Reference__c: {from: reference, owner: billing, length: 255}\n", "")
            .replace("  Currency__c: {from: currency,", "  Money__c: {from: currency,")
            .replace("totals: {amount: Amount__c, currency: Currency__c}\n", "")
            .replace("Name: {from: number, owner: billing", "Name: {from: number, owner: connector")
            .replace("type: date", "type: datetime")
        )

        result = run("mappings", "diff", str(tmp_path))

        assert result.exit_code == 1
        assert result.stdout.splitlines() == [
            "payment: field sent Name: owner: billing becomes connector.",
            "payment: field sent Date__c: type: date becomes datetime.",
            "payment: field sent Currency__c: removed.",
            "payment: field sent Reference__c: removed.",
            "payment: field sent Money__c: added (from currency, owner billing, type text).",
            "payment: totals: amount Amount__c, currency Currency__c becomes nothing.",
            "usage_summary: removed as a whole.",
            "7 differences.",
        ]

    def test_says_when_nothing_differs(self, run):
        result = run("mappings", "diff", str(FOLDER))

        assert (result.exit_code, result.stdout) == (0, "They say the same.\n")


def test_status_tells_how_the_api_calls_stand(world, run, org):
    run("sync", "push")
    org.admin("limits", body={"max": 1_000, "used": 899})
    run("sync", "reconcile")
    org.admin("limits", body={"max": 1_000_000, "used": 0})

    said = run("sync", "status").stdout

    assert "of 1000, " in said
    assert "times slower until more are left" in said


class TestAPullTheOrgRefuses:
    WRONG = "  where: Naem != null"

    @pytest.fixture
    def folder(self, tmp_path):
        folder = shutil.copytree(FOLDER.parent, tmp_path / "mappings")
        file = folder / "salesforce" / "account.yaml"
        file.write_text(file.read_text().replace("pull:\n", f"pull:\n{self.WRONG}\n"))
        return folder

    @pytest.mark.parametrize("how", [(), ("--full",)])
    def test_tells_the_object_and_the_line_that_asks_for_it(self, run_with, folder, how):
        file = folder / "salesforce" / "account.yaml"
        line = file.read_text().splitlines().index(self.WRONG) + 1

        result = run_with(mappings_dir=folder)("sync", "pull", *how)

        (said,) = [one for one in result.stdout.splitlines() if "Naem" in one]
        assert said.startswith("Account: Salesforce refused: INVALID")
        assert said.endswith(f"({file}:{line})")
        assert result.exit_code == 1

    def test_takes_the_other_objects_all_the_same(self, run_with, folder):
        result = run_with(mappings_dir=folder)("sync", "pull", "--full", "--json")

        loaded = _json(result)["load"]
        assert list(loaded["refused"]) == ["Account"]
        assert list(loaded["seen"]) == ["L2C_Location__c"]


@pytest.mark.parametrize("how", [(), ("--full",)])
def test_a_pull_says_when_another_process_is_applying(run, store, monkeypatch, how):
    monkeypatch.setattr("connector.sync.apply.run._LOCK_WAIT", "10ms")

    with store.transaction() as tx:
        assert hold_off_passes(tx)
        result = run("sync", "pull", *how)

    assert "Another process is applying at this moment" in result.stdout
    assert result.exit_code == 0


def test_status_tells_that_nothing_is_sent_when_the_day_is_used_up(world, run, org):
    org.admin("limits", body={"max": 100, "used": 100})
    pushed = run("sync", "push")
    org.admin("limits", body={"max": 1_000_000, "used": 0})

    said = run("sync", "status").stdout

    assert pushed.exit_code == 1
    assert "The API calls of the day are used up; nothing is sent but a probe at " in said
    assert "If it goes on like this" not in said


def test_a_push_by_command_sends_jobs_from_the_rows_on_that_the_settings_name(
    world, run_with, client
):
    assert run_with(bulk_from_rows=1)("sync", "push").exit_code == 0

    assert client.call("GET", "jobs/ingest")["records"]


def test_a_pull_says_what_could_not_be_read_again(run_with, crm, store, tmp_path):
    account = crm.create("Account", Name="Acme")
    folder = shutil.copytree(FOLDER.parent, tmp_path / "mappings")
    file = folder / "salesforce" / "account.yaml"
    file.write_text(file.read_text().replace("pull:\n", "pull:\n  where: Naem != null\n"))
    hint = Hint("Account", account, "UPDATE", NOW)
    with store.transaction() as tx:
        store_hints(tx, topic="test", organization_id="x", hints=[hint])
    run = run_with(mappings_dir=folder)

    pulled = run("sync", "pull")
    told = run("sync", "status").stdout

    assert "1 of what came in could not be read again and waits" in pulled.stdout
    assert pulled.exit_code == 1
    (line,) = (one for one in told.splitlines() if "(pending): Salesforce refused:" in one)
    assert "No such column 'Naem' on entity 'Account'" in line
