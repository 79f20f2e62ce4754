"""Prices of products in price books."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schema.currencies import CURRENCY
from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row
from .base import Behaviour

if TYPE_CHECKING:
    from ..save import Writer

Priced = tuple[str, str | None]


class PricebookEntryBehaviour(Behaviour):
    """The standard price comes first, and one price per product, book and currency."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Fill name and code from the product; refuse what has no standard price."""
        tx = writer.tx
        product_ids = sorted({d.new["Product2Id"] for d in drafts if d.new["Product2Id"]})
        products = tx.fetch(tx.schema.get("Product2"), product_ids)
        books = {r["Id"]: r for r in tx.fetch_where(tx.schema.get("Pricebook2"), "IsDeleted", [0])}
        entries = tx.fetch_where(item, "Product2Id", product_ids)
        taken = {(e["Pricebook2Id"], *_priced(e)): e["Id"] for e in entries}
        standard = {_priced(e): e for e in entries if _is_standard(books.get(e["Pricebook2Id"]))}
        for draft in drafts:
            product = products.get(draft.new["Product2Id"])
            book = books.get(draft.new["Pricebook2Id"])
            if product is None or book is None:
                continue
            draft.new["Name"] = product["Name"]
            draft.new["ProductCode"] = product["ProductCode"]
            key = (book["Id"], *_priced(draft.new))
            if taken.get(key, draft.id) != draft.id:
                message = "This price definition already exists in this price book"
                draft.refuse("DUPLICATE_VALUE", message, "Pricebook2Id", "Product2Id")
                continue
            self._price(draft, book, standard)
            taken[key] = draft.id or "new"
            if _is_standard(book) and not draft.errors:
                standard[_priced(draft.new)] = draft.new

    def _price(self, draft: Draft, book: Row, standard: dict[Priced, Row]) -> None:
        price = standard.get(_priced(draft.new))
        if not _is_standard(book) and price is None:
            message = "Before creating a custom price, create a standard price."
            draft.refuse("STANDARD_PRICE_NOT_DEFINED", message)
        elif draft.new["UseStandardPrice"] == 1 and price is not None:
            draft.new["UnitPrice"] = price["UnitPrice"]
        elif draft.new["UnitPrice"] is None:
            message = "Required fields are missing: [UnitPrice]"
            draft.refuse("REQUIRED_FIELD_MISSING", message, "UnitPrice")


def _priced(row: Row) -> Priced:
    """Return what has one price in a book: a product, in each currency where there are several."""
    return row["Product2Id"], row.get(CURRENCY)


def _is_standard(book: Row | None) -> bool:
    return book is not None and book["IsStandard"] == 1
