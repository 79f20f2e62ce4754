"""What sync remembers: inbox, push marks, records on both sides, cursors, parked intents."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

from connector.store.tables.base import identity, instant, metadata, one_of, text

# One row per envelope, sweep page or event, durable before any acknowledgement (design D4).
inbox = Table(
    "inbox",
    metadata,
    identity(),
    *one_of("source", ("outbound_message", "sweep", "cdc", "bulk")),
    instant("received_at"),
    text("organization_id"),
    text("topic"),  # outbound message: its action id; sweep: the object
    Column("content", LargeBinary, nullable=False),
    *one_of("state", ("pending", "applied", "failed"), default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    instant("next_attempt_at", nullable=True),
    text("error", nullable=True),
    instant("applied_at", nullable=True),
)

# Notifications seen, so the same one ten times is one change. Kept at least 24 h (fact sheet G.4).
seen_notification = Table(
    "seen_notification",
    metadata,
    Column("notification_id", Text, primary_key=True),
    instant("seen_at"),
)

sync_cursor = Table(
    "sync_cursor",
    metadata,
    Column("object", Text, primary_key=True),
    instant("position_at"),
    text("position_id", default=""),
)

push_entity = Table(
    "push_entity",
    metadata,
    Column("code", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    text("mapped_as", nullable=True),  # digest of the mapping its records were last sent by
)

# What the org last said of an object; `digest` tells whether it has changed since.
org_describe = Table(
    "org_describe",
    metadata,
    Column("object", Text, primary_key=True),
    Column("content", JSONB, nullable=False),
    text("digest"),
    instant("read_at"),
)

# Appended by statement-level triggers, emptied by the one collapser (measured 3).
push_log = Table(
    "push_log",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("entity", SmallInteger, nullable=False),
    Column("keys", ARRAY(BigInteger), nullable=False),
)

push_queue = Table(
    "push_queue",
    metadata,
    Column("entity", SmallInteger, primary_key=True),
    Column("key", BigInteger, primary_key=True),
    Column("version", BigInteger, nullable=False, server_default="1"),
    Column("lease_until", TIMESTAMP(timezone=True), nullable=False, server_default="-infinity"),
    postgresql_with={
        "fillfactor": "80",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "1000",
    },
)

# Bulk jobs that may still write in the org: nothing newer is sent before they have ended.
bulk_job = Table(
    "bulk_job",
    metadata,
    Column("job", Text, primary_key=True),
    text("entity"),
    instant("opened_at"),
)

# One row per record that lives on both sides: last-known-good values for the three-way comparison.
crm_record = Table(
    "crm_record",
    metadata,
    identity(),
    text("entity"),
    Column("hub_id", BigInteger, nullable=False),
    text("object"),
    Column("sfid", Text, nullable=True, unique=True),
    *one_of("born", ("hub", "crm")),
    instant("system_modstamp", nullable=True),
    Column("known", JSONB, nullable=False, server_default="{}"),
    *one_of("status", ("Pending", "In Sync", "Error", "Conflict", "Ignored"), default="Pending"),
    text("error", nullable=True),
    text("error_code", nullable=True),
    text("remedy", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    instant("next_attempt_at", nullable=True),
    instant("synced_at", nullable=True),
    UniqueConstraint("entity", "hub_id"),
    Index(
        "ix_crm_record_next_attempt_at",
        "next_attempt_at",
        postgresql_where=sql("next_attempt_at IS NOT NULL"),
    ),
    CheckConstraint("born = 'hub' OR sfid IS NOT NULL", name="crm_born_has_sfid"),
)

# A change in the CRM that asks for an act (design D15); parked with a reason until it can run.
intent = Table(
    "intent",
    metadata,
    identity(),
    text("flow"),
    text("object"),
    text("sfid"),
    text("version"),  # SystemModstamp of the record that asked: the same ask twice is one intent
    Column("facts", JSONB, nullable=False),
    *one_of("state", ("pending", "done", "parked", "failed"), default="pending"),
    text("reason", nullable=True),
    text("remedy", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    instant("next_attempt_at", nullable=True),
    instant("created_at"),
    instant("done_at", nullable=True),
    instant("cleared_at", nullable=True),  # when the asking field was emptied in the CRM
    text("told", nullable=True),  # what the CRM record says about it now
    UniqueConstraint("flow", "sfid", "version"),
)

reconcile_report = Table(
    "reconcile_report",
    metadata,
    identity(),
    instant("made_at"),
    Column("drift", BigInteger, nullable=False),
    Column("content", JSONB, nullable=False),
)

api_usage = Table(
    "api_usage",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False, server_default="0"),
    Column("used_today", BigInteger),
    Column("allowed_today", BigInteger),
    instant("seen_at", nullable=True),
    *one_of("held_for", ("daily", "concurrency"), nullable=True),
    instant("held_until", nullable=True),
    Column("holds", Integer, nullable=False, server_default="0"),  # one after the other
    CheckConstraint("id = 1", name="one_row"),
)

# Our counted calls of the last day by what they were for.
api_lane_hour = Table(
    "api_lane_hour",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("hour", TIMESTAMP(timezone=True), primary_key=True),
    Column("calls", BigInteger, nullable=False),
    instant("last_at"),
)

# The org's own count of the last day, every five minutes, for the forecast.
api_sample = Table(
    "api_sample",
    metadata,
    Column("at", TIMESTAMP(timezone=True), primary_key=True),
    Column("used", BigInteger, nullable=False),
    Column("allowed", BigInteger, nullable=False),
)

# What of the mappings does not fit the org or the hub; `halts` says which way stands still for it.
mapping_finding = Table(
    "mapping_finding",
    metadata,
    identity(),
    text("entity"),
    text("object"),
    text("field"),
    text("file"),
    Column("line", Integer, nullable=False),
    text("problem"),
    text("remedy"),
    *one_of("halts", ("push", "pull"), nullable=True),
    instant("found_at"),
)
