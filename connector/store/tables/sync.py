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

from connector.store.tables.base import flag, identity, instant, metadata, one_of, text

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

# How far each kind of question about an object has come: changes by SystemModstamp, deletions by
# getDeleted, and by Id the fields whose change stamps nothing.
sync_cursor = Table(
    "sync_cursor",
    metadata,
    Column("kind", Text, primary_key=True, server_default="changes"),
    Column("object", Text, primary_key=True),
    instant("position_at"),
    text("position_id", default=""),
    CheckConstraint("kind IN ('changes', 'deletions', 'unstamped')", name="kind_known"),
)

# Where each topic of change events stands; the replay id moves with the inbox rows before it.
event_topic = Table(
    "event_topic",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("replay_id", LargeBinary, nullable=True),
    flag("from_earliest"),  # without a replay id: begin with the oldest event, not with the next
    instant("followed_since"),
    instant("commit_at", nullable=True),  # of the last event, by the org's clock
    instant("received_at", nullable=True),
    instant("heard_at", nullable=True),  # last answer, signs of life included
    flag("is_connected"),
    text("problem", nullable=True),
)

# Objects whose records have to be read again from an instant on, because events were lost.
owed_sweep = Table(
    "owed_sweep",
    metadata,
    Column("object", Text, primary_key=True),
    instant("position_at"),
    text("position_id", default=""),
    text("reason"),
    instant("owed_at"),
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
    # Field -> [what told, when], "*" for a record as a whole: the trail of `l2c sync explain`.
    Column("known_from", JSONB, nullable=False, server_default="{}"),
    instant("pushed_at", nullable=True),  # the database's clock: what was read before it is stale
    Column("in_conflict", ARRAY(Text), nullable=True),  # fields the push leaves alone; never empty
    # Field -> {"times", "since"}: how often an edit was undone, by the org's time (loop breaker).
    Column("repairs", JSONB, nullable=True),
    *one_of("status", ("Pending", "In Sync", "Error", "Conflict", "Ignored"), default="Pending"),
    text("error", nullable=True),
    text("error_code", nullable=True),
    text("remedy", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    instant("next_attempt_at", nullable=True),
    instant("synced_at", nullable=True),
    # Deleted in the CRM and not back yet; one born here has no sfid then and is owed again.
    instant("deleted_at", nullable=True),
    UniqueConstraint("entity", "hub_id"),
    Index(
        "ix_crm_record_next_attempt_at",
        "next_attempt_at",
        postgresql_where=sql("next_attempt_at IS NOT NULL"),
    ),
    CheckConstraint("born = 'hub' OR sfid IS NOT NULL", name="crm_born_has_sfid"),
)

# A field that belongs to the hub and was changed in the CRM, until a person decides (design D3).
conflict = Table(
    "conflict",
    metadata,
    identity(),
    *one_of("kind", ("edit", "loop")),  # loop: the CRM undid our value again and again
    text("entity"),
    Column("hub_id", BigInteger, nullable=False),
    text("object"),
    text("sfid"),
    text("field"),
    Column("theirs", JSONB, nullable=False),
    Column("ours", JSONB, nullable=False),
    Column("agreed", JSONB, nullable=False),  # what both had before
    instant("seen_at"),  # the org's: stamp of the record that showed it last
    instant("opened_at"),
    instant("decided_at", nullable=True),
    *one_of("decision", ("theirs", "ours", "agreed"), nullable=True),
    text("decided_by", nullable=True),
    CheckConstraint("(decided_at IS NULL) = (decision IS NULL)", name="decided_has_decision"),
    Index(
        "uq_conflict_open",
        "entity",
        "hub_id",
        "field",
        unique=True,
        postgresql_where=sql("decided_at IS NULL"),
    ),
)

# A record of the hub that the CRM refused because another one there has its values.
duplicate = Table(
    "duplicate",
    metadata,
    identity(),
    text("entity"),
    Column("hub_id", BigInteger, nullable=False),
    text("object"),
    text("external_key"),
    text("other_sfid"),
    text("message"),
    instant("opened_at"),
    instant("adopted_at", nullable=True),
    UniqueConstraint("entity", "hub_id", "other_sfid"),
)

# Ids that were merged away: what still names one of them means the master (domain D5).
crm_alias = Table(
    "crm_alias",
    metadata,
    Column("sfid", Text, primary_key=True),
    Column("master_sfid", Text, nullable=False, index=True),
    text("object"),
    instant("merged_at"),
    CheckConstraint("sfid <> master_sfid", name="not_itself"),
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

# Of the last comparison: which share of an account's records the CRM shows as they are.
account_score = Table(
    "account_score",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("records", BigInteger, nullable=False),
    Column("in_step", BigInteger, nullable=False),
    instant("made_at"),
    CheckConstraint("records > 0 AND in_step BETWEEN 0 AND records", name="share"),
)

# A first load under way: its Bulk job in the org, and how far its result has been taken.
full_load = Table(
    "full_load",
    metadata,
    Column("object", Text, primary_key=True),
    text("job"),
    text("locator", default=""),
    instant("began_at"),  # the org's present when the snapshot was asked for
    Column("rows", BigInteger, nullable=False, server_default="0"),
)

# What the shadow mode last found that a push would send; one row.
shadow_push = Table(
    "shadow_push",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    text("queue"),  # fingerprint of the queue, so that an unchanged one is not computed again
    Column("content", JSONB, nullable=False),
    instant("made_at"),
    CheckConstraint("id = 1", name="one_row"),
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
