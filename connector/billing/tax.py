"""Tax: looked up per country and category, computed once per rate, shared out to the lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Protocol

from connector.billing.draft import Payer
from connector.charging.value import rounded
from connector.errors import StateConflict
from connector.kernel.money import minor_digits, of_units

ANY_CUSTOMER = "any"


class NoTaxRate(StateConflict):
    """Nobody has said which tax is due."""

    code = "billing.no_tax_rate"
    remedy = "Add the rate to the catalogue's tax table and run the bills again."


class Treatment(StrEnum):
    """How tax is due."""

    EXCLUSIVE = "exclusive"  # on top of the price
    INCLUSIVE = "inclusive"  # contained in the price
    EXEMPT = "exempt"  # not at all
    REVERSE_CHARGE = "reverse_charge"  # by the customer, to its own authority


@dataclass(frozen=True, slots=True, order=True)
class TaxPart:
    """One of several taxes of a line: a percentage, or a fixed amount for the line."""

    name: str
    percent: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)
    currency: str = ""  # of the amount


@dataclass(frozen=True, slots=True, order=True)
class AppliedTax:
    """The tax of a line; lines that agree in all of it are taxed together.

    Of several taxes `percent` is the sum; they are all on top of the price.
    """

    category: str
    percent: Decimal
    treatment: Treatment = Treatment.EXCLUSIVE
    parts: tuple[TaxPart, ...] = ()


@dataclass(frozen=True, slots=True)
class TaxRate:
    """The rate of a category in a country for a kind of customer, between two days."""

    country: str
    category: str
    percent: Decimal
    valid_from: date
    valid_to: date | None
    customer: str = ANY_CUSTOMER
    treatment: Treatment = Treatment.EXCLUSIVE


class TaxSource(Protocol):
    """Where bills ask for the tax: the catalogue's table, or a provider's answers."""

    def applied(self, payer: Payer, category: str, on: date, country: str = "") -> AppliedTax:
        """Return the tax due on a category from a payer on a day.

        Raises:
            NoTaxRate: Nobody has said which.
        """


class TaxTable:
    """The rates of every country, category and kind of customer, dated."""

    def __init__(self, rates: Iterable[TaxRate]) -> None:
        self._rates: dict[tuple[str, str, str], list[tuple[date, date | None, AppliedTax]]] = {}
        for rate in rates:
            key = (rate.country, rate.category, rate.customer)
            applied = AppliedTax(rate.category, rate.percent, rate.treatment)
            self._rates.setdefault(key, []).append((rate.valid_from, rate.valid_to, applied))

    def applied(self, payer: Payer, category: str, on: date, country: str = "") -> AppliedTax:
        """Return the tax due from a payer on a day; an exempt payer owes none.

        What is supplied in a country of its own is taxed there, else where the payer is. A rate for
        the payer's kind of customer goes before one for any.

        Raises:
            NoTaxRate: The payer's country, or its rate, is not known.
        """
        if payer.is_tax_exempt:
            return AppliedTax(category, Decimal(0), Treatment.EXEMPT)
        country = country or payer.country or ""
        if not country:
            raise NoTaxRate(
                f"The customer of billing account {payer.number} has no country, so no tax rate.",
                remedy="Fill in the billing country of the account in the CRM.",
            )
        for customer in (payer.customer_kind, ANY_CUSTOMER):
            for valid_from, valid_to, applied in self._rates.get((country, category, customer), ()):
                if valid_from <= on and (valid_to is None or on < valid_to):
                    return applied
        raise NoTaxRate(f"There is no '{category}' tax rate for {country} on {on}.")


def tax_of(basis: Decimal, percent: Decimal, currency: str) -> Decimal:
    """Return the tax on a sum of rounded lines, rounded once, half away from zero."""
    return rounded(Fraction(basis) * Fraction(percent) / 100, currency)


def tax_in(gross: Decimal, percent: Decimal, currency: str) -> Decimal:
    """Return the tax contained in a sum of rounded lines, rounded once, half away from zero."""
    return rounded(Fraction(gross) * Fraction(percent) / (100 + Fraction(percent)), currency)


def share_out(
    amounts: Sequence[Decimal],
    percent: Decimal,
    currency: str,
    *,
    contained: bool = False,
    tax: Decimal | None = None,
) -> tuple[Decimal, ...]:
    """Return each line's part of the tax on, or contained in, all of them; the parts sum to it.

    By largest remainder, ties to the lowest line (domain 3.4, golden 6). Negative lines mirror
    positive ones, so a full credit shares out exactly what the invoice did. `tax` says what the
    tax is where it is not that of the sum, by a coin.
    """
    if amounts and all(amount <= 0 for amount in amounts) and any(amounts):
        turned = None if tax is None else -tax
        mirrored = share_out(
            [-amount for amount in amounts], percent, currency, contained=contained, tax=turned
        )
        return tuple(-part if part else part for part in mirrored)
    if not amounts:
        return ()
    digits = minor_digits(currency)
    # Whole numbers all the way: what a line owes is `parts` of `whole` smallest coins.
    rate, whole = percent.as_integer_ratio()
    whole = 100 * whole + rate if contained else 100 * whole
    coins = [_in_coins(amount, digits) for amount in amounts]
    units, rests = [], []
    for coin in coins:
        unit, rest = divmod(coin * rate, whole)
        units.append(unit)
        rests.append(rest)
    if tax is None:
        tax = (tax_in if contained else tax_of)(sum(amounts, Decimal(0)), percent, currency)
    every, left_over = divmod(_in_coins(tax, digits) - sum(units), len(units))
    units = [unit + every for unit in units]
    by_remainder = sorted(range(len(units)), key=lambda i: (-rests[i], i))
    for i in by_remainder[:left_over]:
        units[i] += 1
    return tuple(of_units(unit, digits) for unit in units)


def _in_coins(amount: Decimal, digits: int) -> int:
    """Return how many of the currency's smallest coins a rounded amount is."""
    coins = amount.scaleb(digits)
    assert coins == coins.to_integral_value(), f"{amount} is not rounded"
    return int(coins)
