"""The events of a scenario: each has a verb as its key (`start: s1`, `cancel: s1`)."""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from connector.simulation.words import Amount, Day, Exact, Name, Part, Percent

STEPS_MAX = 100
TERM_MONTHS_MAX = 600

Effective = Literal["at", "next_bill_day"]
Positive = Annotated[Exact, Field(gt=0)]


class Event(Part):
    """Something that happens on a day and is heard of on the same day, or later."""

    at: Day
    reported: Day | None = None


class DiscountTerms(Part):
    """Less by a percentage or by an amount each period, for some cycles or between two days.

    The first cycle counts even when it is a part of one.
    """

    percent: Percent | None = None
    amount: Amount | None = None
    cycles: Annotated[int | None, Field(ge=1, le=1_200)] = None
    from_: Annotated[Day | None, Field(alias="from")] = None
    to: Day | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.percent is None) == (self.amount is None):
            raise ValueError("a discount is either a percent or an amount")
        if self.cycles is not None and self.to is not None:
            raise ValueError("a discount lasts for some cycles or to a day, not both")
        return self


class Term(Part):
    """How long a contract binds, and what happens then."""

    months: int = Field(ge=1, le=TERM_MONTHS_MAX)
    renewal: Literal["expire", "auto", "month_to_month"] = "month_to_month"


class Step(Part):
    """Another quantity from a day on."""

    from_: Day = Field(alias="from")
    quantity: Amount


class Start(Event):
    """NEW: a service begins."""

    start: Name
    plan: Name
    account: Name | None = None
    quantity: Amount = Decimal(1)
    price: Amount | None = None
    discount: Percent = Decimal(0)
    discounts: Annotated[tuple[DiscountTerms, ...], Field(max_length=STEPS_MAX)] = ()
    site: str = ""
    country: str = ""
    term: Term | None = None
    steps: Annotated[tuple[Step, ...], Field(max_length=STEPS_MAX)] = ()


class Change(Event):
    """UPGRADE, DOWNGRADE, or another quantity: what is not said stays."""

    change: Name
    plan: Name | None = None
    price: Amount | None = None
    quantity: Amount | None = None
    effective: Effective = "at"


class ReRate(Event):
    """RE_RATE: another price, nothing else."""

    re_rate: Name
    price: Amount
    effective: Effective = "at"


class ReTerm(Event):
    """RE_TERM: a new term from the day on, perhaps at another price."""

    re_term: Name
    months: int = Field(ge=1, le=TERM_MONTHS_MAX)
    price: Amount | None = None


class Renew(Event):
    """RENEW: the term moves on from its end, perhaps at another price."""

    renew: Name
    months: int = Field(ge=1, le=TERM_MONTHS_MAX)
    price: Amount | None = None


class Add(Event):
    """ADD_ON_CHANGE: one more part of a service, or one more batch of seats."""

    add: Name
    plan: Name
    as_: Annotated[Name | None, Field(alias="as")] = None
    """What the part is called when it is removed; the plan when left out."""
    quantity: Amount = Decimal(1)
    price: Amount | None = None
    discounts: Annotated[tuple[DiscountTerms, ...], Field(max_length=STEPS_MAX)] = ()


class Remove(Event):
    """ADD_ON_CHANGE: a part of a service ends."""

    remove: Name
    part: Name


class Move(Event):
    """MOVE: the same service at another place, taxed there from the day on."""

    move: Name
    site: str
    country: str = ""
    fee: Name | None = None
    """A plan that is charged once."""


class Replace(Event):
    """REPLACE: another service instead, on one day; nothing is due for leaving early."""

    replace: Name
    by: Name
    plan: Name
    quantity: Amount = Decimal(1)
    price: Amount | None = None


class Cancel(Event):
    """CANCEL: a service ends with all its parts."""

    cancel: Name
    early_termination: Literal["due", "waived"] = "due"


class Suspend(Event):
    """SUSPEND: what it costs meanwhile says the policy."""

    suspend: Name


class Resume(Event):
    """RESUME: as before."""

    resume: Name


class Transfer(Event):
    """TRANSFER OF BILLING: another account pays from the day on."""

    transfer: Name
    to: Name


class Sell(Event):
    """WIDGET or SERVICE_REQUEST: charged once."""

    sell: Name
    quantity: Positive = Decimal(1)
    price: Amount | None = None
    service: Name | None = None
    account: Name | None = None


class Return(Event):
    """Something sold comes back: a credit."""

    return_: Name = Field(alias="return")
    quantity: Positive = Decimal(1)
    account: Name | None = None


class Use(Event):
    """Usage of a service, at the price of its plan or of a plan named; billed in arrears."""

    use: Name
    units: Amount
    plan: Name | None = None


class Pay(Event):
    """Money comes in, for an invoice (its place among the documents) or for the oldest debt."""

    pay: Positive
    reference: str = ""
    invoice: Annotated[int | None, Field(ge=1)] = None
    account: Name | None = None


class Draft(Event):
    """The bills of a day are computed for review; nothing is booked."""

    draft: Day


KINDS: dict[str, type[Event]] = {
    "start": Start,
    "change": Change,
    "re_rate": ReRate,
    "re_term": ReTerm,
    "renew": Renew,
    "add": Add,
    "remove": Remove,
    "move": Move,
    "replace": Replace,
    "cancel": Cancel,
    "suspend": Suspend,
    "resume": Resume,
    "transfer": Transfer,
    "sell": Sell,
    "return": Return,
    "use": Use,
    "pay": Pay,
    "draft": Draft,
}


def verb_of(event: Any) -> str | None:
    """Return the verb of an event as it was written, or None when it has none or two."""
    if isinstance(event, Event):
        return next(verb for verb, kind in KINDS.items() if type(event) is kind)
    found = [verb for verb in KINDS if isinstance(event, dict) and verb in event]
    return found[0] if len(found) == 1 else None


AnyEvent = Annotated[
    Annotated[Start, Tag("start")]
    | Annotated[Change, Tag("change")]
    | Annotated[ReRate, Tag("re_rate")]
    | Annotated[ReTerm, Tag("re_term")]
    | Annotated[Renew, Tag("renew")]
    | Annotated[Add, Tag("add")]
    | Annotated[Remove, Tag("remove")]
    | Annotated[Move, Tag("move")]
    | Annotated[Replace, Tag("replace")]
    | Annotated[Cancel, Tag("cancel")]
    | Annotated[Suspend, Tag("suspend")]
    | Annotated[Resume, Tag("resume")]
    | Annotated[Transfer, Tag("transfer")]
    | Annotated[Sell, Tag("sell")]
    | Annotated[Return, Tag("return")]
    | Annotated[Use, Tag("use")]
    | Annotated[Pay, Tag("pay")]
    | Annotated[Draft, Tag("draft")],
    Discriminator(
        verb_of,
        custom_error_type="verb",
        custom_error_message=(
            "an event has one verb: start, change, re_rate, re_term, renew, add, remove, move, "
            "replace, cancel, suspend, resume, transfer, sell, return, use, pay or draft"
        ),
    ),
]
