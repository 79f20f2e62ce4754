"""Whether a line gives up seats that a vendor does not take back (mission row B24)."""

from datetime import date
from decimal import Decimal

from connector.inventory.commitment import Commitment
from connector.ordering.queries import Target
from connector.ordering.request_types import RequestType

# These end what the service is; what comes in its place is another purchase to the vendor.
_GIVES_ALL_UP = frozenset({RequestType.CANCEL, RequestType.REPLACE})


def check_commitment(
    *,
    commitment: Commitment | None,
    target: Target,
    request_type: RequestType,
    product_id: int,
    quantity: Decimal,
    on: date,
) -> None:
    """Refuse a line that would let a service have fewer seats than it is bound to on a day.

    Nothing binds a service without a commitment. A downgrade to another product gives up every
    seat; an upgrade to a better one keeps what is paid for.

    Raises:
        Committed: The vendor's window is over; the error offers the day of renewal.
    """
    if commitment is None:
        return
    is_another = product_id != target.product_id
    if request_type in _GIVES_ALL_UP or (request_type is RequestType.DOWNGRADE and is_another):
        kept = Decimal(0)
    elif request_type in (RequestType.UPGRADE, RequestType.DOWNGRADE):
        kept = quantity
    else:
        return
    commitment.check(service=target.number, on=on, quantity=kept)
