"""The currency of each record: its default, what is refused (fact sheet I.4, I.6)."""

from collections.abc import Sequence

from ..schema.currencies import CURRENCY, CURRENCY_TYPE, SELECT, USER_CURRENCY
from ..schema.model import ObjectType
from ..storage.money import ONE
from .draft import Draft
from .transaction import Row, Transaction

# Lines have the currency of what they are lines of.
PARENTS = {
    "Quote": ("Opportunity", "OpportunityId"),
    "OpportunityLineItem": ("Opportunity", "OpportunityId"),
    "QuoteLineItem": ("Quote", "QuoteId"),
    "OrderItem": ("Order", "OrderId"),
    "WorkOrderLineItem": ("WorkOrder", "WorkOrderId"),
    "ContractLineItem": ("ServiceContract", "ServiceContractId"),
}


def set_currencies(
    tx: Transaction, item: ObjectType, drafts: Sequence[Draft], *, system: bool
) -> None:
    """Fill in the currency of new records; refuse codes that are unknown or inactive."""
    if item.name == CURRENCY_TYPE:
        for draft in drafts:
            _check_rate(draft)
    if not item.has(CURRENCY):
        return
    known = tx.connection.execute(SELECT).fetchall()
    active = {row[0] for row in known if row[1] == 1}
    default = _default(tx, known[0][0] if known else None)
    parents = _parents(tx, item, drafts)
    for draft in drafts:
        parent = parents.get(draft.new.get(PARENTS.get(item.name, ("", ""))[1]) or "")
        if draft.new[CURRENCY] is None and draft.creating:
            draft.new[CURRENCY] = parent[CURRENCY] if parent is not None else default
        for name in (CURRENCY, USER_CURRENCY):
            if name not in draft.new:
                continue
            if name == USER_CURRENCY and draft.new[name] is None:
                draft.new[name] = draft.new[CURRENCY]
            if (draft.new[name] not in active and draft.changed(name)) and not system:
                message = f"invalid currency ISO code: {draft.new[name]}"
                draft.refuse("INVALID_CURRENCY_ISO", message, name)
        if parent is not None and not draft.errors and draft.new[CURRENCY] != parent[CURRENCY]:
            message = "the currency of a line is that of the record it belongs to"
            draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, CURRENCY)
        if not (draft.creating or system) and draft.changed(CURRENCY):
            _check_lines(tx, item, draft)


def _default(tx: Transaction, corporate: str | None) -> str | None:
    sql = f'SELECT "{USER_CURRENCY}" FROM "User" WHERE "Id" = ?'
    row = tx.connection.execute(sql, (tx.actor.user_id,)).fetchone()
    return corporate if row is None or row[0] is None else str(row[0])


def _parents(tx: Transaction, item: ObjectType, drafts: Sequence[Draft]) -> dict[str, Row]:
    if item.name not in PARENTS:
        return {}
    name, reference = PARENTS[item.name]
    ids = sorted({d.new[reference] for d in drafts if d.new[reference]})
    return tx.fetch(tx.schema.get(name), ids)


def _check_lines(tx: Transaction, item: ObjectType, draft: Draft) -> None:
    for child, (name, reference) in PARENTS.items():
        if name != item.name:
            continue
        if tx.fetch_where(tx.schema.get(child), reference, [draft.id]):
            message = "the currency cannot change while there are lines"
            draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, CURRENCY)
            return


def _check_rate(draft: Draft) -> None:
    if draft.new["IsCorporate"] == 1 and draft.new["ConversionRate"] != ONE:
        message = "the corporate currency has the conversion rate 1"
        draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, "ConversionRate")
    if draft.new["ConversionRate"] is not None and draft.new["ConversionRate"] <= 0:
        message = "Conversion Rate: value outside of valid range on numeric field: "
        draft.refuse("NUMBER_OUTSIDE_VALID_RANGE", message + "it must be above 0", "ConversionRate")
