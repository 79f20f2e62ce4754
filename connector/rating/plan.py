"""Rating as one set-based expression over exact integers; engines compile it to their SQL.

No division and no floating column anywhere: increments come from a remainder, prices are integers
with scale and block, and the one division per charge happens in Python (design D8). Columns are
always addressed as table["name"]: as attributes some names are methods of the table.
"""

from typing import Any

import ibis

from connector.kernel.period import Period

USAGE = {
    "record_id": "string",
    "kind": "string",
    "alias": "string",
    "used_at": "timestamp",
    "usage_on": "date",
    "called": "string",
    "called_head": "int32",
    "called_key": "int64",
    "meter": "string",
    "quantity": "int64",
    "usage_file_id": "int64",
    "line_no": "int64",
}
GUIDES = {
    "kind": "string",
    "alias": "string",
    "service_id": "int64",
    "from_on": "date",
    "to_on": "date",
    "plan_id": "int64",
    "deck_id": "int64",
    "has_allowance": "boolean",
    "fault": "string",
}
PRICE = {
    "usage_class": "string",
    "unit": "string",
    "sell_units": "int64",
    "cost_units": "int64",
    "fee": "int64",  # connection fee x block: what a charged call adds to its sell
    "scale": "int32",
    "block": "int64",
    "minimum": "int64",
    "increment": "int64",
    "largest": "int64",  # the largest charged quantity whose amounts fit 64 bits
}
# Ranges are many, prices fewer: kept apart, the table that is hashed by range stays narrow.
CALL_RANGES = {
    "deck_id": "int64",
    "head": "int32",
    "low": "int64",
    "high": "int64",
    "price_no": "int32",
}
CALL_PRICES = {"price_no": "int32", "prefix": "string", **PRICE}
METER_PRICES = {
    "plan_id": "int64",
    "meter": "string",
    "from_on": "date",
    "to_on": "date",
    **PRICE,
}
ALLOWANCES = {
    "plan_id": "int64",
    "usage_class": "string",
    "is_meter": "boolean",
    "allowance": "int64",
}
RATED = (
    "record_id",
    "service_id",
    "usage_class",
    "unit",
    "is_meter",
    "used_at",
    "called",
    "prefix",
    "meter",
    "quantity",
    "charged",
    "included",
    "sell",
    "cost",
    "scale",
    "block",
    "usage_file_id",
    "line_no",
    "fault",
)

Table = Any  # ibis has no types of its own to check against


def rating_plan(period: Period, *, has_allowances: bool) -> Table:
    """Return the expression that rates the usage of a period; `fault` says what it could not.

    Only usage on plans with an allowance pays for the ordered window.
    """
    usage = ibis.table(USAGE, name="usage")
    usage = usage.filter(
        usage["usage_on"] >= ibis.literal(period.start),
        usage["usage_on"] < ibis.literal(period.end),
    )
    guides = ibis.table(GUIDES, name="guides")
    if not has_allowances:
        return _rated(_priced(_guided(usage, guides)), has_allowance=False)
    guided = _guided(usage, guides)
    plain = _priced(guided.filter(~guided["has_allowance"]))
    generous = _priced(guided.filter(guided["has_allowance"]))
    return _rated(plain, has_allowance=False).union(_rated(generous, has_allowance=True))


def _guided(usage: Table, guides: Table) -> Table:
    """Find service, plan and deck by alias and day."""
    joined = usage.left_join(
        guides,
        [
            usage["kind"] == guides["kind"],
            usage["alias"] == guides["alias"],
            usage["usage_on"] >= guides["from_on"],
            usage["usage_on"] < guides["to_on"],
        ],
    )
    return joined.select(
        *(usage[name] for name in USAGE if name not in ("kind", "alias")),
        guides["service_id"],
        guides["plan_id"],
        guides["deck_id"],
        has_allowance=guides["has_allowance"].fill_null(False),
        guide_fault=ibis.ifelse(guides["service_id"].isnull(), "unknown_alias", guides["fault"]),
    )


def _priced(guided: Table) -> Table:
    """Find the price: of a call by the longest prefix, of a meter by its name."""
    calls = guided.filter(guided["meter"] == "")
    meters = guided.filter(guided["meter"] != "")
    ranges = ibis.table(CALL_RANGES, name="call_ranges")
    call_prices = ibis.table(CALL_PRICES, name="call_prices")
    meter_prices = ibis.table(METER_PRICES, name="meter_prices")
    matched = calls.left_join(
        ranges,
        [
            calls["deck_id"] == ranges["deck_id"],
            calls["called_head"] == ranges["head"],
            calls["called_key"] >= ranges["low"],
            calls["called_key"] <= ranges["high"],
        ],
    ).select(*_carried(calls), ranges["price_no"])
    priced_calls = matched.left_join(
        call_prices, [matched["price_no"] == call_prices["price_no"]]
    ).select(
        *_carried(matched),
        call_prices["prefix"],
        *(call_prices[name] for name in PRICE),
        is_meter=ibis.literal(False),
    )
    priced_meters = meters.left_join(
        meter_prices,
        [
            meters["plan_id"] == meter_prices["plan_id"],
            meters["meter"] == meter_prices["meter"],
            meters["usage_on"] >= meter_prices["from_on"],
            meters["usage_on"] < meter_prices["to_on"],
        ],
    ).select(
        *_carried(meters),
        prefix=ibis.literal(""),
        **{name: meter_prices[name] for name in PRICE},
        is_meter=ibis.literal(True),
    )
    return priced_calls.union(priced_meters)


def _carried(guided: Table) -> list[Table]:
    names = ("record_id", "service_id", "plan_id", "used_at", "called", "meter", "quantity")
    return [guided[name] for name in (*names, "usage_file_id", "line_no", "guide_fault")]


def _rated(priced: Table, *, has_allowance: bool) -> Table:
    """Charge increments, use up the allowance in the order of the events, multiply."""
    increment = priced["increment"]
    least = ibis.greatest(priced["quantity"], priced["minimum"])
    whole = least + (increment - least % increment) % increment
    charged = ibis.ifelse(priced["quantity"] == 0, 0, whole)
    fault = ibis.coalesce(
        priced["guide_fault"],
        ibis.ifelse(priced["usage_class"].isnull(), "no_rate", ibis.null("string")),
        ibis.ifelse(charged > priced["largest"], "amount_out_of_range", ibis.null("string")),
    )
    judged = priced.mutate(fault=fault)
    # What cannot be rated charges nothing, so that no product of it can leave 64 bits.
    counted = judged.mutate(charged=ibis.ifelse(judged["fault"].isnull(), charged, 0).cast("int64"))
    with_included = _use_allowance(counted) if has_allowance else counted.mutate(included=_zero())
    billable = with_included["charged"] - with_included["included"]
    sell = billable * with_included["sell_units"] + ibis.ifelse(
        billable > 0, with_included["fee"], 0
    )
    amounts = with_included.mutate(
        sell=sell.cast("int64"),
        cost=(with_included["charged"] * with_included["cost_units"]).cast("int64"),
    )
    return amounts.select(*(amounts[name] for name in RATED))


def _zero() -> Table:
    return ibis.literal(0).cast("int64")


def _use_allowance(counted: Table) -> Table:
    allowances = ibis.table(ALLOWANCES, name="allowances")
    joined = counted.left_join(
        allowances,
        [
            counted["plan_id"] == allowances["plan_id"],
            counted["usage_class"] == allowances["usage_class"],
            counted["is_meter"] == allowances["is_meter"],
        ],
    ).select(
        *(counted[name] for name in counted.columns),
        allowance=allowances["allowance"].fill_null(0),
    )
    in_order = ibis.cumulative_window(
        group_by=["service_id", "plan_id", "usage_class", "is_meter"],
        order_by=["used_at", "record_id", "usage_file_id", "line_no"],
    )
    # The sum of 64-bit integers is 128 bits wide in DuckDB, which Parquet would store as a double.
    so_far = joined["charged"].sum().over(in_order).cast("int64")
    left = ibis.greatest(0, joined["allowance"] - (so_far - joined["charged"]))
    included = ibis.least(joined["charged"], left).cast("int64")
    return joined.mutate(included=included).drop("allowance")
