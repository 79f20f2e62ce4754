"""The formula language, one expression at a time."""

import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from l2c_sandbox.formula.compiler import Compiler, Scene
from l2c_sandbox.formula.syntax import FormulaError, parse
from l2c_sandbox.schema.metadata import build_schema
from l2c_sandbox.schema.model import Schema

NOW = datetime(2026, 2, 28, 13, 30, tzinfo=UTC)
ROW = {
    "Name": "Ada",
    "StageName": "Closed Won",
    "Amount": 1_050,
    "Probability": None,
    "CloseDate": "2026-03-02",
    "CreatedDate": 1_767_225_600,
    "Description": None,
    "IsClosed": 1,
}


@cache
def schema() -> Schema:
    return build_schema(None, prefixes={})


def value(text: str, *, old: dict[str, Any] | None = None, zero: bool = False) -> Any:
    item = schema().get("Opportunity")
    formula = Compiler(schema(), item, lambda *_: None).compile(parse(text))
    scene = Scene(
        connection=sqlite3.connect(":memory:"),
        row=ROW,
        now=NOW,
        old=old,
        creating=old == {},
        permissions=frozenset({"boss"}),
        blank_is_zero=zero,
    )
    return formula(scene)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 ^ 2", 19),
        ("(1 + 2) * -3", -9),
        ("2 - 1 - 1", 0),
        ("7 / 2", Decimal("3.5")),
        ("MOD(-7, 3)", 2),
        ("ROUND(2.345, 2)", Decimal("2.35")),
        ("ROUND(-2.5, 0)", -3),
        ("CEILING(1.1) + FLOOR(1.9)", 3),
        ("ABS(-4) + MIN(1, 2, 0) + MAX(3, 9)", 13),
        ("Amount * 2", 21),
        ("Probability + 1", None),
        ("VALUE(\"1.50\") + LEN('abc')", Decimal("4.5")),
        ("'a' & \"b\" + 'c'", "abc"),
        ('"say \\"yes\\""', 'say "yes"'),
        ("LEFT(Name, 2) & RIGHT(Name, 1) & MID(Name, 2, 1)", "Adad"),
        ("UPPER(Name) & LOWER(Name) & TRIM('  x ')", "ADAadax"),
        ("SUBSTITUTE('a-b-c', '-', '+')", "a+b+c"),
        ("LPAD('7', 3, '0') & RPAD('7', 2, '.')", "0077."),
        ("FIND('d', Name)", 2),
        ("TEXT(StageName)", "Closed Won"),
        ("TEXT(Amount)", "10.5"),
        ("TEXT(CloseDate)", "2026-03-02"),
        ("TODAY()", date(2026, 2, 28)),
        ("CloseDate - TODAY()", 2),
        ("TODAY() + 1", date(2026, 3, 1)),
        ("NOW()", NOW),
        ("DATE(2024, 2, 29)", date(2024, 2, 29)),
        ("DATEVALUE(CreatedDate)", date(2026, 1, 1)),
        ("DATEVALUE('2026-05-04')", date(2026, 5, 4)),
        ("ADDMONTHS(DATE(2026, 1, 31), 1)", date(2026, 2, 28)),
        ("ADDMONTHS(TODAY(), 1)", date(2026, 3, 31)),
        ("YEAR(CloseDate) * 100 + MONTH(CloseDate) + DAY(CloseDate)", 202_605),
        ("WEEKDAY(DATE(2026, 3, 1))", 1),
        ("CASE(StageName, 'Open', 1, \"Closed Won\", 2, 0)", 2),
        ("CASE(StageName, 'Open', 1, 0)", 0),
        ("IF(ISBLANK(Description), 'none', Description)", "none"),
        ("BLANKVALUE(Description, 'x')", "x"),
        ("NULL", None),
        ("/* why */ Opportunity.Name", "Ada"),
        ("IF(false, 1 / 0, 5)", 5),
    ],
)
def test_computes(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("AND(TRUE, 1 < 2, IsClosed)", True),
        ("OR(FALSE, 1 >= 2)", False),
        ("NOT(1 = 1) || 2 <> 3 && !false", True),
        ("Probability > 0", False),
        ("Probability = NULL", True),
        ("Description = ''", True),
        ("ISBLANK(Description) = ISNULL(Probability)", True),
        ("ISPICKVAL(StageName, 'Closed Won')", True),
        ("CONTAINS(Name, 'd') && BEGINS(Name, 'A')", True),
        ("INCLUDES('a;b', 'b')", True),
        ("ISNUMBER('1.5') && !ISNUMBER('x')", True),
        ("REGEX(Name, '[A-Z][a-z]+')", True),
        ("$Permission.Boss", True),
        ("$Permission.Clerk", False),
    ],
)
def test_decides(text: str, holds: bool) -> None:
    assert value(text) is holds


def test_knows_what_a_field_was_before() -> None:
    old = ROW | {"Amount": 900}

    assert value("ISCHANGED(Amount)", old=old) is True
    assert value("ISCHANGED(Name)", old=old) is False
    assert value("PRIORVALUE(Amount)", old=old) == 9
    assert value("ISNEW()", old=old) is False
    assert value("ISNEW()", old={}) is True
    assert value("ISCHANGED(Amount)", old={}) is False


def test_blank_numbers_count_as_zero_where_the_field_says_so() -> None:
    assert value("Probability + 1", zero=True) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 +",
        "(1",
        "IF(1",
        "IF(TRUE, 1)",
        "CASE(1, 2, 3)",
        "NOSUCH(1)",
        "Nothing__c",
        "Nowhere.Name",
        "ISCHANGED(Account.Name)",
        "#",
        "'open",
        "(" * 500 + "1" + ")" * 500,
        "1" * 6_000,
    ],
)
def test_what_is_no_formula_is_told(text: str) -> None:
    with pytest.raises(FormulaError):
        value(text)


@given(st.text(alphabet="()+-*/^&=<>!,.\"' 0123abIFNOTAmountName", max_size=40))
def test_any_text_has_a_value_or_a_reason(text: str) -> None:
    try:
        value(text)
    except (FormulaError, ArithmeticError, ValueError, TypeError, AttributeError):
        return
