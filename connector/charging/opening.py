"""How recurring charges are written: under which policy, cut where, opened with what."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection

from connector.charging import queries
from connector.charging.granted import Granted, grant
from connector.charging.policy import ProrationPolicies, ProrationPolicy, load_policies
from connector.charging.queries import RecurringCharge, ServiceFacts
from connector.charging.segments import Cut
from connector.charging.shares import WHOLE, Share
from connector.charging.succession import Opening, Pause, plan_stop
from connector.kernel.money import minor_digits
from connector.resources import mappings_dir
from connector.store.engine import own_mappings

POLICY_FILE = "policies/proration.yaml"


def policy_of(tx: Connection, facts: ServiceFacts, product_key: str) -> ProrationPolicy:
    """Return the policy of a product for who pays for a service."""
    folder = own_mappings(tx) or mappings_dir()
    policies: ProrationPolicies = load_policies(folder / POLICY_FILE)
    return policies.of(brand=facts.brand_key, product=product_key, account=facts.payer_number)


def offered(
    tx: Connection, facts: ServiceFacts, product_id: int, opening: Opening
) -> tuple[Granted, ...]:
    """Return the discounts that a product gets whose billing begins."""
    return grant(
        tx,
        service_id=facts.service_id,
        product_id=product_id,
        starts_on=opening.starts_on,
        cycle=opening.policy.cycle(facts.cycle),
    )


def chains_of(
    charges: Sequence[RecurringCharge],
) -> dict[tuple[str, str], tuple[RecurringCharge, ...]]:
    """Return the charges by add-on and part of a bundle, one following the other."""
    chains: dict[tuple[str, str], tuple[RecurringCharge, ...]] = {}
    for charge in charges:
        key = (charge.add_on, charge.part)
        chains[key] = (*chains.get(key, ()), charge)
    return chains


def pauses_of(chain: Sequence[RecurringCharge]) -> tuple[Pause, ...]:
    """Return what of a chain is paused and waits to go on."""
    return tuple(one.paused for one in chain if one.paused is not None)


def cut(
    tx: Connection,
    cuts: Sequence[Cut],
    *,
    order_line_id: int | None,
    now: datetime,
    pauses: Mapping[int, Pause] | None = None,
) -> None:
    """Give charges their new ends."""
    if cuts:
        queries.cut_charges(tx, cuts=cuts, closed_by=order_line_id, now=now, pauses=pauses)


def stop(
    tx: Connection,
    chain: Sequence[RecurringCharge],
    *,
    on: date,
    facts: ServiceFacts,
    order_line_id: int | None,
    now: datetime,
) -> int:
    """End a part of a service; return how many charges that cut."""
    cuts = plan_stop(tuple(charge.standing for charge in chain), on=on, payer=facts.cycle)
    cut(tx, cuts, order_line_id=order_line_id, now=now)
    return len(cuts)


def free_key(tx: Connection, *, service_id: int, add_on: str, starts_on: date) -> str:
    """Return a key for a charge that begins on a day."""
    what = f"add-on:{add_on}" if add_on else "recurring"
    return queries.free_key(tx, key=f"service:{service_id}:{what}:{starts_on}")


def open_charge(
    tx: Connection,
    *,
    facts: ServiceFacts,
    share: Share,
    order_line_id: int | None,
    opening: Opening,
    discounts: Sequence[dict[str, Any]],
    now: datetime,
    add_on: str = "",
) -> int:
    """Enter a recurring charge; return its id."""
    minor_digits(facts.currency)
    price = share.price
    source: dict[str, Any] = {"service": facts.service_id}
    source |= {"renewal": True} if order_line_id is None else {"order_line": order_line_id}
    if share.part != WHOLE:
        source["part"] = share.part
    if add_on:
        source["add_on"] = add_on
    product = queries.product_facts(tx, product_id=price.product_id)
    key = free_key(tx, service_id=facts.service_id, add_on=add_on, starts_on=opening.starts_on)
    return queries.insert_charge(
        tx,
        {
            "brand_id": facts.brand_id,
            "key": key,
            "kind": "recurring",
            "billing_account_id": facts.billing_account_id,
            "service_id": facts.service_id,
            "order_line_id": order_line_id,
            "product_id": price.product_id,
            "location_id": facts.location_id,
            "description": product.display_name,
            "quantity": price.quantity,
            "unit_price": price.unit_price,
            "unit_cost": price.unit_cost,
            "discount_percent": price.discount_percent,
            "pricing": price.pricing.as_json() if price.pricing else None,
            "discounts": list(discounts),
            "currency": facts.currency,
            "starts_on": opening.starts_on,
            "ends_on": opening.ends_on,
            "tax_category": product.tax_category,
            "accounting_code": product.accounting_code,
            "policy": opening.policy.as_json(),
            "source": source,
            "created_at": now,
            "changed_at": now,
        },
    )
