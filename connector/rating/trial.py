"""Rates one call on paper: which prefix, which increments, which amount, and why."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection

from connector.errors import InvalidInput, StateConflict
from connector.kernel.money import round_to_currency
from connector.rating import queries
from connector.rating.domain import IntegerSum, Tariff, amount_of, rate_call


class UnknownPlan(StateConflict):
    """The catalogue has no rate plan of this key."""

    code = "rating.unknown_plan"


class NoRate(StateConflict):
    """The plan has no price for this number on that day."""

    code = "rating.no_rate"
    remedy = "Add the prefix to the rate deck of the plan and load the catalogue."


@dataclass(frozen=True, slots=True)
class TriedCall:
    """How a call is priced; `price` and `cost` are exact, `rounded` is alone on an invoice."""

    plan: str
    deck: str
    prefix: str
    destination: str
    usage_class: str
    duration_s: int
    charged_s: int
    included_s: int
    price: Decimal
    cost: Decimal
    rounded: Decimal
    currency: str
    rule: str


def try_call(
    *,
    tx: Connection,
    plan_key: str,
    called: str,
    duration_s: int,
    on: date,
    allowance_left_s: int = 0,
) -> TriedCall:
    """Price one call under a plan on a day, writing nothing.

    Raises:
        UnknownPlan: There is no such plan.
        NoRate: No prefix of its deck matches.
        InvalidInput: The number has no digits or more than 15.
    """
    number = "".join(one for one in called if one in "0123456789").removeprefix("00")
    if not 1 <= len(number) <= 15:
        raise InvalidInput(f"'{called}' is not a number of 1 to 15 digits.")
    plans = {plan.key: plan for plan in queries.plans(tx)}
    plan = plans.get(plan_key)
    if plan is None:
        raise UnknownPlan(
            f"There is no rate plan '{plan_key}'.",
            remedy=f"Known plans: {', '.join(sorted(plans)) or 'none'}.",
        )
    found = None
    if plan.deck_key is not None:
        found = queries.longest_rate(tx=tx, deck_key=plan.deck_key, number=number, on=on)
    if found is None:
        raise NoRate(f"Plan '{plan_key}' has no price for {number} on {on}.")
    deck, rate = found
    tariff = Tariff(minimum_s=rate.minimum_s, increment_s=rate.increment_s, price=rate.price)
    rated = rate_call(duration_s=duration_s, tariff=tariff, allowance_left_s=allowance_left_s)
    price = amount_of([IntegerSum(rated.sell, rate.price.scale, rate.price.block)])
    per_block = Decimal(rate.price.sell).scaleb(-rate.price.scale)
    fee = Decimal(rate.price.connection).scaleb(-rate.price.scale)
    return TriedCall(
        plan=plan.key,
        deck=f"{deck.key} version {deck.version}",
        prefix=rate.prefix,
        destination=rate.destination,
        usage_class=rate.usage_class,
        duration_s=duration_s,
        charged_s=rated.charged_s,
        included_s=rated.included_s,
        price=price,
        cost=amount_of([IntegerSum(rated.cost, rate.price.scale, rate.price.block)]),
        rounded=round_to_currency(price, plan.currency),
        currency=plan.currency,
        rule=(
            f"{per_block} per {rate.price.block} s, at least {rate.minimum_s} s, every started "
            f"{rate.increment_s} s, connection {fee}"
        ),
    )
