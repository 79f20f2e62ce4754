"""What an operator asks of one running service: rest, go on, or be paid for by somebody else.

It becomes an order like that of a deal, with the same checks, the price entry's template, and its
tasks (domain 3.3, SUSPEND, RESUME and TRANSFER OF BILLING; 3.1, orders by hand).
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

import structlog
from sqlalchemy import Connection, select, text

from connector.billing.commands import open_account
from connector.charging.queries import recurring_of
from connector.errors import InvalidInput, StateConflict
from connector.flows.deal import read_deal
from connector.flows.rules import DeliveryRules
from connector.inventory.changes import check_day
from connector.inventory.services import UnknownService, service_by_id
from connector.ordering.decompose import decompose_order
from connector.ordering.orders import LineDraft, OrderDraft, create_order, start_order
from connector.ordering.queries import OrderRow, order_by_number
from connector.ordering.request_types import RequestType
from connector.parties.accounts import Account, account_by_sfid
from connector.store.engine import Store
from connector.store.tables.ordering import customer_order
from connector.sync.apply.opportunity import DealAccount, DealLine, OpportunityTree

log = structlog.get_logger(__name__)

_SERVICE = text("""
    SELECT s.id, s.number, s.account_id, s.billing_account_id, s.currency, s.quantity, s.state,
           p.key AS product_key, p.display_name AS product, a.sfid AS account_sfid,
           a.name AS account, b.number AS payer
      FROM service s
      JOIN product p ON p.id = s.product_id
      JOIN account a ON a.id = s.account_id
      JOIN billing_account b ON b.id = s.billing_account_id
     WHERE s.number = :number
""")
_AT_ONCE = (RequestType.SUSPEND, RequestType.RESUME)


class ServiceOrderRefused(StateConflict):
    """The service cannot be ordered to do this now; every reason is in the message."""

    code = "flows.service_order_refused"
    remedy = "Remove the reasons, then ask again."


class NotYet(InvalidInput):
    """A service cannot be suspended or resumed before its day."""

    code = "flows.not_yet"
    remedy = "Ask on that day, or give an earlier one."


@dataclass(frozen=True, slots=True)
class ServiceAsk:
    """What is asked of a service, by its number, from a local day on.

    `to_account` is the customer who pays from then on, by the CRM's id of 18 characters.
    """

    number: str
    request_type: RequestType
    on: date
    to_account: str | None = None


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What an ask comes to: in words, and as the line it makes."""

    service: str
    product: str
    state: str
    request_type: str
    on: date
    account: str
    payer: str
    to_account: str | None
    fee: Decimal
    currency: str
    while_suspended: str | None  # what it costs meanwhile, as its policy says


def plan_service_order(
    *, tx: Connection, rules: DeliveryRules, ask: ServiceAsk, now: datetime
) -> ServicePlan:
    """Return what an ask would do; nothing is written.

    Raises:
        UnknownService: There is none of this number.
        UnknownAccount: The hub does not know who is to pay.
        NotYet: It is to rest or go on from a day that lies ahead.
        ChangeBeforeStart, ChangeOutOfOrder: The day lies before its start or a later change.
        ServiceOrderRefused: It is not possible now.
    """
    plan, _, _ = _read(tx, rules, ask, now)
    return plan


def order_of_service(
    *, store: Store, rules: DeliveryRules, ask: ServiceAsk, now: datetime
) -> OrderRow:
    """Order what is asked of a service; return the order. Its tasks are left to who runs tasks.

    Raises:
        UnknownService: There is none of this number.
        UnknownAccount: The hub does not know who is to pay.
        NotYet: It is to rest or go on from a day that lies ahead.
        ChangeBeforeStart, ChangeOutOfOrder: The day lies before its start or a later change.
        ServiceOrderRefused: It is not possible now; nothing is written.
    """
    with store.transaction() as tx:
        plan, customer, line = _read(tx, rules, ask, now)
        service = tx.execute(_SERVICE, {"number": ask.number}).one()
        payer_id = service.billing_account_id
        if ask.to_account is not None:
            payer_id = open_account(
                tx=tx,
                account_id=customer.id,
                currency=service.currency,
                terms=rules.payers,
                routing=rules.routing,
                now=now,
            )
        draft = OrderDraft(
            brand_id=customer.brand_id,
            account_id=customer.id,
            billing_account_id=payer_id,
            origination="Manual",
            origin_key=f"manual:{ask.number}:{ask.request_type}:{now.isoformat()}",
            currency=service.currency,
            lines=(line,),
            requested_on=ask.on,
        )
        order_id = create_order(tx=tx, draft=draft, now=now)
        decompose_order(tx=tx, order_id=order_id, templates=rules.templates, now=now)
        start_order(tx=tx, order_id=order_id, policy=rules.policy, now=now)
        number = tx.scalar(select(customer_order.c.number).where(customer_order.c.id == order_id))
        assert number is not None
        log.info("service.ordered", service=plan.service, order=number, type=plan.request_type)
        return order_by_number(tx=tx, number=number)


def _read(
    tx: Connection, rules: DeliveryRules, ask: ServiceAsk, now: datetime
) -> tuple[ServicePlan, Account, LineDraft]:
    service = tx.execute(_SERVICE, {"number": ask.number}).one_or_none()
    if service is None:
        raise UnknownService(f"There is no service {ask.number}.")
    today = rules.policy.today(now)
    if ask.request_type in _AT_ONCE and ask.on > today:
        raise NotYet(f"{ask.request_type} of {ask.number} from {ask.on}: today is {today}.")
    check_day(tx=tx, present=service_by_id(tx=tx, service_id=service.id), on=ask.on)
    customer = account_by_sfid(tx=tx, sfid=ask.to_account or service.account_sfid)
    line = DealLine(
        sfid="",
        product_key=service.product_key,
        product_name=service.product,
        request_type=ask.request_type,
        quantity=service.quantity,
        unit_price=None,
        discount_percent=Decimal(0),
        new_mrr=None,
        term_months=0,
        renewal_type=None,
        requested_on=ask.on,
        has_target_service=True,
        target_service_key=f"l2c:service:{service.id}",
        location=None,
        location_text=None,
        description="",
    )
    tree = _tree(customer, service.currency, line)
    deal = read_deal(tx=tx, tree=tree, rules=rules, today=today)
    if deal.problems:
        raise ServiceOrderRefused(
            f"{ask.request_type} of {ask.number} is not possible: {'; '.join(deal.problems)}."
        )
    ((_, draft),) = deal.lines
    charges = recurring_of(tx, service_id=service.id)
    plan = ServicePlan(
        service=service.number,
        product=service.product,
        state=service.state,
        request_type=str(ask.request_type),
        on=ask.on,
        account=service.account,
        payer=service.payer,
        to_account=customer.name if ask.to_account is not None else None,
        fee=draft.nr_price,
        currency=service.currency,
        while_suspended=str(charges[-1].policy.while_suspended) if charges else None,
    )
    return plan, customer, replace(draft, origin_line_sfid=None)


def _tree(customer: Account, currency: str, line: DealLine) -> OpportunityTree:
    """Return an ask as a deal of the customer's, so that the same checks hold."""
    account = DealAccount(
        sfid=customer.sfid,
        name=customer.name,
        is_person=False,
        first_name=None,
        last_name=None,
        email=customer.email,
        phone=None,
        street=None,
        city=None,
        postal_code=None,
        country=customer.country,
        currency=currency,
        parent_sfid=None,
        reseller_sfid=None,
        brand_key=None,
        is_tax_exempt=False,
    )
    return OpportunityTree(
        sfid="",
        name="",
        is_won=True,
        stage="",
        quote_sfid=None,
        po_number=None,
        requested_on=None,
        account=account,
        lines=(line,),
    )
