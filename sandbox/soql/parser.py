"""Parses SOQL (fact sheet C.1 to C.7)."""

from ..errors import ApiError
from .ast import (
    Call,
    Comparison,
    Condition,
    FieldGroup,
    Literal,
    Logic,
    Order,
    Path,
    Query,
    SelectItem,
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
PLAIN_FUNCTIONS = frozenset({"FORMAT", "CONVERTCURRENCY", "TOLABEL", "CONVERTTIMEZONE"})
CLAUSES = frozenset(
    {"WHERE", "WITH", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "UPDATE", "USING"}
)
COMPARISONS = frozenset({"=", "!=", "<>", "<", ">", "<=", ">="})
MAX_OFFSET = 2_000
MAX_NESTING = 60
MAX_CHILDREN = 20


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
        items: list[SelectItem] = []
        groups: list[FieldGroup] = []
        children: list[Query] = []
        while True:
            self._select_item(items, groups, children, level=level)
            if not self._take(","):
                break
        self._expect("FROM")
        source = self._name()
        alias = None
        self._take("AS")
        if self._token.kind == "name" and self._token.upper not in CLAUSES:
            alias = self._next().text
        if self._take("USING"):
            self._expect("SCOPE")
            self._name()
        where = self._condition() if self._take("WHERE") else None
        self._skip_with()
        group_by, having = self._group_by()
        order_by = self._order_by()
        limit = self._count("LIMIT")
        offset = self._count("OFFSET") or 0
        if offset > MAX_OFFSET:
            message = "Maximum SOQL offset allowed is 2000"
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", message)
        self._skip_for()
        return Query(
            select=tuple(items),
            groups=tuple(groups),
            children=tuple(children),
            source=source.text,
            source_at=source.at,
            alias=alias,
            where=where,
            group_by=group_by,
            having=having,
            order_by=order_by,
            limit=limit,
            offset=offset,
        )

    def _select_item(
        self,
        items: list[SelectItem],
        groups: list[FieldGroup],
        children: list[Query],
        *,
        level: int,
    ) -> None:
        if self._is("("):
            if level >= 5 or len(children) >= MAX_CHILDREN:
                raise self._unexpected()
            self._next()
            children.append(self._query(level=level + 1))
            self._expect(")")
            return
        if self._is("FIELDS") and self._tokens[self._at + 1].text == "(":
            at = self._next().at
            self._next()
            which = self._name().upper
            if which not in {"ALL", "STANDARD", "CUSTOM"}:
                raise error_at(self._text, at, f"unexpected token: '{which}'")
            self._expect(")")
            groups.append(FieldGroup(which=which, at=at))
            return
        expression = self._expression()
        alias = None
        if self._token.kind == "name" and not self._is("FROM"):
            alias = self._next().text
        items.append(SelectItem(expression=expression, alias=alias))

    def _expression(self) -> Path | Call:
        token = self._name()
        if self._is("(") and token.upper in AGGREGATES | DATE_FUNCTIONS | PLAIN_FUNCTIONS:
            return self._call(token)
        return Path(names=tuple(token.text.split(".")), at=token.at)

    def _call(self, token: Token) -> Path | Call:
        self._enter()
        self._expect("(")
        if self._take(")"):
            self._depth -= 1
            if token.upper != "COUNT":
                raise error_at(self._text, token.at, f"unexpected token: '{token.text}'")
            return Call(function="COUNT", path=None, at=token.at)
        inner = self._expression()
        self._expect(")")
        self._depth -= 1
        if token.upper in PLAIN_FUNCTIONS:
            return inner
        if isinstance(inner, Call):
            raise error_at(self._text, inner.at, f"unexpected token: '{inner.function}'")
        return Call(function=token.upper, path=inner, at=token.at)

    def _skip_with(self) -> None:
        if self._take("WITH") and not (self._take("SECURITY_ENFORCED") or self._take("USER_MODE")):
            raise self._unexpected()

    def _skip_for(self) -> None:
        """FOR VIEW, FOR REFERENCE, FOR UPDATE and UPDATE TRACKING change nothing here."""
        while self._is("FOR", "UPDATE"):
            self._next()
            if not self._is("VIEW", "REFERENCE", "UPDATE", "TRACKING", "VIEWSTAT"):
                raise self._unexpected()
            self._next()

    def _group_by(self) -> tuple[tuple[Path | Call, ...], Condition | None]:
        if not self._take("GROUP"):
            return (), None
        self._expect("BY")
        if self._is("ROLLUP", "CUBE") and self._tokens[self._at + 1].text == "(":
            word = self._token
            raise error_at(self._text, word.at, f"{word.upper} is not supported by the local org")
        items = [self._expression()]
        while self._take(","):
            items.append(self._expression())
        having = self._condition() if self._take("HAVING") else None
        return tuple(items), having

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
        if token.kind in {"string", "number", "date", "datetime"}:
            return Literal(kind=token.kind, text=token.text, at=token.at)
        if token.kind == "currency":
            return Literal(kind="number", text=token.text[3:], at=token.at)
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
