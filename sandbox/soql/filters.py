"""Conditions as SQL with bound parameters.

SOQL knows two truth values: a null is unequal to every value, and NOT of what does not hold, holds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from ..clock import EPOCH
from ..errors import ApiError
from ..ids import normalize
from ..records.transaction import json_list
from ..schema.model import Field, FieldType
from ..storage.folding import folded_sql, folded_text
from ..storage.values import parse_datetime, parse_time
from ..storage.zones import start_of_day_s
from .ast import Call, Comparison, Condition, Literal, Logic, Path
from .dates import days_of, ends_now
from .lexer import error_at, string_value

SQLITE_MAX = 2**63 - 1
LONG_TEXT = 255
IMPOSSIBLE = "0"
ALWAYS = "1"


@dataclass(frozen=True, slots=True)
class Operand:
    """The left side of a comparison: SQL, and the field that says how values look."""

    sql: str
    field: Field
    is_aggregate: bool = False
    is_float: bool = False
    rate_sql: str = ""  # of the currency of an amount, where there are several


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, where they are, and when: what a plan leaves open."""

    user_id: str
    zone_name: str
    zone: tzinfo
    now: datetime
    currency: str | None = None
    rates: Mapping[str, int] = field(default_factory=dict)  # by currency code; active ones


@dataclass(frozen=True, slots=True)
class DayBound:
    """A parameter that depends on the day the query runs, in the user's time zone."""

    word: str
    end: bool
    as_datetime: bool

    def value(self, viewer: Viewer) -> str | int:
        """Return the first day of the literal, or the day after its last."""
        days = days_of(self.word, today=viewer.now.astimezone(viewer.zone).date())
        assert days is not None, self.word
        day = days[1] if self.end else days[0]
        if not self.as_datetime:
            return day.isoformat()
        if self.end and ends_now(self.word):
            return int(viewer.now.timestamp()) + 1
        return start_of_day_s(day, viewer.zone)


@dataclass(frozen=True, slots=True)
class Myself:
    """A parameter that is the id of the user who asks (USING SCOPE mine)."""

    def value(self, viewer: Viewer) -> str:
        """Return the id."""
        return viewer.user_id


@dataclass(frozen=True, slots=True)
class RateOf:
    """A parameter that is the conversion rate of a currency named in the query."""

    code: str

    def value(self, viewer: Viewer) -> int:
        """Return the stored rate.

        Raises:
            ApiError: INVALID_CURRENCY_ISO for a code that is unknown or inactive.
        """
        rate = viewer.rates.get(self.code)
        if rate is None:
            message = f"invalid currency ISO code: {self.code}"
            raise ApiError(400, "INVALID_CURRENCY_ISO", message)
        return rate


Params = list[Any]
Sql = tuple[str, Params]


class FilterBuilder:
    """Builds the SQL of one WHERE or HAVING clause."""

    def __init__(
        self,
        *,
        text: str,
        operand: Callable[[Path | Call], Operand],
        subquery: Callable[[Comparison, Operand], Sql],
    ) -> None:
        self._text = text
        self._operand = operand
        self._subquery = subquery

    def build(self, condition: Condition) -> Sql:
        """Return SQL that is true, false or (meaning false) null."""
        if isinstance(condition, Comparison):
            return self._comparison(condition)
        return self._logic(condition)

    def _logic(self, logic: Logic) -> Sql:
        built = [self.build(part) for part in logic.parts]
        params = [value for _, values in built for value in values]
        if logic.operator == "NOT":
            return f"NOT COALESCE(({built[0][0]}), 0)", params
        joined = f" {logic.operator} ".join(f"({sql})" for sql, _ in built)
        return joined, params

    def _comparison(self, condition: Comparison) -> Sql:
        operand = self._operand(condition.left)
        self._check_filterable(operand, condition)
        if condition.subquery is not None:
            return self._subquery(condition, operand)
        operator = condition.operator
        if operator in {"IN", "NOT IN"}:
            return self._in(operand, condition)
        if operator == "LIKE":
            return self._like(operand, condition)
        if operator in {"INCLUDES", "EXCLUDES"}:
            return self._includes(operand, condition)
        literal = condition.values[0]
        if literal.kind == "null" or (literal.kind == "string" and literal.text == "''"):
            return self._null(operand, condition)
        if literal.kind == "date_word":
            return self._date_word(operand, operator, literal)
        if operand.is_float:
            return self._average(operand, operator, literal)
        if operand.field.is_decimal or operand.field.type is FieldType.INT:
            return self._number(operand, operator, literal)
        column, value = _comparable(operand), self._compared(operand.field, literal)
        if operator == "=":
            return f"{column} = ?{_and_filled(operand)}", [value]
        if operator == "!=":
            return f"{column} IS NOT ?", [value]
        if operand.field.type is FieldType.BOOLEAN:
            raise self._bad_operator(condition)
        return f"{column} {operator} ?", [value]

    def _check_filterable(self, operand: Operand, condition: Comparison) -> None:
        kind = operand.field.type
        long = kind is FieldType.TEXTAREA and operand.field.length > LONG_TEXT
        if long or kind in {FieldType.BASE64, FieldType.ADDRESS}:
            name = operand.field.name
            message = f"field '{name}' can not be filtered in a query call"
            raise error_at(self._text, condition.left.at, message, code="INVALID_FIELD")

    def _null(self, operand: Operand, condition: Comparison) -> Sql:
        if operand.field.type is FieldType.BOOLEAN:
            return (IMPOSSIBLE if condition.operator == "=" else ALWAYS), []
        if condition.operator == "=":
            return f"{operand.sql} IS NULL", []
        if condition.operator == "!=":
            return f"{operand.sql} IS NOT NULL", []
        if condition.values[0].kind == "null":
            return IMPOSSIBLE, []
        self._value(operand.field, condition.values[0])
        return f"{operand.sql} {condition.operator} ?", [""]

    def _number(self, operand: Operand, operator: str, literal: Literal) -> Sql:
        if literal.currency and operand.rate_sql:
            return self._money(operand, operator, literal)
        exact = self._decimal(operand.field, literal)
        floor = int(exact.to_integral_value(rounding=ROUND_FLOOR))
        ceiling = int(exact.to_integral_value(rounding=ROUND_CEILING))
        if operator in {"=", "!="}:
            if floor != ceiling:
                return (IMPOSSIBLE if operator == "=" else ALWAYS), []
            word = "=" if operator == "=" else "IS NOT"
            return f"{operand.sql} {word} ?", [_clamped(floor)]
        bound = ceiling if operator in {"<", ">="} else floor
        return f"{operand.sql} {operator} ?", [_clamped(bound)]

    def _money(self, operand: Operand, operator: str, literal: Literal) -> Sql:
        """Compare an amount with one in a currency of its own, without rounding either."""
        wanted = Fraction(self._decimal(operand.field, literal))
        word = "IS NOT" if operator == "!=" else operator
        sql = f"l2c_compared({operand.sql}, {operand.rate_sql}, ?, ?) {word} 0"
        text = f"{wanted.numerator}/{wanted.denominator}"
        return sql, [text, RateOf(literal.currency)]

    def _average(self, operand: Operand, operator: str, literal: Literal) -> Sql:
        if literal.kind != "number":
            raise self._wrong_type(operand.field, literal, "double")
        word = "IS NOT" if operator == "!=" else operator
        return f"{operand.sql} {word} ?", [float(literal.text)]

    def _decimal(self, field: Field, literal: Literal) -> Decimal:
        if literal.kind != "number":
            raise self._wrong_type(field, literal, "double")
        try:
            number = Decimal(literal.text)
        except InvalidOperation:
            raise self._wrong_type(field, literal, "double") from None
        if not number:
            return Decimal(0)
        if number.adjusted() > 40:
            return Decimal(SQLITE_MAX if number > 0 else -SQLITE_MAX)
        if number.adjusted() < -40:
            return Decimal("0.5") if number > 0 else Decimal("-0.5")
        return number.scaleb(field.scale if field.is_decimal else 0)

    def _date_word(self, operand: Operand, operator: str, literal: Literal) -> Sql:
        kind = operand.field.type
        known = days_of(literal.text, today=EPOCH.date())
        if known is None:
            raise error_at(self._text, literal.at, f"unexpected token: '{literal.text}'")
        if kind not in {FieldType.DATE, FieldType.DATETIME}:
            raise self._wrong_type(operand.field, literal, _TYPE_NAMES.get(kind, "string"))
        datetime_column = kind is FieldType.DATETIME

        def bound(*, end: bool) -> DayBound:
            return DayBound(word=literal.text, end=end, as_datetime=datetime_column)

        column = operand.sql
        if operator == "=":
            return f"({column} >= ? AND {column} < ?)", [bound(end=False), bound(end=True)]
        if operator == "!=":
            sql = f"NOT COALESCE({column} >= ? AND {column} < ?, 0)"
            return sql, [bound(end=False), bound(end=True)]
        end = operator in {">", "<="}
        word = {">": ">=", "<=": "<"}.get(operator, operator)
        return f"{column} {word} ?", [bound(end=end)]

    def _in(self, operand: Operand, condition: Comparison) -> Sql:
        if operand.rate_sql and any(literal.currency for literal in condition.values):
            return self._in_money(operand, condition)
        values = []
        has_null = False
        for literal in condition.values:
            if literal.kind == "null" or (literal.kind == "string" and literal.text == "''"):
                has_null = True
            elif literal.kind == "date_word":
                raise self._wrong_type(operand.field, literal, "date")
            elif operand.is_float and literal.kind == "number":
                values.append(float(literal.text))
            elif operand.field.is_decimal or operand.field.type is FieldType.INT:
                exact = self._decimal(operand.field, literal)
                if exact == exact.to_integral_value():
                    values.append(_clamped(int(exact)))
            else:
                values.append(self._compared(operand.field, literal))
        listed = f"{_comparable(operand)} IN (SELECT value FROM json_each(?))"
        sql = f"({listed}{_and_filled(operand)})"
        params = [json_list(values)]
        if condition.operator == "IN":
            return (f"({sql} OR {operand.sql} IS NULL)" if has_null else sql), params
        negated = f"NOT COALESCE({sql}, 0)"
        return (f"({negated} AND {operand.sql} IS NOT NULL)" if has_null else negated), params

    def _in_money(self, operand: Operand, condition: Comparison) -> Sql:
        alone = (replace(condition, operator="=", values=(v,)) for v in condition.values)
        equal = Logic(operator="OR", parts=tuple(alone))
        return self._logic(
            equal if condition.operator == "IN" else Logic(operator="NOT", parts=(equal,))
        )

    def _like(self, operand: Operand, condition: Comparison) -> Sql:
        literal = condition.values[0]
        if not operand.field.is_text and operand.field.type is not FieldType.ID:
            raise self._bad_operator(condition)
        if literal.kind != "string":
            raise self._wrong_type(operand.field, literal, "string")
        pattern = string_value(literal.text, for_like=True)
        if pattern is None:
            raise error_at(self._text, literal.at, f"Illegal string literal {literal.text}")
        if pattern.isascii():
            return f"{operand.sql} LIKE ? ESCAPE '\\'", [pattern]
        # LIKE folds ASCII letters only.
        return f"{folded_sql(operand.sql)} LIKE ? ESCAPE '\\'", [folded_text(pattern)]

    def _includes(self, operand: Operand, condition: Comparison) -> Sql:
        if operand.field.type is not FieldType.MULTIPICKLIST:
            raise self._bad_operator(condition)
        groups = []
        params: Params = []
        for literal in condition.values:
            value = self._value(operand.field, literal)
            parts = [part for part in str(value).split(";") if part]
            tests = [f"instr(';' || {folded_sql(operand.sql)} || ';', ?) > 0" for _ in parts]
            groups.append("(" + (" AND ".join(tests) or ALWAYS) + ")")
            params += [f";{folded_text(part)};" for part in parts]
        sql = "(" + " OR ".join(groups) + ")"
        return (sql if condition.operator == "INCLUDES" else f"NOT COALESCE({sql}, 0)"), params

    def _compared(self, field: Field, literal: Literal) -> Any:
        """Return what the comparable form of a field is compared with."""
        value = self._value(field, literal)
        return folded_text(value) if field.folds else value

    def _value(self, field: Field, literal: Literal) -> Any:
        """Return the stored form of a literal that is neither null, number nor date word."""
        kind = field.type
        if kind is FieldType.BOOLEAN:
            if literal.kind != "boolean":
                raise self._wrong_type(field, literal, "boolean")
            return int(literal.text == "TRUE")
        if kind is FieldType.DATE:
            return self._date(field, literal)
        if kind is FieldType.DATETIME:
            seconds = parse_datetime(literal.text) if literal.kind == "datetime" else None
            if seconds is None:
                raise self._wrong_type(field, literal, "dateTime")
            return seconds
        if kind is FieldType.TIME:
            time = parse_time(literal.text.upper()) if literal.kind == "time" else None
            if time is None:
                raise self._wrong_type(field, literal, "time")
            return time
        if literal.kind != "string":
            raise self._wrong_type(field, literal, "string")
        text = string_value(literal.text)
        if text is None:
            raise error_at(self._text, literal.at, f"Illegal string literal {literal.text}")
        if kind in {FieldType.ID, FieldType.REFERENCE}:
            record_id = normalize(text)
            if record_id is None:
                message = f"invalid ID field: {text}"
                raise error_at(
                    self._text, literal.at, message, code="INVALID_QUERY_FILTER_OPERATOR"
                )
            return record_id
        return text

    def _date(self, field: Field, literal: Literal) -> str:
        if literal.kind != "date":
            raise self._wrong_type(field, literal, "date")
        try:
            return date.fromisoformat(literal.text).isoformat()
        except ValueError:
            raise self._wrong_type(field, literal, "date") from None

    def _wrong_type(self, field: Field, literal: Literal, wanted: str) -> ApiError:
        quotes = "should be" if wanted == "string" else "should not be"
        message = (
            f"value of filter criterion for field '{field.name}' must be of type {wanted} "
            f"and {quotes} enclosed in quotes"
        )
        return error_at(self._text, literal.at, message, code="INVALID_FIELD")

    def _bad_operator(self, condition: Comparison) -> ApiError:
        message = f"invalid operator on field: {condition.operator}"
        at = condition.left.at
        return error_at(self._text, at, message, code="INVALID_QUERY_FILTER_OPERATOR")


_TYPE_NAMES = {
    FieldType.BOOLEAN: "boolean",
    FieldType.CURRENCY: "double",
    FieldType.DOUBLE: "double",
    FieldType.PERCENT: "double",
    FieldType.INT: "int",
}


def _comparable(operand: Operand) -> str:
    return folded_sql(operand.sql) if operand.field.folds else operand.sql


def _and_filled(operand: Operand) -> str:
    """Return what lets SQLite see that an index of the filled keys will do."""
    field = operand.field
    is_key = field.folds and (field.external_id or field.id_lookup) and not operand.is_aggregate
    return f" AND {operand.sql} IS NOT NULL" if is_key else ""


def _clamped(value: int) -> int:
    return max(-SQLITE_MAX, min(SQLITE_MAX, value))
