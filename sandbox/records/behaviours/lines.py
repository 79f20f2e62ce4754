"""Lines of opportunities and quotes: prices, totals, parents kept up to date (fact sheet I.4)."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ...schema.currencies import CURRENCY
from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row, Transaction
from .base import Behaviour
from .quote import SYNCED_FIELDS, mirror_quote_lines, remove_lines

if TYPE_CHECKING:
    from ..save import Writer

WHOLE_DISCOUNT = Decimal(10_000)  # per cent with two decimal places, as stored
QUANTITY_STEPS = Decimal(100)  # quantities carry two decimal places


def line_total(row: Row) -> int:
    """Return quantity times unit price less discount, in cents, half up."""
    gross = Decimal(row["Quantity"]) * Decimal(row["UnitPrice"]) / QUANTITY_STEPS
    kept = (WHOLE_DISCOUNT - Decimal(row.get("Discount") or 0)) / WHOLE_DISCOUNT
    return int((gross * kept).to_integral_value(rounding=ROUND_HALF_UP))


class LineBehaviour(Behaviour):
    """What the lines of opportunities, quotes and orders do alike."""

    parent: str
    parent_field: str
    other: str

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Find the price, fill product and totals; refuse entries of another price book."""
        tx = writer.tx
        parents = _parents(tx, self.parent, self.parent_field, drafts)
        entries = _entries(tx, drafts, parents, self.parent_field)
        products = tx.fetch(
            tx.schema.get("Product2"), sorted({e["Product2Id"] for e in entries.values()})
        )
        for draft in drafts:
            parent = parents.get(draft.new[self.parent_field])
            if parent is None:
                continue
            self.check(draft, parent)
            if draft.creating and not draft.errors:
                self._price(draft, parent, entries, products)
            if draft.errors:
                continue
            self._complete(draft)

    def check(self, draft: Draft, parent: Row) -> None:
        """Refuse a line its parent does not take."""

    def _price(
        self, draft: Draft, parent: Row, entries: dict[str, Row], products: dict[str, Row]
    ) -> None:
        new = draft.new
        book = parent["Pricebook2Id"]
        currency = new.get(CURRENCY)
        key = new["PricebookEntryId"] or f"{book}/{new['Product2Id']}/{currency}"
        entry = entries.get(key)
        if entry is None:
            missing = "PricebookEntryId"
            draft.refuse(
                "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{missing}]", missing
            )
            return
        if entry["IsActive"] != 1 or (book is not None and entry["Pricebook2Id"] != book):
            message = (
                "The pricebook entry is inactive or belongs to another price book: "
                f"{entry['Id'][:15]}"
            )
            draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, "PricebookEntryId")
            return
        if entry.get(CURRENCY) != currency:
            message = f"The pricebook entry is not in {currency}: {entry['Id'][:15]}"
            draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, "PricebookEntryId")
            return
        product = products[entry["Product2Id"]]
        new["PricebookEntryId"], new["Product2Id"] = entry["Id"], product["Id"]
        new["ListPrice"] = entry["UnitPrice"]
        if "ProductCode" in new:
            new["ProductCode"] = product["ProductCode"]
            new["Name"] = f"{parent['Name']} {product['Name']}"

    def _complete(self, draft: Draft) -> None:
        new = draft.new
        if new["Quantity"] is None:
            return
        given_total = draft.values.get("TotalPrice")
        if given_total is not None and draft.values.get("UnitPrice") is None and new["Quantity"]:
            unit = Decimal(given_total) * QUANTITY_STEPS / Decimal(new["Quantity"])
            new["UnitPrice"] = int(unit.to_integral_value(rounding=ROUND_HALF_UP))
            new["TotalPrice"] = given_total
        elif new["UnitPrice"] is None:
            message = "Required fields are missing: [UnitPrice]"
            draft.refuse("REQUIRED_FIELD_MISSING", message, "UnitPrice")
        else:
            new["TotalPrice"] = line_total(new)
        if "Subtotal" in new and new["UnitPrice"] is not None:
            new["Subtotal"] = line_total({**new, "Discount": None})

    def restored(self, writer: "Writer", item: ObjectType, rows: Sequence[Row]) -> None:
        """Sum again; lines mirrored on the other side come back by themselves only."""
        self._refresh_parents(writer, rows)

    def _refresh_parents(self, writer: "Writer", rows: Sequence[Row]) -> None:
        ids = sorted({row[self.parent_field] for row in rows})
        tx = writer.tx
        parent = tx.schema.get(self.parent)
        current = {i: r for i, r in tx.fetch(parent, ids).items() if r["IsDeleted"] == 0}
        child = tx.schema.get(self.other)
        lines = tx.fetch_where(child, self.parent_field, sorted(current))
        changes = {}
        for record_id, row in current.items():
            own = [line for line in lines if line[self.parent_field] == record_id]
            values = self._totals(tx, own, row)
            if any(row[name] != value for name, value in values.items()) or own:
                changes[record_id] = values
        writer.touch(parent, changes)

    def _totals(self, tx: Transaction, lines: Sequence[Row], parent: Row) -> Row:
        raise NotImplementedError


class OpportunityLineBehaviour(LineBehaviour):
    """Lines of opportunities."""

    parent = "Opportunity"
    parent_field = "OpportunityId"
    other = "OpportunityLineItem"

    def after(self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft]) -> None:
        """Sum the opportunity and carry changes to the synced quote."""
        self._refresh_parents(writer, [draft.new for draft in drafts])
        tx = writer.tx
        changed = [d for d in drafts if any(d.changed(n) for n in SYNCED_FIELDS)]
        if tx.syncing_quotes or not changed:
            return
        quote_line = tx.schema.get("QuoteLineItem")
        updated = {d.id: d.new for d in changed if not d.creating and d.id}
        mirrors = tx.fetch_where(quote_line, "OpportunityLineItemId", sorted(updated))
        changes = {
            m["Id"]: {n: updated[m["OpportunityLineItemId"]][n] for n in SYNCED_FIELDS}
            for m in mirrors
        }
        self._create_mirrors(writer, [d.new for d in changed if d.creating])
        tx.syncing_quotes = True
        try:
            writer.touch(quote_line, changes)
        finally:
            tx.syncing_quotes = False

    def _create_mirrors(self, writer: "Writer", rows: Sequence[Row]) -> None:
        tx = writer.tx
        ids = sorted({row["OpportunityId"] for row in rows})
        parents = tx.fetch(tx.schema.get("Opportunity"), ids)
        names = (*SYNCED_FIELDS, "PricebookEntryId", "Product2Id")
        mirrors = [
            {n: row[n] for n in names}
            | {
                "QuoteId": parents[row["OpportunityId"]]["SyncedQuoteId"],
                "OpportunityLineItemId": row["Id"],
            }
            for row in rows
            if parents[row["OpportunityId"]]["SyncedQuoteId"]
        ]
        if mirrors:
            tx.syncing_quotes = True
            try:
                writer.insert(tx.schema.get("QuoteLineItem"), mirrors)
            finally:
                tx.syncing_quotes = False

    def deleted(self, writer: "Writer", item: ObjectType, rows: Sequence[Row]) -> None:
        """Sum again, and delete the mirrored quote lines."""
        tx = writer.tx
        if not tx.syncing_quotes:
            quote_line = tx.schema.get("QuoteLineItem")
            ids = [row["Id"] for row in rows]
            mirrors = tx.fetch_where(quote_line, "OpportunityLineItemId", ids)
            remove_lines(writer, "QuoteLineItem", [m["Id"] for m in mirrors])
        self._refresh_parents(writer, rows)

    def _totals(self, tx: Transaction, lines: Sequence[Row], parent: Row) -> Row:
        if not lines:
            return {"HasOpportunityLineItem": 0}
        return {
            "HasOpportunityLineItem": 1,
            "Amount": sum(line["TotalPrice"] for line in lines),
            "TotalOpportunityQuantity": sum(line["Quantity"] for line in lines),
            "Pricebook2Id": _book(tx, parent, lines),
        }


class QuoteLineBehaviour(LineBehaviour):
    """Lines of quotes."""

    parent = "Quote"
    parent_field = "QuoteId"
    other = "QuoteLineItem"

    def after(self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft]) -> None:
        """Sum the quote and carry changes to the opportunity of a synced quote."""
        self._refresh_parents(writer, [draft.new for draft in drafts])
        tx = writer.tx
        changed = [d for d in drafts if any(d.changed(n) for n in SYNCED_FIELDS)]
        if tx.syncing_quotes or not changed:
            return
        quotes = tx.fetch(
            tx.schema.get("Quote"), sorted({draft.new["QuoteId"] for draft in changed})
        )
        synced = [d for d in changed if quotes[d.new["QuoteId"]]["IsSyncing"] == 1]
        for quote_id in sorted({d.new["QuoteId"] for d in synced}):
            created = [d.new for d in synced if d.creating and d.new["QuoteId"] == quote_id]
            mirror_quote_lines(writer, quotes[quote_id]["OpportunityId"], created)
        changes = {
            d.new["OpportunityLineItemId"]: {n: d.new[n] for n in SYNCED_FIELDS}
            for d in synced
            if not d.creating and d.new["OpportunityLineItemId"]
        }
        tx.syncing_quotes = True
        try:
            writer.touch(tx.schema.get("OpportunityLineItem"), changes)
        finally:
            tx.syncing_quotes = False

    def deleted(self, writer: "Writer", item: ObjectType, rows: Sequence[Row]) -> None:
        """Sum again, and delete the mirrored opportunity lines."""
        if not writer.tx.syncing_quotes:
            ids = [row["OpportunityLineItemId"] for row in rows if row["OpportunityLineItemId"]]
            remove_lines(writer, "OpportunityLineItem", ids)
        self._refresh_parents(writer, rows)

    def _totals(self, tx: Transaction, lines: Sequence[Row], parent: Row) -> Row:
        subtotal = sum(line["Subtotal"] or 0 for line in lines)
        total = sum(line["TotalPrice"] or 0 for line in lines)
        off = Decimal(subtotal - total) * WHOLE_DISCOUNT / subtotal if subtotal else Decimal(0)
        return {
            "Subtotal": subtotal,
            "TotalPrice": total,
            "LineItemCount": len(lines),
            "Discount": int(off.to_integral_value(rounding=ROUND_HALF_UP)),
            "Pricebook2Id": _book(tx, parent, lines),
        }


def _book(tx: Transaction, parent: Row, lines: Sequence[Row]) -> str | None:
    """Return the parent's price book; without one, that of its first line."""
    if parent["Pricebook2Id"] is not None or not lines:
        known: str | None = parent["Pricebook2Id"]
        return known
    entry_id = lines[0]["PricebookEntryId"]
    book: str = tx.fetch(tx.schema.get("PricebookEntry"), [entry_id])[entry_id]["Pricebook2Id"]
    return book


def _parents(tx: Transaction, name: str, reference: str, drafts: Sequence[Draft]) -> dict[str, Row]:
    ids = sorted({d.new[reference] for d in drafts if d.new[reference]})
    return tx.fetch(tx.schema.get(name), ids)


def _entries(
    tx: Transaction, drafts: Sequence[Draft], parents: dict[str, Row], reference: str
) -> dict[str, Row]:
    """Return price book entries by their id and by `book/product/currency`."""
    item = tx.schema.get("PricebookEntry")
    ids = sorted({d.new["PricebookEntryId"] for d in drafts if d.new["PricebookEntryId"]})
    found = tx.fetch(item, ids)
    loose = [d for d in drafts if not d.new["PricebookEntryId"] and d.new["Product2Id"]]
    products = sorted({d.new["Product2Id"] for d in loose})
    books = {(parents.get(d.new[reference]) or {}).get("Pricebook2Id") for d in loose}
    for entry in tx.fetch_where(item, "Product2Id", products) if products else ():
        if entry["Pricebook2Id"] in books:
            key = f"{entry['Pricebook2Id']}/{entry['Product2Id']}/{entry.get(CURRENCY)}"
            found[key] = entry
    return found
