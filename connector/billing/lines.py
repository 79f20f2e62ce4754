"""Lines of a bill: what a charge is worth so far, less what its lines have booked.

One rule makes first bills, adjustments and credits: a line is the rounded value of the charge minus
what is booked on it (design 7). For a recurring charge the rule holds per billing month, so a line
never mixes periods and a credit names the very line that had booked too much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from connector.billing.draft import BillableCharge, BookedLine, LineDraft
from connector.billing.due import Calendar, due_periods, ended_services
from connector.billing.figures import trimmed_number, trimmed_price
from connector.billing.four_steps import steps_of
from connector.billing.leaves import Leaves, leaves_of, model_text, once_leaves
from connector.charging.policy import ProrationPolicy
from connector.charging.value import (
    Discount,
    Price,
    days_of_period,
    exact_text,
    rounded,
    value_of,
)
from connector.errors import StateConflict
from connector.kernel.money import Rounding, minor_digits, rounded_to
from connector.kernel.period import Cycle, Interval, Period

QUANTITY_PLACES = 6  # 3.166667 seats for 19 of 30 days of 5 (domain 3.4, golden 10)
EXACT_PLACES = 9
ROUNDING = {
    Rounding.HALF_UP: "half away from zero",
    Rounding.HALF_EVEN: "half to the even neighbour",
    Rounding.DOWN: "towards zero",
}
_WORDS = {
    Interval.WEEK: "week",
    Interval.MONTH: "month",
    Interval.QUARTER: "quarter",
    Interval.HALF_YEAR: "half-year",
    Interval.YEAR: "year",
}


class ForeignChargeCurrency(StateConflict):
    """A charge is in another currency than the invoice it would be on."""

    code = "billing.foreign_charge_currency"
    remedy = "Correct the currency of the price or of the rate plan."


def lines_of(
    charges: Sequence[BillableCharge], booked: Iterable[BookedLine], calendar: Calendar
) -> tuple[LineDraft, ...]:
    """Return everything that is due or to be given back on a payer's charges."""
    by_charge: dict[int, list[BookedLine]] = {}
    for line in booked:
        by_charge.setdefault(line.charge_id, []).append(line)
    ended = ended_services(charges, calendar.billed_to)
    lines: list[LineDraft] = []
    for charge in charges:
        own = by_charge.get(charge.id, [])
        if charge.kind == "recurring":
            lines += _recurring(charge, own, calendar, is_ended=charge.service_id in ended)
        elif charge.kind == "usage":
            if charge.ends_on is not None and charge.ends_on <= calendar.billed_to:
                lines += _whole(charge, own, _usage_inputs(charge))
        elif calendar.has_happened(charge.starts_on):
            lines += _whole(charge, own, _one_time_inputs(charge))
    return tuple(lines)


def _recurring(
    charge: BillableCharge, booked: list[BookedLine], calendar: Calendar, *, is_ended: bool
) -> Iterable[LineDraft]:
    served = Period(charge.starts_on, charge.ends_on)
    cycle = charge.policy.cycle(calendar.cycle)
    by_period: dict[Period, list[BookedLine]] = {}
    for line in booked:
        by_period.setdefault(cycle.period_of(line.service_from), []).append(line)
    periods = due_periods(charge, served, cycle, calendar)
    price = charge.price
    for period in sorted(periods | set(by_period), key=lambda period: period.start):
        own = by_period.get(period, [])
        days = period.intersection(served) or Period(period.start, period.start)
        known = _worth_of(charge, price, period, days, cycle)
        due = known.rounded - sum((line.booked for line in own), Decimal(0))
        if due == 0:
            continue
        derivation = _Derivation(
            known.exact,
            known.rounded,
            tuple(own),
            due,
            known.inputs,
            known.net_unit_price,
            known.leaves,
        )
        measure = _measure(charge, derivation) if own else known.measure
        if due > 0:
            yield _debit(
                charge,
                kind="Recurring" if days == period else "Proration",
                description=charge.description + _part_text(charge, period, days),
                days=days,
                derivation=derivation,
                measure=measure,
                unit=_WORDS[cycle.every],
            )
        else:
            yield from _credits(
                charge,
                derivation=derivation,
                kept_to=_end(days),
                period=period,
                is_cancellation=is_ended,
            )


@dataclass(frozen=True, slots=True)
class _Worth:
    """What the days of a period are worth, and what a bill says about it."""

    exact: Fraction
    rounded: Decimal
    inputs: dict[str, Any]
    net_unit_price: Fraction
    leaves: Leaves
    measure: "_Measure"  # of a line that bills all of it


_Terms = tuple[Price, Decimal, ProrationPolicy, str, Period, Period, Cycle]
_known: dict[_Terms, _Worth] = {}
KNOWN_MAX = 50_000  # about 100 MiB


def _worth_of(
    charge: BillableCharge, price: Price, period: Period, days: Period, cycle: Cycle
) -> _Worth:
    """Return what the served days of a period are worth; worked out once for all on equal terms."""
    terms = (price, charge.unit_cost, charge.policy, charge.currency, period, days, cycle)
    known = _known.get(terms)
    if known is None:
        if len(_known) >= KNOWN_MAX:
            _known.clear()
        value = value_of(price, period, days, charge.policy.basis, cycle)
        worth = rounded(value, charge.currency, charge.policy.rounding)
        inputs = _recurring_inputs(charge, period, days, price)
        inputs["steps"] = steps_of(
            charge, price, worth=worth, period=period, days=days, cycle=cycle
        )
        net = _net(charge, period, cycle)
        leaves = leaves_of(charge, period=period, served=days, cycle=cycle, worth=worth)
        measure = _measure(charge, _Derivation(value, worth, (), worth, inputs, net, leaves))
        known = _known[terms] = _Worth(value, worth, inputs, net, leaves, measure)
    return known


def _net(charge: BillableCharge, period: Period, cycle: Cycle) -> Fraction:
    """Return what one unit costs for the whole period, discounts and minimum counted."""
    price = charge.price
    if not (price.discounts or price.floor) or not price.quantity:
        return price.net_unit_price
    whole = value_of(price, period, period, charge.policy.basis, cycle)
    return whole if price.pricing is not None else whole / Fraction(price.quantity)


def _whole(
    charge: BillableCharge, booked: list[BookedLine], inputs: dict[str, Any]
) -> Iterable[LineDraft]:
    """Yield what is due on a charge that does not recur."""
    price = charge.price
    value = price.per_period
    worth = rounded(value, charge.currency, charge.policy.rounding)
    due = worth - sum((line.booked for line in booked), Decimal(0))
    if due == 0:
        return
    leaves, inputs["steps"] = once_leaves(charge, worth), steps_of(charge, price, worth=worth)
    net = price.net_unit_price
    derivation = _Derivation(value, worth, tuple(booked), due, inputs, net, leaves)
    if due < 0:
        yield from _credits(
            charge,
            derivation=derivation,
            kept_to=charge.starts_on,
            period=None,
            is_cancellation=False,
        )
        return
    last = charge.ends_on or charge.starts_on
    if charge.kind == "one_time":
        last = charge.starts_on + timedelta(days=1)
    yield _debit(
        charge,
        kind="Usage" if charge.kind == "usage" else "One-time",
        description=charge.description + (", adjusted" if booked else ""),
        days=Period(charge.starts_on, last),
        derivation=derivation,
        measure=_measure(charge, derivation),
        unit="" if charge.kind == "usage" else "piece",
    )


@dataclass(frozen=True, slots=True)
class _Derivation:
    """How a difference came about."""

    value: Fraction
    rounded: Decimal
    booked: tuple[BookedLine, ...]
    due: Decimal
    inputs: dict[str, Any]
    net_unit_price: Fraction
    leaves: Leaves

    @property
    def booked_amount(self) -> Decimal:
        return sum((line.booked for line in self.booked), Decimal(0))


@dataclass(frozen=True, slots=True)
class _Measure:
    """How much of what a line bills, as people read it."""

    quantity: Decimal
    unit_price: Decimal
    cost: Decimal


def _measure(charge: BillableCharge, derivation: _Derivation) -> _Measure:
    """Return the measure of everything that is due."""
    exact = derivation.value - Fraction(derivation.booked_amount)
    quantity, unit_price = _quantity(charge, derivation, exact)
    return _Measure(
        rounded_to(quantity, QUANTITY_PLACES),
        unit_price,
        _cost(charge, quantity),
    )


def _debit(
    charge: BillableCharge,
    *,
    kind: str,
    description: str,
    days: Period,
    derivation: _Derivation,
    measure: _Measure,
    unit: str,
) -> LineDraft:
    return LineDraft(
        charge=charge,
        kind=kind,
        description=description,
        quantity=measure.quantity,
        unit=unit,
        unit_price=measure.unit_price,
        amount=derivation.due,
        cost=measure.cost,
        service_from=days.start,
        service_to=_end(days),
        explanation=_explanation(charge, derivation, _parts(derivation)),
        is_first=not any(line.booked for line in derivation.booked),
    )


def _credits(
    charge: BillableCharge,
    *,
    derivation: _Derivation,
    kept_to: date,
    period: Period | None,
    is_cancellation: bool,
) -> Iterable[LineDraft]:
    """Give back the difference, latest booked line first, each credit against one line."""
    to_give = -derivation.due
    given: list[tuple[BookedLine, Decimal]] = []
    for line in sorted(derivation.booked, key=lambda line: line.line_id, reverse=True):
        part = min(line.left, to_give)
        if part > 0:
            given.append((line, part))
            to_give -= part
    for line, part in given:
        share = Fraction(part) / Fraction(-derivation.due)
        exact = (derivation.value - Fraction(derivation.booked_amount)) * share
        quantity, unit_price = _quantity(charge, derivation, exact)
        days = Period(min(max(line.service_from, kept_to), line.service_to), line.service_to)
        if days.start == days.end:
            days = Period(line.service_from, line.service_to)
        parts = _parts(derivation)
        for other, other_part in given:
            if other is not line:
                text = f"given back against {other.invoice_number} line {other.line_no}"
                parts.append({"text": text, "amount": str(other_part)})
        if to_give:
            parts.append({"text": "given back before, for good", "amount": str(to_give)})
        yield LineDraft(
            charge=charge,
            kind="Credit",
            description=charge.description + _credit_text(charge, period, days),
            quantity=rounded_to(quantity, QUANTITY_PLACES),
            unit=_WORDS[charge.policy.every] if charge.kind == "recurring" else "",
            unit_price=unit_price,
            amount=-part,
            cost=_cost(charge, quantity),
            service_from=days.start,
            service_to=_end(days),
            explanation=_explanation(charge, derivation, parts)
            | {"credits": {"invoice": line.invoice_number, "line": line.line_no}},
            credits=line,
            is_cancellation=is_cancellation,
        )


def _quantity(
    charge: BillableCharge, derivation: _Derivation, exact: Fraction
) -> tuple[Fraction, Decimal]:
    """Return quantity and unit price of an exact amount; usage is one piece at its price."""
    net = derivation.net_unit_price
    if net == 0 or charge.kind == "usage":
        sign = -1 if exact < 0 else 1
        return Fraction(sign), rounded_to(abs(exact), EXACT_PLACES)
    unit_price = charge.unit_price if net == charge.unit_price else rounded_to(net, EXACT_PLACES)
    return exact / net, unit_price


def _cost(charge: BillableCharge, quantity: Fraction) -> Decimal:
    """Return what the line cost us; what a model prices as one whole was bought unit by unit."""
    by_model = charge.pricing is not None and charge.kind == "recurring"
    units = Fraction(charge.quantity) if by_model else 1
    return rounded_to(quantity * units * Fraction(charge.unit_cost), EXACT_PLACES)


def _parts(derivation: _Derivation) -> list[dict[str, str]]:
    parts = [leaf.as_json() for leaf in derivation.leaves]
    if not parts:
        parts = [{"text": str(derivation.inputs["text"]), "amount": str(derivation.rounded)}]
    parts += [
        {
            "text": f"already booked by {line.invoice_number} line {line.line_no}",
            "amount": str(-line.booked),
            "booked": f"{line.invoice_number} line {line.line_no}",
        }
        for line in derivation.booked
        if line.booked
    ]
    return parts


def _explanation(
    charge: BillableCharge, derivation: _Derivation, parts: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "kind": charge.kind,
        "inputs": derivation.inputs,
        "policy": _policy_json(charge.policy) if charge.kind == "recurring" else {},
        "value": exact_text(derivation.value),
        "rounding": {
            "mode": ROUNDING[charge.policy.rounding],
            "places": minor_digits(charge.currency),
            "to": str(derivation.rounded),
        },
        "sources": {
            "charge": charge.id,
            "service": charge.service_id,
            "service_number": charge.service_number,
            "order_line": charge.order_line_id,
            "usage_summary": charge.usage.summary_id if charge.usage else None,
            "product": charge.product_key,
            "vendor": charge.vendor,
        },
        "parts": parts,
    }


@cache
def _policy_json(policy: ProrationPolicy) -> dict[str, Any]:
    return policy.as_json()


def _recurring_inputs(
    charge: BillableCharge, period: Period, days: Period, price: Price
) -> dict[str, Any]:
    of_days = _of_days(charge, period)
    count = "nothing" if days.days == 0 else f"{days.days} of {of_days} days"
    whole = days == period
    discount = (
        f" less {trimmed_number(charge.discount_percent)} %" if charge.discount_percent else ""
    )
    discount += "".join(_discount_text(one) for one in price.discounts if _meets(one, days))
    if price.floor:
        discount += f", at least {trimmed_price(price.floor)}"
    word = _WORDS[charge.policy.every]
    each = model_text(charge) or f"× {trimmed_price(charge.unit_price)}"
    inputs = {
        "text": f"{trimmed_number(charge.quantity)} {each} a {word}{discount}, "
        + (f"the whole {word} from {period.start}" if whole else f"{count} from {period.start}"),
        "quantity": str(trimmed_number(charge.quantity)),
        "unit_price": str(trimmed_price(charge.unit_price)),
        "discount_percent": str(trimmed_number(charge.discount_percent)),
        "monthly" if charge.policy.every is Interval.MONTH else "per_period": exact_text(
            price.per_period
        ),
        "period_from": str(period.start),
        "period_to": str(period.end),
        "served_from": str(days.start),
        "served_to": str(days.end),
        "days": days.days,
        "of_days": of_days,
        "basis": str(charge.policy.basis),
    }
    if price.pricing is not None:
        del inputs["unit_price"]
        inputs["price_model"] = price.pricing.name
    if price.discounts:
        inputs["discounts"] = "; ".join(
            f"{_discount_text(one).strip()} from {one.window.start} to {one.window.end or 'no end'}"
            for one in price.discounts
        )
    return inputs


def _discount_text(discount: Discount) -> str:
    parts = [f" less {trimmed_number(discount.percent)} %"] if discount.percent else []
    parts += [f" less {trimmed_price(discount.amount)}"] if discount.amount else []
    return "".join(parts)


def _meets(discount: Discount, days: Period) -> bool:
    return discount.window.intersection(days) is not None


def _one_time_inputs(charge: BillableCharge) -> dict[str, Any]:
    return {
        "text": f"{trimmed_number(charge.quantity)} × {trimmed_price(charge.unit_price)} once",
        "quantity": str(trimmed_number(charge.quantity)),
        "unit_price": str(trimmed_price(charge.unit_price)),
        "discount_percent": str(trimmed_number(charge.discount_percent)),
        "on": str(charge.starts_on),
    }


def _usage_inputs(charge: BillableCharge) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "text": f"rated usage from {charge.starts_on} to before {charge.ends_on}",
        "period_from": str(charge.starts_on),
        "period_to": str(charge.ends_on),
    }
    if charge.pricing is None:
        inputs["rated_amount"] = str(trimmed_price(charge.unit_price))
    else:
        inputs["price_model"] = charge.pricing.name
        inputs["charged_units"] = str(trimmed_number(charge.quantity))
    if charge.usage is not None:
        usage = charge.usage
        inputs |= {
            "usage_class": usage.usage_class,
            "units": str(trimmed_number(usage.units)),
            "included_units": str(trimmed_number(usage.included_units)),
            "unit": usage.unit,
            "records": usage.records,
            "rating_run": usage.rating_run_id,
        }
    return inputs


def _part_text(charge: BillableCharge, period: Period, days: Period) -> str:
    if days == period:
        return ""
    return f", {days.days} of {_of_days(charge, period)} days"


def _credit_text(charge: BillableCharge, period: Period | None, days: Period) -> str:
    if period is None:
        return ", corrected"
    return f", unused: {days.days} of {_of_days(charge, period)} days"


def _of_days(charge: BillableCharge, period: Period) -> int:
    return days_of_period(period, charge.policy.basis, charge.policy.every)


def _end(days: Period) -> date:
    assert days.end is not None
    return days.end
