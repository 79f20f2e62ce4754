"""Fields, aggregates and date functions as SQL."""

from ..schema.model import Field, FieldType
from .ast import Call, Path
from .filters import Operand
from .lexer import error_at
from .scope import Scope

COUNTED = Field(name="count", label="count", type=FieldType.INT)
_STRFTIME = {
    "CALENDAR_YEAR": "%Y",
    "FISCAL_YEAR": "%Y",
    "CALENDAR_MONTH": "%m",
    "FISCAL_MONTH": "%m",
    "DAY_IN_MONTH": "%d",
    "DAY_IN_YEAR": "%j",
    "HOUR_IN_DAY": "%H",
}


def operand_of(expression: Path | Call, scope: Scope, text: str) -> Operand:
    """Return a field, aggregate or date function as SQL.

    Raises:
        ApiError: INVALID_FIELD for unknown names, MALFORMED_QUERY for a function that does not fit.
    """
    if isinstance(expression, Path):
        found = scope.resolve(expression)
        return Operand(sql=found.sql, field=found.field)
    return _call_operand(expression, scope, text)


def _call_operand(call: Call, scope: Scope, text: str) -> Operand:
    if call.path is None:
        return Operand(sql="COUNT(*)", field=COUNTED, is_aggregate=True)
    found = scope.resolve(call.path)
    column, function, item = found.sql, call.function, found.field
    if function == "COUNT":
        return Operand(sql=f"COUNT({column})", field=COUNTED, is_aggregate=True)
    if function == "COUNT_DISTINCT":
        return Operand(sql=f"COUNT(DISTINCT {column})", field=COUNTED, is_aggregate=True)
    if function in {"SUM", "AVG"} and not (item.is_decimal or item.type is FieldType.INT):
        message = f"aggregate operator {function} not supported for type {item.type}: {item.name}"
        raise error_at(text, call.at, message)
    if function == "AVG":
        sql = f"(AVG({column}) / {10**item.scale}.0)"
        return Operand(sql=sql, field=COUNTED, is_aggregate=True)
    if function in {"SUM", "MIN", "MAX"}:
        return Operand(sql=f"{function}({column})", field=item, is_aggregate=True)
    return _date_operand(call, column, item, text)


def _date_operand(call: Call, column: str, item: Field, text: str) -> Operand:
    if item.type not in {FieldType.DATE, FieldType.DATETIME}:
        message = f"Invalid date function: {call.function}({item.name})"
        raise error_at(text, call.at, message, code="INVALID_FIELD")
    source = f"{column}, 'unixepoch'" if item.type is FieldType.DATETIME else column
    function = call.function
    if function == "DAY_ONLY":
        day = Field(name="day", label="day", type=FieldType.DATE)
        return Operand(sql=f"date({source})", field=day)
    if function in _STRFTIME:
        sql = f"CAST(strftime('{_STRFTIME[function]}', {source}) AS INTEGER)"
    elif function in {"CALENDAR_QUARTER", "FISCAL_QUARTER"}:
        sql = f"((CAST(strftime('%m', {source}) AS INTEGER) + 2) / 3)"
    elif function == "DAY_IN_WEEK":
        sql = f"(CAST(strftime('%w', {source}) AS INTEGER) + 1)"
    elif function == "WEEK_IN_MONTH":
        sql = f"((CAST(strftime('%d', {source}) AS INTEGER) + 6) / 7)"
    else:
        sql = f"((CAST(strftime('%j', {source}) AS INTEGER) + 6) / 7)"
    return Operand(sql=sql, field=COUNTED)
