"""What is sold and at which price, dated and versioned."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint
from sqlalchemy.sql import text as sql

from connector.store.tables.base import (
    TAX_TREATMENTS,
    brand,
    day,
    exact,
    flag,
    identity,
    instant,
    metadata,
    one_of,
    pricing,
    reference,
    text,
)

product = Table(
    "product",
    metadata,
    identity(),
    brand(),
    Column("key", Text, nullable=False, unique=True),
    text("name"),
    text("display_name"),
    *one_of("kind", ("Service", "Part", "Service Request", "Widget")),
    text("vendor", default=""),
    text("service_class", nullable=True),
    flag("is_location_based"),
    *one_of("change_policy", ("In place", "Replace"), default="In place"),
    text("tax_category", default="standard"),
    text("accounting_code", default="4000"),
    text("rate_plan_key", nullable=True),  # usage of its services is priced by this plan
    # keys of the products that its services can be upgraded to; the way back is the downgrade
    Column("upgrades_to", JSONB, nullable=False, server_default="[]"),
    # what leaving a term early costs: bands of months, a flat part, a cap
    Column("early_termination", JSONB(none_as_null=True), nullable=True),
    # how long seats may be given up inside a term: `window_days`
    Column("commitment", JSONB(none_as_null=True), nullable=True),
)

# The price of one product for one request type, term and currency, for a span of days.
# `slot` lets the exclusion constraint work without an extension (measured 1).
price_entry = Table(
    "price_entry",
    metadata,
    identity(),
    brand(),
    reference("product_id", "product"),
    text("request_type"),
    Column("term_months", Integer, nullable=False, server_default="0"),
    text("currency"),
    exact("mr_price", default="0"),
    exact("nr_price", default="0"),
    exact("mr_cost", default="0"),
    exact("nr_cost", default="0"),
    pricing(),  # of the recurring price; `mr_price` is then what one unit alone costs
    Column("nr_pricing", JSONB(none_as_null=True), nullable=True),  # and of `nr_price`
    *one_of("renewal_type", ("Same term", "Month-to-month", "Expires"), default="Month-to-month"),
    text("work_order_template", nullable=True),
    day("valid_from"),
    day("valid_to", nullable=True),
    Column(
        "slot",
        BigInteger,
        Computed(
            "hashtextextended(product_id::text || '/' || request_type || '/' || "
            "term_months::text || '/' || currency, 0)",
            persisted=True,
        ),
    ),
    CheckConstraint("mr_price >= 0 AND nr_price >= 0", name="prices_not_negative"),
    CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="valid_span"),
    ExcludeConstraint(
        (sql("int8range(slot, slot, '[]')"), "="),
        (sql("daterange(valid_from, valid_to)"), "&&"),
        name="ex_price_entry_no_overlap",
    ),
)

# How usage is priced. A plan names a deck for calls, or meter prices, or both; the version of the
# deck in force on the day of the call prices it.
rate_plan = Table(
    "rate_plan",
    metadata,
    identity(),
    Column("key", Text, nullable=False, unique=True),
    text("name"),
    text("currency"),
    text("deck_key", nullable=True),
)

rate_deck = Table(
    "rate_deck",
    metadata,
    identity(),
    text("key"),
    Column("version", Integer, nullable=False),
    text("currency"),
    text("sha256"),
    day("valid_from"),
    day("valid_to", nullable=True),
    UniqueConstraint("key", "version"),
    UniqueConstraint("key", "valid_from"),
    CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="valid_span"),
)

# Sell and cost of a dialled prefix: price = units / 10**scale per block of `block_s` seconds.
rate = Table(
    "rate",
    metadata,
    Column("rate_deck_id", BigInteger, primary_key=True),
    Column("prefix", Text, primary_key=True),
    text("destination"),
    text("usage_class"),
    Column("sell_units", BigInteger, nullable=False),
    Column("cost_units", BigInteger, nullable=False),
    Column("scale", SmallInteger, nullable=False),
    Column("block_s", Integer, nullable=False),
    Column("minimum_s", Integer, nullable=False),
    Column("increment_s", Integer, nullable=False),
    Column("connection_units", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("prefix ~ '^[0-9]{1,15}$'", name="prefix_digits"),
    CheckConstraint("block_s > 0 AND increment_s > 0 AND minimum_s >= 0", name="blocks_positive"),
    CheckConstraint(
        "sell_units >= 0 AND cost_units >= 0 AND connection_units >= 0", name="prices_not_negative"
    ),
    CheckConstraint("scale BETWEEN 0 AND 9", name="scale_known"),
)

# Price of one unit of a cloud meter: sell = sell_units / 10**scale per `block` units.
meter_price = Table(
    "meter_price",
    metadata,
    identity(),
    reference("rate_plan_id", "rate_plan"),
    text("meter"),
    text("usage_class"),
    text("unit"),
    Column("sell_units", BigInteger, nullable=False),
    Column("cost_units", BigInteger, nullable=False),
    Column("scale", SmallInteger, nullable=False),
    Column("block", BigInteger, nullable=False, server_default="1"),
    day("valid_from"),
    day("valid_to", nullable=True),
    UniqueConstraint("rate_plan_id", "meter", "valid_from"),
    CheckConstraint("sell_units >= 0 AND cost_units >= 0", name="prices_not_negative"),
    CheckConstraint("block > 0", name="block_positive"),
    CheckConstraint("scale BETWEEN 0 AND 9", name="scale_known"),
    CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="valid_span"),
)

# Included quantity of a class per service and calendar month (seconds for calls, units for meters).
allowance = Table(
    "allowance",
    metadata,
    identity(),
    reference("rate_plan_id", "rate_plan"),
    text("usage_class"),
    Column("included", BigInteger, nullable=False),
    day("valid_from"),
    day("valid_to", nullable=True),
    UniqueConstraint("rate_plan_id", "usage_class", "valid_from"),
    CheckConstraint("included >= 0", name="included_not_negative"),
    CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="valid_span"),
)

# The price of all units of a class in a month beyond what is included, in place of the sum of what
# its records were rated at.
class_price = Table(
    "class_price",
    metadata,
    identity(),
    reference("rate_plan_id", "rate_plan"),
    text("usage_class"),
    Column("pricing", JSONB, nullable=False),
    day("valid_from"),
    day("valid_to", nullable=True),
    UniqueConstraint("rate_plan_id", "usage_class", "valid_from"),
    CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="valid_span"),
)

# What a bundle holds; `weight` is a part's own list price, by which it gets its share.
bundle_part = Table(
    "bundle_part",
    metadata,
    reference("product_id", "product"),
    reference("part_id", "product"),
    Column("position", Integer, nullable=False),
    exact("weight"),
    PrimaryKeyConstraint("product_id", "part_id"),
    CheckConstraint("weight >= 0", name="weight_not_negative"),
)

# Less, or another price, for some customers, products and days. What it names nobody of holds for
# all. `percent` and `amount` lower a recurring charge, `price` is a customer's own unit price.
discount = Table(
    "discount",
    metadata,
    identity(),
    text("key"),
    text("name"),
    exact("percent", nullable=True),
    exact("amount", nullable=True),
    exact("price", nullable=True),
    exact("markup", nullable=True),  # the price is the cost and this fraction of it more
    text("currency", nullable=True),  # of amount or price
    text("vendor", nullable=True),
    Column("products", JSONB, nullable=False),  # keys
    Column("customers", JSONB, nullable=False),  # ids of accounts in the CRM or billing accounts
    Column("brands", JSONB, nullable=False, server_default="[]"),  # keys of resellers
    flag("new_customers_only"),
    Column("cycles", Integer, nullable=True),
    day("valid_from"),
    day("valid_to", nullable=True),
    UniqueConstraint("key", "valid_from"),
    CheckConstraint("num_nonnulls(percent, amount, price, markup) = 1", name="one_kind"),
    CheckConstraint("percent BETWEEN 0 AND 100", name="percent_known"),
    CheckConstraint("amount >= 0 AND price >= 0 AND markup >= 0", name="amounts_not_negative"),
    CheckConstraint("cycles > 0", name="cycles_positive"),
    CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="valid_span"),
)

# Less on every service of a vendor for whoever has several when a billing period begins (G8).
vendor_rule = Table(
    "vendor_rule",
    metadata,
    identity(),
    text("vendor"),
    Column("min_services", Integer, nullable=False),
    exact("percent"),
    day("valid_from"),
    day("valid_to", nullable=True),
    UniqueConstraint("vendor", "min_services", "valid_from"),
    CheckConstraint("percent BETWEEN 0 AND 100 AND min_services > 0", name="rule_known"),
    CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="valid_span"),
)

tax_rate = Table(
    "tax_rate",
    metadata,
    identity(),
    text("country"),
    text("category"),
    *one_of("customer", ("any", "business", "person"), default="any"),  # the particular one counts
    *one_of("treatment", TAX_TREATMENTS, default="exclusive"),
    exact("percent"),
    day("valid_from"),
    day("valid_to", nullable=True),
    text("note", default=""),
    UniqueConstraint("country", "category", "customer", "valid_from"),
    CheckConstraint(
        "treatment IN ('exclusive', 'inclusive') OR percent = 0", name="untaxed_is_zero"
    ),
)

# Whose answers tax the bills instead of the table; at most one row.
tax_provider = Table(
    "tax_provider",
    metadata,
    Column("name", Text, primary_key=True),
)

# What a tax provider answered, by everything it was asked.
tax_answer = Table(
    "tax_answer",
    metadata,
    identity(),
    text("provider"),
    text("country"),
    text("postal_code"),
    text("city"),
    text("street"),
    text("customer"),
    text("category"),
    day("supplied_on"),
    exact("percent"),
    *one_of("treatment", TAX_TREATMENTS, default="exclusive"),
    # Several taxes of a line: name, percent or amount with its currency; `percent` is their sum.
    Column("parts", JSONB(none_as_null=True), nullable=True),
    instant("answered_at"),
    UniqueConstraint(
        "provider", "postal_code", "city", "street", "customer", "country", "category",
        "supplied_on",
    ),
    CheckConstraint("percent BETWEEN 0 AND 100", name="percent_known"),
)  # fmt: skip

catalog_load = Table(
    "catalog_load",
    metadata,
    identity(),
    text("sha256"),
    text("source"),
    instant("loaded_at"),
    Column("summary", JSONB, nullable=False),
)
