"""Service inventory: what the customer has, its aliases and its dated changes."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint
from sqlalchemy.sql import text as sql

from connector.store.tables.base import (
    brand,
    crm_text,
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

SERVICE_STATES = (
    "New",
    "In Service",
    "Suspended for Non-Pay",
    "Order Canceled",
    "Canceled By User",
    "Canceled for Non-Pay",
    "Expired",
)

service = Table(
    "service",
    metadata,
    identity(),
    brand(),
    Column("number", Text, nullable=False, unique=True),
    reference("account_id", "account"),
    reference("billing_account_id", "billing_account"),
    reference("product_id", "product"),
    reference("location_id", "location", nullable=True),
    Column("created_by_line_id", BigInteger, nullable=False, unique=True),
    crm_text("customer_service_name"),
    *one_of("state", SERVICE_STATES, default="New"),
    exact("quantity", default="1"),
    exact("mr_price", default="0"),  # per unit and month, in force today
    exact("mr_cost", default="0"),
    pricing(),  # when set, it prices the quantity and `mr_price` is the average of a unit
    text("currency"),
    Column("term_months", Integer, nullable=False, server_default="0"),
    text("renewal_type", default="Month-to-month"),
    day("service_start_on", nullable=True),
    day("service_end_on", nullable=True),
    # The day from which equal terms are counted, so that one that began on a 31st keeps to it.
    day("term_anchor_on", nullable=True),
    day("current_term_start_on", nullable=True),
    day("current_term_end_on", nullable=True),
    CheckConstraint(
        "state = 'New' OR state = 'Order Canceled' OR service_start_on IS NOT NULL",
        name="live_service_has_start",
    ),
    CheckConstraint(
        "service_end_on IS NULL OR service_start_on IS NULL OR service_end_on >= service_start_on",
        name="ends_after_start",
    ),
)

# What guides usage to a service: a telephone number, a cloud subscription id; for a span of days.
service_alias = Table(
    "service_alias",
    metadata,
    identity(),
    reference("service_id", "service"),
    *one_of("kind", ("number", "subscription")),
    text("value"),
    day("valid_from"),
    day("valid_to", nullable=True),
    Column(
        "slot", BigInteger, Computed("hashtextextended(kind || '/' || value, 0)", persisted=True)
    ),
    CheckConstraint("valid_to IS NULL OR valid_to >= valid_from", name="valid_span"),
    ExcludeConstraint(
        (sql("int8range(slot, slot, '[]')"), "="),
        (sql("daterange(valid_from, valid_to)"), "&&"),
        name="ex_service_alias_one_service_at_a_time",
    ),
)

add_on = Table(
    "add_on",
    metadata,
    identity(),
    reference("service_id", "service"),
    reference("product_id", "product"),
    reference("order_line_id", "order_line", nullable=True),
    text("name", default=""),  # by which it is removed; several of one product have several names
    exact("quantity", default="1"),
    exact("unit_mr_price", default="0"),
    day("start_on"),
    day("end_on", nullable=True),
    CheckConstraint("end_on IS NULL OR end_on >= start_on", name="ends_after_start"),
)

service_change = Table(
    "service_change",
    metadata,
    identity(),
    reference("service_id", "service"),
    reference("order_line_id", "order_line", nullable=True),
    text("type"),
    day("effective_on"),
    Column("old", JSONB, nullable=False),
    Column("new", JSONB, nullable=False),
    *one_of(
        "state", ("Scheduled", "Applied", "Superseded", "Canceled", "Failed"), default="Scheduled"
    ),
    instant("applied_at", nullable=True),
    UniqueConstraint("order_line_id", "type"),
    Index("ix_service_change_due", "effective_on", postgresql_where=sql("state = 'Scheduled'")),
)
