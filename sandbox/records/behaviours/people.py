"""Names of people, and accounts that are people (fact sheet I.5)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schema.model import ObjectType
from ...schema.persons import PERSON_FLAG
from ...storage.zones import is_zone
from ..draft import NOT_WRITABLE, Draft
from ..transaction import Row, Transaction
from .base import Behaviour

if TYPE_CHECKING:
    from ..save import Writer

PERSON_FIELDS = {
    "LastName": "LastName",
    "FirstName": "FirstName",
    "Salutation": "Salutation",
    "PersonEmail": "Email",
    "Phone": "Phone",
    "PersonMobilePhone": "MobilePhone",
    "PersonHomePhone": "HomePhone",
    "PersonTitle": "Title",
    "PersonBirthdate": "Birthdate",
    "PersonMailingStreet": "MailingStreet",
    "PersonMailingCity": "MailingCity",
    "PersonMailingPostalCode": "MailingPostalCode",
    "PersonMailingCountry": "MailingCountry",
}


def full_name(row: Row) -> str | None:
    """Return first and last name as one text."""
    parts = [row.get("FirstName"), row.get("LastName")]
    return " ".join(part for part in parts if part) or None


class PersonNameBehaviour(Behaviour):
    """Keeps Name as first and last name; contacts of person accounts follow their account."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Derive the name."""
        for draft in drafts:
            if draft.new.get("IsPersonAccount") == 1 and not system:
                message = "person contacts are changed through their account"
                draft.refuse("INVALID_OPERATION", message)
            draft.new["Name"] = full_name(draft.new)


class UserBehaviour(PersonNameBehaviour):
    """A user lives in a time zone that exists: date literals are reckoned in it."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Refuse an unknown time zone."""
        for draft in drafts:
            zone = draft.new["TimeZoneSidKey"]
            if zone is not None and not is_zone(zone):
                message = f"Time Zone: bad value for restricted picklist field: {zone}"
                code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
                draft.refuse(code, message, "TimeZoneSidKey")
        super().before(writer, item, drafts, system)


class LeadBehaviour(PersonNameBehaviour):
    """A converted lead stays as it was; a lead without a company is a person's."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Refuse changes after the conversion, and no company where there are no persons."""
        for draft in drafts:
            if draft.new["Company"] is None and person_type(writer.tx) is None:
                message = "Required fields are missing: [Company]"
                draft.refuse("REQUIRED_FIELD_MISSING", message, "Company")
            if draft.old.get("IsConverted") == 1 and not system:
                message = "cannot reference converted lead"
                draft.refuse("CANNOT_UPDATE_CONVERTED_LEAD", message)
        super().before(writer, item, drafts, system)


class AccountBehaviour(Behaviour):
    """Tells persons from businesses and keeps the contact of a person in step."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Set the record type, the person flag and the name."""
        if not item.has(PERSON_FLAG):
            return
        persons, types = _record_types(writer.tx)
        for draft in drafts:
            new = draft.new
            if new["RecordTypeId"] is None:
                kind = "person" if new["LastName"] and not draft.values.get("Name") else "business"
                new["RecordTypeId"] = types.get(kind)
            is_person = new["RecordTypeId"] in persons
            if not draft.creating and is_person != (draft.old["IsPersonAccount"] == 1):
                _check_conversion(draft)
            new["IsPersonAccount"] = int(is_person)
            if is_person:
                self._name_person(draft, system=system)
            elif not new["Name"]:
                message = "Required fields are missing: [Name]"
                draft.refuse("REQUIRED_FIELD_MISSING", message, "Name")

    def _name_person(self, draft: Draft, *, system: bool) -> None:
        if not draft.new["LastName"]:
            message = "Required fields are missing: [LastName]"
            draft.refuse("REQUIRED_FIELD_MISSING", message, "LastName")
        if "Name" in draft.values and not system:
            message = NOT_WRITABLE.format(name="Name")
            draft.refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, "Name")
        draft.new["Name"] = full_name(draft.new)

    def after(self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft]) -> None:
        """Create or update the contact row of each person."""
        if not item.has(PERSON_FLAG):
            return
        contact = writer.tx.schema.get("Contact")
        people = [draft for draft in drafts if draft.new["IsPersonAccount"] == 1]
        fresh = [draft for draft in people if draft.new["PersonContactId"] is None]
        if fresh:
            rows = [
                _contact_values(d.new) | {"AccountId": d.id, "IsPersonAccount": 1} for d in fresh
            ]
            ids = writer.insert(contact, rows)
            updates = {}
            for draft, contact_id in zip(fresh, ids, strict=True):
                assert draft.id is not None
                draft.new["PersonContactId"] = contact_id
                updates[draft.id] = {"PersonContactId": contact_id}
            _set_contact_ids(writer.tx, updates)
        known = [d for d in people if d not in fresh and any(d.changed(f) for f in PERSON_FIELDS)]
        writer.touch(contact, {d.new["PersonContactId"]: _contact_values(d.new) for d in known})


def _contact_values(row: Row) -> Row:
    return {target: row[source] for source, target in PERSON_FIELDS.items()}


def _set_contact_ids(tx: Transaction, updates: dict[str, Row]) -> None:
    """Complete rows of this very save; a second save would fire automation twice."""
    sql = 'UPDATE "Account" SET "PersonContactId" = ? WHERE "Id" = ?'
    rows = [(values["PersonContactId"], i) for i, values in updates.items()]
    tx.connection.executemany(sql, rows)


def _record_types(tx: Transaction) -> tuple[set[str], dict[str, str]]:
    """Return the person record types, and the default type of persons and businesses."""
    sql = (
        'SELECT "Id", "IsPersonType" FROM "RecordType" WHERE "SobjectType" = \'Account\' '
        'AND "IsActive" = 1 AND "IsDeleted" = 0 ORDER BY "Id" DESC'
    )
    rows = tx.connection.execute(sql).fetchall()
    persons = {row[0] for row in rows if row[1] == 1}
    return persons, {"person" if person == 1 else "business": i for i, person in rows}


def person_type(tx: Transaction) -> str | None:
    """Return the record type new person accounts get; None where there are no such accounts."""
    return _record_types(tx)[1].get("person")


def _check_conversion(draft: Draft) -> None:
    """Business to person and back: the record type alone, nothing else in the call."""
    others = [name for name in draft.values if name != "RecordTypeId"]
    if others:
        message = NOT_WRITABLE.format(name=", ".join(others))
        draft.refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, *others)
