"""The double-entry journal. Triggers refuse an entry whose sides differ."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, Table, Text, UniqueConstraint

from connector.store.tables.base import (
    day,
    identity,
    instant,
    metadata,
    money,
    reference,
    text,
)

journal_entry = Table(
    "journal_entry",
    metadata,
    identity(),
    reference("brand_id", "brand", nullable=True),
    text("document_type"),
    Column("document_id", BigInteger, nullable=False),
    day("posted_on"),
    text("currency"),
    text("text"),
    instant("created_at"),
    UniqueConstraint("document_type", "document_id"),
)

journal_line = Table(
    "journal_line",
    metadata,
    identity(),
    reference("entry_id", "journal_entry", index=False),  # found by the unique key
    Column("line_no", Integer, nullable=False),
    Column("account_code", Text, nullable=False),
    money("debit", default="0"),
    money("credit", default="0"),
    UniqueConstraint("entry_id", "line_no"),
    CheckConstraint("debit >= 0 AND credit >= 0", name="sides_not_negative"),
    CheckConstraint("(debit = 0) <> (credit = 0)", name="one_side"),
)
