"""A won opportunity becomes one order, however often it is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy import Connection, select

from connector.billing.commands import open_account
from connector.errors import StateConflict
from connector.flows.deal import read_deal
from connector.flows.rules import DeliveryRules
from connector.kernel.countries import country_code
from connector.kernel.period import Interval
from connector.ordering.decompose import decompose_order
from connector.ordering.orders import (
    LineDraft,
    OrderDraft,
    create_order,
    order_by_origin,
    start_order,
)
from connector.parties.accounts import AccountFacts, AccountKind, ensure_account
from connector.parties.addresses import Address
from connector.parties.billing_accounts import PayerTerms
from connector.parties.locations import (
    LocationFacts,
    ensure_location,
    known_locations,
    location_for_text,
)
from connector.store.engine import Store
from connector.store.tables.ordering import customer_order
from connector.sync.apply.opportunity import DealAccount, DealLine, DealLocation, OpportunityTree
from connector.sync.mapping.keys import hub_id_of

log = structlog.get_logger(__name__)

ReadTree = Callable[[str], OpportunityTree]


class DealNotDeliverable(StateConflict):
    """A won deal cannot become an order as it is; every reason is in the message."""

    code = "flows.deal_not_deliverable"
    remedy = "Correct the deal or the catalogue, then save the opportunity again or retry it."

    def __init__(self, *, name: str, problems: tuple[str, ...]) -> None:
        super().__init__(f"'{name}' cannot become an order: {'; '.join(problems)}.")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Won:
    """The order of a won deal, and whether it stood already."""

    order_id: int
    was_known: bool


def win_opportunity(
    *,
    store: Store,
    read_tree: ReadTree,
    rules: DeliveryRules,
    opportunity_sfid: str,
    now: datetime,
) -> Won:
    """Make the order of a won opportunity: account, lines, services, work orders, tasks.

    The deal is read from the CRM before the transaction and checked as a whole inside it: either
    everything is written or nothing. A deal that has its order costs no call.

    Raises:
        DealNotDeliverable: Something in it is unknown or not possible; nothing is written.
    """
    origin_key = f"opportunity:{opportunity_sfid}"
    with store.read() as tx:
        standing = tx.scalar(
            select(customer_order.c.id).where(customer_order.c.origin_key == origin_key)
        )
    if standing is not None:
        return Won(standing, was_known=True)
    tree = read_tree(opportunity_sfid)
    with store.transaction() as tx:
        standing = order_by_origin(tx=tx, origin_key=origin_key)
        if standing is not None:
            return Won(standing, was_known=True)
        order_id = enter_deal(tx=tx, tree=tree, rules=rules, origin_key=origin_key, now=now)
    log.info("opportunity.won", opportunity=opportunity_sfid, order_id=order_id)
    return Won(order_id, was_known=False)


def enter_deal(
    *,
    tx: Connection,
    tree: OpportunityTree,
    rules: DeliveryRules,
    origin_key: str,
    now: datetime,
) -> int:
    """Write the order of a deal that has none; return its id.

    Raises:
        DealNotDeliverable: Something in it is unknown or not possible; nothing is written.
    """
    deal = read_deal(tx=tx, tree=tree, rules=rules, today=rules.policy.today(now))
    if deal.problems or tree.account is None:
        raise DealNotDeliverable(name=tree.name, problems=deal.problems)
    account = ensure_account(tx=tx, facts=_facts(tree.account), brand_id=deal.brand_id)
    draft = OrderDraft(
        brand_id=account.brand_id,
        account_id=account.id,
        billing_account_id=open_account(
            tx=tx,
            account_id=account.id,
            currency=deal.currency,
            terms=_payer_terms(tree.account, rules),
            routing=rules.routing,
            now=now,
        ),
        origination="Opportunity",
        origin_key=origin_key,
        currency=deal.currency,
        lines=_placed(tx, account.id, deal.lines),
        opportunity_sfid=tree.sfid,
        quote_sfid=tree.quote_sfid,
        po_number=tree.po_number,
        requested_on=tree.requested_on,
    )
    order_id = create_order(tx=tx, draft=draft, now=now)
    decompose_order(tx=tx, order_id=order_id, templates=rules.templates, now=now)
    if rules.policy.auto_start:
        start_order(tx=tx, order_id=order_id, policy=rules.policy, now=now)
    return order_id


def _placed(
    tx: Connection, account_id: int, lines: Sequence[tuple[DealLine, LineDraft]]
) -> tuple[LineDraft, ...]:
    """Give each line its place; a place that many lines share is looked up once."""
    found: dict[DealLocation | str, int] = {}
    placed: list[LineDraft] = []
    for line, draft in lines:
        where = line.location or (line.location_text or "").strip()
        if where and where not in found:
            found[where] = (
                location_for_text(tx=tx, account_id=account_id, text=where)
                if isinstance(where, str)
                else _location(tx, account_id, where)
            )
        placed.append(replace(draft, location_id=found.get(where)))
    return tuple(placed)


def _location(tx: Connection, account_id: int, place: DealLocation) -> int:
    born_here = hub_id_of("location", place.hub_key) if place.hub_key else None
    if born_here is not None and known_locations(
        tx=tx, account_id=account_id, ids=frozenset({born_here})
    ):
        return born_here
    address = Address(place.name, place.street, place.postal_code, place.city, place.country)
    facts = LocationFacts(sfid=place.sfid, address=address)
    return ensure_location(tx=tx, account_id=account_id, facts=facts)


def _payer_terms(account: DealAccount, rules: DeliveryRules) -> PayerTerms:
    """Return what a new billing account begins with; the customer may name its own cycle."""
    if account.cycle is None:
        return rules.payers
    return replace(rules.payers, cycle=Interval(account.cycle))


def _facts(account: DealAccount) -> AccountFacts:
    return AccountFacts(
        sfid=account.sfid,
        kind=AccountKind.PERSON if account.is_person else AccountKind.BUSINESS,
        name=account.name,
        first_name=account.first_name,
        last_name=account.last_name,
        email=account.email,
        phone=account.phone,
        street=account.street,
        city=account.city,
        postal_code=account.postal_code,
        country=country_code(account.country),
        currency=account.currency,
        parent_sfid=account.parent_sfid,
        reseller_sfid=account.reseller_sfid,
        is_tax_exempt=account.is_tax_exempt,
    )
