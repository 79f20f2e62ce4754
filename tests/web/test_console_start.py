"""The start page: is anything stuck, and whom do we serve."""

import re
from datetime import date
from html import unescape

import pytest
from console_world import JULY, ConsoleWorld, Visitor


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).strip()


def start(visitor: Visitor, query: str = "") -> str:
    return words(visitor.page(f"/console/{query}"))


class TestQuiet:
    def test_says_that_nothing_is_stuck_on_a_fresh_store(self, visitor: Visitor) -> None:
        said = start(visitor)

        assert "Nothing is stuck." in said
        assert "0 changes" in said
        assert "No account has come from the CRM yet" in said

    def test_lists_accounts_with_their_balance_and_its_currency(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        payer = world.payer(name="Zahnzentrum Rhein")
        world.deliver(payer)
        world.bill(JULY)

        said = start(visitor)

        assert "Nothing is stuck." in said
        assert "Zahnzentrum Rhein business Rhein Telecom 1 1 01 Jul 2026 535.50 EUR" in said
        assert "Last bill run 01 Jul 2026 1 billing account due" in said

    def test_counts_every_change_that_is_on_its_way(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.payer()
        world.all_pushed()
        world.do("INSERT INTO push_log (entity, keys) VALUES (1, '{1,2,3}')")
        world.do("INSERT INTO push_queue (entity, key) VALUES (1, 7)")

        assert "4 changes" in start(visitor)

    def test_finds_an_account_by_a_part_of_its_name(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.payer(name="100% Dental")
        world.payer(name="Harbor Logistics")

        assert "Harbor" not in start(visitor, "?q=dental")
        assert "100% Dental" in start(visitor, "?q=DENTAL")
        # A sign of the pattern language is a letter like any other.
        assert "Harbor" not in start(visitor, "?q=%25")
        assert "No account has “nobody” in its name" in start(visitor, "?q=nobody")

    def test_leads_through_many_accounts_page_by_page(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do(
            "INSERT INTO account (brand_id, sfid, kind, name) SELECT :brand, "
            "'001' || lpad(n::text, 15, '0'), 'business', 'Customer ' || lpad(n::text, 3, '0') "
            "FROM generate_series(1, 150) n",
            brand=world.brand_id,
        )

        first, second = start(visitor), start(visitor, "?page=2")

        assert "Accounts 150" in first
        assert "Customer 100" in first
        assert "Customer 101" not in first
        assert "Customer 101" in second
        assert "More accounts" in first
        assert "More accounts" not in second

    @pytest.mark.parametrize("query", ["?page=0", "?page=-3", "?page=x", "?page=99999999999999"])
    def test_a_strange_page_number_does_no_harm(self, visitor: Visitor, query: str) -> None:
        assert "Nothing is stuck." in start(visitor, query)


class TestStuck:
    def test_a_record_the_crm_refuses(self, world: ConsoleWorld, visitor: Visitor) -> None:
        account = world.account_of(world.payer(name="Zahnzentrum Rhein"))
        world.all_pushed()
        world.refuse("account", account, error="too long", remedy="Shorten it.", status="Error")
        world.do("UPDATE crm_record SET error_code = 'STRING_TOO_LONG' WHERE error IS NOT NULL")

        said = start(visitor)

        assert "1 thing needs a person" in said
        assert "CRM record account Zahnzentrum Rhein STRING_TOO_LONG: too long Shorten it." in said

    def test_a_record_that_has_no_name_goes_by_its_id(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do(
            "INSERT INTO crm_record (entity, hub_id, object, born, status) "
            "VALUES ('usage_summary', 77, 'X', 'hub', 'Error'), ('task', 78, 'X', 'hub', 'Error')"
        )

        said = start(visitor)

        assert "usage summary 77" in said
        assert "task 78" in said

    def test_a_refusal_that_is_tried_again_needs_nobody(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        account = world.account_of(world.payer())
        world.all_pushed()
        world.refuse("account", account, error="locked", remedy="Nothing.", status="Pending")

        assert "Nothing is stuck." in start(visitor)

    def test_a_request_that_is_parked(self, world: ConsoleWorld, visitor: Visitor) -> None:
        for number, state in enumerate(("parked", "failed", "pending", "done")):
            world.do(
                "INSERT INTO intent (flow, object, sfid, version, facts, state, reason, remedy, "
                "created_at) VALUES ('win', 'Opportunity', :sfid, '1', '{}', :state, "
                "'Unknown product X-1.', 'Load it.', now())",
                sfid=f"006{number:015}",
                state=state,
            )

        said = start(visitor)

        assert "2 things need a person" in said
        assert "win on Opportunity 006000000000000000 Unknown product X-1. Load it." in said
        assert "006000000000000001" in said
        assert "006000000000000002" not in said

    def test_a_message_that_could_not_be_applied(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do(
            "INSERT INTO inbox (source, received_at, organization_id, topic, content, state, error)"
            " VALUES ('outbound_message', now(), 'o', 't', 'secret body', 'failed', 'No object X.')"
        )

        said = start(visitor)

        assert "Message from the CRM outbound_message" in said
        assert "No object X." in said
        assert "secret body" not in said

    def test_a_task_that_gave_up(self, world: ConsoleWorld, visitor: Visitor) -> None:
        world.deliver(world.payer())
        world.do(
            "UPDATE task SET state = 'Error', error_message = 'No number is free.' "
            "WHERE name = 'Test calls'"
        )

        assert "Test calls No number is free. Restart or dismiss the task in the CRM." in start(
            visitor
        )

    def test_money_of_an_unknown_payer(self, world: ConsoleWorld, visitor: Visitor) -> None:
        world.pay("12.30", reference="bank-9", invoice="RT-999999")

        said = start(visitor)

        assert "1 thing needs a person" in said
        assert re.search(r"Payment PAY-\d+ EUR 12\.30 .*RT-999999", said)

    def test_usage_in_suspense_by_file_and_reason(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        file = world.do(
            "INSERT INTO usage_file (feed, name, sha256, lines_read, accepted, duplicate, suspense,"
            " header, imported_at) VALUES ('calls', 'calls-06.csv', 'x', 3, 0, 0, 3, '[]', now()) "
            "RETURNING id"
        )
        for line, reason, state in ((1, "bad_number", "open"), (2, "bad_number", "open"),
                                    (3, "unknown_alias", "replayed")):  # fmt: skip
            world.do(
                "INSERT INTO suspense (usage_file_id, line_no, reason_code, reason, raw, state, "
                "created_at) VALUES (:file, :line, :reason, '', '+49611', :state, now())",
                file=file,
                line=line,
                reason=reason,
                state=state,
            )

        said = start(visitor)

        assert "Usage calls-06.csv: 2 lines bad_number" in said
        assert "l2c usage replay --feed calls" in said
        assert "unknown_alias" not in said
        assert "+49611" not in said

    def test_a_payer_the_bill_run_could_not_bill(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        payer = world.payer(country="XX", name="Nowhere Ltd")
        world.deliver(payer)
        report = world.bill(JULY)

        said = start(visitor)

        (problem,) = report.problems
        number = world.one("SELECT number FROM billing_account WHERE id = :id", id=payer).number
        assert f"Bill run cycle:2026-07-01 {number} {problem.reason}" in said
        assert problem.remedy in said

    def test_a_payer_billed_by_a_repeated_run_is_not_stuck_any_more(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.deliver(world.payer(country="XX"))
        world.bill(JULY)
        world.tax("0", country="XX")
        world.bill(JULY)

        assert "Nothing is stuck." in start(visitor)

    def test_drift_of_the_last_comparison_only(self, world: ConsoleWorld, visitor: Visitor) -> None:
        for drift in (5, 2):
            world.do(
                "INSERT INTO reconcile_report (made_at, drift, content) VALUES (now(), :n, '{}')",
                n=drift,
            )

        assert "2 differences" in start(visitor)
        world.do("INSERT INTO reconcile_report (made_at, drift, content) VALUES (now(), 0, '{}')")
        assert "Nothing is stuck." in start(visitor)

    def test_counts_all_even_where_it_shows_fifty(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do(
            "INSERT INTO crm_record (entity, hub_id, object, born, status) "
            "SELECT 'invoice', n, 'L2C_Invoice__c', 'hub', 'Error' FROM generate_series(1, 60) n"
        )

        said = start(visitor)

        assert "60 things need a person" in said
        assert "Only 50 of them are shown." in said


def test_shows_how_much_of_the_days_api_calls_is_used(
    world: ConsoleWorld, visitor: Visitor
) -> None:
    assert "API calls" not in start(visitor)
    world.do(
        "INSERT INTO api_usage (id, calls, used_today, allowed_today) VALUES (1, 5, 1200, 100000) "
        "ON CONFLICT (id) DO UPDATE SET used_today = 1200, allowed_today = 100000"
    )

    assert "1,200 of 100,000" in start(visitor)


def test_the_last_run_is_the_one_billed_furthest(world: ConsoleWorld, visitor: Visitor) -> None:
    world.deliver(world.payer())
    world.bill(date(2026, 8, 1))
    world.bill(JULY)

    assert "Last bill run 01 Aug 2026" in start(visitor)


class TestTheOrg:
    def test_tells_how_much_slower_calls_are_made_and_when_none_are_left(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do(
            "INSERT INTO api_usage (id, used_today, allowed_today) VALUES (1, 850, 1000);"
            "INSERT INTO api_sample (at, used, allowed)"
            " VALUES (now() - interval '1 hour', 700, 1000), (now(), 850, 1000)"
        )

        said = start(visitor)

        assert "API calls of the CRM used today 850 of 1,000, slowed down 2.0 times" in said
        assert re.search(r"none left at \d\d \w+ \d{4} \d\d:\d\d UTC if it goes on", said)

    def test_says_why_no_call_is_made(self, world: ConsoleWorld, visitor: Visitor) -> None:
        world.do(
            "INSERT INTO api_usage (id, used_today, allowed_today, held_for, held_until)"
            " VALUES (1, 1000, 1000, 'daily', now() + interval '5 minutes')"
        )

        assert "No call is made The API calls of the day are used up" in start(visitor)

    def test_names_what_stands_still_because_its_mapping_does_not_fit(
        self, world: ConsoleWorld, visitor: Visitor
    ) -> None:
        world.do(
            "INSERT INTO mapping_finding"
            " (entity, object, field, file, line, problem, remedy, halts, found_at) VALUES"
            " ('payment', 'L2C_Payment__c', 'Remark__c', 'payment.yaml', 27,"
            "  'The org shows no such field.', 'Deploy it.', 'push', now())"
        )

        said = start(visitor)

        assert "payment (not sent) payment.yaml:27 Remark__c: The org shows no such field." in said
