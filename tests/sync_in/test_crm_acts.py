"""What a person asks of the CRM through the connector: convert leads, merge accounts."""

import json

import pytest
from click.testing import CliRunner
from sync_out.world import make_account, make_world

from connector.bootstrap import App
from connector.cli.main import cli
from connector.config import Settings
from connector.parties.merging import Keep, TwoBilledCustomers


@pytest.fixture
def app(org, store, way_in) -> App:
    """The wired application before a real store and a real org."""
    settings = Settings.model_validate(
        {
            "salesforce": {
                "login_url": org.base_url,
                "client_id": org.client_id,
                "client_secret": org.client_secret,
            }
        }
    )
    app = App(settings=settings, store=store)
    yield app
    app.queue.close()


def run(app, monkeypatch, *arguments: str) -> tuple[int, dict[str, object]]:
    monkeypatch.setattr("connector.cli.session.Session.app", lambda _: app)
    monkeypatch.setattr("connector.cli.session.Session.__exit__", lambda *_: None)
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    return result.exit_code, json.loads(result.stdout)


def owners(way_in) -> list[tuple[str, int]]:
    rows = way_in.rows(
        "SELECT a.sfid, count(DISTINCT b.id) AS billed FROM account a"
        " LEFT JOIN billing_account b ON b.account_id = a.id GROUP BY a.id ORDER BY a.id"
    )
    return [(row["sfid"], row["billed"]) for row in rows]


class TestConvertingLeads:
    def test_twice_gives_the_same_ids_and_converts_once(self, app, user, monkeypatch) -> None:
        lead = user.create("Lead", LastName="Meier", Company="Meier KG")

        first = run(app, monkeypatch, "org", "convert-lead", lead)
        second = run(app, monkeypatch, "org", "convert-lead", lead[:15])

        assert first == second
        code, shown = first
        (converted,) = shown["leads"]
        assert code == 0
        assert user.read("Account", converted["account_id"])["Name"] == "Meier KG"
        assert user.read("Opportunity", converted["opportunity_id"])["Name"] == "Meier KG"
        assert len(app.org.query_all("SELECT Id FROM Account")) == 1

    def test_one_that_fails_does_not_hold_up_the_others(self, app, user) -> None:
        lead = user.create("Lead", LastName="Meier", Company="Meier KG")
        gone = user.create("Lead", LastName="Gone", Company="Gone KG")
        user.delete("Lead", gone)

        missing, converted = app.convert_leads([gone, lead], without_opportunity=True)

        assert [error.code for error in missing.errors] == ["NOT_FOUND"]
        assert (converted.errors, converted.opportunity_id) == ((), None)
        assert converted.account_id

    def test_is_refused_for_what_is_no_id(self, app, monkeypatch) -> None:
        monkeypatch.setattr("connector.cli.session.Session.app", lambda _: app)
        monkeypatch.setattr("connector.cli.session.Session.__exit__", lambda *_: None)

        result = CliRunner().invoke(cli, ["org", "convert-lead", "x' OR Name = 'y"])

        assert result.exit_code != 0
        assert "is no id" in str(result.exception)


class TestMergingAccounts:
    def test_is_done_in_the_crm_and_followed_here_once(
        self, app, way_in, user, monkeypatch
    ) -> None:
        served, master, *others = [user.create("Account", Name=f"Acme {n}") for n in range(4)]
        with way_in.store.transaction() as tx:
            make_world(tx, account_sfid=served)
        app.sweep()
        app.apply_inbox()

        first = run(app, monkeypatch, "org", "merge-accounts", master, served, *others)
        second = run(app, monkeypatch, "org", "merge-accounts", master, served, *others)

        losers = sorted([served, *others])
        assert first[0] == second[0] == 0
        assert sorted(first[1]["merged"]) == sorted(second[1]["already"]) == losers
        assert second[1]["merged"] == []
        assert [row["Id"] for row in app.org.query_all("SELECT Id FROM Account")] == [master]
        assert dict(owners(way_in))[master] == 1

    def test_of_two_that_are_billed_needs_a_choice_first(self, app, way_in, user) -> None:
        served, master = [user.create("Account", Name=f"Acme {n}") for n in range(2)]
        with way_in.store.transaction() as tx:
            make_world(tx, account_sfid=served)
            make_account(tx, sfid=master)
        app.sweep()
        app.apply_inbox()

        with pytest.raises(TwoBilledCustomers, match="BA-000001"):
            app.merge_accounts(master, [served])
        untouched = len(app.org.query_all("SELECT Id FROM Account"))
        app.merge_accounts(master, [served], keep=Keep.LOSER)

        assert untouched == 2
        assert owners(way_in) == [(served, 0), (master, 2)]

    def test_that_wait_are_listed_and_decided_by_command(
        self, app, way_in, user, monkeypatch
    ) -> None:
        served, master = [user.create("Account", Name=f"Acme {n}") for n in range(2)]
        with way_in.store.transaction() as tx:
            make_world(tx, account_sfid=served)
            make_account(tx, sfid=master)
        app.org.partner.merge("Account", master, [served])  # by a person in the CRM
        app.sweep()
        app.apply_inbox()

        listed = run(app, monkeypatch, "sync", "merges", "list")
        decided = run(app, monkeypatch, "sync", "merges", "decide", served, "--keep", "master")
        left = run(app, monkeypatch, "sync", "merges", "list")

        assert [one["sfid"] for one in listed[1]["merges"]] == [served]
        assert decided == (0, {"loser": served, "keep": "master", "is_followed": True})
        assert left[1] == {"merges": []}
        assert owners(way_in) == [(served, 0), (master, 2)]


def test_the_time_of_the_org_is_asked_once_an_hour(app) -> None:
    from datetime import timedelta

    from connector.sync.capture.org_time import OrgTime

    machine = app.wall_clock.now() + timedelta(days=3)  # this machine's clock is wrong
    clock = OrgTime()
    app.org.identity()

    told = [clock.now(app.org, machine_now=machine + timedelta(minutes=n)) for n in (0, 30, 61)]

    assert app.org.calls == 2
    assert abs(told[0] - app.wall_clock.now()) < timedelta(minutes=1)
    assert told[1] - told[0] == timedelta(minutes=30)
