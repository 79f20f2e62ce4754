"""Fields whose change leaves no stamp: formulas through a parent, and a round by Id."""

from pathlib import Path

import pytest

from connector.store.mapping_files import MappingError
from connector.sync.capture.report import SweepReport
from connector.sync.capture.sweep import sweep
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.loading import load_mappings

CHECKOUT = Path(__file__).parents[2]
SHOWN = "SELECT name, city FROM location ORDER BY id"
# A task shows its customer's name through three parents; the location's row takes it in.
UNSTAMPED = """
entity: shown_customer
object: L2C_Work_Order_Task__c
born: hub
table: location
pull:
  unstamped: {Customer__c: PATH}
  fields:
    Customer__c: {to: city}
"""


def with_formula(tmp_path: Path, path: str) -> Mappings:
    (tmp_path / "shown.yaml").write_text(UNSTAMPED.replace("PATH", path))
    return load_mappings(tmp_path)


def make_task(still, place: str, work_order: str) -> str:
    """Make a task in the CRM whose customer's name a location takes in."""
    (row,) = still.way_in.rows("SELECT id FROM location WHERE name = :name", name=place)
    made = still.user.create(
        "L2C_Work_Order_Task__c",
        Billing_Key__c=f"l2c:shown_customer:{row['id']}",
        Work_Order__c=work_order,
    )
    still.way_in.run_sql(
        "INSERT INTO crm_record (entity, hub_id, object, sfid, born) VALUES"
        f" ('shown_customer', {row['id']}, 'L2C_Work_Order_Task__c', '{made}', 'hub')"
    )
    return made


@pytest.fixture
def task(still) -> tuple[str, str]:
    """A task in the CRM and the customer whose name it shows."""
    user = still.user
    account = user.create("Account", Name="Before")
    still.way_in.run_sql(
        "WITH a AS (INSERT INTO account (brand_id, sfid, kind, name)"
        f" SELECT id, '{account}', 'business', 'Before' FROM brand WHERE key = 'default'"
        " RETURNING id, brand_id)"
        " INSERT INTO location (brand_id, account_id, name, normalized_key)"
        " SELECT brand_id, id, 'Here', 'k' FROM a"
    )
    order = user.create(
        "L2C_Customer_Order__c", Billing_Key__c="l2c:customer_order:1", Account__c=account
    )
    work = user.create(
        "L2C_Work_Order__c", Billing_Key__c="l2c:work_order:1", Customer_Order__c=order
    )
    return make_task(still, "Here", work), account


def pull(still, mappings: Mappings) -> SweepReport:
    report = sweep(
        store=still.way_in.store, org=still.way_in.org, mappings=mappings, now_org=still.now
    )
    still.way_in.mappings = mappings
    still.way_in.apply()
    return report


def settle(still, mappings: Mappings) -> None:
    """Pull until the task's own stamp lies behind the place of the sweep."""
    pull(still, mappings)
    still.pass_time(minutes=3)
    pull(still, mappings)


def test_follow_when_the_parent_they_look_at_moved(still, task, tmp_path) -> None:
    mappings = with_formula(tmp_path, "Work_Order__r.Customer_Order__r.Account__r")
    settle(still, mappings)
    assert still.way_in.rows(SHOWN)[0]["city"] == "Before"

    still.user.update("Account", task[1], Name="After")  # stamps no task
    pull(still, mappings)

    assert still.way_in.rows(SHOWN)[0]["city"] == "After"


def test_are_seen_by_the_round_where_no_parent_is_named(still, task, tmp_path) -> None:
    mappings = with_formula(tmp_path, "null")
    settle(still, mappings)
    still.user.update("Account", task[1], Name="After")

    pull(still, mappings)
    at_once = still.way_in.rows(SHOWN)[0]["city"]
    still.pass_time(minutes=6)
    pull(still, mappings)

    assert (at_once, still.way_in.rows(SHOWN)[0]["city"]) == ("Before", "After")


def test_cost_one_page_a_round(still, task, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("connector.sync.capture.unstamped.PAGE", 1)
    mappings = with_formula(tmp_path, "null")
    still.user.create("L2C_Work_Order_Task__c", Billing_Key__c="x", Work_Order__c=work_of(still))
    pull(still, mappings)
    places = []
    for _ in range(3):
        still.pass_time(minutes=6)
        pull(still, mappings)
        places += still.way_in.rows(
            "SELECT position_id FROM sync_cursor WHERE kind = 'unstamped' AND object LIKE 'L2C%'"
        )

    ids = [row["Id"] for row in still.way_in.org.query_all(TASKS)]
    assert [place["position_id"] for place in places] == [ids[1], "", ids[0]]


class TestMoreChildrenThanASweepReads:
    PATH = "work_order__r.Customer_Order__r.Account__r"

    @pytest.fixture
    def three(self, still, task, tmp_path, monkeypatch) -> Mappings:
        """Three tasks that look at one customer, of which a sweep reads one."""
        monkeypatch.setattr("connector.sync.capture.unstamped.PAGE", 1)
        monkeypatch.setattr("connector.sync.capture.unstamped.PAGES_MAX", 1)
        for place in ("There", "Yonder"):
            still.way_in.run_sql(
                "INSERT INTO location (brand_id, account_id, name, normalized_key)"
                f" SELECT brand_id, account_id, '{place}', '{place}' FROM location"
                " WHERE name = 'Here'"
            )
            make_task(still, place, work_of(still))
        mappings = with_formula(tmp_path, self.PATH)
        settle(still, mappings)
        for _ in range(2):  # the customer itself has just been made: all that is old is read
            still.pass_time(minutes=11)
            for _ in range(4):
                pull(still, mappings)
        return mappings

    def shown(self, still) -> list[object]:
        return sorted(row["city"] for row in still.way_in.rows(SHOWN))

    def test_are_left_to_the_next_sweep_which_goes_on_and_says_so(self, still, task, three) -> None:
        still.user.update("Account", task[1], Name="After")

        seen, notes = [], []
        for _ in range(4):
            notes.append(pull(still, three).notes)
            seen.append(self.shown(still).count("After"))

        assert seen == [1, 2, 3, 3]
        assert notes[0] == [
            "L2C_Work_Order_Task__c: 1 records or more look at a parent that moved "
            f"({self.PATH}); the next sweep goes on with the others."
        ]
        assert notes[3] == []

    def test_do_not_keep_later_moves_from_being_seen(self, still, task, three) -> None:
        still.user.update("Account", task[1], Name="After")
        for _ in range(4):
            pull(still, three)

        still.pass_time(minutes=1)
        still.user.update("Account", task[1], Name="At last")
        for _ in range(8):  # what moved a minute ago is looked at once more
            pull(still, three)

        assert self.shown(still) == ["At last"] * 3


TASKS = "SELECT Id FROM L2C_Work_Order_Task__c ORDER BY Id"


def work_of(still) -> str:
    return still.way_in.org.query_all("SELECT Id FROM L2C_Work_Order__c")[0]["Id"]


def test_nothing_is_read_again_where_no_mapping_names_such_a_field(still) -> None:
    still.sweep()
    still.pass_time(minutes=3)

    assert still.sweep().calls == 1


def test_a_field_that_is_not_pulled_cannot_be_named(tmp_path) -> None:
    text = UNSTAMPED.replace("{Customer__c: PATH}", "{Other__c: Work_Order__r}")
    (tmp_path / "shown.yaml").write_text(text)

    with pytest.raises(MappingError, match="Other__c is not pulled"):
        load_mappings(tmp_path)


def test_a_path_the_org_refuses_holds_up_nothing_else(still, task, tmp_path) -> None:
    settle(still, with_formula(tmp_path, "null"))
    wrong = with_formula(tmp_path, "Work_Oder__r.Customer_Order__r.Account__r")
    pull(still, wrong)
    still.pass_time(minutes=6)
    still.user.update("Account", task[1], Name="After")

    report = sweep(
        store=still.way_in.store, org=still.way_in.org, mappings=wrong, now_org=still.now
    )
    still.way_in.apply()

    assert list(report.refused) == [
        "L2C_Work_Order_Task__c.Work_Oder__r.Customer_Order__r.Account__r"
    ]
    assert still.way_in.rows(SHOWN)[0]["city"] == "After"  # the round by Id read it


def test_an_object_that_stands_still_is_not_read(still, task, tmp_path) -> None:
    mappings = with_formula(tmp_path, "Work_Order__r")
    settle(still, mappings)
    still.way_in.run_sql(
        "INSERT INTO mapping_finding"
        " (entity, object, field, file, line, problem, remedy, halts, found_at)"
        " VALUES ('shown_customer', 'L2C_Work_Order_Task__c', 'Customer__c', 'shown.yaml', 8, 'x',"
        " 'y', 'pull', now())"
    )
    still.pass_time(minutes=6)
    still.user.update("Account", task[1], Name="After")

    pull(still, mappings)

    assert still.way_in.rows(SHOWN)[0]["city"] == "Before"
