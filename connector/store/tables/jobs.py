"""Ticks of the scheduler: unique on job and due time, so any number of schedulers may run."""

from sqlalchemy import Column, Table, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from connector.store.tables.base import metadata

job_tick = Table(
    "job_tick",
    metadata,
    Column("job", Text, primary_key=True),
    Column("due_at", TIMESTAMP(timezone=True), primary_key=True),
)
