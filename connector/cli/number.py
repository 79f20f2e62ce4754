"""An exact number as an option of a command."""

from decimal import Decimal, InvalidOperation

import click


def number(text: str) -> Decimal:
    """Return a number such as 12.50, digit by digit; for the `type` of an option.

    Raises:
        BadParameter: It is none.
    """
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise click.BadParameter(f"'{text}' is no number like 12.50.") from None
    if not exact.is_finite():
        raise click.BadParameter(f"'{text}' is no number like 12.50.")
    return exact
