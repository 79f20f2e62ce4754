"""Whatever happens in whatever order: both sides end in step, each field as its owner said last."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sync_both.conftest import BothWays

from connector.sync.apply import foreign_edits
from connector.sync.capture.full_load import load_fully

PASSES_MAX = 6

TEXTS = st.sampled_from(["", "a", "b", "c"])
TERMS = st.integers(0, 3)
EVENTS = st.one_of(
    st.tuples(st.just("hub_term"), TERMS),
    st.tuples(st.just("hub_name"), TEXTS),
    st.tuples(st.just("crm_phone"), TEXTS),
    st.tuples(st.just("crm_term"), TERMS),
    st.tuples(st.just("crm_name"), TEXTS),
    st.tuples(st.just("crm_balance"), TERMS),
    st.tuples(st.just("message"), st.integers(1, 3)),
    st.tuples(st.just("late_message"), st.integers(1, 3)),
    st.tuples(st.just("crm_customer"), TEXTS),
    st.tuples(st.sampled_from(["sweep", "load", "apply", "push"]), st.none()),
)


@dataclass
class Story:
    """Carries out events on both sides and remembers what each owner said last."""

    both: BothWays
    account: str
    service: str
    term: int = 0
    name: str | None = None
    phone: str | None = None
    balance: object = None
    messages: int = field(default=0)
    customers: list[str] = field(default_factory=list)  # names by age

    def hub_term(self, value: int) -> None:
        self.term = value
        self.both.hub(f"UPDATE service SET term_months = {value}")

    def hub_name(self, value: str) -> None:
        self.name = value or None
        self.both.hub(f"UPDATE service SET customer_service_name = nullif('{value}', '')")

    def crm_phone(self, value: str) -> None:
        self.phone = value or None
        self.both.user.update("Account", self.account, Phone=self.phone)

    def crm_term(self, value: int) -> None:
        self.both.user.update("L2C_Service__c", self.service, Term_Months__c=value)

    def crm_name(self, value: str) -> None:
        name = value or None
        self.both.user.update("L2C_Service__c", self.service, Customer_Service_Name__c=name)

    def crm_balance(self, value: int) -> None:
        self.both.user.update("Account", self.account, L2C_Balance__c=value)

    def crm_customer(self, value: str) -> None:
        self.customers.append(value or "-")
        self.both.user.create("Account", Name=value or "-")

    def message(self, times: int) -> None:
        self.messages += 1
        number = f"04l{self.messages:012d}BBB"
        for _ in range(times):
            self.both.way_in.tell("Account", self.account, ids=[number])

    def late_message(self, times: int) -> None:
        for _ in range(times):
            self.both.way_in.tell(
                "Account", self.account, SystemModstamp="2020-01-01T00:00:00.000Z", Phone="old"
            )

    def sweep(self, _: None) -> None:
        self.both.way_in.sweep()

    def load(self, _: None) -> None:
        load_fully(
            store=self.both.way_in.store,
            org=self.both.way_in.org,
            mappings=self.both.mappings,
            now_org=datetime.now(UTC),
            objects=["Account"],
        )

    def apply(self, _: None) -> None:
        self.both.way_in.apply()

    def push(self, _: None) -> None:
        self.both.push()

    def until_quiet(self) -> int:
        """Repeat passes until one changes nothing; return how many it took."""
        for count in range(PASSES_MAX):
            pulled, pushed = self.both.sync()
            if not (pulled.changed or pulled.repaired or pushed.written):
                return count
        return PASSES_MAX

    def in_crm(self) -> tuple[object, ...]:
        service = self.both.user.read("L2C_Service__c", self.service)
        account = self.both.user.read("Account", self.account)
        return (
            service["Term_Months__c"],
            service["Customer_Service_Name__c"],
            account["Phone"],
            account["L2C_Balance__c"],
        )

    def customers_in_hub(self) -> list[object]:
        rows = self.both.way_in.rows(
            f"SELECT name FROM account WHERE sfid <> '{self.account}' ORDER BY sfid"
        )
        return [row["name"] for row in rows]

    def in_hub(self) -> tuple[object, ...]:
        (row,) = self.both.way_in.rows(
            "SELECT s.term_months, s.customer_service_name, a.phone "
            "FROM service s JOIN account a ON a.id = s.account_id"
        )
        return (*row.values(), self.balance)


@pytest.fixture
def story(both, service) -> Story:
    both.set_policy("service", "repair")
    account = str(both.way_in.rows("SELECT sfid FROM account")[0]["sfid"])
    balance = both.user.read("Account", account)["L2C_Balance__c"]
    return Story(both, account, service, balance=balance)


@pytest.fixture
def tireless() -> Iterator[None]:
    """Let a field be repaired as often as it takes: random edits look like a loop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign_edits, "REPAIRS_MAX", 1_000_000)
        yield


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, min_size=3, max_size=14))
def test_any_interleaving_converges_to_what_the_owners_said(story, tireless, events) -> None:
    for name, value in events:
        happen: Callable[..., None] = getattr(story, name)
        happen(value)

    passes = story.until_quiet()

    said = (story.term, story.name, story.phone, story.balance)
    assert passes < PASSES_MAX
    assert story.in_crm() == said
    assert story.in_hub() == said
    assert story.customers_in_hub() == story.customers
    assert story.both.conflicts() == []


def test_quiet_sides_cost_no_writes(story, client) -> None:
    story.crm_term(3)
    story.until_quiet()
    calls = client.calls

    pulled, pushed = story.both.sync()

    assert (pulled.changed, pulled.repaired, pushed.written, pushed.api_calls) == (0, 0, 0, 0)
    assert client.calls - calls <= 2  # the sweep alone: six objects, five a call
