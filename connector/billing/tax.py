"""Tax: looked up per country and category, computed once per rate, shared out to the lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor

from connector.billing.draft import Payer
from connector.charging.value import rounded
from connector.errors import StateConflict
from connector.kernel.money import minor_digits, of_units


class NoTaxRate(StateConflict):
    """Nobody has said which tax is due."""

    code = "billing.no_tax_rate"
    remedy = "Add the rate to the catalogue's tax table and run the bills again."


@dataclass(frozen=True, slots=True)
class TaxRate:
    """The rate of a category in a country, between two days."""

    country: str
    category: str
    percent: Decimal
    valid_from: date
    valid_to: date | None


class TaxTable:
    """The rates of every country and category, dated."""

    def __init__(self, rates: Iterable[TaxRate]) -> None:
        self._rates: dict[tuple[str, str], list[TaxRate]] = {}
        for rate in rates:
            self._rates.setdefault((rate.country, rate.category), []).append(rate)

    def percent(self, payer: Payer, category: str, on: date, country: str = "") -> Decimal:
        """Return the percentage due from a payer on a day; an exempt payer owes none.

        What is supplied in a country of its own is taxed there, else where the payer is.

        Raises:
            NoTaxRate: The payer's country, or its rate, is not known.
        """
        if payer.is_tax_exempt:
            return Decimal(0)
        country = country or payer.country or ""
        if not country:
            raise NoTaxRate(
                f"The customer of billing account {payer.number} has no country, so no tax rate.",
                remedy="Fill in the billing country of the account in the CRM.",
            )
        for rate in self._rates.get((country, category), ()):
            if rate.valid_from <= on and (rate.valid_to is None or on < rate.valid_to):
                return rate.percent
        raise NoTaxRate(f"There is no '{category}' tax rate for {country} on {on}.")


def tax_of(basis: Decimal, percent: Decimal, currency: str) -> Decimal:
    """Return the tax on a sum of rounded lines, rounded once, half away from zero."""
    return rounded(Fraction(basis) * Fraction(percent) / 100, currency)


def share_out(
    amounts: Sequence[Decimal], percent: Decimal, currency: str, *, tax: Decimal | None = None
) -> tuple[Decimal, ...]:
    """Return each line's part of the tax on all of them; the parts sum to the tax exactly.

    By largest remainder, ties to the lowest line (domain 3.4, golden 6). Negative lines mirror
    positive ones, so a full credit shares out exactly what the invoice did. `tax` says what the
    tax is where it is not that of the sum, by a coin.
    """
    if amounts and all(amount <= 0 for amount in amounts) and any(amounts):
        turned = None if tax is None else -tax
        mirrored = share_out([-amount for amount in amounts], percent, currency, tax=turned)
        return tuple(-part if part else part for part in mirrored)
    scale = 10 ** minor_digits(currency)
    exact = [Fraction(amount) * Fraction(percent) * scale / 100 for amount in amounts]
    units = [floor(part) for part in exact]
    total = tax_of(sum(amounts, Decimal(0)), percent, currency) if tax is None else tax
    if not units:
        return ()
    every, left_over = divmod(int(total * scale) - sum(units), len(units))
    units = [unit + every for unit in units]
    by_remainder = sorted(range(len(units)), key=lambda i: (-(exact[i] - units[i]), i))
    for i in by_remainder[:left_over]:
        units[i] += 1
    return tuple(of_units(unit, minor_digits(currency)) for unit in units)
