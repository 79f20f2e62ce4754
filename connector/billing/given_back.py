"""What a credit note by hand gives back of lines: all that is left, or a part with its tax."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from connector.billing.draft import TaxShare
from connector.billing.several_taxes import part_of
from connector.errors import InvalidInput, StateConflict
from connector.kernel.money import allocate, minor_digits, round_to_currency, rounded_to

QUANTITY_PLACES = 6
COST_PLACES = 9


class BadPart(InvalidInput):
    """What is asked for is no part of a line."""

    code = "billing.bad_part"
    remedy = "Give an amount or a quantity above zero, in the currency's own places."


class MoreThanLeft(StateConflict):
    """More should be given back than earlier credits left."""

    code = "billing.more_than_left"
    remedy = "Give back what is left: l2c invoices credit without an amount."


@dataclass(frozen=True, slots=True)
class LineLeft:
    """A line of a finalised invoice, and what earlier credits left of its amount and tax."""

    line_no: int
    quantity: Decimal
    amount: Decimal
    cost: Decimal
    amount_left: Decimal
    tax_left: Decimal
    taxes: tuple[TaxShare, ...] = ()  # where there are several: what is left of each

    @property
    def quantity_left(self) -> Decimal:
        """How much of the quantity is left: the share that is left of the amount."""
        if not self.amount:
            return self.quantity
        share = Fraction(self.amount_left) / Fraction(self.amount)
        return rounded_to(Fraction(self.quantity) * share, QUANTITY_PLACES)


@dataclass(frozen=True, slots=True)
class GivenLine:
    """What is given back of a line; everything is above zero where the line bills something."""

    of: LineLeft
    amount: Decimal
    tax: Decimal
    is_all: bool
    taxes: tuple[TaxShare, ...] = ()  # where there are several, the share of each

    @property
    def quantity(self) -> Decimal:
        """The share of the quantity; all of it where the line has no amount."""
        return self._share_of(self.of.quantity, QUANTITY_PLACES)

    @property
    def cost(self) -> Decimal:
        """The share of what the line cost us."""
        return self._share_of(self.of.cost, COST_PLACES)

    def _share_of(self, whole: Decimal, places: int) -> Decimal:
        if not self.of.amount:
            return whole
        share = Fraction(self.amount) / Fraction(self.of.amount)
        return rounded_to(Fraction(whole) * share, places)

    def explanation(self, number: str, currency: str) -> dict[str, Any]:
        """Return why the credit has its amount, as the line keeps it."""
        kind, said = ("void", "all that is left") if self.is_all else ("part", "a part")
        amount = f"{round_to_currency(-self.amount, currency):.{minor_digits(currency)}f}"
        return {
            "kind": kind,
            "inputs": {"text": f"{said} of the line"},
            "credits": {"invoice": number, "line": self.of.line_no},
            "parts": [{"text": f"given back of {number} line {self.of.line_no}", "amount": amount}],
        }


def all_of(lines: Sequence[LineLeft]) -> tuple[GivenLine, ...]:
    """Return all that is left of lines."""
    return tuple(
        GivenLine(one, one.amount_left, one.tax_left, is_all=True, taxes=one.taxes) for one in lines
    )


def amount_of(lines: Sequence[LineLeft], amount: Decimal, currency: str) -> tuple[GivenLine, ...]:
    """Return an amount before tax, shared out to what is left of lines by largest remainder.

    Each part takes its tax along in proportion; the last part of a line takes all that is left.

    Raises:
        BadPart: The amount is not above zero, or has more places than the currency.
        MoreThanLeft: Less than the amount is left of the lines.
    """
    if not amount.is_finite() or amount <= 0 or round_to_currency(amount, currency) != amount:
        raise BadPart(f"{amount} is no amount in {currency}.")
    billing = [one for one in lines if one.amount_left > 0]
    left = sum((one.amount_left for one in billing), Decimal(0))
    if amount > left:
        raise MoreThanLeft(f"{round_to_currency(left, currency)} {currency} is left, not {amount}.")
    parts = allocate(amount, [one.amount_left for one in billing], currency)
    return tuple(
        _part(line, part, currency) for line, part in zip(billing, parts, strict=True) if part
    )


def quantity_of(line: LineLeft, quantity: Decimal, currency: str) -> tuple[GivenLine, ...]:
    """Return a quantity of a line, at what is left of its price, with its tax in proportion.

    Raises:
        BadPart: The quantity is not above zero, or so small that it costs nothing.
        MoreThanLeft: Less than the quantity is left.
    """
    left = line.quantity_left
    if not quantity.is_finite() or quantity <= 0 or line.amount_left <= 0 or left <= 0:
        raise BadPart(f"{quantity} of line {line.line_no} bills nothing.")
    if quantity > left:
        raise MoreThanLeft(f"{left.normalize():f} of line {line.line_no} is left, not {quantity}.")
    exact = Fraction(line.amount_left) * Fraction(quantity) / Fraction(left)
    amount = rounded_to(exact, minor_digits(currency))
    if not amount:
        raise BadPart(f"{quantity} of line {line.line_no} comes to less than the smallest coin.")
    return (_part(line, amount, currency),)


def _part(line: LineLeft, amount: Decimal, currency: str) -> GivenLine:
    if amount == line.amount_left:
        return all_of([line])[0]
    share = Fraction(amount) / Fraction(line.amount_left)
    if line.taxes:
        taxes = part_of(line.taxes, share, currency)
        tax = sum((one.tax for one in taxes), Decimal(0))
        return GivenLine(line, amount, tax, is_all=False, taxes=taxes)
    tax = rounded_to(Fraction(line.tax_left) * share, minor_digits(currency))
    return GivenLine(line, amount, tax, is_all=False)
