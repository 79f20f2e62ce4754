"""The shared metadata and the column kinds every table is made of."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    MetaData,
    Numeric,
    Text,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_FROM_CRM = "from_crm"


INVOICE_SECTIONS = ("site", "vendor", "service")  # what the lines of an invoice are grouped by
# How tax is due: on top of prices, contained in them, not at all, or by the customer.
TAX_TREATMENTS = ("exclusive", "inclusive", "exempt", "reverse_charge")


def identity() -> Column[int]:
    """Return the primary key column."""
    return Column("id", BigInteger, Identity(), primary_key=True)


def reference(name: str, target: str, *, nullable: bool = False, index: bool = True) -> Column[int]:
    """Return a foreign key to `target`.id, indexed because children are looked up by parent."""
    return Column(name, BigInteger, ForeignKey(f"{target}.id"), nullable=nullable, index=index)


def billing_system() -> tuple[Column[str], Column[str], CheckConstraint]:
    """Return who made the row: the built-in billing, or a foreign system and its key there."""
    return (
        text("system", default="builtin"),
        text("foreign_key", nullable=True),
        CheckConstraint("(system = 'builtin') = (foreign_key IS NULL)", name="foreign_has_key"),
    )


def brand() -> Column[int]:
    """Return the column that says which brand (reseller) owns the row."""
    return reference("brand_id", "brand")


def text(name: str, *, nullable: bool = False, default: str | None = None) -> Column[str]:
    """Return a text column."""
    return Column(name, Text, nullable=nullable, server_default=default)


def crm_text(name: str) -> Column[str]:
    """Return a text column that a mapping may take from the CRM: no rule hangs on its value."""
    return Column(name, Text, nullable=True, info={_FROM_CRM: True})


def may_come_from_crm(column: Column[Any]) -> bool:
    """Return whether sync may write the column with what a person typed in the CRM."""
    return bool(column.info.get(_FROM_CRM, False))


def flag(name: str) -> Column[bool]:
    """Return a yes-or-no column, no by default."""
    return Column(name, Boolean, nullable=False, server_default=false())


def instant(name: str, *, nullable: bool = False) -> Column[Any]:
    """Return a UTC instant."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def day(name: str, *, nullable: bool = False) -> Column[Any]:
    """Return a local calendar date."""
    return Column(name, Date, nullable=nullable)


def money(name: str, *, nullable: bool = False, default: str | None = None) -> Column[Any]:
    """Return a document amount at currency scale."""
    return Column(name, Numeric(18, 4), nullable=nullable, server_default=default)


def exact(name: str, *, nullable: bool = False, default: str | None = None) -> Column[Any]:
    """Return an unrounded amount, price or quantity."""
    return Column(name, Numeric(24, 9), nullable=nullable, server_default=default)


def pricing() -> Column[Any]:
    """Return how a quantity is priced, a document of the catalogue; NULL is a plain unit price."""
    return Column("pricing", JSONB(none_as_null=True), nullable=True)


def one_of(
    name: str,
    values: Iterable[str] | type[StrEnum],
    *,
    nullable: bool = False,
    default: str | None = None,
) -> tuple[Column[str], CheckConstraint]:
    """Return a text column and the check that it holds one of the values."""
    listed = ", ".join("'" + str(value).replace("'", "''") + "'" for value in values)
    return (
        Column(name, Text, nullable=nullable, server_default=default),
        CheckConstraint(f"{name} IN ({listed})", name=f"{name}_known"),
    )
