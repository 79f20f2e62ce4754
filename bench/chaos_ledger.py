"""What the chaos run meant to happen: the last value of every record and field, with its owner.

Values carry the number of their change, so that a value seen anywhere tells when it was meant.
"""

from dataclasses import dataclass, field
from typing import Any

CRM_FIELD, HUB_COLUMN = "BillingStreet", "street"  # who the customer is: the CRM's
NAME_FIELD, NAME_COLUMN = "Customer_Service_Name__c", "customer_service_name"  # the hub's
QUANTITY_FIELD = "Quantity__c"  # the hub's
ACTIVE_FIELD = "L2C_Active_Services__c"  # of the account, counted by the hub


@dataclass(slots=True)
class Customer:
    """An account of the CRM."""

    name: str
    street: str
    services: int = 0


@dataclass(slots=True)
class Service:
    """A service of the hub."""

    name: str
    quantity: int


@dataclass(slots=True)
class Ledger:
    """The truth the run is judged by."""

    customers: dict[str, Customer] = field(default_factory=dict)  # by Salesforce id
    services: dict[str, Service] = field(default_factory=dict)  # by number
    # street -> the span of seconds within which the org stamped it
    stamped_s: dict[str, tuple[float, float]] = field(default_factory=dict)
    _numbers: int = 0

    def next_number(self) -> int:
        """Return the number of the next value."""
        self._numbers += 1
        return self._numbers

    def street(self) -> str:
        """Return a street that no record had before."""
        return f"Street {self.next_number()}"

    def move(self, sfid: str, street: str, *, stamped_s: tuple[float, float]) -> None:
        """Note that a customer has moved for sure."""
        self.stamped_s[street] = stamped_s
        self.customers[sfid].street = street

    def is_surely_older(self, street: str, other: str) -> bool:
        """Return whether a street has an older stamp than another; stamps tell seconds apart."""
        none = (0.0, 0.0)
        return self.stamped_s.get(other, none)[0] - self.stamped_s.get(street, none)[1] > 1

    def rename(self, number: str, *, name: str, quantity: int) -> None:
        """Note what the hub says of a service now."""
        self.services[number] = Service(name, quantity)


def number_in(value: Any) -> int:
    """Return the number of the change that a value came with; -1 for a value of no change."""
    last = str(value or "").rpartition(" ")[2]
    return int(last) if last.isdigit() else -1
