"""Groups of an engine become one summary per service and class, in one unit each."""

from decimal import Decimal

from connector.rating.engine import UsageGroup
from connector.rating.summaries import described, summarize


def group(usage_class: str, unit: str, *, is_meter: bool, scale: int = 2, sell: int) -> UsageGroup:
    return UsageGroup(
        service_id=1,
        usage_class=usage_class,
        unit=unit,
        is_meter=is_meter,
        scale=scale,
        block=1,
        records=1,
        quantity=1,
        charged=1_000_000 if is_meter else 1,
        included=0,
        sell=sell,
        cost=0,
    )


def test_prices_of_two_scales_are_added_exactly() -> None:
    groups = [
        group("near", "s", is_meter=False, scale=2, sell=150),
        group("near", "s", is_meter=False, scale=4, sell=1),
    ]

    (summary,) = summarize(groups, currencies={1: "EUR"}, snapshot_id="x")

    assert summary.rated_amount == Decimal("1.5001")
    assert summary.records == 2


def test_units_are_never_mixed() -> None:
    groups = [
        group("data", "GB", is_meter=True, sell=1_000_000),
        group("data", "hour", is_meter=True, sell=2_000_000),
    ]

    summaries = summarize(groups, currencies={1: "EUR"}, snapshot_id="x")

    assert {one.usage_class: one.units for one in summaries} == {
        "data (GB)": Decimal(1),
        "data (hour)": Decimal(1),
    }


def test_a_charge_reads_well() -> None:
    calls = described(usage_class="mobile", unit="s", units=Decimal("3725"), records=1_200)
    meter = described(usage_class="compute", unit="hour", units=Decimal("1.500"), records=3)

    assert calls == "Usage mobile: 1,200 calls, 1:02:05 h"
    assert meter == "Usage compute: 1.5 hour"
