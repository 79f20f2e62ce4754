"""Where services are: places of a customer, each once however it was typed."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from connector.kernel.countries import country_code
from connector.parties.addresses import Address, parse_address
from connector.store.tables.parties import account, location


@dataclass(frozen=True, slots=True)
class LocationFacts:
    """A location record of the CRM."""

    sfid: str
    address: Address


def location_for_text(*, tx: Connection, account_id: int, text: str) -> int:
    """Return the customer's place at an address given in words, entering it when it is new.

    Raises:
        EmptyAddress: There is nothing to read.
    """
    return _ensure(tx, account_id, parse_address(text), sfid=None)


def ensure_location(*, tx: Connection, account_id: int, facts: LocationFacts) -> int:
    """Return the place that mirrors a CRM location, entering it when the hub meets it first."""
    found: int | None = tx.scalar(select(location.c.id).where(location.c.sfid == facts.sfid))
    if found is not None:
        return found
    return _ensure(tx, account_id, facts.address, sfid=facts.sfid)


def known_locations(*, tx: Connection, account_id: int, ids: frozenset[int]) -> frozenset[int]:
    """Return which of these ids are places of the customer."""
    rows = tx.scalars(
        select(location.c.id).where(location.c.account_id == account_id, location.c.id.in_(ids))
    )
    return frozenset(rows)


def _ensure(tx: Connection, account_id: int, address: Address, *, sfid: str | None) -> int:
    # Tax is looked up by the code, and "Germany" is the same place as "DE".
    address = replace(address, country=country_code(address.country) or "")
    key = f"{account_id}:{address.key}"
    brand_id = select(account.c.brand_id).where(account.c.id == account_id).scalar_subquery()
    entered = tx.scalar(
        insert(location)
        .values(
            brand_id=brand_id,
            account_id=account_id,
            sfid=sfid,
            name=address.name,
            street=address.street,
            city=address.city,
            postal_code=address.postal_code,
            country=address.country,
            normalized_key=key,
        )
        .on_conflict_do_nothing(index_elements=[location.c.normalized_key])
        .returning(location.c.id)
    )
    if entered is None:
        entered = tx.scalar(select(location.c.id).where(location.c.normalized_key == key))
    assert entered is not None
    return int(entered)
