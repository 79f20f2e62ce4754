"""What sales does in the CRM: price book, customers, deals. Each act looks first what stands."""

from collections.abc import Mapping
from typing import Any

from connector.cli.demo.crm_user import CrmUser
from connector.cli.demo.deals import Customer, Deal, DealLine
from connector.errors import StateConflict


def fill_price_book(crm: CrmUser) -> int:
    """Put every product the connector has brought on the standard price book; return how many."""
    book = crm.find("Pricebook2", Name="Standard Price Book")
    if book is None:
        raise StateConflict("The org has no standard price book.")
    entered = {
        row["Product2Id"]
        for row in crm.rows("SELECT Product2Id FROM PricebookEntry WHERE Pricebook2Id = {}", book)
    }
    prices = {
        row["Product__c"]: row["MR_Price__c"] or row["NR_Price__c"] or 0
        for row in crm.rows(
            "SELECT Product__c, MR_Price__c, NR_Price__c FROM L2C_Price_Entry__c "
            "WHERE Request_Type__c IN ('NEW', 'WIDGET', 'SERVICE_REQUEST')"
        )
    }
    products = crm.rows("SELECT Id FROM Product2 WHERE IsActive = true ORDER BY Id")
    for product in products:
        if product["Id"] not in entered:
            crm.create(
                "PricebookEntry",
                {
                    "Pricebook2Id": book,
                    "Product2Id": product["Id"],
                    "UnitPrice": prices.get(product["Id"], 0),
                    "IsActive": True,
                },
            )
    return len(products)


def enter_customer(crm: CrmUser, customer: Customer, known: Mapping[str, str]) -> str:
    """Enter a customer, a person as a person account; return the account's id."""
    values = dict(customer.values)
    if customer.reseller is not None:
        values["L2C_Parent_Reseller__c"] = known[customer.reseller]
    if "LastName" in values:
        person = crm.rows(
            "SELECT Id FROM RecordType WHERE SobjectType = 'Account' AND IsPersonType = true"
        )
        values["RecordTypeId"] = person[0]["Id"]
    return crm.ensure("Account", by=(customer.by,), values=values)


def enter_deal(crm: CrmUser, deal: Deal, account: str) -> str:
    """Enter an opportunity with its lines, by way of a quote when it has one; return its id.

    Opportunity, quote and lines are entered in one call, all or none.
    """
    standing = crm.find("Opportunity", Name=deal.name)
    if standing is not None:
        return standing
    book = crm.find("Pricebook2", Name="Standard Price Book")
    opportunity: dict[str, Any] = {
        "Name": deal.name,
        "AccountId": account,
        "StageName": "Proposal/Price Quote",
        "CloseDate": deal.won_on.isoformat(),
        "Pricebook2Id": book,
    }
    steps = [crm.step("deal", "Opportunity", opportunity)]
    if deal.has_quote:
        quote = {"Name": deal.name, "OpportunityId": "@{deal.id}", "Pricebook2Id": book}
        steps.append(crm.step("quote", "Quote", quote))
    line_object = "QuoteLineItem" if deal.has_quote else "OpportunityLineItem"
    parent = {"QuoteId": "@{quote.id}"} if deal.has_quote else {"OpportunityId": "@{deal.id}"}
    entries = _price_book_entries(crm)
    for n, line in enumerate(deal.lines):
        steps.append(
            crm.step(f"line{n}", line_object, parent | _line_values(crm, line, account, entries))
        )
    return str(crm.together(steps)["deal"]["id"])


def find_deal(crm: CrmUser, deal: Deal) -> str:
    """Return the id of a deal that was entered before."""
    standing = crm.find("Opportunity", Name=deal.name)
    if standing is None:
        raise StateConflict(f"The deal '{deal.name}' is not in the CRM.")
    return standing


def close_won(crm: CrmUser, opportunity: str) -> None:
    """Make the quote the one that counts, and close the deal as won."""
    row = crm.rows(
        "SELECT StageName, SyncedQuoteId, (SELECT Id FROM Quotes) FROM Opportunity WHERE Id = {}",
        opportunity,
    )[0]
    quotes = row["Quotes"]["records"] if row["Quotes"] else []
    if quotes and row["SyncedQuoteId"] is None:
        crm.change("Opportunity", opportunity, {"SyncedQuoteId": quotes[0]["Id"]})
    if row["StageName"] != "Closed Won":
        crm.change("Opportunity", opportunity, {"StageName": "Closed Won"})


def _price_book_entries(crm: CrmUser) -> dict[str, tuple[str, Any]]:
    rows = crm.rows(
        "SELECT Id, UnitPrice, Product2.L2C_Product_Key__c FROM PricebookEntry "
        "WHERE IsActive = true"
    )
    return {row["Product2"]["L2C_Product_Key__c"]: (row["Id"], row["UnitPrice"]) for row in rows}


def _line_values(
    crm: CrmUser, line: DealLine, account: str, entries: Mapping[str, tuple[str, Any]]
) -> dict[str, Any]:
    entry, unit_price = entries[line.product]
    values: dict[str, Any] = {
        "PricebookEntryId": entry,
        "Quantity": line.quantity,
        "UnitPrice": unit_price,
        "L2C_Request_Type__c": line.request_type,
    }
    if line.term_months:
        values["L2C_Term_Months__c"] = line.term_months
    if line.site is not None:
        values["L2C_Location_Text__c"] = line.site
    if line.changes is not None:
        values["L2C_Service__c"] = _service(crm, account, line)
    return values


def _service(crm: CrmUser, account: str, line: DealLine) -> str:
    site = (line.site or "").split(",")[0]
    rows = crm.rows(
        "SELECT Id, Location__r.Name FROM L2C_Service__c "
        "WHERE Account__c = {} AND Fulfillment_Status__c = 'In Service' "
        "AND Product__r.L2C_Product_Key__c = {} ORDER BY Name",
        account,
        line.changes or "",
    )
    at_site = [
        row for row in rows if row["Location__r"] and row["Location__r"]["Name"].startswith(site)
    ]
    if len(at_site) != 1:
        raise StateConflict(f"There are {len(at_site)} services '{line.changes}' at {site}.")
    return str(at_site[0]["Id"])
