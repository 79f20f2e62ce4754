"""Parses SOQL (fact sheet C.1 to C.7)."""

from dataclasses import replace

from ..errors import ApiError
from .ast import (
    Branch,
    Call,
    Comparison,
    Condition,
    FieldGroup,
    Literal,
    Logic,
    Order,
    Path,
    Query,
    Selected,
    SelectItem,
    TypeOf,
)
from .lexer import Token, error_at, tokens_of

AGGREGATES = frozenset({"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"})
DATE_FUNCTIONS = frozenset(
    {
        "CALENDAR_YEAR",
        "CALENDAR_QUARTER",
        "CALENDAR_MONTH",
        "DAY_IN_MONTH",
        "DAY_IN_WEEK",
        "DAY_IN_YEAR",
        "DAY_ONLY",
        "FISCAL_YEAR",
        "FISCAL_QUARTER",
        "FISCAL_MONTH",
        "HOUR_IN_DAY",
        "WEEK_IN_MONTH",
        "WEEK_IN_YEAR",
    }
)
OTHER_FUNCTIONS = frozenset({"FORMAT", "CONVERTCURRENCY", "TOLABEL", "GROUPING"})
FUNCTIONS = AGGREGATES | DATE_FUNCTIONS | OTHER_FUNCTIONS
SCOPES = frozenset(
    {
        "DELEGATED",
        "EVERYTHING",
        "MINE",
        "MINE_AND_MY_GROUPS",
        "MY_TERRITORY",
        "MY_TEAM_TERRITORY",
        "TEAM",
    }
)
CLAUSES = frozenset(
    {"WHERE", "WITH", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "UPDATE", "USING"}
)
COMPARISONS = frozenset({"=", "!=", "<>", "<", ">", "<=", ">="})
MAX_OFFSET = 2_000
MAX_NESTING = 60
MAX_CHILDREN = 20
MAX_LEVELS = 5
MAX_GROUPED = 3
MAX_STRING = 4_000


def parse(text: str) -> Query:
    """Return the syntax tree of a query.

    Raises:
        ApiError: MALFORMED_QUERY with row and column.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._at = 0
        self._depth = 0

    # --- tokens ---

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._token
        if token.kind != "end":
            self._at += 1
        return token

    def _is(self, *words: str) -> bool:
        return self._token.upper in words and self._token.kind in {"name", "operator"}

    def _take(self, word: str) -> bool:
        if self._is(word):
            self._at += 1
            return True
        return False

    def _expect(self, word: str) -> Token:
        if not self._is(word):
            raise self._unexpected()
        return self._next()

    def _unexpected(self) -> ApiError:
        token = self._token
        if token.kind == "end":
            return error_at(self._text, token.at, "unexpected token: '<EOF>'")
        return error_at(self._text, token.at, f"unexpected token: '{token.text}'")

    def _name(self) -> Token:
        if self._token.kind != "name":
            raise self._unexpected()
        return self._next()

    # --- clauses ---

    def whole(self) -> Query:
        query = self._query(level=1)
        if self._token.kind != "end":
            raise self._unexpected()
        return query

    def _query(self, *, level: int) -> Query:
        self._expect("SELECT")
        items: list[Selected] = []
        children: list[Query] = []
        while True:
            self._select_item(items, children, level=level)
            if not self._take(","):
                break
        self._expect("FROM")
        source = self._name()
        alias = None
        self._take("AS")
        if self._token.kind == "name" and self._token.upper not in CLAUSES:
            alias = self._next().text
        scope_at = self._token.at
        scope = self._scope()
        where = self._condition() if self._take("WHERE") else None
        self._with()
        group_by, grouping = self._group_by()
        having = self._condition() if group_by and self._take("HAVING") else None
        order_by = self._order_by()
        limit = self._count("LIMIT")
        offset_at = self._token.at
        offset = self._count("OFFSET") or 0
        if offset > MAX_OFFSET:
            message = "Maximum SOQL offset allowed is 2000"
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", message)
        for_update = self._purpose(may_lock=level == 1 and not order_by)
        return Query(
            select=tuple(items),
            children=tuple(children),
            source=source.text,
            source_at=source.at,
            alias=alias,
            scope=scope,
            scope_at=scope_at,
            where=where,
            group_by=group_by,
            grouping=grouping,
            having=having,
            order_by=order_by,
            limit=limit,
            offset=offset,
            offset_at=offset_at,
            for_update=for_update,
        )

    def _select_item(self, items: list[Selected], children: list[Query], *, level: int) -> None:
        if self._is("("):
            if level >= MAX_LEVELS or len(children) >= MAX_CHILDREN:
                raise self._unexpected()
            self._next()
            children.append(self._query(level=level + 1))
            self._expect(")")
        elif self._is("FIELDS") and self._following() == "(":
            items.append(self._field_group())
        elif self._is("TYPEOF") and self._tokens[self._at + 1].kind == "name":
            items.append(self._type_of())
        else:
            items.append(self._selected())

    def _selected(self) -> SelectItem:
        formatted = self._is("FORMAT") and self._following() == "("
        if formatted:
            self._next()
            self._next()
        expression = self._expression()
        if formatted:
            self._expect(")")
        alias = None
        if self._token.kind == "name" and not self._is("FROM"):
            alias = self._next().text
        return SelectItem(expression=expression, alias=alias, formatted=formatted)

    def _following(self) -> str:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)].text

    def _field_group(self) -> FieldGroup:
        at = self._next().at
        self._next()
        which = self._name().upper
        if which not in {"ALL", "STANDARD", "CUSTOM"}:
            raise error_at(self._text, at, f"unexpected token: '{which}'")
        self._expect(")")
        return FieldGroup(which=which, at=at)

    def _type_of(self) -> TypeOf:
        self._next()
        relationship = self._path()
        branches = []
        while self._take("WHEN"):
            name = self._name()
            self._expect("THEN")
            branches.append(Branch(object_name=name.text, at=name.at, paths=self._paths()))
        if not branches:
            raise self._unexpected()
        otherwise = None
        at = self._token.at
        if self._take("ELSE"):
            otherwise = Branch(object_name="", at=at, paths=self._paths())
        self._expect("END")
        return TypeOf(relationship=relationship, branches=tuple(branches), otherwise=otherwise)

    def _paths(self) -> tuple[Path, ...]:
        found = [self._path()]
        while self._take(","):
            found.append(self._path())
        return tuple(found)

    def _path(self) -> Path:
        token = self._name()
        return Path(names=tuple(token.text.split(".")), at=token.at)

    def _expression(self) -> Path | Call:
        if self._following() == "(" and self._token.upper in FUNCTIONS:
            return self._call(self._name())
        return self._path()

    def _call(self, token: Token) -> Path | Call:
        self._expect("(")
        function = token.upper
        if self._is(")"):
            if function != "COUNT":
                raise self._unexpected()
            self._next()
            return Call(function="COUNT", path=None, at=token.at)
        if function in {"CONVERTCURRENCY", "FORMAT"}:
            self._enter()
            inner = self._expression()
            self._depth -= 1
            self._expect(")")
            if function == "CONVERTCURRENCY" and isinstance(inner, Path):
                return replace(inner, converted=True)
            return inner
        zoned = self._is("CONVERTTIMEZONE") and self._following() == "("
        if zoned:
            if function not in DATE_FUNCTIONS:
                raise self._unexpected()
            self._next()
            self._next()
        path = self._path()
        if zoned:
            self._expect(")")
        self._expect(")")
        return Call(function=function, path=path, at=token.at, zoned=zoned)

    def _scope(self) -> str:
        if not self._take("USING"):
            return "EVERYTHING"
        self._expect("SCOPE")
        if self._token.upper not in SCOPES:
            raise self._unexpected()
        return self._name().upper

    def _with(self) -> None:
        words = ("SECURITY_ENFORCED", "USER_MODE", "SYSTEM_MODE")
        if self._take("WITH") and not any(self._take(word) for word in words):
            raise self._unexpected()

    def _purpose(self, *, may_lock: bool) -> bool:
        """FOR VIEW, FOR REFERENCE, FOR UPDATE and UPDATE TRACKING change nothing here."""
        locks = False
        while self._is("FOR", "UPDATE"):
            word = self._next().upper
            allowed = ("VIEW", "REFERENCE", "UPDATE") if word == "FOR" else ("TRACKING", "VIEWSTAT")
            if not self._is(*allowed) or (self._is("UPDATE") and not may_lock):
                raise self._unexpected()
            locks = self._next().upper == "UPDATE" or locks
        return locks

    def _group_by(self) -> tuple[tuple[Path | Call, ...], str]:
        if not self._take("GROUP"):
            return (), ""
        self._expect("BY")
        grouping = ""
        if self._is("ROLLUP", "CUBE") and self._following() == "(":
            grouping = self._next().upper
            self._next()
        items = [self._expression()]
        while self._take(","):
            if grouping and len(items) == MAX_GROUPED:
                message = f"GROUP BY {grouping} takes at most {MAX_GROUPED} fields"
                raise error_at(self._text, self._token.at, message)
            items.append(self._expression())
        if grouping:
            self._expect(")")
        return tuple(items), grouping

    def _order_by(self) -> tuple[Order, ...]:
        if not self._take("ORDER"):
            return ()
        self._expect("BY")
        found = []
        while True:
            expression = self._expression()
            descending = self._take("DESC")
            if not descending:
                self._take("ASC")
            last = False
            if self._take("NULLS"):
                last = self._take("LAST")
                if not last:
                    self._expect("FIRST")
            found.append(Order(expression=expression, descending=descending, nulls_last=last))
            if not self._take(","):
                return tuple(found)

    def _count(self, word: str) -> int | None:
        if not self._take(word):
            return None
        token = self._token
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 12:
            raise self._unexpected()
        self._next()
        return int(token.text)

    # --- conditions ---

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise ApiError(
                400,
                "QUERY_TOO_COMPLICATED",
                "Query is either selecting too many fields "
                "or the filter conditions are too complicated.",
            )

    def _condition(self) -> Condition:
        self._enter()
        parts = [self._not()]
        word = self._token.upper
        while self._is("AND", "OR"):
            if self._token.upper != word:
                # Mixing AND and OR needs parentheses (C.3).
                raise self._unexpected()
            self._next()
            parts.append(self._not())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Logic(operator=word, parts=tuple(parts))

    def _not(self) -> Condition:
        self._enter()
        try:
            if self._take("NOT"):
                return Logic(operator="NOT", parts=(self._not(),))
            if self._take("("):
                inner = self._condition()
                self._expect(")")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Condition:
        left = self._expression()
        token = self._token
        if token.kind == "operator" and token.text in COMPARISONS:
            self._next()
            operator = "!=" if token.text == "<>" else token.text
            return Comparison(left=left, operator=operator, values=(self._literal(),))
        if self._take("LIKE"):
            return Comparison(left=left, operator="LIKE", values=(self._literal(),))
        negated = self._take("NOT")
        if self._take("IN"):
            return self._in(left, "NOT IN" if negated else "IN")
        if not negated and self._is("INCLUDES", "EXCLUDES"):
            operator = self._next().upper
            return Comparison(left=left, operator=operator, values=self._list())
        raise self._unexpected()

    def _in(self, left: Path | Call, operator: str) -> Comparison:
        if self._is("(") and self._tokens[self._at + 1].upper == "SELECT":
            self._next()
            self._enter()
            query = self._query(level=5)
            self._depth -= 1
            self._expect(")")
            return Comparison(left=left, operator=operator, values=(), subquery=query)
        return Comparison(left=left, operator=operator, values=self._list())

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(")
        found = [self._literal()]
        while self._take(","):
            found.append(self._literal())
        self._expect(")")
        return tuple(found)

    def _literal(self) -> Literal:
        token = self._next()
        if token.kind == "string" and len(token.text) > MAX_STRING + 2:
            message = f"string literals cannot be longer than {MAX_STRING} characters"
            raise error_at(self._text, token.at, message)
        if token.kind in {"string", "number", "date", "datetime", "time"}:
            return Literal(kind=token.kind, text=token.text, at=token.at)
        if token.kind == "currency":
            code = token.text[:3].upper()
            return Literal(kind="number", text=token.text[3:], at=token.at, currency=code)
        if token.kind == "name":
            if token.upper in {"TRUE", "FALSE"}:
                return Literal(kind="boolean", text=token.upper, at=token.at)
            if token.upper == "NULL":
                return Literal(kind="null", text="", at=token.at)
            word = token.upper
            if self._take(":"):
                count = self._next()
                if count.kind != "number":
                    raise error_at(self._text, count.at, f"unexpected token: '{count.text}'")
                word = f"{word}:{count.text}"
            return Literal(kind="date_word", text=word, at=token.at)
        self._at -= 1 if token.kind != "end" else 0
        raise self._unexpected()
