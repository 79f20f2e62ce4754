"""Orders: drafts until a status alone activates them (fact sheet I.2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row, Transaction
from .base import Behaviour
from .lines import LineBehaviour
from .statuses import by_label, code_of

if TYPE_CHECKING:
    from ..save import Writer

ACTIVATED = "Activated"
# What an activated order still lets people change; the rest is part of what was agreed.
OPEN_FIELDS = frozenset({"Status", "OwnerId", "Description", "PoNumber", "PoDate"})


class OrderBehaviour(Behaviour):
    """Begins as a draft, is activated by its status, and then stays."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Derive the status code; refuse what the category of the status forbids."""
        tx = writer.tx
        statuses = by_label(tx, "OrderStatus")
        contract_ids = sorted({d.new["ContractId"] for d in drafts if d.new["ContractId"]})
        contracts = tx.fetch(tx.schema.get("Contract"), contract_ids)
        for draft in drafts:
            new = draft.new
            new["StatusCode"] = code_of(statuses, new["Status"])
            if new["AccountId"] is None and new["ContractId"] in contracts:
                new["AccountId"] = contracts[new["ContractId"]]["AccountId"]
            if new["AccountId"] is None:
                message = "Required fields are missing: [AccountId]"
                draft.refuse("REQUIRED_FIELD_MISSING", message, "AccountId")
            if not system:
                _check_status(tx, draft)
            if draft.creating:
                new["TotalAmount"] = 0
            if new["StatusCode"] == ACTIVATED and draft.changed("StatusCode"):
                new["ActivatedDate"], new["ActivatedById"] = tx.now_s, tx.actor.user_id
            elif new["StatusCode"] != ACTIVATED:
                new["ActivatedDate"] = new["ActivatedById"] = None

    def why_kept(self, row: Row) -> str | None:
        """Keep activated orders."""
        return "activated orders cannot be deleted" if row["StatusCode"] == ACTIVATED else None


def _check_status(tx: Transaction, draft: Draft) -> None:
    now, before = draft.new["StatusCode"], draft.old.get("StatusCode")
    code = "FIELD_INTEGRITY_EXCEPTION"
    if draft.creating:
        if now != "Draft":
            draft.refuse(code, "an order is created with a status of a draft", "Status")
    elif now == ACTIVATED and before != ACTIVATED:
        others = [name for name in draft.values if name != "Status"]
        if others:
            message = "an order is activated by its status alone, without other fields"
            draft.refuse(code, message, *others)
    elif before == ACTIVATED:
        fixed = [n for n in draft.values if n not in OPEN_FIELDS and draft.changed(n)]
        fixed = [name for name in fixed if not name.endswith("__c")]
        if fixed:
            draft.refuse(code, "an activated order cannot be changed in these fields", *fixed)
        elif now != ACTIVATED and _has_reductions(tx, draft.new["Id"]):
            message = "an order with reduction lines cannot become a draft again"
            draft.refuse(code, message, "Status")


def _has_reductions(tx: Transaction, order_id: str) -> bool:
    line = tx.schema.get("OrderItem")
    ids = [row["Id"] for row in tx.fetch_where(line, "OrderId", [order_id])]
    return bool(tx.fetch_where(line, "OriginalOrderItemId", ids))


class OrderLineBehaviour(LineBehaviour):
    """Lines of orders: quantity times price, only while the order is a draft."""

    parent = "Order"
    parent_field = "OrderId"
    other = "OrderItem"

    def check(self, draft: Draft, parent: Row) -> None:
        """Refuse new lines and other amounts on an activated order."""
        touched = any(draft.changed(name) for name in ("Quantity", "UnitPrice"))
        if parent["StatusCode"] == ACTIVATED and touched:
            message = "the lines of an activated order cannot be added or changed"
            draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, "OrderId")

    def after(self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft]) -> None:
        """Sum the order."""
        self._refresh_parents(writer, [draft.new for draft in drafts])

    def deleted(self, writer: "Writer", item: ObjectType, rows: Sequence[Row]) -> None:
        """Sum the order again."""
        self._refresh_parents(writer, rows)

    def _totals(self, tx: Transaction, lines: Sequence[Row], parent: Row) -> Row:
        book = parent["Pricebook2Id"]
        if book is None and lines:
            entry_id = lines[0]["PricebookEntryId"]
            entry = tx.fetch(tx.schema.get("PricebookEntry"), [entry_id])[entry_id]
            book = entry["Pricebook2Id"]
        return {"TotalAmount": sum(line["TotalPrice"] for line in lines), "Pricebook2Id": book}
