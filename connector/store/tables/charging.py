"""The waist: priced items ready to be invoiced, whoever produced them."""

from sqlalchemy import CheckConstraint, Column, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from connector.store.tables.base import (
    brand,
    day,
    exact,
    identity,
    instant,
    metadata,
    one_of,
    pricing,
    reference,
    text,
)

# recurring: unit_price per month from starts_on up to ends_on (None: open), billed in advance.
# one_time: due on starts_on.  usage: the rated amount of a service, class and period.
# `key` is the producer's idempotency key: a charge is made once, however often it is asked for.
charge = Table(
    "charge",
    metadata,
    identity(),
    brand(),
    Column("key", Text, nullable=False, unique=True),
    *one_of("kind", ("recurring", "one_time", "usage")),
    reference("billing_account_id", "billing_account"),
    reference("service_id", "service", nullable=True),
    reference("order_line_id", "order_line", nullable=True),
    reference("product_id", "product"),
    reference("usage_summary_id", "usage_summary", nullable=True),
    reference("location_id", "location", nullable=True),  # where it is supplied, and so taxed
    text("description"),
    exact("quantity", default="1"),
    exact("unit_price"),  # per unit; per unit and month when recurring; the whole when usage
    exact("unit_cost", default="0"),
    exact("discount_percent", default="0"),
    pricing(),
    # dated discounts as they were granted: name, percent or amount, from, to
    Column("discounts", JSONB, nullable=False, server_default="[]"),
    text("currency"),
    day("starts_on"),
    day("ends_on", nullable=True),
    text("tax_category"),
    text("accounting_code", default="4000"),
    Column("policy", JSONB, nullable=False),  # the proration policy by name and value (design D9)
    Column("source", JSONB, nullable=False),  # ids that explain it: order line, change, summary
    instant("created_at"),
    instant("changed_at"),
    CheckConstraint("ends_on IS NULL OR ends_on >= starts_on", name="ends_after_start"),
    CheckConstraint("kind = 'recurring' OR ends_on IS NOT NULL", name="only_recurring_is_open"),
)
