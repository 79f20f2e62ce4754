"""What is exchanged with foreign billing systems: commands for them, facts from them (D14)."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import text as sql

from connector.store.tables.base import (
    brand,
    day,
    exact,
    flag,
    identity,
    instant,
    metadata,
    one_of,
    reference,
    text,
)

# Stored in the transaction that asks, delivered outside it. `key` is the idempotency key in the
# foreign outbox too; a line of a foreign invoice may name it to say what it charges.
billing_command = Table(
    "billing_command",
    metadata,
    identity(),
    brand(),
    text("system"),
    text("key"),
    *one_of("command", ("open_account", "start", "change", "end", "charge")),
    reference("billing_account_id", "billing_account"),
    reference("service_id", "service", nullable=True),
    reference("order_line_id", "order_line", nullable=True),
    reference("product_id", "product", nullable=True),
    day("effective_on"),
    exact("quantity", nullable=True),
    exact("unit_price", nullable=True),
    Column("payload", JSONB, nullable=False),
    instant("created_at"),
    instant("delivered_at", nullable=True),
    UniqueConstraint("system", "key"),
    CheckConstraint("system <> 'builtin'", name="for_others"),
    Index("ix_billing_command_owed", "system", "id", postgresql_where=sql("delivered_at IS NULL")),
)

# The last row read of each fact. `content` is what the mapping made of the raw row; a broken one
# could not be read, a held one does not fit what the hub knows (yet).
foreign_fact = Table(
    "foreign_fact",
    metadata,
    identity(),
    text("system"),
    *one_of("stream", ("account", "invoice", "invoice_line", "payment", "allocation")),
    Column("key", Text(collation="C"), nullable=False),  # "C": a full compare walks in its order
    Column("raw", JSONB, nullable=False),
    Column("content", JSONB, nullable=False),
    text("digest"),
    *one_of("state", ("pending", "applied", "held", "broken", "ignored"), default="pending"),
    flag("is_gone"),
    text("reason", nullable=True),
    instant("read_at"),
    UniqueConstraint("system", "stream", "key"),
    Index(
        "ix_foreign_fact_open",
        "system",
        "stream",
        "id",
        postgresql_where=sql("state IN ('pending', 'held', 'broken')"),
    ),
    Index(
        "ix_foreign_fact_invoice",
        "system",
        sql("(content ->> 'invoice')"),
        postgresql_where=sql("stream = 'invoice_line'"),
    ),
)

# How far a stream is read; `mapping` names the file's content, and another one reads it all again.
foreign_cursor = Table(
    "foreign_cursor",
    metadata,
    Column("system", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    text("position", nullable=True),
    text("mapping"),
    instant("read_at"),
    Column("rows", Integer, nullable=False, server_default="0"),
)
