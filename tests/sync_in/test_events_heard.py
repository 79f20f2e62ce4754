"""Change events from the org's Pub/Sub API to the hub: what is heard, kept, and read again."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs
from sync_in.events_world import ACCOUNTS, Events, Wire

from connector.adapters.salesforce.pubsub import FetchAnswer, ReceivedEvent
from connector.sync.capture import listener
from connector.sync.capture.event_topics import Place, change_topic, topics_to_follow
from connector.sync.capture.events import TopicTakenOver
from connector.sync.capture.owed_sweeps import sweep_owed

NAMES = "SELECT sfid, name FROM account ORDER BY name"


def schedule(org, kind: str, path: str, *, count: int = 1) -> None:
    fault = {"kind": kind, "path": path, "count": count}
    org.admin("faults", body={"faults": [fault]})


def sweep_what_is_owed(way_in):
    return sweep_owed(
        store=way_in.store, org=way_in.org, mappings=way_in.mappings, now_org=datetime.now(UTC)
    )


def test_brings_a_change_of_the_crm_into_the_hub(events, way_in, user) -> None:
    events.listen()

    account = user.create("Account", Name="Acme", BillingCity="Berlin")
    events.wait_for_hints(1)
    report = way_in.apply()

    assert report.changed == 1
    assert way_in.rows("SELECT sfid, name, city FROM account") == [
        {"sfid": account, "name": "Acme", "city": "Berlin"}
    ]
    assert "apply" in events.nudges


def test_hears_what_people_ask_for_by_every_topic_of_the_mappings(events, way_in, user) -> None:
    events.topics = topics_to_follow(way_in.mappings)
    events.listen()

    account = user.create("Account", Name="Acme")
    user.create(
        "Opportunity",
        Name="Won",
        AccountId=account,
        StageName="Closed Won",
        CloseDate="2026-06-15",
    )
    events.wait_for_hints(2)
    way_in.apply()

    assert len(way_in.flows["win"].requests) == 1


def test_follows_one_topic_per_object_that_comes_in(way_in) -> None:
    assert set(topics_to_follow(way_in.mappings)) == {
        "/data/AccountChangeEvent",
        "/data/OpportunityChangeEvent",
        "/data/L2C_Location__ChangeEvent",
        "/data/L2C_Customer_Order__ChangeEvent",
        "/data/L2C_Work_Order_Task__ChangeEvent",
    }
    assert topics_to_follow(way_in.mappings, ("/data/ChangeEvents",)) == ("/data/ChangeEvents",)


def test_the_shipped_metadata_switches_capture_on_for_every_object_that_comes_in(
    org, way_in
) -> None:
    selected = org.admin("events", method="GET")["entities"]

    assert {change_topic(name) for name in selected} == set(topics_to_follow(way_in.mappings))


def test_reads_a_record_once_for_many_events(events, way_in, user) -> None:
    events.listen()
    account = user.create("Account", Name="Acme")
    for count in range(5):
        user.update("Account", account, Phone=f"+49 30 {count}")
    events.wait_for_hints(6)
    calls = way_in.org.calls

    report = way_in.apply()

    assert report.records == 1
    assert way_in.org.calls == calls + 1
    assert way_in.rows("SELECT phone FROM account") == [{"phone": "+49 30 4"}]


def test_goes_on_from_the_stored_place_after_a_restart(events, user) -> None:
    events.listen()
    before = user.create("Account", Name="Before")
    events.wait_for_hints(1)
    events.stop()

    during = user.create("Account", Name="While nobody listens")
    events.listen()
    after = user.create("Account", Name="After")

    assert events.wait_for_hints(3) == [("CREATE", before), ("CREATE", during), ("CREATE", after)]


def test_moves_its_place_on_signs_of_life_alone(events, user) -> None:
    events.topics = (ACCOUNTS, "/data/OpportunityChangeEvent")
    events.listen()
    place = events.place("/data/OpportunityChangeEvent")

    user.create("Account", Name="Of another topic")

    events.wait_past(place, "/data/OpportunityChangeEvent")
    assert {hint["object"] for page in events.pages() for hint in page} <= {"Account"}


def test_takes_five_hundred_events_without_losing_or_doubling_one(events, org, user) -> None:
    events.listen()

    created = [user.create("Account", Name=f"Account {count}") for count in range(500)]

    assert events.wait_for_hints(500) == [("CREATE", sfid) for sfid in created]
    assert max(len(page) for page in events.pages()) <= 100


def test_hears_events_again_that_were_waiting_in_hundreds(events, way_in, user) -> None:
    events.listen()
    events.stop()
    created = [user.create("Account", Name=f"Account {count}") for count in range(250)]

    events.listen()

    assert events.wait_for_hints(250) == [("CREATE", sfid) for sfid in created]
    assert len(events.pages()) >= 3  # never more than a hundred at once


def test_stores_events_once_that_come_twice(events, org, user) -> None:
    schedule(org, "event_duplicate", ACCOUNTS)
    events.listen()

    first = user.create("Account", Name="Twice")
    second = user.create("Account", Name="Once")
    events.wait_for(lambda: ("CREATE", second) in events.hints(), "the second is heard")

    assert events.hints() == [("CREATE", first), ("CREATE", second)]


def test_drops_what_the_connector_itself_wrote(events, way_in, user) -> None:
    account = user.create("Account", Name="Acme")
    events.listen()

    way_in.org.update_collections("Account", [{"Id": account, "L2C_Billing_Status__c": "Active"}])
    user.update("Account", account, Phone="+49 30 1")

    events.wait_for_hints(1)
    (page,) = events.pages()
    (hint,) = page
    assert hint["sfid"] == account
    assert "l2c-connector" not in hint["change_origin"]


def test_hears_an_attribute_that_changed_with_what_the_connector_wrote(
    events, way_in, user
) -> None:
    account = user.create("Account", Name="Acme")
    events.listen()

    # As automation of the org would, in the transaction of our own write.
    way_in.org.update_collections("Account", [{"Id": account, "BillingCity": "Bonn"}])

    assert events.wait_for_hints(1) == [("UPDATE", account)]


def test_leaves_objects_alone_that_no_mapping_knows(events, org, user) -> None:
    org.admin("cdc", body={"entities": ["Account", "Contact"]}, method="PUT")
    events.topics = ("/data/ChangeEvents",)
    events.listen()

    user.create("Contact", LastName="Nobody")
    account = user.create("Account", Name="Acme")

    assert events.wait_for_hints(1) == [("CREATE", account)]


def test_a_deletion_is_noted_and_takes_no_customer_away(events, way_in, user) -> None:
    events.listen()
    account = user.create("Account", Name="Acme")
    events.wait_for_hints(1)
    way_in.apply()

    user.delete("Account", account)
    events.wait_for_hints(2)
    report = way_in.apply()

    assert report.deleted == 1
    assert way_in.rows("SELECT count(*) AS accounts FROM account") == [{"accounts": 1}]
    assert way_in.rows("SELECT deleted_at IS NOT NULL AS gone FROM crm_record") == [{"gone": True}]


def test_a_record_that_came_back_is_not_gone(events, way_in, user) -> None:
    account = user.create("Account", Name="Acme")
    events.listen()
    user.delete("Account", account)
    events.wait_for_hints(1)
    user.undelete(account)
    events.wait_for_hints(2)

    report = way_in.apply()

    assert [kind for kind, _ in events.hints()] == ["DELETE", "UNDELETE"]
    assert (report.deleted, report.changed) == (0, 1)


class TestGaps:
    def test_a_gap_reads_the_named_records_again(self, events, org, way_in, user) -> None:
        account = user.create("Account", Name="Acme")
        events.listen()

        org.admin(
            "events/gap",
            body={"entity": "Account", "type": "GAP_UPDATE", "record_ids": [account]},
        )
        events.wait_for_hints(1)
        way_in.apply()

        assert way_in.rows(NAMES) == [{"sfid": account, "name": "Acme"}]

    def test_an_overflow_owes_a_sweep_of_that_object(self, events, org, way_in, user) -> None:
        accounts = [user.create("Account", Name=f"Account {count}") for count in range(3)]
        events.listen()

        org.admin("events/gap", body={"entity": "Account", "type": "GAP_OVERFLOW"})
        events.wait_for(events.owed, "a sweep is owed")
        swept = sweep_what_is_owed(way_in)
        way_in.apply()

        assert swept.found == {"Account": 3}
        assert swept.reasons == {"Account": "the org reported GAP_OVERFLOW"}
        assert {row["sfid"] for row in way_in.rows(NAMES)} == set(accounts)
        assert events.owed() == {}
        assert "sweep" in events.nudges

    def test_a_bulk_change_that_overflows_loses_nothing(self, events, org, way_in) -> None:
        events.listen()
        org.admin("events", body={"overflow_at": 2}, method="PUT")

        rows = [{"Billing_Key__c": f"l2c:location:{n}", "Name": f"Place {n}"} for n in range(3)]
        events.stop()
        events.topics = ("/data/L2C_Location__ChangeEvent",)
        events.listen()
        way_in.org.upsert_collections("L2C_Location__c", "Billing_Key__c", rows)

        events.wait_for(events.owed, "a sweep is owed")
        assert sweep_what_is_owed(way_in).found == {"L2C_Location__c": 3}

    def test_a_bounded_sweep_reads_nothing_older_than_the_loss(
        self, events, org, way_in, user
    ) -> None:
        user.create("Account", Name="Long before")
        with way_in.store.transaction() as tx:
            tx.exec_driver_sql(
                "INSERT INTO owed_sweep (object, position_at, reason, owed_at) VALUES"
                " ('Account', now() + interval '1 hour', 'test', now())"
            )

        swept = sweep_what_is_owed(way_in)

        assert swept.found == {"Account": 0}
        assert events.owed() == {}

    def test_a_refused_object_does_not_hold_up_the_others(self, events, way_in, user) -> None:
        user.create("Account", Name="Acme")
        with way_in.store.transaction() as tx:
            tx.exec_driver_sql(
                "INSERT INTO owed_sweep (object, position_at, reason, owed_at) VALUES"
                " ('Account', now() - interval '1 hour', 'test', now()),"
                " ('No_Longer_Mapped__c', now() - interval '1 hour', 'test', now())"
            )

        assert sweep_what_is_owed(way_in).found == {"Account": 1}
        assert events.owed() == {}


class TestLostPlaces:
    @pytest.mark.parametrize("replay_id", [b"\x00" * 8, b"foreign"], ids=["expired", "corrupted"])
    def test_starts_with_the_oldest_event_and_owes_a_sweep_of_what_is_older(
        self, events, way_in, user, replay_id
    ) -> None:
        events.listen()
        events.stop()
        with way_in.store.transaction() as tx:
            tx.exec_driver_sql("UPDATE event_topic SET replay_id = %s", (replay_id,))
        account = user.create("Account", Name="While the place was lost")

        events.listen()

        assert events.wait_for_hints(1) == [("CREATE", account)]
        assert events.owed() == {"Account": "the replay id is invalid or has expired"}

    def test_finds_changes_whose_events_have_expired(self, events, org, way_in, user) -> None:
        events.listen()
        events.stop()
        account = user.create("Account", Name="Three days ago")
        org.admin("events/expire")
        with way_in.store.transaction() as tx:
            # A place that lies before what the org still keeps.
            tx.exec_driver_sql("UPDATE event_topic SET replay_id = %s", ((1).to_bytes(8, "big"),))

        events.listen()
        events.wait_for(events.owed, "the refusal of the place has been noted")
        sweep_what_is_owed(way_in)
        way_in.apply()

        assert way_in.rows(NAMES) == [{"sfid": account, "name": "Three days ago"}]

    def test_a_place_that_another_process_moved_stores_nothing(self, events, user) -> None:
        events.listen()
        events.stop()
        account = user.create("Account", Name="Acme")
        stale = Place(None, from_earliest=False, known_until=datetime.now(UTC))
        answer = events.oldest()

        with pytest.raises(TopicTakenOver):
            events.listening().keep(answer, stale)

        assert account in {sfid for event in answer.events for sfid in event.change.record_ids}
        assert events.pages() == []


class TestBadWeather:
    def test_renews_an_expired_session_and_loses_nothing(self, events, org, user) -> None:
        events.listen()

        org.admin("sessions/expire")
        user.log_in()
        account = user.create("Account", Name="Acme")

        assert events.wait_for_hints(1) == [("CREATE", account)]

    def test_connects_again_when_the_org_is_away(self, events, org, user) -> None:
        events.listen()

        schedule(org, "drop_before", "PubSub/Subscribe", count=3)
        accounts = [user.create("Account", Name=f"Account {count}") for count in range(3)]

        assert events.wait_for_hints(3) == [("CREATE", sfid) for sfid in accounts]

    def test_connects_again_when_the_wire_was_cut(self, events, org, user) -> None:
        with Wire(org.pubsub_address) as wire:
            events.listen(address=wire.address)
            wire.cut()
            events.wait_for(lambda: events.standings()[0].problem, "the cut is noticed")
            account = user.create("Account", Name="While the wire was cut")

            wire.mend()

            assert events.wait_for_hints(1) == [("CREATE", account)]
            events.stop()

    def test_opens_a_stream_anew_that_has_gone_silent(self, events, org, user, monkeypatch) -> None:
        events.listen()
        events.stop()
        monkeypatch.setattr(listener, "SILENCE_MAX_S", 0.2)
        monkeypatch.setattr(listener, "_WATCH_EVERY_S", 0.05)
        org.admin("events", body={"keep_alive_s": 3_600}, method="PUT")

        with capture_logs() as logs:
            events.start()
            events.wait_for(
                lambda: [one["event"] for one in logs].count("events.connected") >= 2,
                "the stream is opened a second time",
            )
        account = user.create("Account", Name="Acme")

        assert "events.silence" in [one["event"] for one in logs]
        assert events.wait_for_hints(1) == [("CREATE", account)]

    def test_says_why_a_topic_is_not_heard(self, events) -> None:
        events.topics = (ACCOUNTS, "/data/Nonsense__ChangeEvent")

        events.start()
        events.wait_for(
            lambda: (
                [one.is_connected for one in events.standings()] == [True, False]
                and events.standings()[1].problem
            ),
            "one topic is heard and the other is not",
        )

        assert "org.events_refused" in events.standings()[1].problem

    def test_waits_when_the_days_deliveries_are_used_up(self, events, org, user) -> None:
        events.listen()
        org.admin("events", body={"daily_deliveries": 0}, method="PUT")
        account = user.create("Account", Name="Acme")
        events.wait_for(
            lambda: "org.event_limit" in (events.standings()[0].problem or ""), "it is told"
        )

        org.admin("events", body={"daily_deliveries": 50_000}, method="PUT")

        assert events.wait_for_hints(1) == [("CREATE", account)]

    def test_a_store_that_refuses_the_answer_gets_it_again(self, events, way_in, user) -> None:
        events.listen()
        way_in.run_sql("ALTER TABLE inbox RENAME TO inbox_away")
        account = user.create("Account", Name="Acme")
        events.wait_for(lambda: events.standings()[0].problem, "the failure is told")

        way_in.run_sql("ALTER TABLE inbox_away RENAME TO inbox")

        assert events.wait_for_hints(1) == [("CREATE", account)]

    def test_an_event_of_an_unknown_schema_owes_a_sweep(self, events, user) -> None:
        events.listen()
        events.stop()
        user.create("Account", Name="Acme")
        place = events.kept_place()
        (event,) = events.oldest().events
        unreadable = FetchAnswer((ReceivedEvent(event.replay_id, None),), b"")

        heard = events.listening().keep(unreadable, place)

        assert heard.hints == []
        assert events.owed() == {"Account": "an event is unreadable"}
        since = heard.sweeps["Account"][0]
        # As long before as a transaction may last: a record is stamped before its commit.
        assert since == place.known_until - timedelta(minutes=10)


def test_one_of_several_listeners_hears(events, way_in, org, user) -> None:
    events.listen()
    other = Events(way_in, org)
    other.start()
    account = user.create("Account", Name="Acme")
    events.wait_for_hints(1)

    events.stop()
    assert events.hints() == [("CREATE", account)]
    assert "apply" not in other.nudges
    other.stop()


def test_tells_how_each_topic_stands(events, user) -> None:
    events.listen()
    user.create("Account", Name="Acme")
    events.wait_for_hints(1)

    (heard,) = events.standings()
    events.stop()
    (silent,) = events.standings()

    assert heard.is_connected
    assert heard.delay_s is not None
    assert heard.delay_s < 60
    assert heard.last_event_at is not None
    assert not silent.is_connected
    assert silent.replay_id == heard.replay_id
