"""The dated snapshot of what guides usage to services."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import pairwise

from sqlalchemy import Connection, select

from connector.kernel.period import local_midnight
from connector.store.tables.inventory import service, service_alias
from connector.store.tables.parties import billing_account

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AliasSpan:
    """An alias guides to a service from one instant up to another; days are the customer's."""

    kind: str
    value: str
    service_id: int
    timezone: str
    valid_from: date
    valid_to: date | None
    from_at: datetime
    to_at: datetime


def normalized_alias(kind: str, value: str) -> str:
    """Return an alias as it is compared: of a number the digits alone."""
    if kind == "number":
        return "".join(character for character in value if character in "0123456789")
    return value.strip()


def alias_spans(*, tx: Connection, kind: str | None = None) -> tuple[AliasSpan, ...]:
    """Return every span of every alias, none of one alias overlapping another."""
    wanted = (
        select(
            service_alias.c.kind,
            service_alias.c.value,
            service_alias.c.service_id,
            service_alias.c.valid_from,
            service_alias.c.valid_to,
            billing_account.c.timezone,
        )
        .join(service, service.c.id == service_alias.c.service_id)
        .join(billing_account, billing_account.c.id == service.c.billing_account_id)
        .order_by(service_alias.c.kind, service_alias.c.value, service_alias.c.valid_from)
    )
    if kind is not None:
        wanted = wanted.where(service_alias.c.kind == kind)
    return tuple(
        _without_overlap(
            AliasSpan(
                kind=row.kind,
                value=normalized_alias(row.kind, row.value),
                service_id=row.service_id,
                timezone=row.timezone,
                valid_from=row.valid_from,
                valid_to=row.valid_to,
                from_at=local_midnight(row.valid_from, row.timezone).astimezone(UTC),
                to_at=(
                    FOREVER
                    if row.valid_to is None
                    else local_midnight(row.valid_to, row.timezone).astimezone(UTC)
                ),
            )
            for row in tx.execute(wanted)
        )
    )


def _without_overlap(spans: Iterable[AliasSpan]) -> list[AliasSpan]:
    # Days do not overlap, instants may when an alias moves between time zones: the later span wins.
    ordered = sorted(spans, key=lambda one: (one.kind, one.value, one.from_at))
    result = [
        replace(one, to_at=min(one.to_at, after.from_at))
        if (one.kind, one.value) == (after.kind, after.value)
        else one
        for one, after in pairwise(ordered)
    ]
    return [one for one in [*result, *ordered[-1:]] if one.to_at > one.from_at]
