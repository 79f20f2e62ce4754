"""What each request type asks for (domain 3.3). One table; everything else looks here."""

from dataclasses import dataclass
from enum import StrEnum

from connector.errors import StateConflict


class RequestType(StrEnum):
    """The one key that selects price, template, inventory effect and billing effect."""

    NEW = "NEW"
    ADD_ON_CHANGE = "ADD_ON_CHANGE"
    UPGRADE = "UPGRADE"
    DOWNGRADE = "DOWNGRADE"
    MOVE = "MOVE"
    REPLACE = "REPLACE"
    RE_TERM = "RE_TERM"
    RE_RATE = "RE_RATE"
    CANCEL = "CANCEL"
    SERVICE_REQUEST = "SERVICE_REQUEST"
    WIDGET = "WIDGET"
    SUSPEND = "SUSPEND"
    RESUME = "RESUME"
    TRANSFER_OF_BILLING = "TRANSFER_OF_BILLING"


class Effect(StrEnum):
    """What the billing milestone of a line does."""

    START = "start"
    CHANGE = "change"
    END = "end"
    CHARGE = "charge"
    ADD_ONS = "add-ons"
    MOVE = "move"
    REPLACE = "replace"
    SUSPEND = "suspend"
    RESUME = "resume"
    TRANSFER = "transfer"


# These make a service of their own.
MAKES_SERVICE = frozenset({Effect.START, Effect.REPLACE})
# These leave product, quantity and price of the service as they are.
GOES_ON = frozenset({Effect.ADD_ONS, Effect.MOVE, Effect.SUSPEND, Effect.RESUME, Effect.TRANSFER})


@dataclass(frozen=True, slots=True)
class Request:
    """How a request type is delivered."""

    role: str
    effect: Effect
    needs_target: bool
    product_kinds: tuple[str, ...]


SUPPORTED: dict[RequestType, Request] = {
    RequestType.NEW: Request("Deliver", Effect.START, False, ("Service",)),
    RequestType.ADD_ON_CHANGE: Request("Change", Effect.ADD_ONS, True, ("Service",)),
    RequestType.UPGRADE: Request("Change", Effect.CHANGE, True, ("Service",)),
    RequestType.DOWNGRADE: Request("Change", Effect.CHANGE, True, ("Service",)),
    RequestType.MOVE: Request("Turn-up", Effect.MOVE, True, ("Service",)),
    RequestType.REPLACE: Request("Turn-up", Effect.REPLACE, True, ("Service",)),
    RequestType.RE_TERM: Request("Change", Effect.CHANGE, True, ("Service",)),
    RequestType.RE_RATE: Request("Change", Effect.CHANGE, True, ("Service",)),
    RequestType.CANCEL: Request("Disconnect", Effect.END, True, ("Service",)),
    RequestType.SERVICE_REQUEST: Request(
        "Service request", Effect.CHARGE, False, ("Service Request",)
    ),
    RequestType.WIDGET: Request("Ship", Effect.CHARGE, False, ("Widget",)),
    RequestType.SUSPEND: Request("Change", Effect.SUSPEND, True, ("Service",)),
    RequestType.RESUME: Request("Change", Effect.RESUME, True, ("Service",)),
    RequestType.TRANSFER_OF_BILLING: Request("Change", Effect.TRANSFER, True, ("Service",)),
}


class UnsupportedRequest(StateConflict):
    """This release does not deliver the request type."""

    code = "ordering.unsupported_request"

    def __init__(self, request_type: str) -> None:
        super().__init__(
            f"Request type '{request_type}' is not delivered by this release.",
            remedy=f"Delivered are {', '.join(SUPPORTED)}.",
        )


def request_of(request_type: str) -> Request:
    """Return how a request type is delivered.

    Raises:
        UnsupportedRequest: This release does not deliver it; the error lists what it does.
    """
    if request_type not in RequestType.__members__:
        raise UnsupportedRequest(request_type)
    found = SUPPORTED.get(RequestType(request_type))
    if found is None:
        raise UnsupportedRequest(request_type)
    return found
