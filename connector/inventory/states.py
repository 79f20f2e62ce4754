"""The fulfilment states of a service and the legal moves between them (domain 3.2)."""

from enum import StrEnum

from connector.errors import StateConflict


class ServiceState(StrEnum):
    """Where a service stands between sold and gone."""

    NEW = "New"
    IN_SERVICE = "In Service"
    SUSPENDED = "Suspended for Non-Pay"
    ORDER_CANCELED = "Order Canceled"
    CANCELED_BY_USER = "Canceled By User"
    CANCELED_FOR_NON_PAY = "Canceled for Non-Pay"
    EXPIRED = "Expired"


MOVES: dict[ServiceState, frozenset[ServiceState]] = {
    ServiceState.NEW: frozenset({ServiceState.IN_SERVICE, ServiceState.ORDER_CANCELED}),
    ServiceState.IN_SERVICE: frozenset(
        {
            ServiceState.SUSPENDED,
            ServiceState.CANCELED_BY_USER,
            ServiceState.CANCELED_FOR_NON_PAY,
            ServiceState.EXPIRED,
        }
    ),
    ServiceState.SUSPENDED: frozenset(
        {
            ServiceState.IN_SERVICE,
            ServiceState.CANCELED_BY_USER,
            ServiceState.CANCELED_FOR_NON_PAY,
        }
    ),
    ServiceState.ORDER_CANCELED: frozenset(),
    ServiceState.CANCELED_BY_USER: frozenset(),
    ServiceState.CANCELED_FOR_NON_PAY: frozenset(),
    ServiceState.EXPIRED: frozenset(),
}


class ServiceStateConflict(StateConflict):
    """The service cannot move to this state from the one it is in."""

    code = "inventory.service_state"

    def __init__(self, *, number: str, present: ServiceState, wanted: ServiceState) -> None:
        allowed = sorted(MOVES[present])
        possible = ", ".join(allowed) if allowed else "nothing, it is final"
        super().__init__(
            f"Service {number} is {present} and cannot become {wanted}.",
            remedy=f"Possible from here: {possible}.",
        )
        self.allowed = tuple(allowed)


def check_move(*, number: str, present: ServiceState, wanted: ServiceState) -> None:
    """Do nothing when the move is legal.

    Raises:
        ServiceStateConflict: It is not; the error lists the moves that are.
    """
    if wanted not in MOVES[present]:
        raise ServiceStateConflict(number=number, present=present, wanted=wanted)
