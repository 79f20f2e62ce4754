"""Lines of a bill: what a charge is worth so far, less what its lines have booked.

One rule makes first bills, adjustments and credits: a line is the rounded value of the charge minus
what is booked on it (design 7). For a recurring charge the rule holds per billing month, so a line
never mixes months and a credit names the very line that had booked too much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from connector.billing.draft import BillableCharge, BookedLine, LineDraft
from connector.charging.policy import Basis, ProrationPolicy
from connector.charging.value import (
    FIXED_MONTH_DAYS,
    Price,
    exact_text,
    months_of,
    rounded,
    value_of,
)
from connector.errors import StateConflict
from connector.kernel.money import minor_digits, rounded_to
from connector.kernel.period import Period, billing_month

QUANTITY_PLACES = 6  # 3.166667 seats for 19 of 30 days of 5 (domain 3.4, golden 10)
EXACT_PLACES = 9
ROUNDING = "half away from zero"


class ForeignChargeCurrency(StateConflict):
    """A charge is in another currency than the invoice it would be on."""

    code = "billing.foreign_charge_currency"
    remedy = "Correct the currency of the price or of the rate plan."


@dataclass(frozen=True, slots=True)
class Calendar:
    """The day a bill goes up to and the payer's billing months.

    Recurring charges are billed for the month that begins on the day, in advance; everything else
    for what happened before it.
    """

    billed_to: date
    anchor_day: int

    @property
    def advance(self) -> Period:
        """The billing month that is billed in advance."""
        return billing_month(self.billed_to, self.anchor_day)

    def month_of(self, day: date) -> Period:
        """Return the billing month the day lies in."""
        return billing_month(day, self.anchor_day)


def lines_of(
    charges: Sequence[BillableCharge], booked: Iterable[BookedLine], calendar: Calendar
) -> tuple[LineDraft, ...]:
    """Return everything that is due or to be given back on a payer's charges."""
    by_charge: dict[int, list[BookedLine]] = {}
    for line in booked:
        by_charge.setdefault(line.charge_id, []).append(line)
    ended = _ended_services(charges, calendar.billed_to)
    lines: list[LineDraft] = []
    for charge in charges:
        own = by_charge.get(charge.id, [])
        if charge.kind == "recurring":
            lines += _recurring(charge, own, calendar, is_ended=charge.service_id in ended)
        elif charge.kind == "usage":
            if charge.ends_on is not None and charge.ends_on <= calendar.billed_to:
                lines += _whole(charge, own, _usage_inputs(charge))
        elif charge.starts_on < calendar.billed_to:
            lines += _whole(charge, own, _one_time_inputs(charge))
    return tuple(lines)


def _ended_services(charges: Sequence[BillableCharge], billed_to: date) -> set[int | None]:
    """Return the services that nobody has any more on the day."""
    living = {
        charge.service_id
        for charge in charges
        if charge.kind == "recurring" and (charge.ends_on is None or charge.ends_on > billed_to)
    }
    return {charge.service_id for charge in charges if charge.kind == "recurring"} - living


def _recurring(
    charge: BillableCharge, booked: list[BookedLine], calendar: Calendar, *, is_ended: bool
) -> Iterable[LineDraft]:
    served = Period(charge.starts_on, charge.ends_on)
    until = calendar.advance.end
    assert until is not None
    months = set(months_of(served, until=until, anchor_day=calendar.anchor_day))
    by_month: dict[Period, list[BookedLine]] = {}
    for line in booked:
        by_month.setdefault(calendar.month_of(line.service_from), []).append(line)
    price = Price(charge.quantity, charge.unit_price, charge.discount_percent)
    for month in sorted(months | set(by_month), key=lambda month: month.start):
        own = by_month.get(month, [])
        value = value_of(price, month, served, charge.policy.basis)
        worth = rounded(value, charge.currency)
        due = worth - sum((line.left for line in own), Decimal(0))
        if due == 0:
            continue
        days = month.intersection(served) or Period(month.start, month.start)
        inputs = _recurring_inputs(charge, month, days, price)
        if due > 0:
            yield _debit(
                charge,
                kind="Recurring" if days == month else "Proration",
                description=charge.description + _part_text(charge, month, days),
                days=days,
                derivation=_Derivation(value, worth, tuple(own), due, inputs),
                unit="month",
            )
        else:
            yield from _credits(
                charge,
                derivation=_Derivation(value, worth, tuple(own), due, inputs),
                kept_to=_end(days),
                month=month,
                is_cancellation=is_ended,
            )


def _whole(
    charge: BillableCharge, booked: list[BookedLine], inputs: dict[str, Any]
) -> Iterable[LineDraft]:
    """Yield what is due on a charge that does not recur."""
    value = Price(charge.quantity, charge.unit_price, charge.discount_percent).monthly
    worth = rounded(value, charge.currency)
    due = worth - sum((line.left for line in booked), Decimal(0))
    if due == 0:
        return
    derivation = _Derivation(value, worth, tuple(booked), due, inputs)
    if due < 0:
        yield from _credits(
            charge,
            derivation=derivation,
            kept_to=charge.starts_on,
            month=None,
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

    @property
    def booked_amount(self) -> Decimal:
        return sum((line.left for line in self.booked), Decimal(0))


def _debit(
    charge: BillableCharge,
    *,
    kind: str,
    description: str,
    days: Period,
    derivation: _Derivation,
    unit: str,
) -> LineDraft:
    end = _end(days)
    quantity, unit_price = _quantity(charge, derivation.value - Fraction(derivation.booked_amount))
    return LineDraft(
        charge=charge,
        kind=kind,
        description=description,
        quantity=rounded_to(quantity, QUANTITY_PLACES),
        unit=unit,
        unit_price=unit_price,
        amount=derivation.due,
        cost=rounded_to(quantity * Fraction(charge.unit_cost), EXACT_PLACES),
        service_from=days.start,
        service_to=end,
        explanation=_explanation(charge, derivation, _parts(derivation)),
    )


def _credits(
    charge: BillableCharge,
    *,
    derivation: _Derivation,
    kept_to: date,
    month: Period | None,
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
        quantity, unit_price = _quantity(charge, exact)
        days = Period(min(max(line.service_from, kept_to), line.service_to), line.service_to)
        if days.start == days.end:
            days = Period(line.service_from, line.service_to)
        parts = _parts(derivation)
        for other, other_part in given:
            if other is not line:
                text = f"given back against {other.invoice_number} line {other.line_no}"
                parts.append({"text": text, "amount": str(other_part)})
        yield LineDraft(
            charge=charge,
            kind="Credit",
            description=charge.description + _credit_text(charge, month, days),
            quantity=rounded_to(quantity, QUANTITY_PLACES),
            unit="month" if charge.kind == "recurring" else "",
            unit_price=unit_price,
            amount=-part,
            cost=rounded_to(quantity * Fraction(charge.unit_cost), EXACT_PLACES),
            service_from=days.start,
            service_to=_end(days),
            explanation=_explanation(charge, derivation, parts)
            | {"credits": {"invoice": line.invoice_number, "line": line.line_no}},
            credits=line,
            is_cancellation=is_cancellation,
        )


def _quantity(charge: BillableCharge, exact: Fraction) -> tuple[Fraction, Decimal]:
    """Return quantity and unit price of an exact amount; usage is one piece at its price."""
    net = Price(charge.quantity, charge.unit_price, charge.discount_percent).net_unit_price
    if net == 0 or charge.kind == "usage":
        sign = -1 if exact < 0 else 1
        return Fraction(sign), rounded_to(abs(exact), EXACT_PLACES)
    unit_price = charge.unit_price if net == charge.unit_price else rounded_to(net, EXACT_PLACES)
    return exact / net, unit_price


def _parts(derivation: _Derivation) -> list[dict[str, str]]:
    parts = [{"text": str(derivation.inputs["text"]), "amount": str(derivation.rounded)}]
    parts += [
        {
            "text": f"already booked by {line.invoice_number} line {line.line_no}",
            "amount": str(-line.left),
        }
        for line in derivation.booked
        if line.left
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
            "mode": ROUNDING,
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
    charge: BillableCharge, month: Period, days: Period, price: Price
) -> dict[str, Any]:
    of_days = _of_days(charge, month)
    count = "nothing" if days.days == 0 else f"{days.days} of {of_days} days"
    whole = days == month
    discount = f" less {_number(charge.discount_percent)} %" if charge.discount_percent else ""
    return {
        "text": f"{_number(charge.quantity)} × {_price(charge.unit_price)} a month{discount}, "
        + (f"the whole month from {month.start}" if whole else f"{count} from {month.start}"),
        "quantity": str(_number(charge.quantity)),
        "unit_price": str(_price(charge.unit_price)),
        "discount_percent": str(_number(charge.discount_percent)),
        "monthly": exact_text(price.monthly),
        "period_from": str(month.start),
        "period_to": str(month.end),
        "served_from": str(days.start),
        "served_to": str(days.end),
        "days": days.days,
        "of_days": of_days,
        "basis": str(charge.policy.basis),
    }


def _one_time_inputs(charge: BillableCharge) -> dict[str, Any]:
    return {
        "text": f"{_number(charge.quantity)} × {_price(charge.unit_price)} once",
        "quantity": str(_number(charge.quantity)),
        "unit_price": str(_price(charge.unit_price)),
        "discount_percent": str(_number(charge.discount_percent)),
        "on": str(charge.starts_on),
    }


def _usage_inputs(charge: BillableCharge) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "text": f"rated usage from {charge.starts_on} to before {charge.ends_on}",
        "period_from": str(charge.starts_on),
        "period_to": str(charge.ends_on),
        "rated_amount": str(_price(charge.unit_price)),
    }
    if charge.usage is not None:
        usage = charge.usage
        inputs |= {
            "usage_class": usage.usage_class,
            "units": str(_number(usage.units)),
            "included_units": str(_number(usage.included_units)),
            "unit": usage.unit,
            "records": usage.records,
            "rating_run": usage.rating_run_id,
        }
    return inputs


def _part_text(charge: BillableCharge, month: Period, days: Period) -> str:
    if days == month:
        return ""
    return f", {days.days} of {_of_days(charge, month)} days"


def _credit_text(charge: BillableCharge, month: Period | None, days: Period) -> str:
    if month is None:
        return ", corrected"
    return f", unused: {days.days} of {_of_days(charge, month)} days"


def _of_days(charge: BillableCharge, month: Period) -> int:
    return FIXED_MONTH_DAYS if charge.policy.basis is Basis.FIXED_30 else month.days


def _end(days: Period) -> date:
    assert days.end is not None
    return days.end


def _number(number: Decimal) -> Decimal:
    """Drop the zeros a database column adds."""
    trimmed = number.normalize()
    exponent = trimmed.as_tuple().exponent
    assert isinstance(exponent, int)
    return trimmed.quantize(Decimal(1)) if exponent > 0 else trimmed


def _price(number: Decimal) -> Decimal:
    """Drop the zeros a database column adds, but keep two places as people write prices."""
    trimmed = _number(number)
    exponent = trimmed.as_tuple().exponent
    assert isinstance(exponent, int)
    return trimmed.quantize(Decimal("0.01")) if exponent > -2 else trimmed
