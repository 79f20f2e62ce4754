"""Which billing system opens a new customer's account: the operator's policy file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, text

from connector.errors import Misconfigured
from connector.inventory.operator_file import read_operator_file
from connector.parties.billing_accounts import BUILT_IN

SYSTEM_NAME = r"^[a-z][a-z0-9_-]{0,39}$"

_ACCOUNT = text(
    "SELECT a.sfid, b.key AS brand_key FROM account a JOIN brand b ON b.id = a.brand_id "
    " WHERE a.id = :account_id"
)


class BadRouting(Misconfigured):
    """The policy that routes accounts to billing systems cannot be used."""

    code = "billing.bad_routing"
    remedy = "Correct the file; mappings/policies/billing_routing.yaml shows the form."


@dataclass(frozen=True, slots=True)
class Routing:
    """Where a new billing account is opened: by customer, then by brand, then the default."""

    default: str = BUILT_IN
    brands: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)

    def system_of(self, *, tx: Connection, account_id: int) -> str:
        """Return the billing system of a customer's new orders."""
        row = tx.execute(_ACCOUNT, {"account_id": account_id}).one_or_none()
        if row is None:
            return self.default
        return self.accounts.get(row.sfid) or self.brands.get(row.brand_key) or self.default

    def systems(self) -> frozenset[str]:
        """Return every system it names."""
        return frozenset({self.default, *self.brands.values(), *self.accounts.values()})


ALL_BUILT_IN = Routing()


_System = Annotated[str, Field(pattern=SYSTEM_NAME)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default: _System = BUILT_IN
    brands: dict[str, _System] = {}
    accounts: dict[Annotated[str, Field(pattern=r"^001[A-Za-z0-9]{15}$")], _System] = {}


def load_routing(path: Path) -> Routing:
    """Read the policy file; without one everything is billed by the built-in system.

    Raises:
        BadRouting: It says something it may not.
        UnreadableFile: It is not plain YAML.
    """
    if not path.exists():
        return Routing()
    read = read_operator_file(path, _File, BadRouting)
    return Routing(default=read.default, brands=read.brands, accounts=read.accounts)
