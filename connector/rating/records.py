"""The single rated records behind a summary: the evidence of an invoice line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import Connection

from connector.rating.domain import METER_UNIT, exact_decimal
from connector.store.lake import Lake

RECORDS_MAX = 10_000
_COLUMNS = (
    "record_id, used_at, usage_class, called, prefix, meter, unit, is_meter, quantity, charged, "
    "included, sell, cost, scale, block, usage_file_id, line_no"
)


@dataclass(frozen=True, slots=True)
class RatedRecord:
    """A rated usage record; amounts to nine places, to be looked at, never to be added up."""

    record_id: str
    used_at: datetime
    usage_class: str
    called: str
    prefix: str
    meter: str
    unit: str
    quantity: Decimal
    charged: Decimal
    included: Decimal
    amount: Decimal
    cost: Decimal
    usage_file_id: int
    line_no: int


def rated_records(
    *,
    tx: Connection,
    lake: Lake,
    service_id: int,
    period_start: date,
    usage_class: str | None = None,
    limit: int = 100,
) -> tuple[RatedRecord, ...]:
    """Return the rated records of a service and month in the order of the events."""
    paths = lake.rated_paths(tx=tx, period_start=period_start)
    if not paths:
        return ()
    with lake.session() as duck:
        rows = duck.execute(
            f"SELECT {_COLUMNS} FROM read_parquet(?) "  # noqa: S608
            "WHERE service_id = ? AND (?::VARCHAR IS NULL OR usage_class = ?) "
            "ORDER BY used_at, record_id LIMIT ?",
            [
                [str(path) for path in paths],
                service_id,
                usage_class,
                usage_class,
                min(limit, RECORDS_MAX),
            ],
        ).fetchall()
    return tuple(_record(row) for row in rows)


def _record(row: Sequence[object]) -> RatedRecord:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    per_unit = METER_UNIT if values.pop("is_meter") else 1
    divisor = 10 ** int(str(values.pop("scale"))) * int(str(values.pop("block"))) * per_unit

    def exact(name: str, by: int) -> Decimal:
        return exact_decimal(Fraction(int(str(values.pop(name))), by))

    numbers = {
        "quantity": exact("quantity", per_unit),
        "charged": exact("charged", per_unit),
        "included": exact("included", per_unit),
        "amount": exact("sell", divisor),
        "cost": exact("cost", divisor),
    }
    return RatedRecord(**values, **numbers)  # type: ignore[arg-type]
