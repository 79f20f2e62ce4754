"""What the two sides hold after the chaos, against the ledger; nothing of sync is asked.

The CRM is read by SOQL and by the org's own audit, the hub by SQL.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .chaos_crm import Administrator, Person
from .chaos_hub import Hub
from .chaos_ledger import (
    ACTIVE_FIELD,
    CRM_FIELD,
    HUB_COLUMN,
    NAME_FIELD,
    QUANTITY_FIELD,
    Ledger,
    number_in,
)

AUDIT_LIMIT = 100_000_000
EXAMPLES_MAX = 100


@dataclass(slots=True)
class Verdict:
    """Counts of what is not as it was meant to be."""

    records: int = 0
    missing: int = 0
    duplicated: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def _note(self, what: str, *facts: object) -> None:
        setattr(self, what, getattr(self, what) + 1)
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(" ".join(str(fact) for fact in (what, *facts)))

    def compare(self, what: str, said: Mapping[str, Any], found: Mapping[str, list[Any]]) -> None:
        """Compare what was meant with what is there, by a key that only one record may have."""
        self.records += len(said)
        for key, value in said.items():
            there = found.get(key, [])
            if not there:
                self._note("missing", what, key)
            elif len(there) > 1:
                self._note("duplicated", what, key, f"{len(there)} times")
            elif there[0] != value:
                self._note("wrong", what, key, f"is {there[0]}, meant {value}")
        for key in found.keys() - said.keys():
            self._note("duplicated", what, key, "nobody made it")

    def look_for_steps_back(self, ledger: Ledger, hub: Hub) -> None:
        """Count the values the hub showed after a newer one."""
        newest: dict[str, str] = {}
        for sfid, street in hub.rows("SELECT sfid, street FROM chaos_seen ORDER BY n"):
            before = newest.get(sfid, "")
            if number_in(street) >= number_in(before):
                newest[sfid] = street
            elif ledger.is_surely_older(street, before):
                self._note("wrong", "street", sfid, f"went back from {before} to {street}")

    def look_at_the_audit(self, entries: list[dict[str, Any]], *, connector: str) -> None:
        """Count records created twice, and writes of the connector to what is the CRM's."""
        for name, key in (("L2C_Service__c", "Name"), ("L2C_Order_Line__c", "Sequence__c")):
            made = Counter(
                entry["new"].get(key)
                for entry in entries
                if entry["object"] == name and entry["verb"] == "create"
            )
            for number, times in made.items():
                if times > 1:
                    self._note("duplicated", "audit:", name, number, f"made {times} times")
        for entry in entries:
            if entry["user"] == connector and CRM_FIELD in entry["new"]:
                self._note("wrong", "audit: the connector wrote", CRM_FIELD, entry["id"])


def judge(
    *, ledger: Ledger, hub: Hub, person: Person, administrator: Administrator, connector: str
) -> Verdict:
    """Read both sides and return what differs from the ledger."""
    verdict = Verdict()
    customers = {
        sfid: (customer.name, customer.street) for sfid, customer in ledger.customers.items()
    }
    services = {number: (one.name, one.quantity) for number, one in ledger.services.items()}
    verdict.compare(
        "account in the hub",
        customers,
        _by_key(hub.rows(f"SELECT sfid, name, {HUB_COLUMN} FROM account")),
    )
    verdict.compare(
        "service in the hub",
        services,
        _by_key(hub.rows("SELECT number, customer_service_name, quantity::int FROM service")),
    )
    accounts = list(person.rows(f"SELECT Id, Name, {CRM_FIELD}, {ACTIVE_FIELD} FROM Account"))
    ours = [row for row in accounts if row["Id"] in customers or row["Name"].startswith("Chaos ")]
    verdict.compare(
        "account in the CRM",
        customers,
        _by_key([(row["Id"], row["Name"], row[CRM_FIELD]) for row in ours]),
    )
    counted = {sfid: one.services for sfid, one in ledger.customers.items() if one.services}
    verdict.compare(
        "services counted in the CRM",
        counted,
        {row["Id"]: [int(row[ACTIVE_FIELD] or 0)] for row in ours if row["Id"] in counted},
    )
    sent = person.rows(f"SELECT Name, {NAME_FIELD}, {QUANTITY_FIELD} FROM L2C_Service__c")
    verdict.compare(
        "service in the CRM",
        services,
        _by_key([(row["Name"], row[NAME_FIELD], int(row[QUANTITY_FIELD] or 0)) for row in sent]),
    )
    lines = person.rows("SELECT Sequence__c, Created_Service__r.Name FROM L2C_Order_Line__c")
    verdict.compare(
        "order line in the CRM",
        {number: (number,) for number in services},
        _by_key([(_numbered(row), (row["Created_Service__r"] or {}).get("Name")) for row in lines]),
    )
    verdict.look_for_steps_back(ledger, hub)
    entries = administrator.call("GET", f"audit?limit={AUDIT_LIMIT}")["audit"]
    verdict.look_at_the_audit(entries, connector=connector)
    return verdict


def _numbered(line: Mapping[str, Any]) -> str:
    return f"SRV-{int(line['Sequence__c']):09d}"


def _by_key(rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for key, *values in rows:
        found[key].append(tuple(values))
    return found
