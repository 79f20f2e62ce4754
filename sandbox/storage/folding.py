"""Text without regard to case, in SQL and beside it: one rule for all alphabets.

Salesforce compares text without regard to case beyond ASCII too. SQLite's own NOCASE and LIKE
know ASCII letters only, so every connection learns a collation and a function of its own.
"""

import sqlite3

COLLATION = "FOLDED"
FINAL_SIGMA, SIGMA = "\u03c2", "\u03c3"


def folded_text(text: str) -> str:
    """Return text as it is compared: in small letters, both Greek small sigmas alike.

    Not Unicode's case folding: that would take `ß` for `ss`, and two external ids for one.
    """
    return text.lower().replace(FINAL_SIGMA, SIGMA)


def folded_sql(sql: str) -> str:
    """Return the SQL of a text as it is compared.

    Indexes hold this: SQLite folds each value once, where a collation would be asked at every
    comparison on the way to the value's place. Of a column, it does so itself where all letters
    are ASCII: a text then has as many bytes as characters.
    """
    if "(" in sql:
        return f"l2c_fold({sql})"  # computed: once is enough
    is_ascii = f"{sql} IS NULL OR length({sql}) = length(CAST({sql} AS BLOB))"
    return f"iif({is_ascii}, lower({sql}), l2c_fold({sql}))"


def _compare(left: str, right: str) -> int:
    if left == right:
        return 0
    if left.isascii() and right.isascii():
        left, right = left.lower(), right.lower()
    else:
        left, right = folded_text(left), folded_text(right)
    return (left > right) - (left < right)


def _folded_value(value: str | None) -> str | None:
    return None if value is None else folded_text(value)


def add_folding(connection: sqlite3.Connection) -> None:
    """Teach a connection the collation and `l2c_fold(text)`."""
    connection.create_collation(COLLATION, _compare)
    connection.create_function("l2c_fold", 1, _folded_value, deterministic=True)
