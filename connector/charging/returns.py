"""What was sold once comes back: the charges are worth less, and the next bill gives it back."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import structlog
from sqlalchemy import Connection, text

from connector.errors import InvalidInput, StateConflict
from connector.store.engine import to_json

log = structlog.get_logger(__name__)

_SOLD = text(
    "SELECT id, quantity, source ->> 'returned_by' AS returned_by FROM charge "
    " WHERE billing_account_id = :payer_id AND product_id = :product_id AND kind = 'one_time' "
    "   AND (CAST(:service_id AS bigint) IS NULL OR service_id = :service_id) "
    " ORDER BY id DESC"
)
_LOCK = text("SELECT id FROM billing_account WHERE id = :payer_id FOR NO KEY UPDATE")
_TAKE_BACK = text(
    "UPDATE charge SET quantity = quantity - CAST(:back AS numeric), changed_at = :now, "
    "       source = source || CAST(:note AS jsonb) WHERE id = :id"
)


class NotSold(StateConflict):
    """More comes back than was sold."""

    code = "charging.not_sold"
    remedy = "Check the product, the account and the quantity."


@dataclass(frozen=True, slots=True)
class Return:
    """So much of a product comes back from an account, by an order line."""

    billing_account_id: int
    product_id: int
    quantity: Decimal
    order_line_id: int
    on: date
    service_id: int | None = None


def return_once(*, tx: Connection, back: Return, now: datetime) -> int:
    """Take back what was sold once, latest sale first; return the id of the latest charge changed.

    Each piece is given back at the price and the tax of its own sale (domain 3.3, WIDGET). The same
    order line again changes nothing.

    Raises:
        InvalidInput: The quantity is not above zero.
        NotSold: The account did not buy so much of it.
    """
    if back.quantity <= 0:
        raise InvalidInput(f"{back.quantity} cannot come back.")
    tx.execute(_LOCK, {"payer_id": back.billing_account_id})
    sold = tx.execute(
        _SOLD,
        {
            "payer_id": back.billing_account_id,
            "product_id": back.product_id,
            "service_id": back.service_id,
        },
    ).all()
    line = str(back.order_line_id)
    for row in sold:
        if line in (row.returned_by or "").split():
            return int(row.id)
    left = back.quantity
    changed = []
    for row in sold:
        part = min(left, row.quantity)
        if part <= 0:
            continue
        note = {"returned_by": f"{row.returned_by or ''} {line}".strip()}
        values = {"id": row.id, "back": part, "now": now, "note": to_json(note).decode()}
        tx.execute(_TAKE_BACK, values)
        changed.append(int(row.id))
        left -= part
    if left:
        there = (back.quantity - left).normalize()
        raise NotSold(f"{back.quantity.normalize():f} cannot come back: only {there:f} was sold.")
    log.info("charge.returned", charges=changed, order_line_id=back.order_line_id)
    return changed[0]
