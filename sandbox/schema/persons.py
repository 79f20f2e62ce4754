"""Person accounts as a switch: what an org without them does not have (fact sheet I.5)."""

from dataclasses import replace

from .model import ObjectType

PERSON_FLAG = "IsPersonAccount"
NAMES = frozenset({"FirstName", "LastName", "Salutation"})
REQUIRED = {"Account": "Name", "Lead": "Company"}


def without_persons(item: ObjectType) -> ObjectType:
    """Return an object as it is in an org of businesses only."""
    if item.name not in {"Account", "Contact", "Lead"}:
        return item
    is_account = item.name == "Account"
    fields = tuple(
        replace(f, nillable=False) if f.name == REQUIRED.get(item.name) else f
        for f in item.fields
        if f.name != PERSON_FLAG
        and not (is_account and (f.name in NAMES or f.name.startswith("Person")))
    )
    return replace(item, fields=fields)
