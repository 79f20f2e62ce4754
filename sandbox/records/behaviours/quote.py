"""Quotes: totals of their lines, and being in sync with the opportunity (fact sheet I.2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row
from .base import Behaviour

if TYPE_CHECKING:
    from ..save import Writer

# What a quote line and its opportunity line have in common while the quote is synced.
SYNCED_FIELDS = ("Quantity", "UnitPrice", "Discount", "Description", "ServiceDate", "SortOrder")
FIXED_FIELDS = ("PricebookEntryId", "Product2Id")


class QuoteBehaviour(Behaviour):
    """Takes account and price book from the opportunity and adds tax and shipping."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Derive account, price book and the grand total."""
        tx = writer.tx
        ids = [d.new["OpportunityId"] for d in drafts if d.new["OpportunityId"]]
        opportunities = tx.fetch(tx.schema.get("Opportunity"), ids)
        for draft in drafts:
            new = draft.new
            opportunity = opportunities.get(new["OpportunityId"])
            if opportunity is not None:
                new["AccountId"] = opportunity["AccountId"]
                if draft.creating and new["Pricebook2Id"] is None:
                    new["Pricebook2Id"] = opportunity["Pricebook2Id"]
            for name in ("Subtotal", "TotalPrice", "LineItemCount"):
                new[name] = new[name] or 0
            extras = (new["Tax"] or 0) + (new["ShippingHandling"] or 0)
            new["GrandTotal"] = new["TotalPrice"] + extras

    def deleted(self, writer: "Writer", item: ObjectType, rows: Sequence[Row]) -> None:
        """Let opportunities forget a synced quote that is gone."""
        opportunity = writer.tx.schema.get("Opportunity")
        ids = [row["Id"] for row in rows]
        synced = writer.tx.fetch_where(opportunity, "SyncedQuoteId", ids)
        writer.touch(opportunity, {row["Id"]: {"SyncedQuoteId": None} for row in synced})


def stop_sync(writer: "Writer", quote_id: str) -> None:
    """End the sync of a quote; both sides keep their lines."""
    tx = writer.tx
    lines = tx.fetch_where(tx.schema.get("QuoteLineItem"), "QuoteId", [quote_id])
    writer.touch(tx.schema.get("Quote"), {quote_id: {"IsSyncing": 0}})
    _quietly_touch_lines(writer, {line["Id"]: {"OpportunityLineItemId": None} for line in lines})


def start_sync(writer: "Writer", opportunity: Row) -> None:
    """Replace the opportunity's lines by those of its synced quote."""
    tx = writer.tx
    quote_id, opportunity_id = opportunity["SyncedQuoteId"], opportunity["Id"]
    writer.touch(tx.schema.get("Quote"), {quote_id: {"IsSyncing": 1}})
    old = tx.fetch_where(tx.schema.get("OpportunityLineItem"), "OpportunityId", [opportunity_id])
    remove_lines(writer, "OpportunityLineItem", [line["Id"] for line in old])
    quote = tx.fetch(tx.schema.get("Quote"), [quote_id])[quote_id]
    if quote["Pricebook2Id"] != opportunity["Pricebook2Id"]:
        values: Row = {"Pricebook2Id": quote["Pricebook2Id"]}
        writer.touch(tx.schema.get("Opportunity"), {opportunity_id: values})
    lines = tx.fetch_where(tx.schema.get("QuoteLineItem"), "QuoteId", [quote_id])
    mirror_quote_lines(writer, opportunity_id, lines)


def mirror_quote_lines(writer: "Writer", opportunity_id: str, lines: Sequence[Row]) -> None:
    """Create the opportunity line of each quote line and tie the two together."""
    if not lines:
        return
    tx = writer.tx
    names = (*SYNCED_FIELDS, *FIXED_FIELDS)
    rows = [{"OpportunityId": opportunity_id} | {n: line[n] for n in names} for line in lines]
    tx.syncing_quotes, before = True, tx.syncing_quotes
    try:
        ids = writer.insert(tx.schema.get("OpportunityLineItem"), rows)
        ties = {
            line["Id"]: {"OpportunityLineItemId": line_id}
            for line, line_id in zip(lines, ids, strict=True)
        }
        writer.touch(tx.schema.get("QuoteLineItem"), ties)
    finally:
        tx.syncing_quotes = before


def remove_lines(writer: "Writer", object_name: str, ids: Sequence[str]) -> None:
    """Delete lines on one side without the other side answering."""
    from ..delete import delete_record

    tx = writer.tx
    tx.syncing_quotes, before = True, tx.syncing_quotes
    try:
        for line_id in ids:
            delete_record(writer, line_id)
    finally:
        tx.syncing_quotes = before


def _quietly_touch_lines(writer: "Writer", changes: dict[str, Row]) -> None:
    tx = writer.tx
    tx.syncing_quotes, before = True, tx.syncing_quotes
    try:
        writer.touch(tx.schema.get("QuoteLineItem"), changes)
    finally:
        tx.syncing_quotes = before
