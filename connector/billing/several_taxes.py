"""Several taxes of one line: percentages, and surcharges of a fixed amount, each shown apart.

A percentage is computed once on all lines it is due on and shared out, as a single tax is. A fixed
amount is due on each line that bills something for the first time. A credit takes back the share of
each tax that it takes back of the line; the last one takes what is left.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from connector.billing.draft import LineDraft, TaxShare, TaxTotal
from connector.billing.tax import AppliedTax, TaxPart, share_out
from connector.charging.value import rounded
from connector.errors import StateConflict
from connector.kernel.money import round_to_currency

ZERO = Decimal(0)


class ForeignSurcharge(StateConflict):
    """A surcharge is no amount in the currency of the invoice."""

    code = "billing.foreign_surcharge"
    remedy = "Correct what the tax provider answers, delete its row in tax_answer, and bill again."


def taxes_of(
    lines: Sequence[LineDraft], rate: AppliedTax, currency: str
) -> list[tuple[TaxShare, ...]]:
    """Return each line's share of every tax; a credit's are those of the line it gives back.

    Raises:
        ForeignSurcharge: A fixed amount is in another currency.
    """
    sold = [i for i, line in enumerate(lines) if line.credits is None]
    shares: list[tuple[TaxShare, ...]] = [() for _ in lines]
    for part in rate.parts if sold else ():
        taxes = _on([lines[i] for i in sold], part, currency)
        for i, tax in zip(sold, taxes, strict=True):
            shares[i] += (TaxShare(part.name, part.percent, tax),)
    for i, line in enumerate(lines):
        if line.credits is not None:
            given = Fraction(line.amount) / Fraction(line.credits.left)
            shares[i] = part_of(line.credits.taxes, given, currency)
    return shares


def part_of(taxes: Iterable[TaxShare], share: Fraction, currency: str) -> tuple[TaxShare, ...]:
    """Return a share of each tax, rounded; below zero for a share below zero."""
    return tuple(
        TaxShare(one.name, one.percent, rounded(Fraction(one.tax) * share, currency))
        for one in taxes
    )


def _on(lines: Sequence[LineDraft], part: TaxPart, currency: str) -> Sequence[Decimal]:
    if not part.amount:
        return share_out([line.amount for line in lines], part.percent, currency)
    if part.currency != currency or round_to_currency(part.amount, currency) != part.amount:
        raise ForeignSurcharge(
            f"'{part.name}' is {part.amount} {part.currency}, the invoice is in {currency}."
        )
    return [part.amount if line.is_first else ZERO for line in lines]


def totals_of(
    lines: Sequence[LineDraft], taxes: Sequence[tuple[TaxShare, ...]], rate: AppliedTax
) -> list[TaxTotal]:
    """Return the sum of each tax and of the lines it is on."""
    sums: dict[tuple[str, Decimal], tuple[Decimal, Decimal]] = {}
    for line, shares in zip(lines, taxes, strict=True):
        for one in shares:
            basis, tax = sums.get((one.name, one.percent), (ZERO, ZERO))
            sums[one.name, one.percent] = (basis + line.amount, tax + one.tax)
    return [
        TaxTotal(rate.category, percent, basis, tax, rate.treatment, name)
        for (name, percent), (basis, tax) in sums.items()
    ]


def merged(totals: Iterable[TaxTotal]) -> tuple[TaxTotal, ...]:
    """Return totals of which no two are of one tax."""
    sums: dict[tuple[str, str, Decimal, str], TaxTotal] = {}
    for one in totals:
        key = (one.category, one.name, one.percent, one.treatment)
        known = sums.get(key)
        sums[key] = one if known is None else TaxTotal(
            one.category, one.percent, known.basis + one.basis, known.tax + one.tax,
            one.treatment, one.name,
        )  # fmt: skip
    return tuple(sums.values())


def as_json(taxes: Iterable[TaxShare]) -> list[dict[str, str]]:
    """Return taxes as a line keeps them, numbers as their digits."""
    return [
        {"name": one.name, "percent": f"{one.percent:f}", "tax": f"{one.tax:f}"} for one in taxes
    ]


def from_json(kept: Iterable[dict[str, Any]] | None) -> tuple[TaxShare, ...]:
    """Return taxes as a line keeps them; none of a line with a single tax."""
    return tuple(
        TaxShare(one["name"], Decimal(one["percent"]), Decimal(one["tax"])) for one in kept or ()
    )


def left_of_each(
    taxes: Iterable[TaxShare], credits: Iterable[Iterable[TaxShare]]
) -> tuple[TaxShare, ...]:
    """Return what credits, below zero, left of each tax of a line."""
    given: dict[str, Decimal] = {}
    for one in credits:
        for share in one:
            given[share.name] = given.get(share.name, ZERO) + share.tax
    return tuple(
        TaxShare(one.name, one.percent, one.tax + given.get(one.name, ZERO)) for one in taxes
    )
