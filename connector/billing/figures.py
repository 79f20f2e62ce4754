"""Numbers as people write them on bills."""

from decimal import Decimal


def trimmed_number(number: Decimal) -> Decimal:
    """Return a number without the zeros a database column adds."""
    trimmed = number.normalize()
    exponent = trimmed.as_tuple().exponent
    assert isinstance(exponent, int)
    return trimmed.quantize(Decimal(1)) if exponent > 0 else trimmed


def trimmed_price(number: Decimal) -> Decimal:
    """Return a price without the zeros a database column adds, with two places at least."""
    trimmed = trimmed_number(number)
    exponent = trimmed.as_tuple().exponent
    assert isinstance(exponent, int)
    return trimmed.quantize(Decimal("0.01")) if exponent > -2 else trimmed
