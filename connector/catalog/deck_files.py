"""Reads a rate deck, the prices of calls by dialled prefix, from CSV."""

import csv
from dataclasses import dataclass
from pathlib import Path

from connector.catalog.domain import BlockPrice, block_price
from connector.catalog.source import BadFile, parse_decimal

DECK_COLUMNS = (
    "prefix",
    "destination",
    "class",
    "sell",
    "cost",
    "per_s",
    "minimum_s",
    "increment_s",
    "connection",
)
DECK_RATES_MAX = 2_000_000
PRICE_UNITS_MAX = 10**12  # an integer price above this would leave no room for a quantity


@dataclass(frozen=True, slots=True)
class RateDraft:
    """The price of calls to numbers that begin with a prefix."""

    prefix: str
    destination: str
    usage_class: str
    price: BlockPrice
    minimum_s: int
    increment_s: int


def read_deck(path: Path) -> tuple[RateDraft, ...]:
    """Read a rate deck from CSV, sorted by prefix.

    Raises:
        BadFile: A column is missing, or a line is wrong.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = set(DECK_COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise BadFile(
                path=path,
                line=1,
                problem=f"The deck lacks the columns {', '.join(sorted(missing))}.",
                remedy=f"Its first line must name: {', '.join(DECK_COLUMNS)}.",
            )
        rates: dict[str, RateDraft] = {}
        for row in reader:
            rate = _rate(path, reader.line_num, row)
            if rate.prefix in rates:
                raise BadFile(
                    path=path, line=reader.line_num, problem=f"Prefix {rate.prefix} is there twice."
                )
            rates[rate.prefix] = rate
            if len(rates) > DECK_RATES_MAX:
                raise BadFile(
                    path=path,
                    line=reader.line_num,
                    problem=f"A deck holds at most {DECK_RATES_MAX:,} prefixes.",
                )
    return tuple(rates[prefix] for prefix in sorted(rates))


def _rate(path: Path, line: int, row: dict[str, str | None]) -> RateDraft:
    def text(name: str) -> str:
        value = row.get(name)
        if value is None or not value.strip():
            raise BadFile(path=path, line=line, problem=f"The line has no {name}.")
        return value.strip()

    def whole(name: str, least: int) -> int:
        written = text(name)
        if not (written.isascii() and written.isdigit()) or not least <= int(written) <= 86_400:
            raise BadFile(
                path=path,
                line=line,
                problem=f"{name} '{written}' is not a whole number from {least} to 86400.",
            )
        return int(written)

    prefix = text("prefix")
    if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= 15):
        raise BadFile(path=path, line=line, problem=f"Prefix '{prefix}' is not 1 to 15 digits.")
    sell, cost, connection = (
        parse_decimal(text(name), path=path, line=line, name=name)
        for name in ("sell", "cost", "connection")
    )
    price = block_price(sell=sell, cost=cost, connection=connection, block=whole("per_s", 1))
    if max(price.sell, price.cost, price.connection) > PRICE_UNITS_MAX:
        raise BadFile(path=path, line=line, problem="A price this large cannot be rated exactly.")
    return RateDraft(
        prefix=prefix,
        destination=text("destination"),
        usage_class=text("class"),
        price=price,
        minimum_s=whole("minimum_s", 0),
        increment_s=whole("increment_s", 1),
    )
