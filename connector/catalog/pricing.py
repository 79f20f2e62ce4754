"""Pure price arithmetic of the catalogue."""

from decimal import Decimal

from connector.errors import InvalidInput

_HUNDRED = Decimal(100)


def discounted(list_price: Decimal, discount_percent: Decimal) -> Decimal:
    """Return a price after a discount, exact: rounding happens on the invoice line, not here.

    Raises:
        InvalidInput: The discount is below 0 or above 100 percent.
    """
    if not 0 <= discount_percent <= _HUNDRED:
        raise InvalidInput(f"A discount of {discount_percent} % is not between 0 and 100 %.")
    return list_price * (_HUNDRED - discount_percent) / _HUNDRED
