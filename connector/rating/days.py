"""The usage of a service day by day, with what the month has come to so far (row G4)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from connector.kernel.period import Period, add_months
from connector.rating.class_prices import class_prices
from connector.rating.domain import METER_UNIT, IntegerSum, exact_decimal
from connector.store.lake import Lake

_TIMEZONE = text(
    "SELECT b.timezone FROM service s JOIN billing_account b ON b.id = s.billing_account_id "
    " WHERE s.id = :service_id"
)
# By quarters of an hour: no time zone is finer, and a month has few of them.
_BUCKETS = """
    SELECT time_bucket(INTERVAL 15 MINUTES, used_at) AS bucket, usage_class, unit, is_meter, scale,
           block, count(*), sum(charged)::BIGINT, sum(included)::BIGINT, sum(sell)::VARCHAR
      FROM read_parquet(?)
     WHERE service_id = ? AND (?::VARCHAR IS NULL OR usage_class = ?)
     GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class UsageDay:
    """A class of usage on a local day; `so_far` is the month's units and amount at its end.

    The amount is exact to nine places, as a summary keeps it; the bill rounds.
    """

    day: date
    usage_class: str
    unit: str
    records: int
    units: Decimal
    units_so_far: Decimal
    amount_so_far: Decimal


@dataclass(slots=True)
class _Sum:
    records: int = 0
    units: Fraction = Fraction(0)
    included: Fraction = Fraction(0)
    amount: Fraction = Fraction(0)


def usage_days(
    *,
    tx: Connection,
    lake: Lake,
    service_id: int,
    period_start: date,
    usage_class: str | None = None,
) -> tuple[UsageDay, ...]:
    """Return what a service used on each local day of a month that was rated, by class.

    A class with a price of its own is priced anew by each day's total: its tiers count the month.
    """
    paths = lake.rated_paths(tx=tx, period_start=period_start)
    if not paths:
        return ()
    with lake.session() as duck:
        rows = duck.execute(
            _BUCKETS, [[str(path) for path in paths], service_id, usage_class, usage_class]
        ).fetchall()
    zone = ZoneInfo(tx.execute(_TIMEZONE, {"service_id": service_id}).scalar_one())
    sums: dict[tuple[str, str], dict[date, _Sum]] = defaultdict(dict)
    for row in rows:
        _add(sums, row, zone)
    prices = class_prices(tx, Period(period_start, add_months(period_start, 1)))
    found: list[UsageDay] = []
    for (name, unit), days in sorted(sums.items()):
        pricing = prices.get((service_id, name))
        total = _Sum()
        for day, one in sorted(days.items()):
            total.units += one.units
            total.included += one.included
            total.amount += one.amount
            shown = UsageDay(
                day=day,
                usage_class=name,
                unit=unit,
                records=one.records,
                units=exact_decimal(one.units),
                units_so_far=exact_decimal(total.units),
                amount_so_far=exact_decimal(total.amount),
            )
            if pricing is not None:
                _, whole = pricing.unrounded(exact_decimal(total.units - total.included))
                shown = replace(shown, amount_so_far=exact_decimal(whole))
            found.append(shown)
    return tuple(sorted(found, key=lambda one: (one.day, one.usage_class, one.unit)))


def _add(
    sums: dict[tuple[str, str], dict[date, _Sum]], row: Sequence[object], zone: ZoneInfo
) -> None:
    bucket, usage_class, unit, is_meter, scale, block, records, charged, included, sell = row
    assert isinstance(bucket, datetime)
    at = bucket if bucket.tzinfo is not None else bucket.replace(tzinfo=UTC)
    per_unit = METER_UNIT if is_meter else 1
    one = sums[(str(usage_class), str(unit))].setdefault(at.astimezone(zone).date(), _Sum())
    one.records += int(str(records))
    one.units += Fraction(int(str(charged)), per_unit)
    one.included += Fraction(int(str(included)), per_unit)
    one.amount += IntegerSum(int(str(sell)), int(str(scale)), int(str(block)) * per_unit).value()
