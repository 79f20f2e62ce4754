"""Converts leads into accounts, contacts and opportunities (fact sheet F.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from ..clock import from_epoch
from ..errors import ApiError
from ..ids import normalize
from ..schema.model import ObjectType
from .behaviours.people import person_type
from .save import Writer
from .transaction import Row, Transaction

QUEUE = "00G"
NAME_LENGTH = 80
TO_ACCOUNT = {
    "Phone": "Phone",
    "Website": "Website",
    "Industry": "Industry",
    "Rating": "Rating",
    "AnnualRevenue": "AnnualRevenue",
    "NumberOfEmployees": "NumberOfEmployees",
    "AccountSource": "LeadSource",
    "BillingStreet": "Street",
    "BillingCity": "City",
    "BillingState": "State",
    "BillingPostalCode": "PostalCode",
    "BillingCountry": "Country",
}
TO_PERSON = {
    "Phone": "Phone",
    "PersonMobilePhone": "MobilePhone",
    "PersonEmail": "Email",
    "PersonTitle": "Title",
    "PersonMailingStreet": "Street",
    "PersonMailingCity": "City",
    "PersonMailingState": "State",
    "PersonMailingPostalCode": "PostalCode",
    "PersonMailingCountry": "Country",
    "AccountSource": "LeadSource",
}
TO_CONTACT = {
    "Salutation": "Salutation",
    "FirstName": "FirstName",
    "LastName": "LastName",
    "Title": "Title",
    "Phone": "Phone",
    "MobilePhone": "MobilePhone",
    "Email": "Email",
    "LeadSource": "LeadSource",
    "Description": "Description",
    "MailingStreet": "Street",
    "MailingCity": "City",
    "MailingState": "State",
    "MailingPostalCode": "PostalCode",
    "MailingCountry": "Country",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """How one lead is to be converted; ids as the caller gave them."""

    lead_id: str | None
    converted_status: str | None
    account_id: str | None = None
    contact_id: str | None = None
    opportunity_id: str | None = None
    opportunity_name: str | None = None
    owner_id: str | None = None
    without_opportunity: bool = False
    overwrite_lead_source: bool = False


@dataclass(frozen=True, slots=True)
class Converted:
    """What a lead has become."""

    lead_id: str
    account_id: str
    contact_id: str
    opportunity_id: str | None


def convert_lead(writer: Writer, wish: Wish) -> Converted:
    """Convert one lead.

    Raises:
        ApiError: Nothing was converted.
    """
    tx = writer.tx
    _check_rights(tx, wish)
    lead = _lead(tx, wish)
    status = _status(tx, wish.converted_status)
    if wish.contact_id is not None and wish.account_id is None:
        raise _missing("accountId", "is required where contactId is given")
    if wish.opportunity_name is not None and wish.opportunity_id is not None:
        message = "opportunityName cannot be given together with opportunityId"
        raise ApiError(400, "INVALID_ARGUMENT_TYPE", message)
    if wish.overwrite_lead_source and wish.contact_id is None:
        raise _missing("contactId", "is required for overwriteLeadSource")
    owner_id = _owner(tx, lead, wish.owner_id)
    account, contact = _people(writer, lead, wish, owner_id)
    opportunity_id = _opportunity(writer, lead, wish, account=account, owner_id=owner_id)
    _carry_tasks(writer, lead, contact_id=contact, what_id=opportunity_id or account)
    today = from_epoch(tx.now_s).date().isoformat()
    writer.touch(
        tx.schema.get("Lead"),
        {
            lead["Id"]: {
                "Status": status,
                "OwnerId": owner_id,
                "IsConverted": 1,
                "ConvertedDate": today,
                "ConvertedAccountId": account,
                "ConvertedContactId": contact,
                "ConvertedOpportunityId": opportunity_id,
            }
        },
    )
    return Converted(lead["Id"], account, contact, opportunity_id)


def _check_rights(tx: Transaction, wish: Wish) -> None:
    """Refuse users who may not write what a conversion writes."""
    given = {"Account": wish.account_id, "Contact": wish.contact_id}
    if not wish.without_opportunity:
        given["Opportunity"] = wish.opportunity_id
    for name, record_id in (given | {"Lead": wish.lead_id}).items():
        seen = tx.seen(tx.schema.get(name))
        allowed = seen is not None and (seen.updateable if record_id else seen.createable)
        if not allowed:
            message = f"insufficient access rights on object {name}"
            raise ApiError(400, "INSUFFICIENT_ACCESS_OR_READONLY", message)


def _missing(name: str, why: str) -> ApiError:
    return ApiError(400, "REQUIRED_FIELD_MISSING", f"{name} {why}", fields=(name,))


def _record(tx: Transaction, item: ObjectType, given: str, argument: str) -> Row:
    record_id = normalize(given)
    if record_id is None or record_id[:3] != item.prefix:
        raise ApiError(400, "MALFORMED_ID", f"{argument}: malformed id {given}")
    row = tx.fetch(item, [record_id]).get(record_id)
    if row is None:
        message = f"{argument}: invalid cross reference id"
        raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", message)
    if row["IsDeleted"] == 1:
        raise ApiError(400, "ENTITY_IS_DELETED", "entity is deleted")
    return row


def _lead(tx: Transaction, wish: Wish) -> Row:
    if wish.lead_id is None:
        raise _missing("leadId", "has to be specified")
    item = tx.schema.get("Lead")
    lead = _record(tx, item, wish.lead_id, "leadId")
    if lead["IsConverted"] == 1:
        raise ApiError(400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
    refused = tx.lock(item, lead["Id"], old=lead, values={})
    if refused is not None:
        raise ApiError(400, refused.code, refused.message)
    return lead


def _status(tx: Transaction, given: str | None) -> str:
    if given is None:
        raise _missing("convertedStatus", "has to be specified")
    statuses = tx.fetch_where(tx.schema.get("LeadStatus"), "IsConverted", [1])
    for row in statuses:
        if row["MasterLabel"].lower() == given.lower():
            return str(row["MasterLabel"])
    raise ApiError(400, "INVALID_STATUS", f"invalid convertedStatus: {given}")


def _owner(tx: Transaction, lead: Row, given: str | None) -> str:
    if given is not None:
        return str(_record(tx, tx.schema.get("User"), given, "ownerId")["Id"])
    if lead["OwnerId"].startswith(QUEUE):
        raise _missing("ownerId", "is required because a queue owns the lead")
    return str(lead["OwnerId"])


def _people(writer: Writer, lead: Row, wish: Wish, owner_id: str) -> tuple[str, str]:
    """Return the account and the contact, created or completed."""
    tx = writer.tx
    accounts, contacts = tx.schema.get("Account"), tx.schema.get("Contact")
    if wish.account_id is None and lead["Company"] is None and wish.contact_id is None:
        return _person(writer, lead, owner_id)
    if wish.account_id is None:
        values: Row = {"Name": lead["Company"], "OwnerId": owner_id}
        account_id = writer.insert(accounts, [values | _mapped(lead, TO_ACCOUNT)])[0]
    else:
        account = _record(tx, accounts, wish.account_id, "accountId")
        account_id = str(account["Id"])
        person = account.get("IsPersonAccount") == 1
        if person and wish.contact_id is not None:
            message = "give accountId only where it is a person account"
            raise ApiError(400, "INVALID_ARGUMENT_TYPE", message)
        _fill(writer, accounts, account, lead, TO_PERSON if person else TO_ACCOUNT)
        if person:
            return account_id, str(account["PersonContactId"])
    if wish.contact_id is None:
        values = {"AccountId": account_id, "OwnerId": owner_id}
        return account_id, writer.insert(contacts, [values | _mapped(lead, TO_CONTACT)])[0]
    contact = _record(tx, contacts, wish.contact_id, "contactId")
    if contact["AccountId"] != account_id:
        message = "the contact does not belong to the account"
        raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", message)
    _fill(writer, contacts, contact, lead, TO_CONTACT)
    if wish.overwrite_lead_source:
        writer.touch(contacts, {contact["Id"]: {"LeadSource": lead["LeadSource"]}})
    return account_id, str(contact["Id"])


def _person(writer: Writer, lead: Row, owner_id: str) -> tuple[str, str]:
    """Create the person account of a lead that names no company; return it and its contact."""
    tx = writer.tx
    accounts = tx.schema.get("Account")
    kind = person_type(tx)
    if kind is None:
        raise _missing("Company", "is required where there are no person accounts")
    values: Row = {"RecordTypeId": kind, "OwnerId": owner_id} | _mapped(lead, TO_PERSON)
    values |= {name: lead[name] for name in ("LastName", "FirstName", "Salutation")}
    account_id = writer.insert(accounts, [values])[0]
    return account_id, str(tx.fetch(accounts, [account_id])[account_id]["PersonContactId"])


def _mapped(lead: Row, names: Mapping[str, str]) -> Row:
    return {target: lead[source] for target, source in names.items() if lead[source] is not None}


def _fill(writer: Writer, item: ObjectType, row: Row, lead: Row, names: Mapping[str, str]) -> None:
    """Complete an existing record: fields that hold something stay as they are."""
    values = {k: v for k, v in _mapped(lead, names).items() if row[k] is None}
    if values:
        writer.touch(item, {row["Id"]: values})


def _opportunity(
    writer: Writer, lead: Row, wish: Wish, *, account: str, owner_id: str
) -> str | None:
    tx = writer.tx
    item = tx.schema.get("Opportunity")
    if wish.opportunity_id is not None:
        row = _record(tx, item, wish.opportunity_id, "opportunityId")
        if row["AccountId"] not in {None, account}:
            message = "the opportunity belongs to another account"
            raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", message)
        values: Row = {"AccountId": account, "LeadSource": lead["LeadSource"]}
        missing = {k: v for k, v in values.items() if row[k] is None and v is not None}
        writer.touch(item, {row["Id"]: missing} if missing else {})
        return str(row["Id"])
    if wish.without_opportunity:
        return None
    name = wish.opportunity_name or (lead["Company"] or lead["Name"])[:NAME_LENGTH]
    if len(name) > NAME_LENGTH:
        message = f"opportunityName: data value too large: {name} (max length={NAME_LENGTH})"
        raise ApiError(400, "STRING_TOO_LONG", message, fields=("opportunityName",))
    values = {
        "Name": name,
        "AccountId": account,
        "OwnerId": owner_id,
        "StageName": _first_stage(tx),
        "CloseDate": _quarter_end(from_epoch(tx.now_s).date()).isoformat(),
        "LeadSource": lead["LeadSource"],
    }
    return writer.insert(item, [values])[0]


def _first_stage(tx: Transaction) -> str:
    stages = tx.fetch_where(tx.schema.get("OpportunityStage"), "IsClosed", [0])
    active = [stage for stage in stages if stage["IsActive"] == 1]
    if not active:
        raise ApiError(400, "INVALID_STATUS", "there is no open opportunity stage")
    return str(min(active, key=lambda stage: stage["SortOrder"] or 0)["MasterLabel"])


def _quarter_end(day: date) -> date:
    month = (day.month - 1) // 3 * 3 + 4
    following = date(day.year + month // 13, (month - 1) % 12 + 1, 1)
    return following - timedelta(days=1)


def _carry_tasks(writer: Writer, lead: Row, *, contact_id: str, what_id: str) -> None:
    """Move the tasks of the lead to what it has become."""
    tx = writer.tx
    item = tx.schema.get("Task")
    tasks = tx.fetch_where(item, "WhoId", [lead["Id"]])
    writer.touch(
        item,
        {t["Id"]: {"WhoId": contact_id, "WhatId": t["WhatId"] or what_id} for t in tasks},
    )
