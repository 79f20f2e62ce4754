"""Records a first load meets: entered at once, as the inbox would have them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sync_in.conftest import WayIn, make_way_in

from connector.sync.apply import attributes
from connector.sync.apply.run import hold_off_passes
from connector.sync.capture import full_load
from connector.sync.capture.full_load import FullLoadReport, load_fully
from connector.sync.mapping.definition import IntentRule, Mappings, PullField

IN_THE_HUB = """
    SELECT a.sfid, a.kind, a.name, a.phone, a.street, a.city, a.postal_code, a.country, a.email,
           a.currency, a.is_tax_exempt, a.reseller_sfid, a.link_state, a.deleted_at,
           b.key AS brand, r.entity, r.object, r.born, r.system_modstamp, r.known, r.known_from,
           r.status, r.error, r.synced_at IS NOT NULL AS is_synced, r.hub_id = a.id AS is_linked
      FROM account a JOIN brand b ON b.id = a.brand_id
      LEFT JOIN crm_record r ON r.sfid = a.sfid ORDER BY a.sfid
"""
OWED = """
    SELECT count(*) AS owed FROM push_log l JOIN push_entity e ON e.code = l.entity
     CROSS JOIN LATERAL unnest(l.keys) WHERE e.name = 'account'
"""
AWKWARD = (
    {"Name": "Tab\there, line\nthere, \\N and “quotes”\\"},
    {"Name": "  blanks around  ", "BillingCity": "Köln", "Phone": "+49 731 1"},
    {"Name": "In words", "BillingCountry": "Deutschland", "L2C_Customer_Type__c": "Residential"},
    {"Name": "Branded", "L2C_Brand_Key__c": "alpina", "L2C_Tax_Exempt__c": True},
    {"Name": "Nowhere", "BillingCountry": "Atlantis", "L2C_Currency__c": "EUR"},
)


@pytest.fixture
def accounts(user) -> list[str]:
    sfids = [user.create("Account", **fields) for fields in AWKWARD]
    user.update("Account", sfids[0], L2C_Parent_Reseller__c=sfids[3])
    user.delete("Account", user.create("Account", Name="Thrown away"))
    return sfids


def load(way_in: WayIn, **named: Any) -> FullLoadReport:
    return load_fully(
        store=way_in.store,
        org=way_in.org,
        mappings=named.pop("mappings", way_in.mappings),
        now_org=datetime.now(UTC),
        objects=["Account"],
        **named,
    )


@contextmanager
def a_pass_applies(way_in: WayIn) -> Iterator[None]:
    """Hold the lock a pass of apply has."""
    with way_in.store.transaction() as tx:
        assert hold_off_passes(tx)
        yield


@pytest.fixture
def other_way_in(new_store, way_in) -> Iterator[WayIn]:
    """Return a second hub before the same org."""
    with new_store() as store:
        yield make_way_in(store, way_in.org, way_in.mappings, way_in.shapes)


def test_a_newcomer_is_the_same_whichever_way_it_takes(way_in, other_way_in, accounts) -> None:
    direct = load(way_in)
    with a_pass_applies(other_way_in):
        through_the_inbox = load(other_way_in)
    other_way_in.apply()

    assert (direct.entered["Account"], direct.stored["Account"]) == (5, 0)
    assert (through_the_inbox.entered["Account"], through_the_inbox.stored["Account"]) == (0, 5)
    assert way_in.rows(IN_THE_HUB) == other_way_in.rows(IN_THE_HUB)
    assert way_in.rows(OWED) == other_way_in.rows(OWED) == [{"owed": 5}]


def test_a_kind_of_record_gets_what_it_has_whichever_way_it_takes(
    way_in, other_way_in, accounts
) -> None:
    mappings = with_condition(way_in.mappings)
    other_way_in.mappings = mappings

    load(way_in, mappings=mappings)
    with a_pass_applies(other_way_in):
        load(other_way_in, mappings=mappings)
    other_way_in.apply()

    assert way_in.rows(IN_THE_HUB) == other_way_in.rows(IN_THE_HUB)
    assert {row["phone"] for row in way_in.rows(IN_THE_HUB)} == {None}
    assert way_in.rows(OWED) == other_way_in.rows(OWED)


def test_what_was_met_before_is_compared_and_not_entered_again(way_in, user, accounts) -> None:
    load(way_in)
    user.update("Account", accounts[0], Name="Renamed")
    user.create("Account", Name="Late")

    again = load(way_in)
    way_in.apply()

    assert (again.entered["Account"], again.stored["Account"]) == (1, 1)
    names = [row["name"] for row in way_in.rows(IN_THE_HUB)]
    assert (names[0], names[-1], len(names)) == ("Renamed", "Late", 6)


def test_a_customer_the_hub_had_before_the_crm_spoke_of_it_is_not_doubled(way_in, accounts) -> None:
    way_in.run_sql(
        "INSERT INTO account (brand_id, sfid, kind, name) "
        f"SELECT id, '{accounts[1]}', 'business', 'Told by the order' FROM brand LIMIT 1"
    )

    loaded = load(way_in)
    way_in.apply()

    assert (loaded.entered["Account"], loaded.stored["Account"]) == (4, 1)
    assert len(way_in.rows(IN_THE_HUB)) == 5
    assert all(row["is_linked"] for row in way_in.rows(IN_THE_HUB))


def test_one_that_is_met_while_the_page_is_read_is_not_doubled(
    way_in, accounts, monkeypatch
) -> None:
    def somebody_is_faster(tx) -> bool:
        way_in.run_sql(
            "INSERT INTO account (brand_id, sfid, kind, name) "
            f"SELECT id, '{accounts[1]}', 'business', 'Told by the order' FROM brand LIMIT 1"
        )
        return hold_off_passes(tx)

    monkeypatch.setattr(full_load, "hold_off_passes", somebody_is_faster)

    loaded = load(way_in)
    way_in.apply()

    assert (loaded.entered["Account"], loaded.stored["Account"]) == (0, 5)
    assert len(way_in.rows(IN_THE_HUB)) == 5
    assert all(row["is_linked"] for row in way_in.rows(IN_THE_HUB))


def test_one_that_is_merged_away_while_the_page_is_read_is_not_entered(
    way_in, accounts, monkeypatch
) -> None:
    def merged_meanwhile(tx) -> bool:
        way_in.run_sql(
            "INSERT INTO crm_alias (sfid, master_sfid, object, merged_at) "
            f"VALUES ('{accounts[1]}', '{accounts[0]}', 'Account', now())"
        )
        return hold_off_passes(tx)

    monkeypatch.setattr(full_load, "hold_off_passes", merged_meanwhile)

    assert load(way_in).entered["Account"] == 0


def test_one_the_hub_refuses_is_told_and_does_not_hold_up_the_others(
    way_in, user, accounts
) -> None:
    refused = user.create("Account", Name="Stranger", L2C_Brand_Key__c="nowhere")

    loaded = load(way_in)
    applied = way_in.apply()

    assert (loaded.entered["Account"], loaded.stored["Account"]) == (0, 6)
    assert {row["sfid"] for row in way_in.rows(IN_THE_HUB)} == set(accounts)
    assert applied.problems == [
        f"Account {refused}: the hub refuses it (L2C_Brand_Key__c: the catalogue has no brand "
        "'nowhere': load it, or correct the field)"
    ]


def test_one_refused_among_many_is_found_by_halves(way_in, client, monkeypatch) -> None:
    from connector.adapters.salesforce.answers import Subrequest

    records = [{"attributes": {"type": "Account"}, "Name": f"Account {n}"} for n in range(128)]
    records[77]["L2C_Brand_Key__c"] = "nowhere"
    body = {"allOrNone": True, "records": records}
    client.composite([Subrequest("POST", "composite/sobjects", "c", body)])
    tries: list[int] = []
    write = attributes._write

    def counted(tx, mapping, news) -> int:
        tries.append(len(news))
        return write(tx, mapping, news)

    monkeypatch.setattr(attributes, "_write", counted)
    way_in.sweep()

    applied = way_in.apply()

    assert len(way_in.rows(IN_THE_HUB)) == 127
    assert len(applied.problems) == 1
    assert len(tries) == 15  # all of them, then two halves seven times


def test_a_load_that_was_killed_within_a_page_loses_and_doubles_nothing(
    way_in, accounts, monkeypatch
) -> None:
    monkeypatch.setattr(full_load, "ROWS_PER_BLOCK", 2)
    entered: list[int] = []
    enter = full_load.enter

    def dies_at_the_second(tx, arrived) -> bool:
        entered.append(len(arrived.records))
        if len(entered) == 2:
            enter(tx, arrived)
            raise KeyboardInterrupt
        return enter(tx, arrived)

    monkeypatch.setattr(full_load, "enter", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        load(way_in)
    left = len(way_in.rows(IN_THE_HUB))

    resumed = load(way_in)

    assert left == 2
    assert resumed.resumed == ("Account",)
    assert (resumed.entered["Account"], resumed.stored["Account"]) == (3, 0)
    assert [row["sfid"] for row in way_in.rows(IN_THE_HUB)] == sorted(accounts)


def test_what_a_newcomer_asks_for_is_asked_for(way_in, accounts) -> None:
    rule = IntentRule.model_validate(
        {"when": {"field": "L2C_Currency__c", "becomes": "EUR"}, "flow": "win"}
    )
    way_in.mappings = with_rule(way_in.mappings, rule)

    loaded = load(way_in)
    way_in.apply()

    assert loaded.entered["Account"] + loaded.stored["Account"] == 5
    assert [request.sfid for request in way_in.flows["win"].requests] == [accounts[4]]
    assert len(way_in.rows(IN_THE_HUB)) == 5


def with_rule(mappings: Mappings, rule: IntentRule) -> Mappings:
    return changed_account(mappings, lambda one: one.model_copy(update={"intents": (rule,)}))


def with_condition(mappings: Mappings) -> Mappings:
    """Return the mappings with a field that only persons have; in this org nobody is one."""
    phone = PullField.model_validate({"to": "phone", "type": "phone", "when": {"person": True}})

    def changed(one: Any) -> Any:
        pull = one.pull.model_copy(update={"fields": one.pull.fields | {"Phone": phone}})
        return one.model_copy(update={"pull": pull})

    return changed_account(mappings, changed)


def changed_account(mappings: Mappings, change: Callable[[Any], Any]) -> Mappings:
    return Mappings(tuple(change(one) if one.entity == "account" else one for one in mappings))
