"""Reads a won deal against the hub: what would be ordered, and everything that stands against it.

Nothing is written here. Every reason is collected, so a person corrects a deal once.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection

from connector.catalog.domain import PriceEntry, Product, price_for_term
from connector.catalog.queries import OwnPrice, own_prices_on, prices_on, products_by_keys
from connector.catalog.upgrade_paths import UpgradePaths, upgrade_paths_of
from connector.errors import ConnectorError
from connector.flows.add_on_line import Offers, product_keys, read_add_ons
from connector.flows.giving_up import check_commitment
from connector.flows.rules import DeliveryRules
from connector.flows.sold_price import Refused, sold_price
from connector.inventory.commitment import Commitment, commitments_of
from connector.inventory.states import ServiceState
from connector.kernel.money import minor_digits
from connector.kernel.period import Interval
from connector.ordering.decompose import template_for
from connector.ordering.orders import LineDraft
from connector.ordering.queries import Target, targets
from connector.ordering.request_types import (
    GOES_ON,
    MAKES_SERVICE,
    SUPPORTED,
    Effect,
    Request,
    RequestType,
    request_of,
)
from connector.parties.accounts import brand_by_key, find_account
from connector.parties.addresses import parse_address
from connector.parties.billing_accounts import billing_account_of
from connector.sync.apply.opportunity import DealLine, OpportunityTree
from connector.sync.mapping.keys import hub_id_of

# What a line without a request type means, by the kind of its product.
DEFAULT_REQUEST = {
    "Service": RequestType.NEW,
    "Widget": RequestType.WIDGET,
    "Service Request": RequestType.SERVICE_REQUEST,
}
_SAME_PRODUCT = frozenset({RequestType.RE_RATE, RequestType.RE_TERM, RequestType.CANCEL}) | {
    one for one, request in SUPPORTED.items() if request.effect in GOES_ON
}
# What a service has to be, where that is not In Service.
_STATES = {
    RequestType.CANCEL: (ServiceState.IN_SERVICE, ServiceState.SUSPENDED),
    RequestType.RESUME: (ServiceState.SUSPENDED,),
    RequestType.RE_RATE: (ServiceState.IN_SERVICE, ServiceState.SUSPENDED),
    RequestType.TRANSFER_OF_BILLING: (ServiceState.IN_SERVICE, ServiceState.SUSPENDED),
}
# Also for a customer who is in collection or has left: nothing is sold by it.
_ALWAYS_POSSIBLE = frozenset({RequestType.SUSPEND, RequestType.RESUME, RequestType.CANCEL})


@dataclass(frozen=True, slots=True)
class ReadDeal:
    """What a deal comes to; usable only when there is no problem."""

    problems: tuple[str, ...]
    currency: str
    brand_id: int
    lines: tuple[tuple[DealLine, LineDraft], ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the hub knows about the things a deal names."""

    account_id: int | None
    currency: str
    today: date
    products: dict[str, Product]
    prices: dict[tuple[int, str], tuple[PriceEntry, ...]]
    own_prices: dict[int, OwnPrice]
    targets: dict[int, Target]
    commitments: dict[int, Commitment]
    used: dict[int, list[str]]
    paths: UpgradePaths
    rules: DeliveryRules


def read_deal(
    *, tx: Connection, tree: OpportunityTree, rules: DeliveryRules, today: date
) -> ReadDeal:
    """Return the order a deal asks for, or every reason why it cannot be one."""
    problems: list[str] = []
    if not tree.is_won:
        problems.append(f"the opportunity is in stage '{tree.stage}', not won")
    if not tree.lines:
        problems.append("it has neither a synced quote with lines nor products")
    account = find_account(tx=tx, sfid=tree.account.sfid) if tree.account else None
    currency = _currency(tree, account.currency if account else None, problems)
    brand_id = account.brand_id if account else _brand(tx, tree, problems)
    if tree.account and tree.account.cycle not in (None, *Interval):
        known_cycles = ", ".join(Interval)
        problems.append(f"the billing cycle '{tree.account.cycle}' is none of {known_cycles}")
    if account and currency and not _sells_nothing(tree):
        problems.extend(_billing_problems(tx, account.id, currency, rules))
    known = _known(tx, tree, rules, account.id if account else None, brand_id, currency, today)
    lines: list[tuple[DealLine, LineDraft]] = []
    for sequence, line in enumerate(tree.lines, start=1):
        try:
            lines.append((line, _line(line, tree, known)))
        except (Refused, ConnectorError) as refused:
            what = line.product_key or line.product_name or "no product"
            problems.append(f"line {sequence} ({what}): {refused}")
    return ReadDeal(tuple(problems), currency, brand_id, tuple(lines))


def _sells_nothing(tree: OpportunityTree) -> bool:
    return bool(tree.lines) and all(line.request_type in _ALWAYS_POSSIBLE for line in tree.lines)


def _used(tree: OpportunityTree) -> dict[int, list[str]]:
    """Return the lines that change each service, in words."""
    used: dict[int, list[str]] = {}
    for sequence, line in enumerate(tree.lines, start=1):
        if (service_id := _changed_service(line)) is not None:
            used.setdefault(service_id, []).append(f"{sequence} ({line.request_type})")
    return used


def _currency(tree: OpportunityTree, hub_currency: str | None, problems: list[str]) -> str:
    if tree.account is None:
        problems.append("it belongs to no account")
        return ""
    currency = tree.account.currency or hub_currency
    if not currency:
        problems.append(f"account '{tree.account.name}' has no currency")
        return ""
    try:
        minor_digits(currency)
    except ConnectorError as error:
        problems.append(str(error))
        return ""
    return currency


def _brand(tx: Connection, tree: OpportunityTree, problems: list[str]) -> int:
    try:
        return brand_by_key(tx=tx, key=tree.account.brand_key if tree.account else None)
    except ConnectorError as error:
        problems.append(str(error))
        return 0


def _billing_problems(
    tx: Connection, account_id: int, currency: str, rules: DeliveryRules
) -> list[str]:
    system = rules.routing.system_of(tx=tx, account_id=account_id)
    billing = billing_account_of(tx=tx, account_id=account_id, currency=currency, system=system)
    if billing is None or billing.status == "Active":
        return []
    # Domain 3.5 (3): nothing is sold to a customer who is in collection or has left.
    return [f"billing account {billing.number} is in status {billing.status}"]


def _known(
    tx: Connection,
    tree: OpportunityTree,
    rules: DeliveryRules,
    account_id: int | None,
    brand_id: int,
    currency: str,
    today: date,
) -> _Known:
    keys = {line.product_key for line in tree.lines if line.product_key}
    products = products_by_keys(tx, keys | product_keys(tree.lines))
    ids = [_target_id(line) for line in tree.lines]
    named = [one for one in ids if one is not None]
    found = targets(tx=tx, ids=named)
    standing = {one.product_key for one in found.values()} | {
        add_on.product_key for one in found.values() for add_on in one.add_ons
    }
    products |= products_by_keys(tx, standing - products.keys())
    return _Known(
        account_id=account_id,
        currency=currency,
        today=today,
        products=products,
        prices=prices_on(
            tx=tx, product_ids=[one.id for one in products.values()], currency=currency, on=today
        ),
        own_prices=own_prices_on(
            tx=tx,
            account_sfid=tree.account.sfid if tree.account else "",
            brand_id=brand_id,
            product_ids=[one.id for one in products.values()],
            currency=currency,
            on=today,
        ),
        targets=found,
        commitments=commitments_of(tx=tx, ids=named),
        used=_used(tree),
        paths=upgrade_paths_of(tx=tx, keys=products.keys()),
        rules=rules,
    )


def _line(line: DealLine, tree: OpportunityTree, known: _Known) -> LineDraft:
    product = _product(line, known)
    wanted = line.request_type or DEFAULT_REQUEST.get(product.kind, RequestType.NEW)
    request = request_of(wanted)
    request_type = RequestType(wanted)
    if product.kind not in request.product_kinds:
        raise Refused(f"{request_type} is not for a product of kind {product.kind}")
    if line.quantity <= 0:
        raise Refused(f"the quantity is {line.quantity}")
    target = _target(line, request_type, request, product, known)
    _check_place(line, request, product)
    requested_on = line.requested_on or tree.requested_on
    if request.effect is Effect.REPLACE and requested_on is None:
        raise Refused("REPLACE needs the requested date on which one takes the other's place")
    if not known.currency:
        raise Refused("its price cannot be found without a currency")
    entry = _price(line, product, request_type, known)
    template_for(
        templates=known.rules.templates,
        key=entry.work_order_template,
        request_type=request_type,
        product_key=product.key,
    )
    renewal_type = _renewal_type(line, request, entry, target)
    if request_type is RequestType.RE_TERM and not line.term_months:
        raise Refused("RE_TERM needs the new term")
    quantity = line.quantity
    if request_type in _SAME_PRODUCT and target is not None:
        quantity = target.quantity
    if target is not None:
        check_commitment(
            commitment=known.commitments.get(target.id),
            target=target,
            request_type=request_type,
            product_id=product.id,
            quantity=quantity,
            on=requested_on or known.today,
        )
    if not 0 <= line.discount_percent <= 100:
        raise Refused(f"the discount is {line.discount_percent} %")
    own = known.own_prices.get(product.id)
    sold = sold_price(
        line=line,
        entry=entry,
        request_type=request_type,
        quantity=quantity,
        currency=known.currency,
        own=own.of_unit(entry.mr_cost) if own else None,
        target=target,
    )
    return LineDraft(
        request_type=request_type,
        product_id=product.id,
        price_entry_id=entry.id,
        quantity=quantity,
        mr_price=sold.mr_price,
        nr_price=sold.nr_price,
        mr_cost=sold.mr_cost,
        nr_cost=entry.nr_cost,
        term_months=line.term_months,
        renewal_type=renewal_type,
        target_service_id=target.id if target is not None else None,
        requested_on=requested_on,
        origin_line_sfid=line.sfid,
        description=line.description,
        pricing=sold.pricing,
        add_ons=_add_ons(line, request, target, known),
    )


def _renewal_type(
    line: DealLine, request: Request, entry: PriceEntry, target: Target | None
) -> str:
    if target is not None and request.effect not in MAKES_SERVICE:
        return line.renewal_type or target.renewal_type
    renewal_type = line.renewal_type or entry.renewal_type
    if request.effect in MAKES_SERVICE and renewal_type == "Same term" and not line.term_months:
        raise Refused("it renews for the same term and has no term")
    return renewal_type


def _check_place(line: DealLine, request: Request, product: Product) -> None:
    has_place = line.location is not None or bool((line.location_text or "").strip())
    if request.effect is Effect.START and product.is_location_based and not has_place:
        raise Refused("the product needs a location and the line has none")
    if request.effect is Effect.MOVE and not has_place:
        raise Refused("MOVE needs the new location")
    if line.location is None and has_place:
        parse_address(line.location_text or "")


def _add_ons(
    line: DealLine, request: Request, target: Target | None, known: _Known
) -> list[dict[str, Any]] | None:
    if request.effect is Effect.ADD_ONS and target is not None:
        offers = Offers(known.products, known.prices, known.own_prices, known.currency)
        return read_add_ons(line=line, target=target, offers=offers)
    if line.add_ons_added or line.add_ons_changed or line.add_ons_removed:
        raise Refused("add-ons are changed by a line of type ADD_ON_CHANGE")
    return None


def _product(line: DealLine, known: _Known) -> Product:
    if line.product_key is None:
        raise Refused("the product has no product key, so the catalogue cannot know it")
    found = known.products.get(line.product_key)
    if found is None:
        raise Refused("the catalogue has no such product")
    return found


def _target_id(line: DealLine) -> int | None:
    return hub_id_of("service", line.target_service_key) if line.target_service_key else None


def _changed_service(line: DealLine) -> int | None:
    changes = (
        line.request_type in SUPPORTED and SUPPORTED[RequestType(line.request_type)].needs_target
    )
    return _target_id(line) if changes else None


def _target(
    line: DealLine, request_type: RequestType, request: Request, product: Product, known: _Known
) -> Target | None:
    service_id = _target_id(line)
    found = known.targets.get(service_id) if service_id is not None else None
    if found is None:
        if line.has_target_service:
            raise Refused("its service is unknown to the hub")
        if request.needs_target:
            raise Refused(f"{request_type} needs the service it is about")
        return None
    if not request.needs_target and request.effect is Effect.START:
        raise Refused(f"{request_type} makes a service and cannot be about {found.number}")
    if request.effect is Effect.TRANSFER:
        # The deal is that of the customer who pays from now on.
        if found.account_id == known.account_id:
            raise Refused(f"service {found.number} is this customer's already")
    elif found.account_id != known.account_id:
        raise Refused(f"service {found.number} belongs to another customer")
    if found.currency != known.currency:
        raise Refused(f"service {found.number} is in {found.currency}, not {known.currency}")
    if not request.needs_target:
        return found
    possible = _STATES.get(request_type, (ServiceState.IN_SERVICE,))
    if found.state not in possible:
        wanted = " or ".join(possible)
        raise Refused(f"service {found.number} is {found.state}, not {wanted}")
    if found.open_order is not None:
        raise Refused(f"service {found.number} is about to change by order {found.open_order}")
    if found.scheduled is not None and (
        request.effect is not Effect.END or found.scheduled.startswith(RequestType.CANCEL)
    ):
        raise Refused(f"service {found.number} waits for {found.scheduled}")
    lines = known.used[found.id]
    if len(lines) > 1:
        raise Refused(f"service {found.number} is on the lines {' and '.join(lines)} of this deal")
    if request_type in _SAME_PRODUCT and found.product_id != product.id:
        raise Refused(f"service {found.number} is '{found.product_key}', not this product")
    if request_type in (RequestType.UPGRADE, RequestType.DOWNGRADE):
        why_not = known.paths.why_not(
            present=known.products[found.product_key],
            wanted=product,
            is_upgrade=request_type is RequestType.UPGRADE,
        )
        if why_not is not None:
            raise Refused(f"service {found.number}: {why_not}")
    if request.effect is Effect.CHANGE and product.change_policy != "In place":
        raise Refused(f"'{product.key}' is changed by replacing it: order REPLACE")
    return found


def _price(
    line: DealLine, product: Product, request_type: RequestType, known: _Known
) -> PriceEntry:
    offered = known.prices.get((product.id, request_type), ())
    if (entry := price_for_term(offered, line.term_months)) is not None:
        return entry
    terms = ", ".join(str(entry.term_months) for entry in offered) or "none"
    raise Refused(
        f"no price for {request_type} over {line.term_months} months in "
        f"{known.currency or 'no currency'} on {known.today} (terms on offer: {terms})"
    )
