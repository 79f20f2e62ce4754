"""Usage: registered files, suspense, the manifest of the Parquet lake, rating runs, summaries."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

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

# Every line read is accounted for: the check makes "lost line" impossible to store.
usage_file = Table(
    "usage_file",
    metadata,
    identity(),
    text("feed"),
    text("name"),
    text("sha256"),
    Column("lines_read", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("suspense", BigInteger, nullable=False),
    Column("header", JSONB, nullable=False),  # its columns in their order, to replay a line later
    instant("imported_at"),
    UniqueConstraint("feed", "sha256"),
    CheckConstraint("accepted + duplicate + suspense = lines_read", name="every_line_counted"),
)

# At import a line waits here instead of becoming usage; at rating the usage record itself stays in
# the lake and waits here for a price. `period_start` is the month of a record that waits at rating.
suspense = Table(
    "suspense",
    metadata,
    identity(),
    reference("usage_file_id", "usage_file"),
    Column("line_no", BigInteger, nullable=False),
    *one_of("stage", ("import", "rating"), default="import"),
    day("period_start", nullable=True),
    text("reason_code"),
    text("reason"),
    text("raw"),
    *one_of("state", ("open", "replayed", "dropped"), default="open"),
    instant("created_at"),
    UniqueConstraint("usage_file_id", "line_no", "stage"),
    CheckConstraint("(stage = 'rating') = (period_start IS NOT NULL)", name="rating_has_period"),
)

rating_run = Table(
    "rating_run",
    metadata,
    identity(),
    day("period_start"),
    day("period_end"),
    text("input_hash"),  # of the snapshot and the files read: equal means nothing to do
    Column("snapshot", JSONB, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("unrated", BigInteger, nullable=False),
    *one_of("state", ("published", "replaced"), default="published"),
    instant("published_at"),
)

# Readers take the files listed here and no others, so half a run is never seen.
lake_file = Table(
    "lake_file",
    metadata,
    identity(),
    *one_of("dataset", ("usage", "rated")),
    text("feed", nullable=True),
    Column("path", Text, nullable=False, unique=True),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    day("period_start"),
    day("period_end"),
    reference("usage_file_id", "usage_file", nullable=True),
    reference("rating_run_id", "rating_run", nullable=True),
    instant("published_at"),
)

usage_summary = Table(
    "usage_summary",
    metadata,
    identity(),
    brand(),
    reference("service_id", "service"),
    text("usage_class"),
    day("period_start"),
    day("period_end"),
    text("unit"),
    exact("units"),
    exact("included_units", default="0"),
    exact("rated_amount"),
    exact("cost_amount"),
    text("currency"),
    Column("records", BigInteger, nullable=False),
    Column("late_records", BigInteger, nullable=False, server_default="0"),
    flag("is_final"),
    reference("rating_run_id", "rating_run"),
    Column("derivation", JSONB, nullable=False),
    UniqueConstraint("service_id", "usage_class", "period_start"),
)
