"""Attributes of CRM records in the hub, by message and by sweep."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from connector.sync.apply.pulled_values import canonical
from connector.sync.mapping.definition import FieldType, PullField

ACCOUNTS = (
    "SELECT a.*, b.key AS brand FROM account a JOIN brand b ON b.id = a.brand_id ORDER BY a.id"
)


def test_a_message_about_a_new_account_brings_the_account(way_in, user) -> None:
    sfid = user.create(
        "Account",
        Name="Dental Group",
        BillingStreet="Rheinallee 12",
        BillingCity="Mainz",
        BillingPostalCode="55116",
        BillingCountry="Germany",
        Phone="+49 6131 1",
    )
    way_in.tell("Account", sfid)

    report = way_in.apply()

    (account,) = way_in.rows(ACCOUNTS)
    assert account["sfid"] == sfid
    assert (account["name"], account["city"], account["country"]) == ("Dental Group", "Mainz", "DE")
    assert (account["kind"], account["brand"]) == ("business", "default")
    assert (report.notifications, report.changed, report.problems) == (1, 1, [])


def test_the_sweep_finds_what_no_message_told(way_in, user) -> None:
    user.create("Account", Name="Found by the sweep", L2C_Customer_Type__c="Residential")

    swept = way_in.sweep()
    way_in.apply()

    assert [row["name"] for row in way_in.rows(ACCOUNTS)] == ["Found by the sweep"]
    assert way_in.rows(ACCOUNTS)[0]["kind"] == "person"
    assert swept.calls == 1  # five objects in one call
    assert swept.stored_total == 1


def test_a_second_sweep_stores_nothing_twice(way_in, user) -> None:
    user.create("Account", Name="Once")
    way_in.sweep()
    way_in.apply()

    assert way_in.sweep().stored_total == 0


def test_a_sweep_follows_the_pages_to_the_end(way_in, client) -> None:
    account = client.query_all("SELECT Id FROM Account LIMIT 1")
    assert account == []
    from connector.adapters.salesforce.answers import Subrequest

    records = [{"attributes": {"type": "Account"}, "Name": f"Account {n}"} for n in range(2_100)]
    for start in range(0, 2_100, 200):
        body = {"allOrNone": True, "records": records[start : start + 200]}
        client.composite([Subrequest("POST", "composite/sobjects", "c", body)])

    swept = way_in.sweep()
    way_in.apply()

    assert way_in.rows("SELECT count(*) AS n FROM account") == [{"n": 2_100}]
    assert swept.calls == 2


def test_a_change_in_the_crm_reaches_the_hub_and_null_empties(way_in, user) -> None:
    sfid = user.create("Account", Name="Before", Phone="1")
    way_in.tell("Account", sfid)
    way_in.apply()

    user.update("Account", sfid, Name="After", Phone=None)
    way_in.tell("Account", sfid)
    way_in.apply()

    (account,) = way_in.rows(ACCOUNTS)
    assert (account["name"], account["phone"]) == ("After", None)


def test_an_account_belongs_to_the_brand_it_names(way_in, user) -> None:
    way_in.tell("Account", user.create("Account", Name="Reseller's", L2C_Brand_Key__c="alpina"))

    way_in.apply()

    assert way_in.rows(ACCOUNTS)[0]["brand"] == "alpina"


def test_an_echo_of_the_hubs_own_write_changes_nothing(way_in, user, client) -> None:
    sfid = user.create("Account", Name="Echo")
    way_in.tell("Account", sfid)
    way_in.apply()
    client.update_collections("Account", [{"Id": sfid, "L2C_Balance__c": 12}])
    way_in.tell("Account", sfid)

    report = way_in.apply()

    assert (report.changed, report.echoes) == (0, 1)


def test_an_unchanged_crm_value_leaves_the_hubs_value_alone(way_in, user) -> None:
    sfid = user.create("Account", Name="Same", Phone="1")
    way_in.tell("Account", sfid)
    way_in.apply()
    way_in.run_sql("UPDATE account SET email = 'from-the-hub@example.com'")

    user.update("Account", sfid, Phone="2")
    way_in.tell("Account", sfid)
    way_in.apply()

    (account,) = way_in.rows(ACCOUNTS)
    assert (account["phone"], account["email"]) == ("2", "from-the-hub@example.com")


def test_an_older_version_is_dropped(way_in, user) -> None:
    sfid = user.create("Account", Name="New")
    way_in.tell("Account", sfid)
    way_in.apply()
    way_in.tell("Account", sfid, SystemModstamp="2020-01-01T00:00:00.000Z")
    before = way_in.org.calls

    report = way_in.apply()

    assert (report.stale, report.records) == (1, 0)
    assert way_in.org.calls == before


def test_the_same_notification_ten_times_is_one_change(way_in, user) -> None:
    sfid = user.create("Account", Name="Ten times")
    for _ in range(10):
        way_in.tell("Account", sfid, ids=["04l000000000000AAA"])

    first = way_in.apply()
    way_in.tell("Account", sfid, ids=["04l000000000000AAA"])
    again = way_in.apply()

    assert (first.changed, again.repeated, again.records) == (1, 1, 0)


def test_a_hundred_accounts_cost_one_call(way_in, user, client) -> None:
    sfids = [user.create("Account", Name=f"Account {number}") for number in range(100)]
    way_in.tell("Account", *sfids)
    before = client.calls

    way_in.apply()

    assert way_in.rows("SELECT count(*) AS n FROM account") == [{"n": 100}]
    assert client.calls == before + 1


def test_a_deleted_account_is_marked(way_in, user) -> None:
    sfid = user.create("Account", Name="Gone")
    way_in.sweep()
    way_in.apply()
    user.delete("Account", sfid)

    way_in.sweep()
    way_in.apply()

    assert way_in.rows(ACCOUNTS)[0]["deleted_at"] is not None


def test_a_location_of_the_hub_follows_the_crm(way_in, user, client) -> None:
    account = user.create("Account", Name="Owner")
    way_in.tell("Account", account)
    way_in.apply()
    way_in.run_sql(
        "INSERT INTO location (brand_id, account_id, name, normalized_key)"
        " SELECT brand_id, id, 'Old name', 'k' FROM account"
    )
    (place,) = way_in.rows("SELECT id FROM location")
    row = {
        "Billing_Key__c": f"l2c:location:{place['id']}",
        "Name": "Old name",
        "Account__c": account,
    }
    (made,) = client.upsert_collections("L2C_Location__c", "Billing_Key__c", [row])

    user.update("L2C_Location__c", made.sfid, Name="New name", City__c="Mainz")
    way_in.sweep()
    way_in.apply()

    (found,) = way_in.rows("SELECT name, city FROM location")
    assert found == {"name": "New name", "city": "Mainz"}


@pytest.mark.parametrize(
    "key",
    [
        "l2c:location:999",
        "l2c:location:99999999999999999999999",
        "l2c:location:-1",
        "l2c:account:1",
        "by hand",
    ],
)
def test_a_key_the_hub_never_gave_leads_to_no_row(way_in, user, key) -> None:
    account = user.create("Account", Name="Owner")
    user.create("L2C_Location__c", Name="Theirs", Account__c=account, Billing_Key__c=key)

    way_in.sweep()
    report = way_in.apply()

    assert report.problems == []
    assert way_in.rows("SELECT entity FROM crm_record") == [{"entity": "account"}]


class TestPoison:
    def test_one_record_the_hub_refuses_does_not_hold_up_the_others(self, way_in, user) -> None:
        good = user.create("Account", Name="Good")
        bad = user.create("Account", Name="Bad")
        way_in.run_sql("ALTER TABLE account ADD CONSTRAINT no_bad CHECK (name <> 'Bad')")
        way_in.tell("Account", bad, good)

        report = way_in.apply()

        assert [row["name"] for row in way_in.rows(ACCOUNTS)] == ["Good"]
        assert report.problems == [f"Account {bad}: the hub refuses it (no_bad)"]

    def test_what_the_hub_refused_is_tried_again(self, way_in, user) -> None:
        bad = user.create("Account", Name="Bad")
        way_in.run_sql("ALTER TABLE account ADD CONSTRAINT no_bad CHECK (name <> 'Bad')")
        way_in.tell("Account", bad)
        way_in.apply()
        way_in.run_sql("ALTER TABLE account DROP CONSTRAINT no_bad")

        assert way_in.apply().envelopes == 0  # not at once
        way_in.run_sql("UPDATE inbox SET next_attempt_at = now()")
        way_in.apply()

        assert [row["name"] for row in way_in.rows(ACCOUNTS)] == ["Bad"]
        assert way_in.rows("SELECT state FROM inbox") == [{"state": "applied"}]

    @pytest.mark.parametrize("field", ["L2C_MRR__c", "L2C_Active_Services__c"])
    def test_a_field_that_got_another_type_does_not_hold_up_the_others(
        self, way_in, user, field
    ) -> None:
        odd, even = [user.create("Account", Name=name) for name in ("Odd", "Even")]
        way_in.sweep()
        way_in.apply()
        user.update("Account", even, Name="Evener")
        way_in.store_page(odd, age="0 s", **{field: "two or three"})

        way_in.sweep()
        report = way_in.apply()

        assert report.problems == []
        assert [row["name"] for row in way_in.rows(ACCOUNTS)] == ["Odd", "Evener"]

    @pytest.mark.parametrize("kind", [FieldType.INTEGER, FieldType.NUMBER, FieldType.MONEY])
    def test_a_number_that_is_none_is_left_to_the_hub_to_refuse(self, kind) -> None:
        read = canonical(PullField(to="column", type=kind))

        assert (read("two or three"), read("2.50"), read(None)) == (
            "two or three",
            Decimal("2.5"),
            None,
        )

    def test_an_unknown_brand_is_named(self, way_in, user) -> None:
        sfid = user.create("Account", Name="Reseller's", L2C_Brand_Key__c="nobody")
        way_in.tell("Account", sfid)

        report = way_in.apply()

        assert report.problems == [
            f"Account {sfid}: the hub refuses it (L2C_Brand_Key__c: the catalogue has no brand "
            "'nobody': load it, or correct the field)"
        ]

    def test_a_notification_without_an_id_does_not_hide_the_others(self, way_in, user) -> None:
        good = user.create("Account", Name="Good")
        way_in.tell("Account", "not an id", good)

        report = way_in.apply()

        assert [row["name"] for row in way_in.rows(ACCOUNTS)] == ["Good"]
        assert len(report.problems) == 1
        assert way_in.rows("SELECT state FROM inbox") == [{"state": "failed"}]

    def test_an_id_of_another_object_does_not_hide_the_others(self, way_in, user) -> None:
        good = user.create("Account", Name="Good")
        way_in.tell("Account", "006000000000001AAA", good, "zzz000000000001AAA")

        way_in.apply()

        assert [row["name"] for row in way_in.rows(ACCOUNTS)] == ["Good"]

    def test_an_envelope_that_is_no_xml_fails_alone(self, way_in, user) -> None:
        good = user.create("Account", Name="Good")
        way_in.tell_raw("<broken")
        way_in.tell("Account", good)

        way_in.apply()

        states = way_in.rows("SELECT state FROM inbox ORDER BY id")
        assert [row["state"] for row in states] == ["failed", "applied"]
        assert [row["name"] for row in way_in.rows(ACCOUNTS)] == ["Good"]


class TestOrgAway:
    def test_messages_wait_when_the_org_does_not_answer(self, way_in, user, org) -> None:
        sfid = user.create("Account", Name="Patient")
        way_in.tell("Account", sfid)
        org.admin("faults", body={"faults": [{"kind": "http", "status": 503}]})

        report = way_in.apply()

        assert report.postponed == 1
        assert way_in.rows("SELECT state FROM inbox") == [{"state": "pending"}]
        org.admin("faults", method="DELETE")
        way_in.run_sql("UPDATE inbox SET next_attempt_at = now()")
        way_in.apply()
        assert [row["name"] for row in way_in.rows(ACCOUNTS)] == ["Patient"]

    def test_a_pass_beside_another_does_nothing(self, way_in, monkeypatch) -> None:
        monkeypatch.setattr("connector.sync.apply.run._LOCK_WAIT", "50ms")
        with way_in.store.engine.connect() as other:
            other.execute(text("SELECT pg_advisory_lock(hashtextextended('sync.apply', 0))"))

            assert way_in.apply().is_busy
            other.execute(text("SELECT pg_advisory_unlock_all()"))

        assert not way_in.apply().is_busy


class TestVersionGuard:
    def test_what_is_older_than_an_echo_is_dropped(self, way_in, user) -> None:
        sfid = user.create("Account", Name="Back and forth", Phone="1")
        way_in.tell("Account", sfid)
        way_in.apply()
        way_in.run_sql("UPDATE crm_record SET system_modstamp = system_modstamp - interval '1 h'")
        way_in.tell("Account", sfid)
        way_in.apply()  # the same values, an hour newer

        way_in.store_page(sfid, age="30 minutes", Phone="2")
        report = way_in.apply()

        assert (report.changed, report.stale) == (0, 1)
        assert way_in.rows("SELECT phone FROM account") == [{"phone": "1"}]

    def test_a_page_that_failed_once_is_read_again(self, way_in, user) -> None:
        sfid = user.create("Account", Name="Refused")
        way_in.run_sql("ALTER TABLE account ADD CONSTRAINT no_bad CHECK (name <> 'Refused')")
        way_in.sweep()
        way_in.apply()
        user.update("Account", sfid, Name="Accepted")
        way_in.run_sql("UPDATE inbox SET next_attempt_at = now()")

        way_in.apply()

        assert way_in.rows("SELECT name FROM account") == [{"name": "Accepted"}]


def test_how_often_a_customer_asks_to_be_billed_arrives(way_in, user) -> None:
    sfid = user.create("Account", Name="Dental Group", L2C_Billing_Cycle__c="month")
    way_in.sweep()
    way_in.apply()
    user.update("Account", sfid, L2C_Billing_Cycle__c="week")

    way_in.sweep()
    way_in.apply()

    assert way_in.rows(ACCOUNTS)[0]["billing_cycle"] == "week"
