"""After a billing milestone: the bill of the day of the order, where the policy wants it."""

from datetime import datetime

import structlog
from sqlalchemy import text

from connector.billing.order_bill import bill_order
from connector.errors import ConnectorError
from connector.store.engine import Store

log = structlog.get_logger(__name__)

_DUE = text(
    "SELECT DISTINCT c.billing_account_id FROM charge c "
    " WHERE c.order_line_id = :line_id AND c.policy ->> 'invoice_partials_on' = 'on_order'"
)


def bill_order_day(*, store: Store, order_line_id: int, now: datetime) -> tuple[str, ...]:
    """Invoice what a line made due today, when its charges do not wait; return the numbers.

    It comes after the transaction of the milestone: a bill that cannot be made (no tax rate)
    must not undo the delivery. What is not invoiced here is by the next bill run.
    """
    with store.read() as tx:
        payers = list(tx.scalars(_DUE, {"line_id": order_line_id}))
    numbers: tuple[str, ...] = ()
    for payer in payers:
        try:
            numbers += bill_order(store=store, billing_account_id=payer, now=now)
        except ConnectorError as error:
            log.warning("order.not_billed", billing_account_id=payer, code=error.code)
    return numbers
