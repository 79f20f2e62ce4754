"""A rehearsal of products: sold, delivered and billed by the real code, and taken back (row B2).

Every price with which a service, a device or a job begins is tried for a customer who does not
exist. What the files forgot, a template, a tax, a location, shows before anybody is asked to pay.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, select

from connector.catalog.domain import PriceEntry
from connector.catalog.queries import prices_on, products_by_keys
from connector.errors import ConnectorError
from connector.flows.deal import DEFAULT_REQUEST
from connector.flows.deal_estimate import EstimatedBill, estimate_deal
from connector.flows.rules import DeliveryRules
from connector.kernel.clock import monotonic_s
from connector.ordering.templates import TaskKind
from connector.store.tables.catalog import price_entry
from connector.store.tables.parties import brand_table
from connector.sync.apply.opportunity import DealAccount, DealLine, OpportunityTree

_BY_PEOPLE = (TaskKind.MANUAL, TaskKind.WAIT)
_NOBODY = DealAccount(
    sfid="001REHEARSAL000AAA",
    name="Rehearsal",
    is_person=False,
    first_name=None,
    last_name=None,
    email="rehearsal@example.com",
    phone=None,
    street="Main Street 1",
    city="Town",
    postal_code="10115",
    country=None,
    currency=None,
    parent_sfid=None,
    reseller_sfid=None,
    brand_key=None,
    is_tax_exempt=False,
)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What became of one price; amounts are those of the first invoice, without and with tax.

    `problem` says why it cannot be sold, delivered or billed.
    """

    product: str
    request_type: str
    term_months: int
    currency: str
    monthly: Decimal
    once: Decimal
    template: str | None = None
    tasks: int = 0
    tasks_of_people: int = 0
    invoice_on: date | None = None
    subtotal: Decimal = Decimal(0)
    total: Decimal = Decimal(0)
    took_s: float = 0.0
    problem: str | None = None


def rehearse_products(
    *, tx: Connection, rules: DeliveryRules, keys: Iterable[str], country: str, on: date
) -> tuple[Rehearsed, ...]:
    """Try the prices of products that are in force on a day; the caller rolls everything back.

    Parts are left out: they are sold as add-ons of a service only.
    """
    products = products_by_keys(tx, keys)
    brands = {row.id: row.key for row in tx.execute(select(brand_table.c.id, brand_table.c.key))}
    ids = [one.id for one in products.values()]
    currencies = tx.scalars(
        select(price_entry.c.currency)
        .where(price_entry.c.product_id.in_(ids))
        .distinct()
        .order_by(price_entry.c.currency)
    ).all()
    tried: list[Rehearsed] = []
    offered = {
        currency: prices_on(tx=tx, product_ids=ids, currency=currency, on=on)
        for currency in currencies
    }
    for product in products.values():
        request_type = DEFAULT_REQUEST.get(product.kind)
        if request_type is None:
            continue
        for currency in currencies:
            for entry in offered[currency].get((product.id, request_type), ()):
                customer = replace(
                    _NOBODY,
                    country=country,
                    currency=currency,
                    brand_key=brands[product.brand_id],
                )
                line = _line(product.key, request_type, entry.term_months, country)
                tried.append(_try(tx, rules, customer, line, entry, on))
    return tuple(tried)


def _try(
    tx: Connection,
    rules: DeliveryRules,
    customer: DealAccount,
    line: DealLine,
    entry: PriceEntry,
    on: date,
) -> Rehearsed:
    began_s = monotonic_s()
    done = Rehearsed(
        product=line.product_name,
        request_type=entry.request_type,
        term_months=entry.term_months,
        currency=entry.currency,
        monthly=entry.mr_price,
        once=entry.nr_price,
        template=entry.work_order_template,
    )
    tree = _tree(customer, line)
    attempt = tx.begin_nested()
    try:
        bills = estimate_deal(tx=tx, tree=tree, rules=rules, on=on)
    except ConnectorError as error:
        done = replace(done, problem=str(error))
    else:
        done = _billed(_delivered(done, rules), bills)
    finally:
        attempt.rollback()
    return replace(done, took_s=monotonic_s() - began_s)


def _delivered(done: Rehearsed, rules: DeliveryRules) -> Rehearsed:
    assert done.template is not None  # without one it is refused
    tasks = rules.templates.get(done.template).tasks
    people = sum(task.kind in _BY_PEOPLE for task in tasks)
    return replace(done, tasks=len(tasks), tasks_of_people=people)


def _billed(done: Rehearsed, bills: tuple[EstimatedBill, ...]) -> Rehearsed:
    if not bills:
        if done.monthly or done.once:
            return replace(done, problem="It has a price and would not be billed.")
        return done
    first = bills[0].document
    return replace(done, invoice_on=first.invoice_on, subtotal=first.subtotal, total=first.total)


def _line(key: str, request_type: str, term_months: int, country: str) -> DealLine:
    return DealLine(
        sfid="",
        product_key=key,
        product_name=key,
        request_type=request_type,
        quantity=Decimal(1),
        unit_price=None,
        discount_percent=Decimal(0),
        new_mrr=None,
        term_months=term_months,
        renewal_type=None,
        requested_on=None,
        has_target_service=False,
        target_service_key=None,
        location=None,
        location_text=f"Rehearsal, Main Street 1, 10115 Town, {country}",
        description="",
    )


def _tree(customer: DealAccount, line: DealLine) -> OpportunityTree:
    return OpportunityTree(
        sfid="006REHEARSAL000AAA",
        name="Rehearsal",
        is_won=True,
        stage="",
        quote_sfid=None,
        po_number=None,
        requested_on=None,
        account=customer,
        lines=(line,),
    )
