"""Brands, customers, who is invoiced, and where services are."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy import text as sql

from connector.store.tables.base import (
    INVOICE_SECTIONS,
    brand,
    flag,
    identity,
    instant,
    metadata,
    one_of,
    reference,
    text,
)

brand_table = Table(
    "brand",
    metadata,
    identity(),
    Column("key", Text, nullable=False, unique=True),
    text("name"),
    text("legal_name"),
    text("address", default=""),
    text("tax_number", default=""),
    text("email", default=""),
    text("remit_to", default=""),
    text("colour", default="#1f4e79"),
    text("invoice_prefix"),
    *one_of("invoice_sections", INVOICE_SECTIONS, default="site"),
    text("footer", default=""),
)

# Born in the CRM: a row here mirrors an Account; `sfid` is its 18-character id.
account = Table(
    "account",
    metadata,
    identity(),
    brand(),
    Column("sfid", Text, nullable=False, unique=True),
    *one_of("kind", ("business", "person")),
    text("name"),
    text("first_name", nullable=True),
    text("last_name", nullable=True),
    text("email", nullable=True),
    text("phone", nullable=True),
    text("street", nullable=True),
    text("city", nullable=True),
    text("postal_code", nullable=True),
    text("country", nullable=True),
    text("currency", nullable=True),
    text("parent_sfid", nullable=True),
    text("reseller_sfid", nullable=True),
    flag("is_tax_exempt"),
    # how often the customer asks to be billed; a word that is no interval changes nothing
    text("billing_cycle", nullable=True),
    *one_of(
        "link_state", ("Unlinked", "Linking", "Linked", "Ambiguous", "Broken"), default="Unlinked"
    ),
    instant("deleted_at", nullable=True),
    CheckConstraint("char_length(sfid) = 18", name="sfid_18"),
)

# `system` says who bills it: "builtin", or a foreign billing system, which knows the account by
# `foreign_key` (empty until it answered). There may be several per customer and currency there.
billing_account = Table(
    "billing_account",
    metadata,
    identity(),
    brand(),
    reference("account_id", "account"),
    text("system", default="builtin"),
    text("foreign_key", nullable=True),
    text("number"),
    text("currency"),
    Column("anchor_day", Integer, nullable=False, server_default="1"),
    text("cycle", default="month"),
    text("timezone", default="Europe/Berlin"),
    text("language", default="en"),
    Column("payment_terms_days", Integer, nullable=False, server_default="14"),
    text("email", nullable=True),
    *one_of(
        "status",
        ("Active", "Collection", "Suspended", "Deactivated", "Final Bill", "Closed"),
        default="Active",
    ),
    instant("opened_at"),
    UniqueConstraint("system", "number"),
    UniqueConstraint("id", "system"),  # what documents refer to: theirs cannot mix with ours
    UniqueConstraint("system", "foreign_key"),
    # After a merge of two billed customers: who gets new deals instead. What runs here goes on.
    Column("superseded_by_id", BigInteger, ForeignKey("billing_account.id"), nullable=True),
    Index(
        "uq_billing_account_leading",
        "account_id",
        "currency",
        "system",
        unique=True,
        postgresql_where=sql("foreign_key IS NULL AND superseded_by_id IS NULL"),
    ),
    CheckConstraint("system <> 'builtin' OR foreign_key IS NULL", name="built_in_has_no_key"),
    CheckConstraint("anchor_day BETWEEN 1 AND 31", name="anchor_day_in_month"),
    # a weekday, Monday is 1, for whoever is billed by the week
    CheckConstraint("cycle <> 'week' OR anchor_day <= 7", name="anchor_day_in_week"),
    CheckConstraint(
        "cycle IN ('week', 'month', 'quarter', 'half_year', 'year')", name="cycle_known"
    ),
)

# A brand whose services we (or a distributor's brand) sell to it: who pays for them, and whether it
# bills its customers itself. Kept from mappings/policies/wholesale.yaml.
reseller = Table(
    "reseller",
    metadata,
    Column("brand_id", BigInteger, ForeignKey("brand.id"), primary_key=True),
    reference("billing_account_id", "billing_account"),
    flag("bills_itself"),
)

# `normalized_key` guards against the same address twice for one customer (domain A6, 2.3.8).
location = Table(
    "location",
    metadata,
    identity(),
    brand(),
    reference("account_id", "account"),
    Column("sfid", Text, nullable=True, unique=True),
    text("name"),
    text("street", default=""),
    text("city", default=""),
    text("postal_code", default=""),
    text("country", default=""),
    Column("normalized_key", Text, nullable=False, unique=True),
)
