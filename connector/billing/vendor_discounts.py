"""Less on the services of one vendor for whoever has several (domain 3.10, row G8)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from connector.billing.draft import BillableCharge
from connector.charging.value import Discount
from connector.kernel.period import Period


@dataclass(frozen=True, slots=True)
class VendorDiscount:
    """A percentage off every service of a vendor, given a number of them."""

    vendor: str
    min_services: int
    percent: Decimal

    def is_earned(self, charges: Iterable[BillableCharge], on: date) -> bool:
        """Return whether enough services of the vendor are there when a period begins.

        Asked once a period, on its first day: a service that leaves later takes nothing back.
        """
        living = {
            charge.service_id
            for charge in charges
            if charge.kind == "recurring"
            and charge.vendor == self.vendor
            and charge.starts_on <= on
            and (charge.ends_on is None or on < charge.ends_on)
        }
        return len(living) >= self.min_services


@dataclass(frozen=True, slots=True)
class Earned:
    """What a payer gets off the services of a vendor in a billing period."""

    vendor: str
    min_services: int
    percent: Decimal
    period: Period


def best_earned(
    rules: Sequence[VendorDiscount], charges: Sequence[BillableCharge], period: Period
) -> tuple[Earned, ...]:
    """Return what is earned when a period begins: the best of each vendor, they do not add up."""
    best: dict[str, VendorDiscount] = {}
    for rule in rules:
        known = best.get(rule.vendor)
        is_better = known is None or rule.percent > known.percent
        if is_better and rule.is_earned(charges, period.start):
            best[rule.vendor] = rule
    return tuple(
        Earned(rule.vendor, rule.min_services, rule.percent, period) for rule in best.values()
    )


def with_vendor_discounts(charge: BillableCharge, earned: Iterable[Earned]) -> BillableCharge:
    """Return a charge less what its vendor's rules take off, in the periods they were earned."""
    if charge.kind != "recurring" or not charge.vendor:
        return charge
    off = tuple(
        Discount(
            one.period,
            percent=one.percent,
            name=f"{one.min_services} services of {one.vendor} or more",
        )
        for one in earned
        if one.vendor == charge.vendor
    )
    return replace(charge, discounts=charge.discounts + off) if off else charge
