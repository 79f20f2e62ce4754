"""What an ADD_ON_CHANGE line adds to a service, changes of it and removes (domain 3.3, row B10).

One line says all three: `backup, peak=seat*5` adds the product `backup` under its own key and five
of `seat` under the name `peak`; `peak*8` changes those to eight, `peak=seat-plus*8` to another
product; what is removed is named: `mailbox, peak`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connector.catalog.domain import PriceEntry, Product
from connector.catalog.queries import OwnPrice
from connector.flows.sold_price import Refused, listed_price, once_for_each
from connector.ordering.queries import Target
from connector.sync.apply.opportunity import DealLine

ADD, CHANGE, REMOVE = "add", "change", "remove"
ADD_ONS_MAX = 50
_ADDED = re.compile(r"^(?:(?P<name>[\w.-]+)=)?(?P<key>[\w.-]+)(?:\*(?P<quantity>\d+(?:\.\d+)?))?$")
_CHANGED = re.compile(r"^(?P<name>[\w.-]+)(?:=(?P<key>[\w.-]+))?\*(?P<quantity>\d+(?:\.\d+)?)$")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An add-on as a line wants it to be; without a product key it keeps the product it has."""

    name: str
    product_key: str | None
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Offers:
    """What the catalogue knows and asks for the products that a deal names."""

    products: Mapping[str, Product]
    prices: Mapping[tuple[int, str], Sequence[PriceEntry]]
    own_prices: Mapping[int, OwnPrice]
    currency: str


def _wanted(told: str | None, form: re.Pattern[str], remedy: str) -> list[Wanted]:
    wanted = []
    for part in _parts(told):
        found = form.match(part)
        if found is None:
            raise Refused(f"'{part}' is no add-on {remedy}")
        quantity = Decimal(found["quantity"] or 1)
        if quantity <= 0:
            raise Refused(f"the add-on '{part}' has the quantity {quantity}")
        wanted.append(Wanted(found["name"] or found["key"], found["key"], quantity))
    return wanted


def product_keys(lines: Iterable[DealLine]) -> set[str]:
    """Return the products that lines name as add-ons; what is badly written is refused later."""
    told = [
        found["key"]
        for line in lines
        for form, parts in ((_ADDED, line.add_ons_added), (_CHANGED, line.add_ons_changed))
        for part in _parts(parts)
        if (found := form.match(part)) is not None
    ]
    return {key for key in told if key is not None}


def read_add_ons(*, line: DealLine, target: Target, offers: Offers) -> list[dict[str, Any]]:
    """Return what a line adds, changes and removes, as the order keeps it.

    What is added or changed costs what the customer's list or the catalogue says for the product
    and quantity; what is charged once is due for what is added only.

    Raises:
        Refused: The line does nothing; a product or price is unknown; an add-on to add stands
            already; one to change or remove does not, or is named twice.
    """
    removed = _parts(line.add_ons_removed)
    added = _wanted(line.add_ons_added, _ADDED, "to add; write product, product*3 or name=product")
    changed = _wanted(line.add_ons_changed, _CHANGED, "to change; write name*3 or name=product*3")
    if not added and not changed and not removed:
        raise Refused("ADD_ON_CHANGE adds nothing, changes nothing and removes nothing")
    if len(added) + len(changed) + len(removed) > ADD_ONS_MAX:
        raise Refused(f"it names more than {ADD_ONS_MAX} add-ons")
    has = {one.name: one.product_key for one in target.add_ons}
    known = ", ".join(has) or "none"
    acts: list[dict[str, Any]] = []
    for name in removed:
        if has.pop(name, None) is None:
            raise Refused(f"service {target.number} has no add-on '{name}' to remove ({known})")
        acts.append({"act": REMOVE, "name": name})
    for one in changed:
        present = has.pop(one.name, None)
        if present is None:
            raise Refused(f"service {target.number} has no add-on '{one.name}' to change ({known})")
        acts.append(_act(CHANGE, one, one.product_key or present, offers))
    taken = {*has, *(one.name for one in changed)}
    for one in added:
        if one.name in taken:
            raise Refused(f"service {target.number} has an add-on '{one.name}' already")
        taken.add(one.name)
        acts.append(_act(ADD, one, one.product_key or one.name, offers))
    return acts


def _act(act: str, one: Wanted, product_key: str, offers: Offers) -> dict[str, Any]:
    product = offers.products.get(product_key)
    if product is None:
        raise Refused(f"the catalogue has no product '{product_key}' to {act}")
    offered = offers.prices.get((product.id, "ADD_ON_CHANGE"), ())
    if not offered:
        raise Refused(f"there is no price of '{product_key}' for ADD_ON_CHANGE")
    entry = offered[0]
    own = offers.own_prices.get(product.id)
    sold = listed_price(
        entry=entry, quantity=one.quantity, own=own.of_unit(entry.mr_cost) if own else None
    )
    read = {
        "act": act,
        "name": one.name,
        "product_id": product.id,
        "quantity": f"{one.quantity:f}",
        "mr_price": f"{sold.mr_price:f}",
        "mr_cost": f"{sold.mr_cost:f}",
        "pricing": sold.pricing,
    }
    once = once_for_each(entry, one.quantity, offers.currency)
    if act == ADD and once:
        read |= {
            "nr_price": f"{once:f}",
            "nr_cost": f"{entry.nr_cost:f}",
            "description": product.display_name,
        }
    return read


def _parts(told: str | None) -> list[str]:
    return [part.strip() for part in re.split(r"[,;]", told or "") if part.strip()]
