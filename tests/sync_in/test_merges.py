"""Customers that are merged in the CRM: the hub follows, or stops and asks (domain D5)."""

import pytest
from sync_out.world import make_account, make_invoice, make_world

from connector.parties.accounts import find_account
from connector.sync.apply.merges import NoSuchMerge, decide_merge, masters, open_merges
from connector.sync.explain import RecordUnknown, explain_record

OWNERS = """
    SELECT a.sfid, count(DISTINCT s.id) AS services, count(DISTINCT b.id) AS billed
      FROM account a LEFT JOIN service s ON s.account_id = a.id
      LEFT JOIN billing_account b ON b.account_id = a.id GROUP BY a.id ORDER BY a.id
"""
LINKS = "SELECT sfid, link_state FROM account ORDER BY id"
ORPHANS = """
    SELECT i.id FROM invoice i JOIN billing_account b ON b.id = i.billing_account_id
      JOIN account a ON a.id = b.account_id WHERE a.deleted_at IS NOT NULL
"""


@pytest.fixture
def customer(still) -> str:
    """A customer with a service and an invoice, in step on both sides."""
    sfid = still.user.create("Account", Name="Dental Group")
    with still.way_in.store.transaction() as tx:
        make_world(tx, account_sfid=sfid)
        tx.exec_driver_sql("UPDATE account SET link_state = 'Linked'")
    still.pull()
    still.push()
    still.pull()
    still.pass_time(minutes=1)
    return sfid


@pytest.fixture
def prospect(still) -> str:
    """A customer nobody bills yet."""
    sfid = still.user.create("Account", Name="Dental Group Ltd")
    still.pull()
    still.pass_time(minutes=1)
    return sfid


@pytest.fixture
def payer(still) -> str:
    """Another customer who is billed."""
    sfid = still.user.create("Account", Name="Dental Holding")
    with still.way_in.store.transaction() as tx:
        brand, _, billed = make_account(tx, sfid=sfid, name="Dental Holding")
        make_invoice(tx, brand=brand, billing_account=billed, number="INV-2", lines=1)
    still.pull()
    still.push()
    still.pull()
    still.pass_time(minutes=1)
    return sfid


def rows(still, statement: str) -> list[dict[str, object]]:
    return still.way_in.rows(statement)


def crm(still, soql: str) -> list[dict[str, object]]:
    return still.way_in.org.query_all(soql)


def waiting(still):
    with still.way_in.store.read() as tx:
        return open_merges(tx=tx)


def decide(still, loser: str, keep: str) -> None:
    with still.way_in.store.transaction() as tx:
        decide_merge(tx=tx, sfid=loser, keep=keep)
    still.way_in.apply()


class TestABilledCustomerMergedIntoAProspect:
    def test_brings_everything_to_the_master(self, still, customer, prospect) -> None:
        still.merge("Account", prospect, [customer])

        report = still.pull()

        assert report.merged == 1
        assert rows(still, OWNERS) == [
            {"sfid": customer, "services": 0, "billed": 0},
            {"sfid": prospect, "services": 1, "billed": 1},
        ]
        assert [row["link_state"] for row in rows(still, LINKS)] == ["Unlinked", "Linked"]
        assert rows(still, ORPHANS) == []

    def test_sends_the_crm_nothing_it_has_done_itself(self, still, customer, prospect) -> None:
        still.merge("Account", prospect, [customer])
        still.pull()

        pushed = still.push()

        assert (pushed.written, pushed.dead, pushed.halts) == (1, 0, ())  # the master itself
        hangs_on = crm(still, "SELECT Account__c FROM L2C_Service__c")
        assert [row["Account__c"] for row in hangs_on] == [prospect]
        (shown,) = crm(still, "SELECT Id, L2C_Link_Status__c, L2C_Active_Services__c FROM Account")
        assert (shown["Id"], shown["L2C_Link_Status__c"]) == (prospect, "Linked")
        assert shown["L2C_Active_Services__c"] == 1

    def test_lets_the_old_id_mean_the_master(self, still, customer, prospect) -> None:
        still.merge("Account", prospect, [customer])
        still.pull()
        still.pass_time(minutes=1)
        still.user.update("Account", prospect, Name="Dental Group United")

        still.way_in.tell("Account", customer)  # a message that was under way for long
        still.way_in.apply()

        with still.way_in.store.read() as tx:
            found = find_account(tx=tx, sfid=customer)
            assert masters(tx, [customer]) == {customer: prospect}
        assert found
        assert (found.sfid, found.name) == (prospect, "Dental Group United")

    def test_once_more_changes_nothing(self, still, customer, prospect) -> None:
        still.merge("Account", prospect, [customer])
        still.pull()
        owners = rows(still, OWNERS)

        again = still.pull()

        assert (again.merged, again.records) == (0, 0)
        assert rows(still, OWNERS) == owners

    def test_and_on_into_a_third_leads_to_the_last(self, still, customer, prospect) -> None:
        still.merge("Account", prospect, [customer])
        still.pull()
        last = still.user.create("Account", Name="Dental World")
        still.pull()
        still.pass_time(minutes=1)

        still.merge("Account", last, [prospect])
        still.pull()

        with still.way_in.store.read() as tx:
            assert masters(tx, [customer]) == {customer: last}
        assert rows(still, OWNERS)[-1] == {"sfid": last, "services": 1, "billed": 1}

    def test_is_seen_though_the_bin_was_emptied_by_what_hung_on_it(
        self, still, customer, prospect
    ) -> None:
        still.merge("Account", prospect, [customer])
        still.pass_time(minutes=10)
        still.purge()

        report = still.sweep()
        still.way_in.apply()

        assert any("1 gone, 1 of them merged" in note for note in report.notes)
        assert rows(still, OWNERS)[1] == {"sfid": prospect, "services": 1, "billed": 1}


class TestTwoBilledCustomers:
    def test_wait_for_a_person_and_nothing_moves(self, still, customer, payer) -> None:
        still.merge("Account", payer, [customer])

        still.pull()
        pushed = still.push()

        (open_merge,) = waiting(still)
        assert (open_merge.sfid, open_merge.master, open_merge.state) == (customer, payer, "parked")
        assert "both are billed" in open_merge.reason
        assert f"l2c sync merges decide {customer}" in open_merge.remedy
        assert [row["services"] for row in rows(still, OWNERS)] == [1, 0]
        assert pushed.dead == 0
        (shown,) = crm(still, "SELECT L2C_Link_Status__c FROM Account")
        assert shown["L2C_Link_Status__c"] == "Ambiguous"

    @pytest.mark.parametrize("keep", ["master", "loser"])
    def test_become_one_by_choice_and_no_invoice_is_lost(
        self, still, customer, payer, keep
    ) -> None:
        still.merge("Account", payer, [customer])
        still.pull()
        still.way_in.run_sql("UPDATE service SET quantity = 9")  # meanwhile

        decide(still, customer, keep)
        pushed = still.push()

        assert waiting(still) == ()
        assert rows(still, OWNERS) == [
            {"sfid": customer, "services": 0, "billed": 0},
            {"sfid": payer, "services": 1, "billed": 2},
        ]
        assert rows(still, ORPHANS) == []
        assert pushed.dead == 0
        shown = crm(still, "SELECT Account__c, Quantity__c FROM L2C_Service__c")
        assert [(row["Account__c"], row["Quantity__c"]) for row in shown] == [(payer, 9)]
        leading = "SELECT number FROM billing_account WHERE superseded_by_id IS NULL"
        numbers = {"loser": "BA-000001", "master": "BA-000002"}
        assert rows(still, leading) == [{"number": numbers[keep]}]
        (told,) = crm(still, "SELECT L2C_Billing_Account_Number__c FROM Account")
        assert told["L2C_Billing_Account_Number__c"] == numbers[keep]

    def test_cannot_be_decided_twice(self, still, customer, payer) -> None:
        still.merge("Account", payer, [customer])
        still.pull()
        decide(still, customer, "master")

        with pytest.raises(NoSuchMerge):
            decide(still, customer, "loser")


class TestTheTrailOfACustomerThatWent:
    def explain(self, still, sfid: str):
        with still.way_in.store.read() as tx:
            return explain_record(
                tx=tx, mappings=still.way_in.mappings, name="Account", identifier=sfid
            )

    def test_names_the_one_that_remained(self, still, customer, prospect) -> None:
        still.merge("Account", customer, [prospect])
        still.pull()

        assert self.explain(still, prospect).merged_into == customer
        assert self.explain(still, customer).merged_into is None

    def test_names_it_though_the_one_that_went_was_never_met(self, still, customer) -> None:
        stranger = still.user.create("Account", Name="Never met")
        still.pass_time(minutes=1)
        still.merge("Account", customer, [stranger])
        still.pull()

        with pytest.raises(RecordUnknown, match=f"was merged into {customer}") as caught:
            self.explain(still, stranger)

        assert caught.value.remedy == f"l2c sync explain Account {customer}"


class TestAMergeThatIsUndoneInTheCrm:
    @pytest.fixture
    def back(self, still, customer, prospect) -> str:
        """A prospect who was merged into a customer, followed here, and taken out of the bin."""
        still.merge("Account", customer, [prospect])
        still.pull()
        still.pass_time(minutes=1)
        still.undelete(prospect)
        still.pull()
        still.pass_time(minutes=1)
        return prospect

    def test_lets_the_record_stand_for_itself_again(self, still, back) -> None:
        still.user.update("Account", back, Name="On its own")

        still.way_in.tell("Account", back)
        still.way_in.apply()

        (found,) = rows(still, f"SELECT name, deleted_at FROM account WHERE sfid = '{back}'")
        assert found == {"name": "On its own", "deleted_at": None}

    def test_leaves_what_moved_where_it_is(self, still, customer, back) -> None:
        still.push()

        assert rows(still, OWNERS) == [
            {"sfid": customer, "services": 1, "billed": 1},
            {"sfid": back, "services": 0, "billed": 0},
        ]
        (service,) = crm(still, "SELECT Account__c FROM L2C_Service__c")
        assert service["Account__c"] == customer

    def test_can_be_followed_by_another(self, still, back) -> None:
        other = still.user.create("Account", Name="Dental World")
        still.pull()
        still.pass_time(minutes=1)

        still.merge("Account", other, [back])
        still.pull()

        with still.way_in.store.read() as tx:
            assert masters(tx, [back]) == {back: other}

    def test_asks_nobody_any_more(self, still, customer, payer) -> None:
        still.merge("Account", payer, [customer])
        still.pull()
        asked = [one.sfid for one in waiting(still)]
        still.pass_time(minutes=1)

        still.undelete(customer)
        still.pull()
        still.push()

        assert (asked, waiting(still)) == ([customer], ())
        assert {row["link_state"] for row in rows(still, LINKS)} == {"Linked"}
        (service,) = crm(still, "SELECT Account__c FROM L2C_Service__c")
        assert service["Account__c"] == customer
