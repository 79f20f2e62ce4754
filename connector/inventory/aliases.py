"""The names usage knows a service by: telephone numbers and subscription ids."""

from datetime import date, timedelta

import structlog
from sqlalchemy import Connection, insert, select, text

from connector.errors import StateConflict
from connector.inventory.number_ranges import NumberPolicy, NumberRange
from connector.store.engine import advisory_lock
from connector.store.tables.catalog import product
from connector.store.tables.inventory import service, service_alias

log = structlog.get_logger(__name__)

_FREE_NUMBERS = text("""
    SELECT candidate FROM (
        SELECT '+' || n::text AS candidate, n
          FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
    ) pool
     WHERE NOT EXISTS (
        SELECT 1 FROM service_alias a
         WHERE a.kind = 'number' AND a.value = pool.candidate
           AND (a.valid_to IS NULL
                OR (a.valid_to > a.valid_from AND a.valid_to > :rested_since)))
     ORDER BY n
     LIMIT :how_many
""")


class NoFreeNumber(StateConflict):
    """The ranges for this class of service are used up."""

    code = "inventory.no_free_number"
    remedy = "Add a range to mappings/policies/number_ranges.yaml; the task then runs again."


def assign_aliases(
    *, tx: Connection, service_id: int, policy: NumberPolicy, on: date
) -> tuple[str, ...]:
    """Give a service the numbers and the subscription id its class and quantity call for.

    Only what is missing is added, lowest free number first, so running it again changes nothing.
    Returns every alias in force, sorted.

    Raises:
        NoFreeNumber: The ranges have not enough free numbers.
    """
    facts = tx.execute(
        select(service.c.number, service.c.quantity, product.c.key, product.c.service_class)
        .join(product, product.c.id == service.c.product_id)
        .where(service.c.id == service_id)
        .with_for_update(of=service)
    ).one()
    present = _in_force(tx, service_id)
    wanted: list[tuple[str, str]] = []
    ranges = policy.ranges_for(product_key=facts.key, service_class=facts.service_class)
    if ranges:
        needed = int(facts.quantity) * ranges[0].per_unit
        missing = needed - sum(1 for kind, _ in present if kind == "number")
        numbers = _take(tx, ranges, missing, on) if missing > 0 else []
        if len(numbers) < missing:
            raise NoFreeNumber(
                f"Service {facts.number} needs {missing} numbers and "
                f"{', '.join(one.key for one in ranges)} has {len(numbers)} left."
            )
        wanted.extend(("number", number) for number in numbers)
    if policy.subscriptions is not None and policy.names_subscription(facts.service_class):
        name = policy.subscriptions.pattern.format(number=facts.number.lower())
        if ("subscription", name) not in present:
            wanted.append(("subscription", name))
    if wanted:
        tx.execute(
            insert(service_alias),
            [
                {"service_id": service_id, "kind": kind, "value": value, "valid_from": on}
                for kind, value in wanted
            ],
        )
        log.info("service.aliases_assigned", service_id=service_id, count=len(wanted))
    return tuple(sorted(value for _, value in [*present, *wanted]))


def _in_force(tx: Connection, service_id: int) -> list[tuple[str, str]]:
    rows = tx.execute(
        select(service_alias.c.kind, service_alias.c.value).where(
            service_alias.c.service_id == service_id, service_alias.c.valid_to.is_(None)
        )
    )
    return [(row.kind, row.value) for row in rows]


def _take(tx: Connection, ranges: tuple[NumberRange, ...], count: int, on: date) -> list[str]:
    taken: list[str] = []
    for one in ranges:
        # One at a time per range: two services never look at the same free number.
        advisory_lock(tx, f"inventory.number_range:{one.key}")
        taken.extend(
            tx.scalars(
                _FREE_NUMBERS,
                {
                    "first": int(one.first),
                    "last": int(one.last),
                    "rested_since": on - timedelta(days=one.quarantine_days),
                    "how_many": count - len(taken),
                },
            )
        )
        if len(taken) == count:
            break
    return taken
