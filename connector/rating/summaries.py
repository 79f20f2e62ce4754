"""Makes a usage summary of the groups an engine returned: the one division per amount."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from connector.catalog.domain import CALL_UNIT
from connector.rating.domain import METER_UNIT, IntegerSum, amount_of, exact_decimal
from connector.rating.engine import UsageGroup
from connector.rating.result_queries import SummaryRow


def summarize(
    groups: Sequence[UsageGroup], *, currencies: dict[int, str], snapshot_id: str
) -> list[SummaryRow]:
    """Return one summary per service and class.

    A class measured in several units (after a change of plan, say) is one summary per unit, named
    by class and unit: hours and gigabytes are never added.
    """
    units: dict[tuple[int, str], set[str]] = defaultdict(set)
    for group in groups:
        units[(group.service_id, group.usage_class)].add(group.unit)
    by_summary: dict[tuple[int, str], list[UsageGroup]] = defaultdict(list)
    for group in groups:
        is_mixed = len(units[(group.service_id, group.usage_class)]) > 1
        name = f"{group.usage_class} ({group.unit})" if is_mixed else group.usage_class
        by_summary[(group.service_id, name)].append(group)
    return [
        _summary(name, parts, currency=currencies[service_id], snapshot_id=snapshot_id)
        for (service_id, name), parts in sorted(by_summary.items())
    ]


def _summary(
    usage_class: str, parts: Sequence[UsageGroup], *, currency: str, snapshot_id: str
) -> SummaryRow:
    first = parts[0]
    per_unit = METER_UNIT if first.is_meter else 1
    return SummaryRow(
        service_id=first.service_id,
        usage_class=usage_class,
        unit=first.unit,
        units=_units(sum(one.charged for one in parts), per_unit),
        included_units=_units(sum(one.included for one in parts), per_unit),
        rated_amount=amount_of(IntegerSum(p.sell, p.scale, p.block * per_unit) for p in parts),
        cost_amount=amount_of(IntegerSum(p.cost, p.scale, p.block * per_unit) for p in parts),
        currency=currency,
        records=sum(one.records for one in parts),
        derivation={
            "snapshot": snapshot_id,
            "records": sum(one.records for one in parts),
            "quantity": _shown(_units(sum(one.quantity for one in parts), per_unit)),
            "charged": _shown(_units(sum(one.charged for one in parts), per_unit)),
            "included": _shown(_units(sum(one.included for one in parts), per_unit)),
            "unit": first.unit,
            "rule": "amount = sum of sell / (10^scale x block), divided once",
            "parts": [_part(one, per_unit) for one in parts],
        },
    )


def _part(group: UsageGroup, per_unit: int) -> dict[str, Any]:
    return {
        "records": group.records,
        "sell": str(group.sell),  # text: the sum may be wider than a reader's integers
        "cost": str(group.cost),
        "scale": group.scale,
        "block": group.block * per_unit,
    }


def _units(total: int, per_unit: int) -> Decimal:
    return exact_decimal(Fraction(total, per_unit))


def _shown(number: Decimal) -> str:
    return f"{number.normalize():f}"


def described(*, usage_class: str, unit: str, units: Decimal, records: int) -> str:
    """Return the text of a usage charge for the customer."""
    if unit == CALL_UNIT:
        calls = "1 call" if records == 1 else f"{records:,} calls"
        return f"Usage {usage_class}: {calls}, {_duration(int(units))}"
    return f"Usage {usage_class}: {_shown(units)} {unit}"


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3_600)
    return f"{hours:,}:{rest // 60:02}:{rest % 60:02} h"
