"""What resellers pay us: the operator's file of wholesale terms (domain 3.8 and 3.11)."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, text

from connector.errors import InvalidInput, Misconfigured
from connector.inventory.operator_file import read_operator_file

_ACCOUNTS = text(
    "SELECT r.key, r.id AS brand_id, b.id AS account_id, b.brand_id AS issuer_id, b.system "
    "  FROM unnest(CAST(:brands AS text[]), CAST(:numbers AS text[])) AS t(brand, number) "
    "  LEFT JOIN brand r ON r.key = t.brand "
    "  LEFT JOIN billing_account b ON b.number = t.number AND b.system = 'builtin' "
    " ORDER BY t.brand"
)
_GONE = text("DELETE FROM reseller WHERE NOT brand_id = ANY(:brand_ids)")
_STORE = text(
    "INSERT INTO reseller (brand_id, billing_account_id, bills_itself) "
    "VALUES (:brand_id, :account_id, :bills_itself) ON CONFLICT (brand_id) DO UPDATE "
    "   SET billing_account_id = excluded.billing_account_id, "
    "       bills_itself = excluded.bills_itself"
)


class BadWholesaleTerms(Misconfigured):
    """The wholesale terms cannot be used."""

    code = "billing.bad_wholesale_terms"
    remedy = "Correct the file; mappings/policies/wholesale.yaml shows the form."


class BadReseller(InvalidInput):
    """A reseller of the wholesale terms cannot be charged."""

    code = "billing.bad_reseller"
    remedy = "Correct mappings/policies/wholesale.yaml."


_Price = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=9)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class WholesalePrice(_Part):
    """What a reseller pays for a product from a day on."""

    product: str
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    monthly: _Price | None = None
    once: _Price | None = None
    usage_percent: Annotated[Decimal, Field(ge=0, le=1000)] | None = None
    valid_from: date = Field(alias="from")


class Reseller(_Part):
    """A brand that buys what it sells."""

    billing_account: str
    customers_billed_by: Literal["us", "reseller"] = "us"
    prices: tuple[WholesalePrice, ...] = ()


class WholesaleTerms(_Part):
    """Every reseller by the key of its brand."""

    resellers: Mapping[str, Reseller] = {}

    def prices(self) -> list[dict[str, Any]]:
        """Return the prices as rows, a number as its digits."""
        return [
            {"brand": brand, **price.model_dump(mode="json")}
            for brand, reseller in self.resellers.items()
            for price in reseller.prices
        ]


def load_wholesale(path: Path) -> WholesaleTerms:
    """Read the terms; without a file nobody resells.

    Raises:
        BadWholesaleTerms: It says something it may not.
        UnreadableFile: It is not plain YAML.
    """
    if not path.exists():
        return WholesaleTerms()
    return read_operator_file(path, WholesaleTerms, BadWholesaleTerms)


def keep_resellers(tx: Connection, terms: WholesaleTerms) -> None:
    """Keep who resells and who pays for it.

    Raises:
        BadReseller: There is no such brand or billing account, or somebody would buy from itself.
    """
    named = terms.resellers
    numbers = [named[brand].billing_account for brand in sorted(named)]
    rows = tx.execute(_ACCOUNTS, {"brands": sorted(named), "numbers": numbers}).all()
    for brand, row in zip(sorted(named), rows, strict=True):
        if row.brand_id is None:
            raise BadReseller(f"There is no brand '{brand}'.")
        if row.account_id is None:
            raise BadReseller(
                f"The reseller '{brand}' has no billing account {named[brand].billing_account}."
            )
    sellers = {row.brand_id: row.issuer_id for row in rows}
    for row in rows:
        above, passed = row.issuer_id, {row.brand_id}
        while above is not None:
            if above in passed:
                raise BadReseller(f"The reseller '{row.key}' would buy from itself.")
            passed.add(above)
            above = sellers.get(above)
    tx.execute(_GONE, {"brand_ids": list(sellers)})
    for row in rows:
        by_itself = named[row.key].customers_billed_by == "reseller"
        values = {"brand_id": row.brand_id, "account_id": row.account_id}
        tx.execute(_STORE, values | {"bills_itself": by_itself})
