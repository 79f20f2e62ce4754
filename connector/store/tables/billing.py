"""Bill runs, invoices and credit notes, payments and their allocation."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import text as sql

from connector.store.tables.base import (
    TAX_TREATMENTS,
    billing_system,
    brand,
    day,
    exact,
    flag,
    identity,
    instant,
    metadata,
    money,
    one_of,
    reference,
    text,
)

# One series per issuer (brand) and kind of document; the row lock makes the numbers gapless.
number_series = Table(
    "number_series",
    metadata,
    Column("series", Text, primary_key=True),
    Column("last_number", BigInteger, nullable=False, server_default="0"),
)

bill_run = Table(
    "bill_run",
    metadata,
    identity(),
    Column("key", Text, nullable=False, unique=True),  # "cycle:2026-07-01"
    day("billed_to"),
    # What it is doing, or did last: bill at once, make drafts, or finalise the drafts it made.
    *one_of("mode", ("bill", "draft", "finalise"), default="bill"),
    instant("started_at"),
    instant("finished_at", nullable=True),  # every chunk is done
    Column("accounts", Integer, nullable=False, server_default="0"),
    Column("problems", JSONB, nullable=False, server_default="[]"),
)

# The accounts of a run, cut into ranges of their ids. A worker holds the row's lock while it bills
# the range, in one transaction: the lock is its lease and goes with it when it dies.
bill_chunk = Table(
    "bill_chunk",
    metadata,
    identity(),
    reference("bill_run_id", "bill_run", index=False),
    Column("after_id", BigInteger, nullable=False),  # the range begins behind it
    Column("last_id", BigInteger, nullable=False),
    Column("accounts", Integer, nullable=False),
    Column("problems", JSONB, nullable=False, server_default="[]"),
    instant("finished_at", nullable=True),
    UniqueConstraint("bill_run_id", "after_id"),
)


def _of_one_system(column: str, table: str) -> ForeignKeyConstraint:
    """A row and what it belongs to come from the same billing system."""
    return ForeignKeyConstraint([column, "system"], [f"{table}.id", f"{table}.system"])


# `run_key` makes a re-run harmless: one document per account, period and kind.
# What a foreign system issued is a copy: it follows its original, has its number and no journal.
# Whether a payer earned a vendor's discount in a billing period: decided once, by its first bill.
earned_discount = Table(
    "earned_discount",
    metadata,
    reference("billing_account_id", "billing_account", index=False),
    text("vendor"),
    Column("min_services", Integer, nullable=True),
    exact("percent", nullable=True),
    day("period_start"),
    day("period_end"),
    flag("is_earned"),
    PrimaryKeyConstraint("billing_account_id", "period_start", "vendor"),
    CheckConstraint("is_earned = (percent IS NOT NULL)", name="earned_has_percent"),
)

invoice = Table(
    "invoice",
    metadata,
    identity(),
    brand(),
    *billing_system(),
    Column("billing_account_id", BigInteger, nullable=False, index=True),
    *one_of("type", ("Invoice", "Credit Note", "Debit Note"), default="Invoice"),
    *one_of("state", ("draft", "finalised"), default="draft"),
    Column("run_key", Text, nullable=False, unique=True),
    reference("bill_run_id", "bill_run", nullable=True),
    text("series", nullable=True),
    text("number", nullable=True),
    text("currency"),
    day("invoice_on"),
    day("due_on"),
    day("period_start"),
    day("period_end"),
    money("subtotal"),
    money("tax"),
    money("total"),
    Column("corrects_invoice_id", BigInteger, ForeignKey("invoice.id"), nullable=True, index=True),
    text("reason", nullable=True),
    instant("created_at"),
    instant("posted_at", nullable=True),
    instant("voided_at", nullable=True),
    _of_one_system("billing_account_id", "billing_account"),
    UniqueConstraint("series", "number"),
    UniqueConstraint("id", "system"),
    UniqueConstraint("system", "foreign_key"),
    CheckConstraint("system = 'builtin' OR series = 'billing:' || system", name="foreign_series"),
    CheckConstraint("system <> 'builtin' OR series NOT LIKE 'billing:%'", name="own_series"),
    CheckConstraint("system <> 'builtin' OR voided_at IS NULL", name="only_foreign_is_void"),
    CheckConstraint("total = subtotal + tax", name="adds_up"),
    CheckConstraint("(state = 'finalised') = (number IS NOT NULL)", name="final_has_number"),
    CheckConstraint("(state = 'finalised') = (posted_at IS NOT NULL)", name="final_is_posted"),
    CheckConstraint("type <> 'Credit Note' OR total <= 0", name="credit_note_is_negative"),
)

invoice_line = Table(
    "invoice_line",
    metadata,
    identity(),
    reference("invoice_id", "invoice", index=False),  # found by the unique key
    Column("line_no", Integer, nullable=False),
    reference("charge_id", "charge", nullable=True),
    reference("service_id", "service", nullable=True),
    reference("product_id", "product", nullable=True),
    # Known by the charge; where a foreign system bills there is none, and this says it.
    reference("order_line_id", "order_line", nullable=True, index=False),
    # A credit names the line that had booked what it gives back, and takes over its tax rate.
    Column("corrects_line_id", BigInteger, ForeignKey("invoice_line.id"), nullable=True),
    *one_of("kind", ("Recurring", "One-time", "Usage", "Proration", "Discount", "Fee", "Credit")),
    text("description"),
    text("section", default=""),
    exact("quantity"),
    text("unit", default=""),
    exact("unit_price"),
    money("amount"),
    exact("cost", default="0"),
    text("tax_category"),
    exact("tax_percent"),
    *one_of("tax_treatment", TAX_TREATMENTS, default="exclusive"),
    money("tax_amount"),
    # Where several taxes are due on it: name, percentage and tax of each; they sum to tax_amount.
    Column("taxes", JSONB(none_as_null=True), nullable=True),
    day("service_from"),
    day("service_to"),
    text("accounting_code"),
    Column("explanation", JSONB, nullable=False),
    UniqueConstraint("invoice_id", "line_no"),
    Index(
        "ix_invoice_line_corrects_line_id",
        "corrects_line_id",
        postgresql_where=sql("corrects_line_id IS NOT NULL"),
    ),
)

# Tax is computed once per category and rate on rounded lines (design 7); lines show their share.
invoice_tax = Table(
    "invoice_tax",
    metadata,
    identity(),
    reference("invoice_id", "invoice", index=False),  # found by the unique key
    text("category"),
    text("name", default=""),  # of one of several taxes; a fixed amount has percent 0
    exact("percent"),
    *one_of("treatment", TAX_TREATMENTS, default="exclusive"),
    money("basis"),
    money("tax"),
    UniqueConstraint("invoice_id", "category", "name", "percent", "treatment"),
)

invoice_document = Table(
    "invoice_document",
    metadata,
    reference("invoice_id", "invoice", index=False),
    text("media_type"),
    text("sha256"),
    Column("content", LargeBinary, nullable=False),
    instant("rendered_at"),
    UniqueConstraint("invoice_id", "media_type"),
)

# An unknown debtor or invoice leaves billing_account_id empty: the money is held, unapplied.
payment = Table(
    "payment",
    metadata,
    identity(),
    reference("brand_id", "brand", nullable=True),
    *billing_system(),
    text("number"),
    text("source"),  # csv or webhook; billing when a foreign system took the money
    text("reference"),  # the payer's or gateway's own id: the same one twice is one payment
    Column("billing_account_id", BigInteger, nullable=True, index=True),
    day("received_on"),
    money("amount"),
    text("currency"),
    text("method", default="Bank transfer"),
    *one_of(
        "state", ("Pending", "Processed", "Failed", "Reversed", "Refunded"), default="Processed"
    ),
    text("told_invoice", nullable=True),
    text("hold_reason", nullable=True),
    instant("created_at"),
    _of_one_system("billing_account_id", "billing_account"),
    UniqueConstraint("system", "number"),
    UniqueConstraint("id", "system"),
    UniqueConstraint("system", "foreign_key"),
    Index(
        "uq_payment_source_reference",
        "source",
        "reference",
        unique=True,
        postgresql_where=sql("system = 'builtin'"),
    ),
    CheckConstraint("amount > 0", name="amount_positive"),
)

# What was given up of an invoice, once: it counts with its credits.
write_off = Table(
    "write_off",
    metadata,
    identity(),
    Column("invoice_id", BigInteger, ForeignKey("invoice.id"), nullable=False, unique=True),
    money("amount"),
    text("reason"),
    day("written_off_on"),
    instant("created_at"),
    CheckConstraint("amount > 0", name="amount_positive"),
)

# Money of a payment or of a credit note set against an invoice. Exactly one of the two sources.
allocation = Table(
    "allocation",
    metadata,
    identity(),
    *billing_system(),
    Column("invoice_id", BigInteger, nullable=False, index=True),
    Column("payment_id", BigInteger, nullable=True, index=True),
    Column("credit_invoice_id", BigInteger, nullable=True, index=True),
    money("amount"),
    instant("applied_at"),
    flag("is_reversed"),
    _of_one_system("invoice_id", "invoice"),
    _of_one_system("payment_id", "payment"),
    _of_one_system("credit_invoice_id", "invoice"),
    CheckConstraint("num_nonnulls(payment_id, credit_invoice_id) = 1", name="one_source"),
    CheckConstraint("amount > 0", name="amount_positive"),
    UniqueConstraint("system", "foreign_key"),
    # A foreign system may set one payment against one invoice in several steps.
    *(
        Index(
            f"uq_allocation_{source}_invoice_id",
            source,
            "invoice_id",
            unique=True,
            postgresql_where=sql("system = 'builtin'"),
        )
        for source in ("payment_id", "credit_invoice_id")
    ),
)
