"""Amounts of several currencies in SQL: converted and compared as exact whole numbers."""

import sqlite3

RATE_SCALE = 6  # of CurrencyType.ConversionRate
ONE = 10**RATE_SCALE  # the rate of the corporate currency
CURRENCY_TYPES = (
    '(SELECT rate."ConversionRate" FROM "CurrencyType" AS rate '
    'WHERE rate."IsoCode" = {0} AND rate."IsDeleted" = 0)'
)


def rate_sql(code_sql: str) -> str:
    """Return the SQL of the rate of a currency code."""
    return CURRENCY_TYPES.format(code_sql)


def converted(amount: int | None, rate: int | None, wanted: int | None) -> int | None:
    """Return a stored amount in the currency of another rate, half up; null without a rate."""
    if amount is None or not rate or wanted is None:
        return None
    whole, rest = divmod(abs(amount) * wanted, rate)
    whole += 2 * rest >= rate
    return whole if amount >= 0 else -whole


def compared(
    amount: int | None, rate: int | None, wanted: str | None, wanted_rate: int | None
) -> int | None:
    """Return -1, 0 or 1 for a stored amount below, at or above a `numerator/denominator`.

    The amount is in the currency of its rate, the other in that of `wanted_rate`; both sides are
    multiplied out, so nothing is rounded.
    """
    if amount is None or not rate or wanted is None or not wanted_rate:
        return None
    numerator, _, denominator = wanted.partition("/")
    left, right = amount * wanted_rate * int(denominator), int(numerator) * rate
    return (left > right) - (left < right)


def add_money(connection: sqlite3.Connection) -> None:
    """Teach a connection `l2c_converted()` and `l2c_compared()`."""
    connection.create_function("l2c_converted", 3, converted, deterministic=True)
    connection.create_function("l2c_compared", 4, compared, deterministic=True)
