"""Which product may follow which in a running service (mission row B11).

A product's file lists what it can be upgraded to; the way back is the downgrade. A product that
takes part in no path may become any of its service class, and any may become it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from connector.catalog.domain import Product
from connector.store.tables.catalog import product

Step = tuple[str, str]  # from a product's key to another's


@dataclass(frozen=True, slots=True)
class UpgradePaths:
    """The steps upwards that products declare; each goes down again the other way."""

    steps: frozenset[Step]

    def why_not(self, *, present: Product, wanted: Product, is_upgrade: bool) -> str | None:
        """Return why a service of one product cannot become the other, or None when it can.

        Another quantity of the same product is always possible.
        """
        if present.key == wanted.key:
            return None
        way = "up" if is_upgrade else "down"
        steps = self.steps if is_upgrade else frozenset((to, of) for of, to in self.steps)
        if (present.key, wanted.key) in steps:
            return None
        if self._is_part(present.key) or self._is_part(wanted.key):
            onward = sorted(to for of, to in steps if of == present.key)
            paths = ", ".join(f"{present.key} > {to}" for to in onward) or "none"
            return (
                f"no path leads {way} from '{present.key}' to '{wanted.key}' "
                f"(paths {way} from there: {paths})"
            )
        if present.service_class != wanted.service_class:
            return (
                f"'{present.key}' is of the service class '{present.service_class or 'none'}', "
                f"'{wanted.key}' of '{wanted.service_class or 'none'}'"
            )
        return None

    def _is_part(self, key: str) -> bool:
        return any(key in step for step in self.steps)


def upgrade_paths_of(*, tx: Connection, keys: Collection[str]) -> UpgradePaths:
    """Return the steps that begin or end with one of these products."""
    ends = [product.c.upgrades_to.contains([key]) for key in sorted(keys)]
    rows = tx.execute(
        select(product.c.key, product.c.upgrades_to).where(or_(product.c.key.in_(keys), *ends))
    )
    return UpgradePaths(frozenset((row.key, to) for row in rows for to in row.upgrades_to))


def circle_through(key: str, steps: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    """Return the way by which a product would be an upgrade of itself, or None."""
    come_from: dict[str, str] = {}
    for before, to in _reached(key, steps):
        come_from.setdefault(to, before)
        if to == key:
            way = [key, before]
            while way[-1] != key:
                way.append(come_from[way[-1]])
            return tuple(reversed(way))
    return None


def _reached(key: str, steps: Mapping[str, Sequence[str]]) -> Iterator[Step]:
    """Yield each step that can be taken from a product on, once."""
    waiting, seen = [key], {key}
    while waiting:
        before = waiting.pop(0)
        for to in steps.get(before, ()):
            yield before, to
            if to not in seen:
                seen.add(to)
                waiting.append(to)
