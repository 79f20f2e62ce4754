"""Customers as the hub knows them: mirrors of CRM accounts, business or person."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.dialects.postgresql import insert

from connector.errors import StateConflict
from connector.store.tables.parties import account, brand_table
from connector.store.tables.sync import crm_alias

DEFAULT_BRAND = "default"


class AccountKind(StrEnum):
    """What a customer is: an organisation or one person."""

    BUSINESS = "business"
    PERSON = "person"


class UnknownAccount(StateConflict):
    """The hub has no account with this CRM id."""

    code = "parties.unknown_account"
    remedy = "Let the account be synced first, or win an opportunity of it."


class UnknownBrand(StateConflict):
    """The account names a brand that the catalogue does not define."""

    code = "parties.unknown_brand"
    remedy = "Load the brand with the catalogue, or correct the brand key on the account."


@dataclass(frozen=True, slots=True)
class Account:
    """A customer."""

    id: int
    brand_id: int
    sfid: str
    kind: AccountKind
    name: str
    email: str | None
    country: str | None
    currency: str | None
    link_state: str


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the CRM says about an account."""

    sfid: str
    kind: AccountKind
    name: str
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    street: str | None = None
    city: str | None = None
    postal_code: str | None = None
    country: str | None = None
    currency: str | None = None
    parent_sfid: str | None = None
    reseller_sfid: str | None = None
    is_tax_exempt: bool = False


def brand_by_key(*, tx: Connection, key: str | None) -> int:
    """Return the id of a brand; no key means the operator's own.

    Raises:
        UnknownBrand: No brand has this key.
    """
    wanted = key or DEFAULT_BRAND
    found: int | None = tx.scalar(select(brand_table.c.id).where(brand_table.c.key == wanted))
    if found is None:
        raise UnknownBrand(f"There is no brand '{wanted}'.")
    return found


def find_account(*, tx: Connection, sfid: str) -> Account | None:
    """Return the account with this CRM id, or None when the hub has not met it yet.

    An id that was merged away in the CRM means the account that remained.
    """
    master = select(crm_alias.c.master_sfid).where(crm_alias.c.sfid == sfid).scalar_subquery()
    wanted = account.c.sfid == func.coalesce(master, sfid)
    row = tx.execute(select(account).where(wanted)).one_or_none()
    return None if row is None else _account(row)


def account_by_sfid(*, tx: Connection, sfid: str) -> Account:
    """Return the account with this 18-character CRM id.

    Raises:
        UnknownAccount: The hub has not met it yet.
    """
    found = find_account(tx=tx, sfid=sfid)
    if found is None:
        raise UnknownAccount(f"The hub knows no account {sfid}.")
    return found


def ensure_account(*, tx: Connection, facts: AccountFacts, brand_id: int) -> Account:
    """Return the account, entering it when the hub meets it for the first time.

    A known account is left as it is: its attributes come through sync, which guards versions.
    """
    tx.execute(
        insert(account)
        .values(brand_id=brand_id, **asdict(facts))
        .on_conflict_do_nothing(index_elements=[account.c.sfid])
    )
    return account_by_sfid(tx=tx, sfid=facts.sfid)


def _account(row: Row[Any]) -> Account:
    return Account(
        id=row.id,
        brand_id=row.brand_id,
        sfid=row.sfid,
        kind=AccountKind(row.kind),
        name=row.name,
        email=row.email,
        country=row.country,
        currency=row.currency,
        link_state=row.link_state,
    )
