"""What a person asks of a whole order in the CRM: create, start, hold, release, cancel."""

from datetime import datetime
from enum import StrEnum

from connector.errors import InvalidInput
from connector.flows.rules import DeliveryRules
from connector.ordering.decompose import decompose_order
from connector.ordering.orders import cancel_order, hold_order, release_order, start_order
from connector.store.engine import Store


class OrderAction(StrEnum):
    """What can be asked of an order."""

    CREATE = "Create"
    START = "Start"
    HOLD = "Hold"
    RELEASE = "Release"
    CANCEL = "Cancel"


class UnknownOrderAction(InvalidInput):
    """Nobody can do this with an order."""

    code = "flows.unknown_order_action"
    remedy = f"Choose one of {', '.join(OrderAction)}."


def act_on_order(
    *, store: Store, rules: DeliveryRules, order_id: int, action: str, now: datetime
) -> bool:
    """Do with an order what was asked; return whether that changed anything.

    Start also creates what is missing, so an order can be started straight from the scrub.

    Raises:
        UnknownOrderAction: There is no such action.
        StateConflict: The order cannot do this now; nothing is changed.
    """
    if action not in list(OrderAction):
        raise UnknownOrderAction(f"'{action}' is no action of an order.")
    with store.transaction() as tx:
        match OrderAction(action):
            case OrderAction.CREATE:
                made = decompose_order(tx=tx, order_id=order_id, templates=rules.templates, now=now)
                return made.work_orders > 0
            case OrderAction.START:
                decompose_order(tx=tx, order_id=order_id, templates=rules.templates, now=now)
                return start_order(tx=tx, order_id=order_id, policy=rules.policy, now=now)
            case OrderAction.HOLD:
                return hold_order(tx=tx, order_id=order_id, now=now)
            case OrderAction.RELEASE:
                return release_order(tx=tx, order_id=order_id, policy=rules.policy, now=now)
            case OrderAction.CANCEL:
                return cancel_order(tx=tx, order_id=order_id, now=now)
