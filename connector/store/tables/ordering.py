"""Orders, lines, work orders and tasks. Only tasks hold state; the rest is derived by views."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
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

REQUEST_TYPES = (
    "NEW",
    "ADD_ON_CHANGE",
    "UPGRADE",
    "DOWNGRADE",
    "MOVE",
    "REPLACE",
    "RE_TERM",
    "RE_RATE",
    "CANCEL",
    "SERVICE_REQUEST",
    "WIDGET",
    "SUSPEND",
    "RESUME",
    "TRANSFER_OF_BILLING",
)

TASK_STATES = (
    "Pending",
    "Ready",
    "In Progress",
    "Waiting",
    "Completed",
    "Canceled",
    "Skipped",
    "Error",
)

# `origin_key` makes birth idempotent: "opportunity:006..." yields one order however often it comes.
customer_order = Table(
    "customer_order",
    metadata,
    identity(),
    brand(),
    Column("number", Text, nullable=False, unique=True),
    reference("account_id", "account"),
    reference("billing_account_id", "billing_account", nullable=True),
    *one_of("origination", ("Opportunity", "Portal", "Sign-Up", "API", "Manual", "Orchestration")),
    Column("origin_key", Text, nullable=False, unique=True),
    text("opportunity_sfid", nullable=True),
    text("quote_sfid", nullable=True),
    crm_text("po_number"),
    text("currency"),
    day("requested_on", nullable=True),
    instant("created_at"),
    instant("started_at", nullable=True),
    instant("held_at", nullable=True),
    instant("cancel_requested_at", nullable=True),
    Index("ix_customer_order_opportunity_sfid", "opportunity_sfid"),
)

order_line = Table(
    "order_line",
    metadata,
    identity(),
    reference("order_id", "customer_order"),
    Column("sequence", Integer, nullable=False),
    text("origin_line_sfid", nullable=True),
    *one_of("request_type", REQUEST_TYPES),
    reference("product_id", "product"),
    reference("price_entry_id", "price_entry", nullable=True),
    reference("target_service_id", "service", nullable=True),
    reference("location_id", "location", nullable=True),
    exact("quantity", default="1"),
    exact("mr_price", default="0"),  # per unit and month, as sold
    exact("nr_price", default="0"),
    exact("mr_cost", default="0"),
    exact("nr_cost", default="0"),
    pricing(),  # of the recurring price as sold; NULL: so much for each unit
    # of an ADD_ON_CHANGE: act (add, remove), name; when added product, quantity, prices
    Column("add_ons", JSONB(none_as_null=True), nullable=True),
    Column("term_months", Integer, nullable=False, server_default="0"),
    text("renewal_type", default="Month-to-month"),
    day("requested_on", nullable=True),
    text("description", default=""),
    UniqueConstraint("order_id", "sequence"),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    CheckConstraint("mr_price >= 0 AND nr_price >= 0", name="prices_not_negative"),
)

work_order = Table(
    "work_order",
    metadata,
    identity(),
    Column("number", Text, nullable=False, unique=True),
    reference("order_line_id", "order_line"),
    reference("service_id", "service", nullable=True),
    *one_of(
        "role",
        ("Deliver", "Turn-up", "Disconnect", "Change", "Service request", "Ship", "Compensate"),
    ),
    text("template"),
    instant("created_at"),
    UniqueConstraint("order_line_id", "role"),
)

task = Table(
    "task",
    metadata,
    identity(),
    Column("number", Text, nullable=False, unique=True),
    reference("work_order_id", "work_order"),
    Column("sequence", Integer, nullable=False),
    text("name"),
    *one_of("kind", ("Manual", "Code", "Wait", "Milestone", "Notify")),
    text("code_ref", nullable=True),
    text("queue", nullable=True),
    text("phase", default=""),
    Column("duration_days", Integer, nullable=False, server_default="1"),
    *one_of(
        "milestone_of", ("Billing start", "PONR", "Service start", "Service end"), nullable=True
    ),
    *one_of("state", TASK_STATES, default="Pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    instant("next_attempt_at", nullable=True),
    day("effective_on", nullable=True),
    instant("ready_at", nullable=True),
    instant("actual_start_at", nullable=True),
    instant("actual_end_at", nullable=True),
    instant("expected_end_at", nullable=True),
    text("error_message", nullable=True),
    text("completion_note", nullable=True),
    Column("result", JSONB, nullable=True),
    text("why_in_plan", default=""),
    UniqueConstraint("work_order_id", "name"),
    CheckConstraint("kind <> 'Code' OR code_ref IS NOT NULL", name="code_task_has_code"),
    # What runs by itself is looked for every few seconds among all tasks there ever were.
    Index(
        "ix_task_due",
        "ready_at",
        postgresql_where=sql("state = 'Ready' AND kind IN ('Code', 'Milestone', 'Notify')"),
    ),
)

task_dependency = Table(
    "task_dependency",
    metadata,
    identity(),
    reference("predecessor_id", "task"),
    reference("successor_id", "task"),
    *one_of("type", ("FS", "SS"), default="FS"),
    Column("lag_days", Integer, nullable=False, server_default="0"),
    UniqueConstraint("predecessor_id", "successor_id"),
    CheckConstraint("predecessor_id <> successor_id", name="not_itself"),
)
