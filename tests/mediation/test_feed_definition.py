"""A feed definition reads, or says which line is wrong; its expressions can do no harm."""

from pathlib import Path

import pytest

from connector.catalog.source import BadFile
from connector.mediation.expressions import BadExpression, check_expression
from connector.mediation.feeds import UnknownFeed, feed_named, read_feed, read_feeds, shipped_feeds

COLUMNS = frozenset({"a", "b"})


@pytest.mark.parametrize(
    "expression",
    [
        "a",
        "trim(a) || left(b, 3)",
        "case when a = '1' then b else 'x' end",
        "try_cast(a as bigint) * 60",
        "coalesce(nullif(a, ''), b)",
        "a in ('x', 'y') and not b is null",
        "a -- a remark",
    ],
)
def test_allows_scalar_expressions_over_the_columns(expression: str) -> None:
    check_expression(expression, columns=COLUMNS)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("c", "'c' is not a column of the feed"),
        ("t.a", "'t.a' is not a column"),
        ("read_text('/etc/passwd')", "function 'read_text' is not allowed"),
        ("getenv('HOME')", "function 'getenv' is not allowed"),
        ("now()", "function 'now' is not allowed"),
        ("(select 1)", "subquery is not allowed"),
        ("a) from t; drop table t; select (1", "is not an expression"),
        ("a), (b", "more than one expression"),
        ("sum(a)", "function 'sum' is not allowed"),
        ("row_number() over ()", "window is not allowed"),
        ("try_cast(a as bigint) / 60", "function '/' is not allowed"),
        ("cast(a as bigint)", "CAST stops at the first bad line"),
        ("*", "star is not allowed"),
        ("?", "parameter is not allowed"),
        ("a " * 600, "longer than"),
    ],
)
def test_refuses_everything_else(expression: str, message: str) -> None:
    with pytest.raises(BadExpression, match=message):
        check_expression(expression, columns=COLUMNS)


def test_ships_feeds_that_read() -> None:
    assert set(read_feeds(shipped_feeds())) >= {"cdr", "cloud"}


def test_names_the_known_feeds_when_one_is_unknown() -> None:
    with pytest.raises(UnknownFeed, match=r"no feed 'cdrs'.*cdr, cloud"):
        feed_named("cdrs")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: calls", "kind: call", "kind 'call' is not known"),
        ("Europe/Berlin", "Europe/Bonn", "'Europe/Bonn' is not a time zone"),
        ('delimiter: ","', 'delimiter: ",,"', "one printable character"),
        ("at: start_time", "at: now()", "at: The function 'now' is not allowed"),
        ("quantity: duration_s", "quantty: duration_s", "needs 'quantity'"),
        ("[call_id,", "[raw, call_id,", "column name 'raw'"),
        ("past_days: 400", "past_days: many", "past_days 'many' is not a whole number"),
    ],
)
def test_names_the_line_that_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (shipped_feeds() / "cdr.yaml").read_text()
    assert old in text
    path = tmp_path / "cdr.yaml"
    path.write_text(text.replace(old, new))

    with pytest.raises(BadFile, match=rf"cdr\.yaml:\d+: .*{message}"):
        read_feed(path)


def test_reads_tabs(tmp_path: Path) -> None:
    text = (shipped_feeds() / "cdr.yaml").read_text().replace('delimiter: ","', "delimiter: tab")
    (tmp_path / "cdr.yaml").write_text(text)

    assert read_feed(tmp_path / "cdr.yaml").delimiter == "\t"
