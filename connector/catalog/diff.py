"""What loading catalogue files would change: loaded, compared, and undone by the caller."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from connector.catalog.load import load_catalog

# One row per dated entry, with what can differ of it.
_STATE = text(
    """
    SELECT 'brand' AS kind, key, NULL::date AS valid_from, NULL::date AS valid_to,
           to_jsonb(b) - 'id' - 'key' AS content FROM brand b
    UNION ALL
    SELECT 'product', key, NULL, NULL, to_jsonb(p) - 'id' - 'key' - 'brand_id'
           || jsonb_build_object('bundle', (SELECT string_agg(part.key || ' ' || trim_scale(weight),
                                                              ', ' ORDER BY position)
                FROM bundle_part JOIN product part ON part.id = part_id WHERE product_id = p.id))
      FROM product p
    UNION ALL
    SELECT 'price', concat_ws(' ', p.key, request_type, term_months || ' months', currency),
           valid_from, valid_to,
           jsonb_build_object('mr', trim_scale(mr_price), 'nr', trim_scale(nr_price),
                              'mr_cost', trim_scale(mr_cost), 'nr_cost', trim_scale(nr_cost),
                              'renewal', renewal_type, 'template', work_order_template,
                              'pricing', pricing, 'nr_pricing', nr_pricing)
      FROM price_entry e JOIN product p ON p.id = e.product_id
    UNION ALL
    SELECT 'deck', key, valid_from, valid_to,
           jsonb_build_object('version', version, 'currency', currency, 'rates',
                              (SELECT count(*) FROM rate WHERE rate_deck_id = d.id))
      FROM rate_deck d
    UNION ALL
    SELECT 'rate plan', key, NULL, NULL, to_jsonb(r) - 'id' - 'key' FROM rate_plan r
    UNION ALL
    SELECT 'meter', concat_ws(' ', r.key, meter), valid_from, valid_to,
           to_jsonb(m) - 'id' - 'rate_plan_id' - 'meter' - 'valid_from' - 'valid_to'
      FROM meter_price m JOIN rate_plan r ON r.id = m.rate_plan_id
    UNION ALL
    SELECT 'allowance', concat_ws(' ', r.key, usage_class), valid_from, valid_to,
           jsonb_build_object('included', included)
      FROM allowance a JOIN rate_plan r ON r.id = a.rate_plan_id
    UNION ALL
    SELECT 'class price', concat_ws(' ', r.key, usage_class), valid_from, valid_to,
           jsonb_build_object('pricing', pricing)
      FROM class_price c JOIN rate_plan r ON r.id = c.rate_plan_id
    UNION ALL
    SELECT 'tax', concat_ws(' ', country, category), valid_from, valid_to,
           jsonb_build_object('percent', trim_scale(percent), 'note', note) FROM tax_rate
    UNION ALL
    SELECT 'discount', key, valid_from, valid_to,
           jsonb_strip_nulls(to_jsonb(d) - 'id' - 'key' - 'valid_from' - 'valid_to')
      FROM discount d
    UNION ALL
    SELECT 'vendor rule', vendor || ' from ' || min_services, valid_from, valid_to,
           jsonb_build_object('percent', trim_scale(percent)) FROM vendor_rule
    """
)

Entries = dict[tuple[str, str, date | None], tuple[date | None, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that is new, ends on another day, or says something else."""

    kind: str
    key: str
    change: str  # new, ends, changed
    on: date | None
    before: dict[str, Any]
    after: dict[str, Any]

    def __str__(self) -> str:
        if self.change == "ends":
            return f"{self.kind} {self.key}: ends on {self.on or 'no day'}"
        said = ", ".join(
            f"{name} {self.before[name]} -> {value}" if name in self.before else f"{name} {value}"
            for name, value in self.after.items()
            if value not in (None, "", [], False)
        )
        since = f" from {self.on}" if self.on else ""
        return f"{self.kind} {self.key}: {self.change}{since}, {said}"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "kind": self.kind,
            "key": self.key,
            "change": self.change,
            "on": self.on,
            "before": self.before,
            "after": self.after,
        }


def catalog_differences(*, tx: Connection, folder: Path, now: datetime) -> tuple[Difference, ...]:
    """Load a folder and return what that changed; the caller rolls the transaction back.

    It is the loading itself that is compared, so what is refused here is what a load would refuse.

    Raises:
        BadFile: A file is wrong, or rewrites a price that has begun.
    """
    before = _state(tx)
    load_catalog(tx=tx, folder=folder, now=now)
    return tuple(_differences(before, _state(tx)))


def _differences(before: Entries, after: Entries) -> list[Difference]:
    found = []
    for (kind, key, valid_from), (valid_to, content) in after.items():
        known = before.get((kind, key, valid_from))
        if known is None:
            found.append(Difference(kind, key, "new", valid_from, {}, content))
            continue
        ended, said = known
        if ended != valid_to:
            found.append(Difference(kind, key, "ends", valid_to, {}, {}))
        changed = {name: value for name, value in content.items() if said.get(name) != value}
        if changed:
            was = {name: said.get(name) for name in changed}
            found.append(Difference(kind, key, "changed", valid_from, was, changed))
    return sorted(found, key=lambda one: (one.kind, one.key, one.on or date.min, one.change))


def _state(tx: Connection) -> Entries:
    return {
        (row.kind, row.key, row.valid_from): (row.valid_to, row.content)
        for row in tx.execute(_STATE)
    }
