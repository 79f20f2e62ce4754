"""Lines of work orders and service contracts: they may have a price (fact sheet I.2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schema.currencies import CURRENCY
from ...schema.model import ObjectType
from ..draft import Draft
from .base import Behaviour
from .lines import line_total
from .simple import CLOSED_WORK

if TYPE_CHECKING:
    from ..save import Writer


class PricedLineBehaviour(Behaviour):
    """Takes product and list price from the price book entry and multiplies."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Fill product, list price and totals."""
        tx = writer.tx
        ids = sorted({d.new["PricebookEntryId"] for d in drafts if d.new["PricebookEntryId"]})
        entries = tx.fetch(tx.schema.get("PricebookEntry"), ids)
        for draft in drafts:
            new = draft.new
            entry = entries.get(new["PricebookEntryId"])
            if entry is not None and entry.get(CURRENCY) != new.get(CURRENCY):
                message = f"The pricebook entry is not in {new.get(CURRENCY)}: {entry['Id'][:15]}"
                draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, "PricebookEntryId")
            elif entry is not None:
                new["Product2Id"], new["ListPrice"] = entry["Product2Id"], entry["UnitPrice"]
                if new["UnitPrice"] is None:
                    new["UnitPrice"] = entry["UnitPrice"]
            counted = new["Quantity"] is not None and new["UnitPrice"] is not None
            new["TotalPrice"] = line_total(new) if counted else None
            new["Subtotal"] = line_total({**new, "Discount": None}) if counted else None


class WorkOrderLineBehaviour(PricedLineBehaviour):
    """A line of work is closed like a work order."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Set IsClosed besides the price."""
        super().before(writer, item, drafts, system)
        for draft in drafts:
            draft.new["IsClosed"] = int(draft.new["Status"] in CLOSED_WORK)
