"""What an ADD_ON_CHANGE line adds to a service and removes from it (domain 3.3, row B10).

One line says both: `backup, peak=seat*5` adds the product `backup` under its own key and five of
`seat` under the name `peak`; what is removed is named the same way: `mailbox, peak`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connector.catalog.domain import PriceEntry, Product
from connector.flows.sold_price import Refused
from connector.ordering.queries import Target
from connector.sync.apply.opportunity import DealLine

ADD, REMOVE = "add", "remove"
ADD_ONS_MAX = 50
_ADDED = re.compile(r"^(?:(?P<name>[\w.-]+)=)?(?P<key>[\w.-]+)(?:\*(?P<quantity>\d+(?:\.\d+)?))?$")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An add-on that a line wants to have added."""

    name: str
    product_key: str
    quantity: Decimal


def wanted_add_ons(line: DealLine) -> tuple[Wanted, ...]:
    """Return what a line adds.

    Raises:
        Refused: It is not written as add-ons are.
    """
    wanted = []
    for told in _parts(line.add_ons_added):
        found = _ADDED.match(told)
        if found is None:
            raise Refused(f"'{told}' is no add-on to add; write product, product*3 or name=product")
        quantity = Decimal(found["quantity"] or 1)
        if quantity <= 0:
            raise Refused(f"the add-on '{told}' has the quantity {quantity}")
        wanted.append(Wanted(found["name"] or found["key"], found["key"], quantity))
    return tuple(wanted)


def product_keys(lines: Iterable[DealLine]) -> set[str]:
    """Return the products that lines name as add-ons; what is badly written is refused later."""
    keys = set()
    for line in lines:
        for told in _parts(line.add_ons_added):
            found = _ADDED.match(told)
            if found is not None:
                keys.add(found["key"])
    return keys


def read_add_ons(
    *,
    line: DealLine,
    target: Target,
    products: Mapping[str, Product],
    prices: Mapping[tuple[int, str], Sequence[PriceEntry]],
) -> list[dict[str, Any]]:
    """Return what a line adds and removes, as the order keeps it; the list price is the price.

    Raises:
        Refused: The line adds and removes nothing; a product or price is unknown; an add-on
            stands already, or the one to remove does not.
    """
    removed = _parts(line.add_ons_removed)
    wanted = wanted_add_ons(line)
    if not wanted and not removed:
        raise Refused("ADD_ON_CHANGE adds nothing and removes nothing")
    if len(wanted) + len(removed) > ADD_ONS_MAX:
        raise Refused(f"it names more than {ADD_ONS_MAX} add-ons")
    has = set(target.add_ons)
    acts: list[dict[str, Any]] = []
    for name in removed:
        if name not in has:
            known = ", ".join(target.add_ons) or "none"
            raise Refused(f"service {target.number} has no add-on '{name}' to remove ({known})")
        has.remove(name)
        acts.append({"act": REMOVE, "name": name})
    for one in wanted:
        if one.name in has:
            raise Refused(f"service {target.number} has an add-on '{one.name}' already")
        has.add(one.name)
        acts.append(_added(one, products, prices))
    return acts


def _added(
    one: Wanted,
    products: Mapping[str, Product],
    prices: Mapping[tuple[int, str], Sequence[PriceEntry]],
) -> dict[str, Any]:
    product = products.get(one.product_key)
    if product is None:
        raise Refused(f"the catalogue has no product '{one.product_key}' to add")
    offered = prices.get((product.id, "ADD_ON_CHANGE"), ())
    if not offered:
        raise Refused(f"there is no price of '{one.product_key}' for ADD_ON_CHANGE")
    entry = offered[0]
    if entry.nr_price:
        raise Refused(f"the add-on '{one.product_key}' has a one-time price; sell that on a line")
    return {
        "act": ADD,
        "name": one.name,
        "product_id": product.id,
        "quantity": f"{one.quantity:f}",
        "mr_price": f"{entry.mr_price:f}",
        "mr_cost": f"{entry.mr_cost:f}",
        "pricing": entry.pricing,
    }


def _parts(told: str | None) -> list[str]:
    return [part.strip() for part in re.split(r"[,;]", told or "") if part.strip()]
