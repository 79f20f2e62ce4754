"""What something would cost before it is bought: due now, next invoice, monthly, over the term.

An estimate plays the order as a scenario, so the later invoice says the same to the cent.
"""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from connector.charging.policy import Partials, Timing
from connector.charging.value import rounded
from connector.kernel.money import Money
from connector.kernel.period import add_months
from connector.simulation.events import AnyEvent, Cancel, DiscountTerms, Sell, Start, Use
from connector.simulation.outcome import shown_document
from connector.simulation.parts import day_of
from connector.simulation.play import Played, play
from connector.simulation.script import (
    ENTRIES_MAX,
    Calendar,
    Plan,
    Policy,
    Rates,
    Script,
    plain_price,
)
from connector.simulation.words import Amount, Day, Name, Part, Percent
from connector.simulation.world import World

ITEMS_MAX = 100
SCHEMES_MAX = 10
MONTHS_MAX = 120
HORIZONS = (12, 36)
_KINDS = {"recurring": "by the period", "one_time": "once", "usage": "by use"}


class Item(Part):
    """A plan in the basket."""

    plan: Name
    quantity: Amount = Decimal(1)
    price: Amount | None = None
    discount: Percent = Decimal(0)
    discounts: Annotated[tuple[DiscountTerms, ...], Field(max_length=ITEMS_MAX)] = ()
    units_per_month: Amount | None = None
    """Usage that is expected each month, for a plan with a price for usage."""


Basket = Annotated[tuple[Item, ...], Field(min_length=1, max_length=ITEMS_MAX)]


class Estimate(Part):
    """What is asked: a basket, or several schemes to compare, from a day on."""

    about: str = ""
    calendar: Calendar
    policy: Policy = Policy()
    """`invoice_partials_on` is `on_order` here when left out."""
    tax: Percent | Rates = Decimal(0)
    catalogue: dict[Name, Annotated[Plan, BeforeValidator(plain_price)]] = Field(
        max_length=ENTRIES_MAX
    )
    at: Day
    term_months: Annotated[int, Field(ge=1, le=MONTHS_MAX)] = 12
    basket: Basket | None = None
    schemes: Annotated[dict[Name, Basket] | None, Field(min_length=1, max_length=SCHEMES_MAX)] = (
        None
    )
    horizons: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MONTHS_MAX)], ...], Field(min_length=1, max_length=5)
    ] = HORIZONS
    """The months over which schemes are compared."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.basket is None) == (self.schemes is None):
            raise ValueError("an estimate has either a basket or schemes")
        return self


def estimate(asked: Estimate) -> dict[str, Any]:
    """Return what a basket costs, or what each scheme costs and which one is cheapest.

    `due_now` is the part of the running period and what is charged once, before tax; `total`
    covers the term, before tax. An estimate is no invoice.

    Raises:
        ConnectorError: A plan is unknown or has no such price.
    """
    if asked.basket is not None:
        return {"currency": asked.calendar.currency} | _of_basket(asked, asked.basket)
    assert asked.schemes is not None
    return _compared(asked, asked.schemes)


def ordered(asked: Estimate, basket: Basket, *, months: int) -> Script:
    """Return the scenario of an order and its term, as `l2c simulate` would play it."""
    world = World(_script(asked, (), asked.at))
    on = day_of(world, asked.at)
    events: list[AnyEvent] = []
    for number, item in enumerate(basket, start=1):
        plan, name = world.plan(item.plan), f"{item.plan}#{number}"
        if plan.recurs or plan.usage is not None:
            price = item.price if plan.recurs else None
            events.append(
                Start(
                    at=on,
                    start=name,
                    plan=item.plan,
                    quantity=item.quantity,
                    price=price,
                    discount=item.discount,
                    discounts=item.discounts,
                )
            )
        if plan.once is not None:
            sold_with = name if plan.recurs or plan.usage is not None else None
            price = item.price if sold_with is None else None
            events.append(
                Sell(at=on, sell=item.plan, quantity=item.quantity, price=price, service=sold_with)
            )
        if item.units_per_month is not None:
            events += [
                Use(at=add_months(on, month), use=name, units=item.units_per_month)
                for month in range(months)
            ]
    return _script(asked, tuple(events), add_months(on, months))


def _script(asked: Estimate, events: tuple[AnyEvent, ...], until: date) -> Script:
    told = asked.policy.told()
    policy = Policy(**{"invoice_partials_on": Partials.ON_ORDER} | told)
    return Script(
        calendar=asked.calendar,
        policy=policy,
        tax=asked.tax,
        catalogue=asked.catalogue,
        events=events,
        until=until,
    )


def _of_basket(asked: Estimate, basket: Basket) -> dict[str, Any]:
    played = play(ordered(asked, basket, months=asked.term_months))
    on = day_of(played.world, asked.at)
    running = played.world.ledger(None).payer.cycle.period_of(on)
    assert running.end is not None
    shown = [shown_document(one) for one in played.documents]
    later = [one for one in shown if one["date"] > on]
    first = [
        line | {"invoiced_on": one["date"]}
        for one in shown
        for line in one["lines"]
        if line["from"] < running.end and _is_due_now(line)
    ]
    monthly = _monthly(played)
    return {
        "at": on,
        "due_now": {
            "amount": sum((line["amount"] for line in first), _zero(asked)),
            "tax": sum((line["tax"] for line in first), _zero(asked)),
            "invoiced_on": min((line["invoiced_on"] for line in first), default=None),
            "lines": first,
        },
        "next_invoice": later[0] if later else None,
        "monthly": monthly,
        "term_months": asked.term_months,
        "total": _total(asked, basket, asked.term_months),
        "is_official": False,
    }


def _zero(asked: Estimate) -> Decimal:
    return Money.zero(asked.calendar.currency).amount


def _is_due_now(line: dict[str, Any]) -> bool:
    in_arrears = line["explanation"]["policy"].get("when") == Timing.ARREARS
    return line["kind"] != "Usage" and not in_arrears


def _monthly(played: Played) -> Decimal:
    """Return what a usual month costs, usage and discounts that end left out."""
    currency = played.world.script.calendar.currency
    exact = Fraction(0)
    for charge in played.world.ledger(None).charges.values():
        if charge.kind == "recurring":
            exact += charge.price.per_period * charge.policy.every.per_year / 12
    return rounded(exact, currency)


def _total(asked: Estimate, basket: Basket, months: int) -> Decimal:
    return sum((amount for _, amount in _arithmetic(asked, basket, months)), _zero(asked))


def _arithmetic(asked: Estimate, basket: Basket, months: int) -> list[tuple[str, Decimal]]:
    """Return per item what a term costs, each line cut at its end and rounded once.

    The term ends by a cancellation without any fee, billed on the following bill days.
    """
    script = ordered(asked, basket, months=months)
    on = day_of(World(script), asked.at)
    end = add_months(on, months)
    names = [event.start for event in script.events if isinstance(event, Start)]
    cancels = tuple(
        Cancel(at=end, reported=end, cancel=name, early_termination="waived") for name in names
    )
    calendar = asked.calendar
    after = calendar.cycle.period_of(end)
    last = calendar.cycle.following(after).end
    played = play(script.model_copy(update={"events": (*script.events, *cancels), "until": last}))
    sums: dict[str, Decimal] = {}
    for document in played.documents:
        for taxed in document.draft.lines:
            charge = taxed.line.charge
            name = f"{charge.description}, {_KINDS[charge.kind]}"
            sums[name] = sums.get(name, _zero(asked)) + taxed.line.amount
    return list(sums.items())


def _compared(asked: Estimate, schemes: dict[str, Basket]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for name, basket in schemes.items():
        row: dict[str, Any] = {"scheme": name} | _of_basket(asked, basket)
        row["totals"] = {}
        row["arithmetic"] = {}
        for months in asked.horizons:
            parts = _arithmetic(asked, basket, months)
            row["totals"][str(months)] = sum((amount for _, amount in parts), _zero(asked))
            row["arithmetic"][str(months)] = [
                {"text": text, "amount": amount} for text, amount in parts
            ]
        rows.append(row)
    longest = str(max(asked.horizons))
    least = min(row["totals"][longest] for row in rows)
    for row in rows:
        row["is_cheapest"] = row["totals"][longest] == least
    return {"currency": asked.calendar.currency, "horizons": asked.horizons, "schemes": rows}
