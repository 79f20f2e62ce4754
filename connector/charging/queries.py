"""The SQL of charging."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from connector.catalog.pricing.document import optional_pricing
from connector.charging.policy import ProrationPolicy
from connector.charging.segments import Cut
from connector.charging.shares import BundlePart
from connector.charging.succession import Pause, Standing
from connector.charging.value import Price
from connector.errors import StateConflict
from connector.kernel.period import Cycle, Interval
from connector.store.tables.catalog import bundle_part, product
from connector.store.tables.charging import charge


class UnknownService(StateConflict):
    """There is no service with this id."""

    code = "charging.unknown_service"


class UnknownProduct(StateConflict):
    """There is no product with this id."""

    code = "charging.unknown_product"


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What charging has to know of a service and of who pays for it."""

    service_id: int
    number: str
    brand_id: int
    billing_account_id: int
    product_id: int
    product_key: str
    quantity: Decimal
    mr_price: Decimal
    mr_cost: Decimal
    currency: str
    anchor_day: int
    every: Interval
    brand_key: str
    payer_number: str
    pricing: dict[str, Any] | None
    location_id: int | None

    @property
    def cycle(self) -> Cycle:
        """The billing periods of who pays for it."""
        return Cycle.calendar(self.every, self.anchor_day)


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """What charging has to know of a product."""

    key: str
    display_name: str
    tax_category: str
    accounting_code: str


@dataclass(frozen=True, slots=True)
class RecurringCharge:
    """A recurring charge as it stands."""

    id: int
    order_line_id: int | None
    closed_by: int | None
    starts_on: date
    ends_on: date | None
    per_period: Fraction
    policy: ProrationPolicy
    product_id: int
    part: str  # of a bundle; empty for what is no bundle
    add_on: str  # its name; empty for the service itself
    paused: Pause | None
    discounts: tuple[dict[str, Any], ...]

    @property
    def standing(self) -> Standing:
        """What a change or an end has to know of it."""
        return Standing(self.id, self.starts_on, self.ends_on, self.per_period, self.policy)


# The billing account's row serialises commands and bill runs of one payer; foreign keys to it
# stay possible meanwhile.
_LOCK_SERVICE = text(
    "SELECT s.id AS service_id, s.number, b.brand_id, b.id AS billing_account_id, s.product_id, "
    "       p.key AS product_key, s.quantity, s.mr_price, s.mr_cost, s.currency, b.anchor_day, "
    "       b.cycle AS every, r.key AS brand_key, b.number AS payer_number, s.pricing, "
    "       s.location_id "
    "  FROM service s "
    "  JOIN billing_account b ON b.id = coalesce(CAST(:payer_id AS bigint), s.billing_account_id) "
    "  JOIN brand r ON r.id = b.brand_id "
    "  JOIN product p ON p.id = s.product_id "
    " WHERE s.id = :service_id FOR NO KEY UPDATE OF b"
)

_PART = charge.c.source["part"].as_string()
_ADD_ON = charge.c.source["add_on"].as_string()
_CLOSED_BY = charge.c.source["closed_by"].as_integer()


def lock_service(tx: Connection, *, service_id: int, payer_id: int | None = None) -> ServiceFacts:
    """Return a service's facts and hold its payer's row until the transaction ends.

    Another payer than that of today may be named: who pays from a day on.

    Raises:
        UnknownService: There is none with this id.
    """
    row = tx.execute(_LOCK_SERVICE, {"service_id": service_id, "payer_id": payer_id}).one_or_none()
    if row is None:
        raise UnknownService(f"There is no service {service_id}.")
    return ServiceFacts(**dict(row._mapping) | {"every": Interval(row.every)})


def recurring_of(tx: Connection, *, service_id: int) -> tuple[RecurringCharge, ...]:
    """Return the recurring charges of a service, oldest days first."""
    rows = tx.execute(
        select(
            charge.c.id,
            charge.c.order_line_id,
            _CLOSED_BY.label("closed_by"),
            charge.c.starts_on,
            charge.c.ends_on,
            charge.c.policy,
            charge.c.quantity,
            charge.c.unit_price,
            charge.c.discount_percent,
            charge.c.pricing,
            charge.c.product_id,
            charge.c.discounts,
            func.coalesce(_PART, "").label("part"),
            func.coalesce(_ADD_ON, "").label("add_on"),
            charge.c.source["paused"].label("paused"),
        )
        .where(charge.c.service_id == service_id, charge.c.kind == "recurring")
        .order_by(charge.c.starts_on, charge.c.id)
    )
    return tuple(
        RecurringCharge(
            id=row.id,
            order_line_id=row.order_line_id,
            closed_by=row.closed_by,
            starts_on=row.starts_on,
            ends_on=row.ends_on,
            per_period=Price(
                row.quantity,
                row.unit_price,
                row.discount_percent,
                pricing=optional_pricing(row.pricing),
            ).per_period,
            policy=ProrationPolicy.from_json(row.policy),
            product_id=row.product_id,
            part=row.part,
            add_on=row.add_on,
            paused=Pause.from_json(row.id, row.paused) if row.paused else None,
            discounts=tuple(row.discounts),
        )
        for row in rows
    )


def bundle_parts(tx: Connection, *, product_id: int) -> tuple[BundlePart, ...]:
    """Return the parts of a product that is a bundle, in order; none when it is not."""
    rows = tx.execute(
        select(product.c.key, bundle_part.c.part_id, bundle_part.c.weight)
        .join(product, product.c.id == bundle_part.c.part_id)
        .where(bundle_part.c.product_id == product_id)
        .order_by(bundle_part.c.position)
    )
    return tuple(BundlePart(row.key, row.part_id, row.weight) for row in rows)


def product_facts(tx: Connection, *, product_id: int) -> ProductFacts:
    """Return what a charge takes over from its product.

    Raises:
        UnknownProduct: There is none with this id.
    """
    row = tx.execute(
        select(
            product.c.key,
            product.c.display_name,
            product.c.tax_category,
            product.c.accounting_code,
        ).where(product.c.id == product_id)
    ).one_or_none()
    if row is None:
        raise UnknownProduct(f"There is no product {product_id}.")
    return ProductFacts(**row._mapping)


def cut_charges(
    tx: Connection,
    *,
    cuts: Sequence[Cut],
    closed_by: int | None,
    now: datetime,
    pauses: Mapping[int, Pause] | None = None,
) -> None:
    """Give charges their new ends; what only pauses remembers how far it went."""
    pauses = pauses or {}
    tx.execute(
        update(charge)
        .where(charge.c.id == bindparam("cut_id"))
        .values(
            ends_on=bindparam("cut_ends_on"),
            changed_at=now,
            source=charge.c.source.op("||")(bindparam("closing", type_=JSONB)),
        ),
        [
            {
                "cut_id": cut.charge_id,
                "cut_ends_on": cut.ends_on,
                "closing": {"closed_by": closed_by}
                | ({"paused": pauses[cut.charge_id].as_json()} if cut.charge_id in pauses else {}),
            }
            for cut in cuts
        ],
    )


def free_key(tx: Connection, *, key: str) -> str:
    """Return the key, or the key with a count when several changes fall on one day.

    The caller holds the lock of the payer, so nobody takes the key meanwhile.
    """
    taken = tx.scalar(
        select(func.count()).where((charge.c.key == key) | charge.c.key.startswith(f"{key}#"))
    )
    return key if not taken else f"{key}#{taken + 1}"


def insert_charge(tx: Connection, values: Mapping[str, Any]) -> int:
    """Insert a charge, or find the one with the same key; return its id."""
    made = tx.scalar(
        insert(charge)
        .values(**values)
        .on_conflict_do_nothing(index_elements=[charge.c.key])
        .returning(charge.c.id)
    )
    if made is None:
        made = tx.execute(select(charge.c.id).where(charge.c.key == values["key"])).scalar_one()
    return int(made)


# A charge that goes on under the same terms, for another payer, place or span of days. What closed
# it, and what paused it, is not its successor's.
_GO_ON = text(
    """
    INSERT INTO charge (brand_id, key, kind, billing_account_id, service_id, order_line_id,
                        product_id, location_id, description, quantity, unit_price, unit_cost,
                        discount_percent, pricing, discounts, currency, starts_on, ends_on,
                        tax_category, accounting_code, policy, source, created_at, changed_at)
    SELECT :brand_id, :key, c.kind, :payer_id, c.service_id, :order_line_id,
           c.product_id, CAST(:location_id AS bigint), c.description, c.quantity, c.unit_price,
           c.unit_cost, c.discount_percent, c.pricing, c.discounts, c.currency, :starts_on,
           CAST(:ends_on AS date), c.tax_category, c.accounting_code, CAST(:policy AS jsonb),
           (c.source - 'closed_by' - 'paused')
               || jsonb_build_object('order_line', CAST(:order_line_id AS bigint),
                                     'follows', c.id),
           :now, :now
      FROM charge c WHERE c.id = :charge_id
    RETURNING id
    """
)


def end_pauses(tx: Connection, *, charge_ids: Sequence[int], now: datetime) -> None:
    """Forget that charges were paused: their successors go on."""
    tx.execute(
        update(charge)
        .where(charge.c.id.in_(charge_ids))
        .values(source=charge.c.source.op("-")("paused"), changed_at=now)
    )


def insert_successor(tx: Connection, *, charge_id: int, values: Mapping[str, Any]) -> int:
    """Let a charge go on in a new one with other days, payer, place or policy; return its id."""
    return int(tx.execute(_GO_ON, {"charge_id": charge_id, **values}).scalar_one())


# One statement for any number of summaries. A charge that would not change stays untouched, so a
# rating run that finds nothing new moves nothing.
UPSERT_USAGE = text(
    """
    INSERT INTO charge (brand_id, key, kind, billing_account_id, service_id, product_id,
                        usage_summary_id, description, quantity, pricing, unit_price, unit_cost,
                        currency,
                        starts_on, ends_on, tax_category, accounting_code, policy, source,
                        created_at, changed_at)
    SELECT s.brand_id, 'usage:' || u.summary_id, 'usage', s.billing_account_id, s.id, s.product_id,
           u.summary_id, u.description, u.quantity, CAST(u.pricing AS jsonb), u.amount, u.cost,
           u.currency,
           u.period_start, u.period_end, p.tax_category, p.accounting_code, '{}'::jsonb,
           jsonb_build_object('service', s.id, 'usage_summary', u.summary_id,
                              'usage_class', u.usage_class),
           :now, :now
      FROM unnest(CAST(:summary_ids AS bigint[]), CAST(:service_ids AS bigint[]),
                  CAST(:classes AS text[]), CAST(:starts AS date[]), CAST(:ends AS date[]),
                  CAST(:amounts AS numeric[]), CAST(:costs AS numeric[]),
                  CAST(:currencies AS text[]), CAST(:descriptions AS text[]),
                  CAST(:quantities AS numeric[]), CAST(:pricings AS text[]))
           AS u(summary_id, service_id, usage_class, period_start, period_end, amount, cost,
                currency, description, quantity, pricing)
      JOIN service s ON s.id = u.service_id
      JOIN product p ON p.id = s.product_id
      -- a foreign billing system counts and charges usage itself
      JOIN billing_account b ON b.id = s.billing_account_id AND b.system = 'builtin'
    ON CONFLICT (key) DO UPDATE
       SET unit_price = excluded.unit_price, unit_cost = excluded.unit_cost,
           description = excluded.description, quantity = excluded.quantity,
           pricing = excluded.pricing, changed_at = excluded.changed_at
     WHERE (charge.unit_price, charge.unit_cost, charge.description, charge.quantity,
            charge.pricing)
           IS DISTINCT FROM (excluded.unit_price, excluded.unit_cost, excluded.description,
                             excluded.quantity, excluded.pricing)
    """
)
