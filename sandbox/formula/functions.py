"""The functions and operators whose value follows from their arguments alone."""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from .syntax import FormulaError

DAY_S = 86_400
MAX_TEXT = 10_000
MAX_SHIFT = 120_000
Function = Callable[..., Any]


def is_blank(value: Any) -> bool:
    """Whether a value is missing, or a text without characters."""
    return value is None or value == ""


def truth(value: Any) -> bool:
    """Return a condition; a missing one does not hold."""
    return value is True


def _number(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    raise FormulaError("a number is needed")


def _whole(value: Any) -> int:
    number = _number(value)
    if abs(number) > MAX_SHIFT:
        raise FormulaError("the number is too large")
    return int(number)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise FormulaError("a text is needed")


def _days(span: timedelta) -> Decimal:
    return Decimal(span.days) + Decimal(span.seconds) / DAY_S


def _shifted(moment: date | datetime, days: Decimal) -> date | datetime:
    if abs(days) > 4_000_000:
        raise FormulaError("the number of days is too large")
    if isinstance(moment, datetime):
        return moment + timedelta(seconds=int(days * DAY_S))
    return moment + timedelta(days=int(days.to_integral_value(ROUND_FLOOR)))


def plus(left: Any, right: Any) -> Any:
    """Add numbers, add days to a date, or join texts."""
    if isinstance(left, str) or isinstance(right, str):
        return joined(left, right)
    if left is None or right is None:
        return None
    if isinstance(left, date):
        return _shifted(left, _number(right))
    if isinstance(right, date):
        return _shifted(right, _number(left))
    return _number(left) + _number(right)


def minus(left: Any, right: Any) -> Any:
    """Subtract numbers, days from a date, or two dates, in days."""
    if left is None or right is None:
        return None
    if isinstance(left, date):
        if isinstance(right, date):
            if isinstance(left, datetime) is not isinstance(right, datetime):
                raise FormulaError("a date and a datetime cannot be subtracted")
            return _days(left - right)
        return _shifted(left, -_number(right))
    return _number(left) - _number(right)


def _arithmetic(operation: Callable[[Decimal, Decimal], Decimal]) -> Function:
    def apply(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        return operation(_number(left), _number(right))

    return apply


def joined(left: Any, right: Any) -> str:
    """Join two texts; a missing one is empty."""
    text = _text(left) + _text(right)
    if len(text) > MAX_TEXT:
        raise FormulaError("the text is too long")
    return text


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same; a blank text is a missing one."""
    left = None if left == "" else left
    right = None if right == "" else right
    if left is None or right is None:
        return left is right
    return type(left) is type(right) and bool(left == right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Function:
    def apply(left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        if type(left) is not type(right):
            raise FormulaError("values of different types cannot be compared")
        return compare(left, right)

    return apply


def _rounding(rule: str) -> Function:
    def apply(value: Any) -> Any:
        return None if value is None else _number(value).to_integral_value(rule)

    return apply


def _round(value: Any, places: Any) -> Any:
    if value is None:
        return None
    digits = _whole(places)
    if abs(digits) > 18:
        raise FormulaError("too many decimal places")
    return _number(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _modulo(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    divisor = _number(right)
    number = _number(left)
    return number - divisor * (number / divisor).to_integral_value(ROUND_FLOOR)


def _extreme(choose: Callable[..., Any]) -> Function:
    def apply(*values: Any) -> Any:
        known = [_number(value) for value in values if value is not None]
        return choose(known) if known else None

    return apply


def as_text(value: Any) -> str | None:
    """Return TEXT(value)."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        shown = f"{value:f}"
        return (shown.rstrip("0").rstrip(".") if "." in shown else shown) or "0"
    return None if value is None else _text(value)


def _value(text: Any) -> Any:
    if is_blank(text):
        return None
    try:
        number = Decimal(_text(text).strip())
    except InvalidOperation:
        raise FormulaError("the text is no number") from None
    if not number.is_finite() or abs(number.adjusted()) > 40:
        raise FormulaError("the text is no number")
    return number


def _is_number(text: Any) -> bool:
    return re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*", _text(text)) is not None


def _date(year: Any, month: Any, day: Any) -> Any:
    if None in (year, month, day):
        return None
    return date(_whole(year), _whole(month), _whole(day))


def _date_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).date()
    if value is None or isinstance(value, date):
        return value
    return date.fromisoformat(_text(value).strip())


def _datetime_value(value: Any) -> Any:
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    moment = datetime.fromisoformat(_text(value).strip().replace("Z", "+00:00"))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _part(name: str) -> Function:
    def apply(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, date):
            raise FormulaError("a date is needed")
        return Decimal(getattr(value, name))

    return apply


def _weekday(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, date):
        raise FormulaError("a date is needed")
    return Decimal(value.isoweekday() % 7 + 1)


def _add_months(moment: Any, count: Any) -> Any:
    if moment is None or count is None:
        return None
    if not isinstance(moment, date):
        raise FormulaError("a date is needed")
    months = moment.year * 12 + moment.month - 1 + _whole(count)
    year, month = divmod(months, 12)
    last = monthrange(moment.year, moment.month)[1]
    end = monthrange(year, month + 1)[1]
    # The last day of a month leads to the last day of the other one.
    day = end if moment.day == last else min(moment.day, end)
    return moment.replace(year=year, month=month + 1, day=day)


def _find(part: Any, text: Any, start: Any = Decimal(1)) -> Decimal:
    if is_blank(part):
        return Decimal(0)
    return Decimal(_text(text).find(_text(part), max(0, _whole(start) - 1)) + 1)


def _middle(text: Any, start: Any, count: Any) -> str:
    first = max(0, _whole(start) - 1)
    return _text(text)[first : first + max(0, _whole(count))]


def _right(text: Any, count: Any) -> str:
    length = max(0, _whole(count))
    return _text(text)[-length:] if length else ""


def _padded(text: Any, length: Any, fill: Any, *, left: bool) -> str:
    plain, width, unit = _text(text), _whole(length), _text(fill) or " "
    if width > MAX_TEXT:
        raise FormulaError("the text is too long")
    missing = max(0, width - len(plain))
    added = (unit * missing)[:missing]
    return (added + plain if left else plain + added)[: max(0, width)]


def _includes(values: Any, wanted: Any) -> bool:
    return _text(wanted) in _text(values).split(";")


def _power(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if abs(_number(right)) > 1_000:
        raise FormulaError("the exponent is too large")
    return _number(left) ** _number(right)


PLAIN: dict[str, Function] = {
    "+": plus,
    "-": minus,
    "*": _arithmetic(lambda a, b: a * b),
    "/": _arithmetic(lambda a, b: a / b),
    "^": _power,
    "&": joined,
    "=": equal,
    "<>": lambda a, b: not equal(a, b),
    "<": _ordered(lambda a, b: a < b),
    "<=": _ordered(lambda a, b: a <= b),
    ">": _ordered(lambda a, b: a > b),
    ">=": _ordered(lambda a, b: a >= b),
    "not": lambda value: not truth(value),
    "isblank": is_blank,
    "isnull": is_blank,
    "ispickval": lambda value, wanted: _text(value) == _text(wanted),
    "includes": _includes,
    "text": as_text,
    "value": _value,
    "isnumber": _is_number,
    "date": _date,
    "datevalue": _date_value,
    "datetimevalue": _datetime_value,
    "year": _part("year"),
    "month": _part("month"),
    "day": _part("day"),
    "weekday": _weekday,
    "addmonths": _add_months,
    "round": _round,
    "abs": lambda value: None if value is None else abs(_number(value)),
    "ceiling": _rounding(ROUND_CEILING),
    "floor": _rounding(ROUND_FLOOR),
    "mod": _modulo,
    "min": _extreme(min),
    "max": _extreme(max),
    "sqrt": lambda value: None if value is None else _number(value).sqrt(),
    "contains": lambda text, part: _text(part) in _text(text),
    "begins": lambda text, part: _text(text).startswith(_text(part)),
    "len": lambda text: Decimal(len(_text(text))),
    "left": lambda text, count: _text(text)[: max(0, _whole(count))],
    "right": _right,
    "mid": _middle,
    "trim": lambda text: _text(text).strip(),
    "upper": lambda text, *_: _text(text).upper(),
    "lower": lambda text, *_: _text(text).lower(),
    "substitute": lambda text, old, new: (
        _text(text).replace(_text(old), _text(new))[:MAX_TEXT] if old else _text(text)
    ),
    "find": _find,
    "lpad": lambda text, length, fill=None: _padded(text, length, fill, left=True),
    "rpad": lambda text, length, fill=None: _padded(text, length, fill, left=False),
    "br": lambda: "\n",
    "casesafeid": lambda value: value,
    "regex": lambda text, pattern: re.fullmatch(_text(pattern), _text(text)) is not None,
}
