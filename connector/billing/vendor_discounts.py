"""Less on the services of one vendor for whoever has several (domain 3.10, row G8)."""

from collections.abc import Iterable, Mapping
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


def with_vendor_discounts(
    charge: BillableCharge, earned: Mapping[VendorDiscount, Iterable[Period]]
) -> BillableCharge:
    """Return a charge less what its vendor's rules take off, in the periods they were earned."""
    if charge.kind != "recurring" or not charge.vendor:
        return charge
    off = tuple(
        Discount(period, percent=rule.percent)
        for rule, periods in earned.items()
        if rule.vendor == charge.vendor
        for period in periods
    )
    return replace(charge, discounts=charge.discounts + off) if off else charge
