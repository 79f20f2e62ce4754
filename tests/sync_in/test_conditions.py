"""Records for which the condition of their mapping does not hold are none of our business."""

import shutil
from pathlib import Path

import pytest
from sync_in.events_world import Events

from connector.store.mapping_files import MappingError
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.loading import load_mappings

SHIPPED = Path(__file__).parents[2] / "mappings" / "salesforce"
NAMES = "SELECT name FROM account ORDER BY name"
WAITING = "SELECT error FROM inbox WHERE state = 'pending'"


@pytest.fixture
def on_condition(tmp_path):
    """Return the shipped mappings, with a condition for accounts."""

    def load(where: str) -> Mappings:
        folder = shutil.copytree(SHIPPED, tmp_path / "mappings")
        file = folder / "account.yaml"
        file.write_text(file.read_text().replace("pull:\n", f"pull:\n  where: {where}\n"))
        return load_mappings(folder)

    return load


@pytest.fixture
def accounts(way_in, user, on_condition) -> list[str]:
    """Three accounts, of which two are of interest."""
    way_in.mappings = on_condition("Type = 'Customer' OR Type = 'Partner'")
    kinds = ("Customer", "Partner", "Prospect")
    return [user.create("Account", Name=kind, Type=kind) for kind in kinds]


def names(way_in) -> list[object]:
    return [row["name"] for row in way_in.rows(NAMES)]


def test_when_they_are_swept(way_in, accounts) -> None:
    way_in.sweep()
    way_in.apply()

    assert names(way_in) == ["Customer", "Partner"]


def test_when_a_message_tells_of_them(way_in, accounts, monkeypatch) -> None:
    monkeypatch.setattr("connector.sync.apply.rereading._IDS_PER_QUERY", 1)

    way_in.tell("Account", *accounts)
    way_in.apply()

    assert names(way_in) == ["Customer", "Partner"]
    assert way_in.rows(WAITING) == []


def test_when_an_event_tells_of_them(events: Events, way_in, accounts) -> None:
    events.listening().keep(events.oldest(), events.kept_place())

    way_in.apply()

    assert names(way_in) == ["Customer", "Partner"]


def test_a_customer_who_is_none_any_more_is_not_taken_for_deleted(
    events: Events, way_in, user, accounts
) -> None:
    way_in.sweep()
    way_in.apply()
    user.update("Account", accounts[0], Type="Prospect")
    user.delete("Account", accounts[0])
    user.undelete(accounts[0])

    events.listening().keep(events.oldest(), events.kept_place())
    way_in.apply()

    gone = way_in.rows("SELECT name FROM account WHERE deleted_at IS NOT NULL")
    assert gone == []


def test_a_condition_the_org_refuses_holds_up_no_other_object(way_in, user, on_condition) -> None:
    way_in.mappings = on_condition("Naem != null")
    account = user.create("Account", Name="Acme")
    deal = user.create("Opportunity", Name="Deal", StageName="Closed Won", CloseDate="2026-06-30")

    way_in.tell("Account", account)
    way_in.tell("Opportunity", deal)
    way_in.apply()

    assert [request.sfid for request in way_in.flows["win"].requests] == [deal]
    (waiting,) = way_in.rows(WAITING)
    assert "Naem" in waiting["error"]


def test_two_conditions_for_one_object_are_refused(tmp_path, on_condition) -> None:
    on_condition("Type = 'Customer'")
    folder = tmp_path / "mappings"
    (folder / "contact_point.yaml").write_text(
        "entity: contact_point\nobject: Account\nborn: crm\ntable: account\n"
        "pull:\n  where: Type = 'Partner'\n  fields:\n    Fax: {to: phone}\n"
    )

    with pytest.raises(MappingError, match="Account is read for contact_point too") as caught:
        load_mappings(folder)

    assert (caught.value.file.name, caught.value.remedy[:14]) == ("account.yaml", "Write the same")
