"""Reads a won deal from the org: opportunity, account, quote and lines in one counted call."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from connector.adapters.salesforce.answers import Subrequest, SubResponse
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.ids import to_18
from connector.errors import InvalidInput, StateConflict
from connector.sync.apply.opportunity import DealAccount, DealLine, DealLocation, OpportunityTree

_SFID = re.compile(r"^[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?$")

_OPPORTUNITY = (
    "Id, Name, IsWon, StageName, SyncedQuoteId, L2C_PO_Number__c, L2C_Requested_Date__c, AccountId"
)
_ACCOUNT = (
    "Id",
    "Name",
    "Phone",
    "ParentId",
    "BillingStreet",
    "BillingCity",
    "BillingPostalCode",
    "BillingCountry",
    "L2C_Billing_Primary_Email__c",
    "L2C_Currency__c",
    "L2C_Parent_Reseller__c",
    "L2C_Tax_Exempt__c",
    "L2C_Billing_Cycle__c",
)
# Person accounts are an edition's choice, and the brand a deployment's: asked for where they exist.
_ACCOUNT_WHERE_PRESENT = (
    "IsPersonAccount",
    "FirstName",
    "LastName",
    "PersonEmail",
    "L2C_Brand_Key__c",
)
_LINE = (
    "Id, Quantity, UnitPrice, Discount, Description, PricebookEntry.Product2.Name, "
    "PricebookEntry.Product2.L2C_Product_Key__c, L2C_Request_Type__c, L2C_Service__c, "
    "L2C_Service__r.Billing_Key__c, L2C_Term_Months__c, L2C_Renewal_Type__c, L2C_New_MRR__c, "
    "L2C_Add_Ons_To_Add__c, L2C_Add_Ons_To_Change__c, L2C_Add_Ons_To_Remove__c, "
    "L2C_Requested_Date__c, L2C_Location_Text__c, L2C_Location__c, L2C_Location__r.Name, "
    "L2C_Location__r.Billing_Key__c, L2C_Location__r.Street__c, L2C_Location__r.City__c, "
    "L2C_Location__r.Postal_Code__c, L2C_Location__r.Country__c"
)
_ORDER = "ORDER BY SortOrder ASC NULLS LAST, CreatedDate, Id"


class OpportunityGone(StateConflict):
    """The opportunity is not in the org, or not for us to see."""

    code = "sync.opportunity_gone"
    remedy = "Give the integration user access to it; a deleted one needs nothing."


class DealTooLarge(StateConflict):
    """The deal has more lines than one answer carries."""

    code = "sync.deal_too_large"
    remedy = "Split it into several opportunities of at most 2,000 lines."


class OpportunityReader:
    """Reads deals by id; the first one also asks which optional fields the org has."""

    def __init__(self, org: OrgClient) -> None:
        self._org = org

    def __call__(self, sfid: str) -> OpportunityTree:
        """Return the deal as it stands now.

        Raises:
            InvalidInput: This is no record id.
            OpportunityGone: The org does not show it.
            DealTooLarge: It has more lines than one answer carries.
        """
        return self._read(_checked(sfid))

    def of_quote(self, sfid: str) -> OpportunityTree:
        """Return a quote's deal as if that quote were the one that counts.

        Raises:
            InvalidInput: This is no record id.
            OpportunityGone: The org shows no such quote, or not its opportunity.
            DealTooLarge: It has more lines than one answer carries.
        """
        (quote,) = self._org.composite(
            [_query("quote", "Id, OpportunityId", "Quote", f"Id = '{_checked(sfid)}'")]
        )
        found = _records(quote)
        if not found:
            raise OpportunityGone(f"The org shows no quote {sfid}.")
        return self._read(found[0]["OpportunityId"], counting=to_18(found[0]["Id"]))

    def _read(self, sfid: str, *, counting: str | None = None) -> OpportunityTree:
        account = ", ".join(f"Account.{name}" for name in self._account_fields)
        deal, quoted, sold = self._org.composite(
            [
                _query("deal", f"{_OPPORTUNITY}, {account}", "Opportunity", f"Id = '{sfid}'"),
                _query(
                    "quoted",
                    f"QuoteId, Quote.L2C_PO_Number__c, Quote.L2C_Requested_Date__c, {_LINE}",
                    "QuoteLineItem",
                    f"Quote.OpportunityId = '{sfid}' {_ORDER}",
                ),
                _query("sold", _LINE, "OpportunityLineItem", f"OpportunityId = '{sfid}' {_ORDER}"),
            ]
        )
        found = _records(deal)
        if not found:
            raise OpportunityGone(f"The org shows no opportunity {sfid}.")
        row = found[0] if counting is None else found[0] | {"SyncedQuoteId": counting}
        return _tree(row, _records(quoted), _records(sold))

    @cached_property
    def _account_fields(self) -> tuple[str, ...]:
        present = {field["name"] for field in self._org.describe("Account")["fields"]}
        return (*_ACCOUNT, *(name for name in _ACCOUNT_WHERE_PRESENT if name in present))


def _checked(sfid: str) -> str:
    if not _SFID.match(sfid):
        raise InvalidInput(
            f"'{sfid}' is not a Salesforce id.",
            remedy="Take the 15 or 18 characters from the address of the record in the CRM.",
        )
    return sfid


def _query(reference: str, fields: str, object_name: str, where: str) -> Subrequest:
    soql = f"SELECT {fields} FROM {object_name} WHERE {where}"  # noqa: S608  the id is checked
    return Subrequest("GET", f"query?{urlencode({'q': soql})}", reference)


def _records(answer: SubResponse) -> list[dict[str, Any]]:
    answer.raise_for_status()
    if not answer.body["done"]:
        raise DealTooLarge(f"The deal has {answer.body['totalSize']} lines.")
    records: list[dict[str, Any]] = answer.body["records"]
    return records


def _tree(
    deal: Mapping[str, Any], quoted: Iterable[Mapping[str, Any]], sold: Iterable[Mapping[str, Any]]
) -> OpportunityTree:
    synced = deal["SyncedQuoteId"]
    counting = [line for line in quoted if synced is not None and line["QuoteId"] == synced]
    quote: Mapping[str, Any] = (counting[0]["Quote"] or {}) if counting else {}
    return OpportunityTree(
        sfid=to_18(deal["Id"]),
        name=deal["Name"],
        is_won=bool(deal["IsWon"]),
        stage=deal["StageName"],
        quote_sfid=synced if counting else None,
        po_number=quote.get("L2C_PO_Number__c") or deal["L2C_PO_Number__c"],
        requested_on=_day(quote.get("L2C_Requested_Date__c") or deal["L2C_Requested_Date__c"]),
        account=_account(deal["Account"]) if deal["Account"] else None,
        lines=tuple(_line(line) for line in (counting or sold)),
    )


def _account(row: Mapping[str, Any]) -> DealAccount:
    is_person = bool(row.get("IsPersonAccount"))
    return DealAccount(
        sfid=to_18(row["Id"]),
        name=row["Name"],
        is_person=is_person,
        first_name=row.get("FirstName") if is_person else None,
        last_name=row.get("LastName") if is_person else None,
        email=row["L2C_Billing_Primary_Email__c"] or row.get("PersonEmail"),
        phone=row["Phone"],
        street=row["BillingStreet"],
        city=row["BillingCity"],
        postal_code=row["BillingPostalCode"],
        country=row["BillingCountry"],
        currency=row["L2C_Currency__c"],
        parent_sfid=row["ParentId"],
        reseller_sfid=row["L2C_Parent_Reseller__c"],
        brand_key=row.get("L2C_Brand_Key__c"),
        is_tax_exempt=bool(row["L2C_Tax_Exempt__c"]),
        cycle=row["L2C_Billing_Cycle__c"],
    )


def _line(row: Mapping[str, Any]) -> DealLine:
    entry = row["PricebookEntry"] or {}
    product = entry.get("Product2") or {}
    service = row["L2C_Service__r"] or {}
    return DealLine(
        sfid=to_18(row["Id"]),
        product_key=product.get("L2C_Product_Key__c"),
        product_name=product.get("Name") or "",
        request_type=row["L2C_Request_Type__c"],
        quantity=_number(row["Quantity"]) or Decimal(0),
        unit_price=_number(row["UnitPrice"]),
        discount_percent=_number(row["Discount"]) or Decimal(0),
        new_mrr=_number(row["L2C_New_MRR__c"]),
        term_months=int(row["L2C_Term_Months__c"] or 0),
        renewal_type=row["L2C_Renewal_Type__c"],
        requested_on=_day(row["L2C_Requested_Date__c"]),
        has_target_service=row["L2C_Service__c"] is not None,
        target_service_key=service.get("Billing_Key__c"),
        location=_location(row),
        location_text=row["L2C_Location_Text__c"],
        description=row["Description"] or "",
        add_ons_added=row["L2C_Add_Ons_To_Add__c"],
        add_ons_changed=row["L2C_Add_Ons_To_Change__c"],
        add_ons_removed=row["L2C_Add_Ons_To_Remove__c"],
    )


def _location(row: Mapping[str, Any]) -> DealLocation | None:
    place = row["L2C_Location__r"]
    if row["L2C_Location__c"] is None or not place:
        return None
    return DealLocation(
        sfid=to_18(row["L2C_Location__c"]),
        hub_key=place["Billing_Key__c"],
        name=place["Name"],
        street=place["Street__c"] or "",
        city=place["City__c"] or "",
        postal_code=place["Postal_Code__c"] or "",
        country=place["Country__c"] or "",
    )


def _number(value: Decimal | int | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None
