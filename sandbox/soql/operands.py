"""Fields, aggregates and date functions as SQL."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from ..schema.model import Field, FieldType
from ..storage.folding import COLLATION
from ..storage.money import ONE
from .ast import Call, Path
from .filters import LONG_TEXT, Operand
from .lexer import error_at
from .scope import Scope

COUNTED = Field(name="count", label="count", type=FieldType.INT)
DAY = Field(name="day", label="day", type=FieldType.DATE)
ZONE = "'\x1fzone'"  # stands in the SQL for the name of the user's time zone
ROLLED = "NULL"  # a grouped field in a row that sums over all its values
_STRFTIME = {
    "CALENDAR_YEAR": "%Y",
    "FISCAL_YEAR": "%Y",
    "CALENDAR_MONTH": "%m",
    "FISCAL_MONTH": "%m",
    "DAY_IN_MONTH": "%d",
    "DAY_IN_YEAR": "%j",
}
_PLAIN = frozenset({FieldType.BASE64, FieldType.ADDRESS})
_UNORDERED = _PLAIN | {FieldType.BOOLEAN, FieldType.MULTIPICKLIST}


@dataclass(frozen=True, slots=True)
class Grouping:
    """The grouped expressions of a query and which of them one grouping set sums over."""

    keys: Collection[str] = ()
    rolled: Collection[str] = ()

    def is_rolled(self, sql: str) -> bool:
        """Return whether an expression has no value of its own in this set."""
        return sql in self.rolled


NO_GROUPING = Grouping()


class Operands:
    """Turns expressions of one query level into SQL."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope

    def of(self, expression: Path | Call, grouping: Grouping = NO_GROUPING) -> Operand:
        """Return a field, aggregate or date function as SQL.

        Raises:
            ApiError: INVALID_FIELD for unknown names, MALFORMED_QUERY for functions that do not
                fit.
        """
        if isinstance(expression, Call) and expression.function == "GROUPING":
            return self._is_rolled(expression, grouping)
        operand = self._plain(expression)
        if grouping.is_rolled(operand.sql):
            return replace(operand, sql=ROLLED)
        return operand

    def _plain(self, expression: Path | Call) -> Operand:
        if isinstance(expression, Path):
            found = self._scope.resolve(expression)
            return Operand(sql=found.sql, field=found.field, rate_sql=found.rate_sql)
        if expression.path is None:
            return Operand(sql="COUNT(*)", field=COUNTED, is_aggregate=True)
        found = self._scope.resolve(expression.path)
        column = found.sql
        if found.rate_sql and expression.function in {"SUM", "AVG", "MIN", "MAX"}:
            # Amounts of several currencies come together in the corporate one.
            column = f"l2c_converted({column}, {found.rate_sql}, {ONE})"
        return self._call(expression, column, found.field)

    def _is_rolled(self, call: Call, grouping: Grouping) -> Operand:
        assert call.path is not None
        column = self._scope.resolve(call.path).sql
        if column not in grouping.keys:
            message = f"Grouping function argument must be a grouped field: {call.path.text}"
            raise error_at(self._text, call.path.at, message)
        sql = "1" if grouping.is_rolled(column) else "0"
        return Operand(sql=sql, field=COUNTED, is_aggregate=True)

    def _call(self, call: Call, column: str, item: Field) -> Operand:
        function = call.function
        if function == "TOLABEL":
            return self._label(call, column, item)
        if function not in {"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"}:
            return self._date(call, column, item)
        number = item.is_decimal or item.type is FieldType.INT
        long = item.type is FieldType.TEXTAREA and item.length > LONG_TEXT
        unfit = long or item.type in (_UNORDERED if function in {"MIN", "MAX"} else _PLAIN)
        if unfit or (function in {"SUM", "AVG"} and not number):
            message = (
                f"aggregate operator {function} not supported for type {item.type}: {item.name}"
            )
            raise error_at(self._text, call.at, message)
        if function == "COUNT":
            return Operand(sql=f"COUNT({column})", field=COUNTED, is_aggregate=True)
        if function == "COUNT_DISTINCT":
            return Operand(sql=f"COUNT(DISTINCT {column})", field=COUNTED, is_aggregate=True)
        if function == "AVG":
            sql = f"(AVG({column}) / {10**item.scale}.0)"
            return Operand(sql=sql, field=COUNTED, is_aggregate=True, is_float=True)
        # A function has no collation of its own.
        folds = item.folds
        sql = f"({function}({column}) COLLATE {COLLATION})" if folds else f"{function}({column})"
        return Operand(sql=sql, field=item, is_aggregate=True)

    def _label(self, call: Call, column: str, item: Field) -> Operand:
        if item.type is not FieldType.PICKLIST:
            message = f"toLabel is not supported for the field {item.name}"
            raise error_at(self._text, call.at, message, code="INVALID_FIELD")
        cases = "".join(
            f" WHEN {literal_sql(v.value)} THEN {literal_sql(v.label)}"
            for v in item.picklist
            if v.label != v.value
        )
        sql = f"(CASE {column}{cases} ELSE {column} END COLLATE {COLLATION})" if cases else column
        return Operand(sql=sql, field=item)

    def _date(self, call: Call, column: str, item: Field) -> Operand:
        timed = item.type is FieldType.DATETIME
        unfit = item.type is FieldType.DATE and (call.function == "HOUR_IN_DAY" or call.zoned)
        if not (timed or item.type is FieldType.DATE) or unfit:
            inner = f"convertTimezone({item.name})" if call.zoned else item.name
            message = f"Invalid date function: {call.function}({inner})"
            raise error_at(self._text, call.at, message, code="INVALID_FIELD")
        if timed and call.zoned:
            column = f"local_seconds({column}, {ZONE})"
        source = f"{column}, 'unixepoch'" if timed else column
        if call.function == "DAY_ONLY":
            return Operand(sql=f"date({source})", field=DAY)
        return Operand(sql=_part_sql(call.function, source), field=COUNTED)


def _part_sql(function: str, source: str) -> str:
    """Return the SQL of a whole number taken from a date."""
    if function in _STRFTIME:
        return f"CAST(strftime('{_STRFTIME[function]}', {source}) AS INTEGER)"
    if function == "HOUR_IN_DAY":
        return f"CAST(strftime('%H', {source}) AS INTEGER)"
    if function in {"CALENDAR_QUARTER", "FISCAL_QUARTER"}:
        return f"((CAST(strftime('%m', {source}) AS INTEGER) + 2) / 3)"
    if function == "DAY_IN_WEEK":
        return f"(CAST(strftime('%w', {source}) AS INTEGER) + 1)"
    if function == "WEEK_IN_MONTH":
        return f"((CAST(strftime('%d', {source}) AS INTEGER) + 6) / 7)"
    return f"((CAST(strftime('%j', {source}) AS INTEGER) + 6) / 7)"


def literal_sql(text: str) -> str:
    """Return text of the schema as an SQL literal."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"
