"""Judges spooled lines with DuckDB: usage record, duplicate, or suspense with a reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from connector.errors import InvalidInput
from connector.mediation.aliases import AliasSpan
from connector.mediation.feeds import FeedDefinition
from connector.mediation.spool import BROKEN, FIELD_SEPARATOR, NEVER, SEPARATOR
from connector.store.lake import sql_list, sql_text

QUANTITY_MAX = 10**15  # in seconds, or in millionths of a meter's unit
RAW_LENGTH_MAX = 4_000
_FETCH = 5_000

REASONS = {
    "broken_line": "The line has not the columns of the file's first line, or a quote is open.",
    "bad_encoding": "The line is not UTF-8, too long, or holds control characters.",
    "bad_record_id": "The line has no record id.",
    "bad_time": "The time is missing or not written as the feed says.",
    "bad_quantity": "The quantity is missing, negative, too large or not exact.",
    "bad_number": "The called number is not 1 to 15 digits.",
    "bad_meter": "The line names no meter.",
    "bad_alias": "The line names no number or subscription.",
    "too_old": "The record is older than the feed accepts.",
    "in_future": "The record lies in the future.",
    "unknown_alias": "No service has this number or subscription.",
    "alias_not_active": "No service had this number or subscription at that time.",
}


class FeedFailed(InvalidInput):
    """A feed's expressions cannot be applied to the file."""

    code = "mediation.feed_failed"


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many lines became what; the days of the accepted ones."""

    accepted: int
    duplicate: int
    suspense: int
    first_on: date | None
    last_on: date | None


def judge(
    duck: duckdb.DuckDBPyConnection,
    *,
    spooled: Path,
    header: Sequence[str],
    feed: FeedDefinition,
    aliases: Sequence[AliasSpan],
    now: datetime,
) -> tuple[date, date] | None:
    """Parse and validate the lines into the table `judged`; return the days that are usable.

    Raises:
        FeedFailed: An expression fails on the engine.
    """
    _load_aliases(duck, aliases)
    try:
        duck.execute(_lines_sql(spooled, feed))
        duck.execute(_typed_sql(header, feed))
        duck.execute(_guided_sql(feed, now))
    except duckdb.Error as error:
        raise FeedFailed(
            f"The feed '{feed.name}' cannot read this file: {str(error).splitlines()[0]}"
        ) from error
    row = duck.execute("SELECT min(usage_on), max(usage_on) FROM guided WHERE reason IS NULL")
    first_on, last_on = row.fetchone() or (None, None)
    return None if first_on is None else (first_on, last_on)


def mark_duplicates(duck: duckdb.DuckDBPyConnection, *, retained: Sequence[Path]) -> Judgement:
    """Mark lines whose record id came before, in the file or in retained usage files."""
    known = "SELECT NULL::VARCHAR AS record_id WHERE false"
    if retained:
        known = f"SELECT record_id FROM read_parquet({sql_list(retained)})"  # noqa: S608
    duck.execute(
        f"""
        CREATE TEMP TABLE judged AS
        WITH known AS (SELECT DISTINCT record_id FROM ({known})),
        numbered AS (
            SELECT *, reason IS NULL AND row_number() OVER (
                       PARTITION BY record_id, reason IS NULL ORDER BY line_no) > 1 AS repeated
              FROM guided)
        SELECT n.* EXCLUDE (repeated),
               CASE WHEN n.reason IS NOT NULL THEN 'suspense'
                    WHEN n.repeated OR k.record_id IS NOT NULL THEN 'duplicate'
                    ELSE 'accepted' END AS outcome
          FROM numbered n LEFT JOIN known k ON k.record_id = n.record_id AND n.reason IS NULL
        """  # noqa: S608
    )
    row = duck.execute(
        """
        SELECT count(*) FILTER (outcome = 'accepted'), count(*) FILTER (outcome = 'duplicate'),
               count(*) FILTER (outcome = 'suspense'),
               min(usage_on) FILTER (outcome = 'accepted'),
               max(usage_on) FILTER (outcome = 'accepted')
          FROM judged
        """
    ).fetchone()
    assert row is not None
    return Judgement(*row)


def write_usage(
    duck: duckdb.DuckDBPyConnection, *, target: Path, feed: FeedDefinition, usage_file_id: int
) -> None:
    """Write the accepted lines as usage records, in the order of the file."""
    duck.execute(
        f"""
        COPY (
            SELECT record_id, {sql_text(feed.alias_kind)} AS kind, alias, used_at, usage_on, called,
                   called_head, called_key, meter, quantity,
                   {usage_file_id}::BIGINT AS usage_file_id, line_no
              FROM judged WHERE outcome = 'accepted' ORDER BY line_no
        ) TO {sql_text(str(target))} (FORMAT parquet, COMPRESSION zstd)
        """  # noqa: S608
    )


def suspense_lines(duck: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, str, str]]:
    """Return line number, reason code and raw text of the lines in suspense."""
    found = duck.execute(
        f"SELECT line_no, reason, left(raw, {RAW_LENGTH_MAX}) FROM judged "  # noqa: S608
        "WHERE outcome = 'suspense' ORDER BY line_no"
    )
    while rows := found.fetchmany(_FETCH):
        yield from rows


def lines_with(duck: duckdb.DuckDBPyConnection, outcome: str) -> list[int]:
    """Return the numbers of the lines with an outcome."""
    found = duck.execute("SELECT line_no FROM judged WHERE outcome = ?", [outcome])
    return [row[0] for row in found.fetchall()]


def _load_aliases(duck: duckdb.DuckDBPyConnection, aliases: Sequence[AliasSpan]) -> None:
    duck.execute(
        "CREATE TEMP TABLE aliases "
        "(value VARCHAR, timezone VARCHAR, from_at TIMESTAMP, to_at TIMESTAMP)"
    )
    # One call with lists: a statement per row would take longer than the parsing.
    duck.execute(
        "INSERT INTO aliases SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), "
        "unnest(?::TIMESTAMP[]), unnest(?::TIMESTAMP[])",
        [
            [one.value for one in aliases],
            [one.timezone for one in aliases],
            [one.from_at.replace(tzinfo=None) for one in aliases],
            [one.to_at.replace(tzinfo=None) for one in aliases],
        ],
    )


def _lines_sql(spooled: Path, feed: FeedDefinition) -> str:
    return f"""
        CREATE TEMP VIEW lines AS
        SELECT line_no, raw,
               CASE WHEN fields = '{BROKEN}' THEN NULL
                    WHEN fields <> '' THEN string_split(fields, '{FIELD_SEPARATOR}')
                    ELSE string_split(raw, {sql_text(feed.delimiter)}) END AS f
          FROM read_csv({sql_text(str(spooled))}, delim = '{SEPARATOR}', quote = '', escape = '',
                        header = false, auto_detect = false, new_line = '\\n',
                        nullstr = '{NEVER}', null_padding = false,
                        columns = {{'line_no': 'BIGINT', 'raw': 'VARCHAR', 'fields': 'VARCHAR'}})
        """  # noqa: S608


def _typed_sql(header: Sequence[str], feed: FeedDefinition) -> str:
    columns = ", ".join(f'trim(f[{header.index(name) + 1}]) AS "{name}"' for name in feed.columns)

    def value(name: str) -> str:
        # TRY: an overflow in a feed's arithmetic is one bad line, not a failed file.
        expression = feed.values.get(name)
        return "''" if expression is None else f"TRY(CAST(({expression}\n) AS VARCHAR))"

    time = f"try_strptime(at_text, {sql_text(feed.time_format)})"
    if "%z" not in feed.time_format:
        time = f"timezone({sql_text(feed.timezone)}, {time})"
    alias = "trim(alias_text)"
    if feed.alias_kind == "number":
        alias = "regexp_replace(alias_text, '[^0-9]', '', 'g')"
    return f"""
        CREATE TEMP TABLE typed AS
        WITH named AS (
            SELECT line_no, raw, f IS NULL OR len(f) <> {len(header)} AS is_broken, {columns}
              FROM lines),
        valued AS (
            SELECT line_no, raw, is_broken, {value("record_id")} AS record_id,
                   {value("alias")} AS alias_text, {value("at")} AS at_text,
                   {value("called")} AS called, {value("meter")} AS meter,
                   {value("quantity")} AS quantity_text
              FROM named)
        SELECT line_no, raw, is_broken, record_id, {alias} AS alias,
               timezone('UTC', {time}) AS used_at, called, meter,
               {_quantity_sql(feed)} AS quantity
          FROM valued
        """  # noqa: S608


def _quantity_sql(feed: FeedDefinition) -> str:
    if feed.kind == "calls":
        whole = "regexp_full_match(quantity_text, '[0-9]{1,9}')"
        return f"CASE WHEN {whole} THEN TRY_CAST(quantity_text AS BIGINT) END"
    exact = "regexp_full_match(quantity_text, '[0-9]{1,9}([.][0-9]{1,6})?')"
    millionths = "CAST(TRY_CAST(quantity_text AS DECIMAL(38, 6)) * 1000000 AS BIGINT)"
    return f"CASE WHEN {exact} THEN {millionths} END"


def _guided_sql(feed: FeedDefinition, now: datetime) -> str:
    utc = now.astimezone(UTC).replace(tzinfo=None)
    oldest = utc - timedelta(days=feed.accept_past_days)
    newest = utc + timedelta(days=feed.accept_future_days)
    by_kind = (
        "WHEN called IS NULL OR NOT regexp_full_match(called, '[0-9]{1,15}') THEN 'bad_number'"
        if feed.kind == "calls"
        else "WHEN coalesce(meter, '') = '' THEN 'bad_meter'"
    )
    called_key = (
        "TRY_CAST(rpad(called, 15, '0') AS BIGINT) * 16 + length(called)"
        if feed.kind == "calls"
        else "0"
    )
    called_head = (
        "TRY_CAST(left(rpad(called, 6, '0'), 6) AS INTEGER)" if feed.kind == "calls" else "0"
    )
    return f"""
        CREATE TEMP TABLE guided AS
        WITH checked AS (
            SELECT *, CASE
                WHEN contains(raw, chr(65533)) THEN 'bad_encoding'
                WHEN is_broken THEN 'broken_line'
                WHEN coalesce(record_id, '') = '' THEN 'bad_record_id'
                WHEN used_at IS NULL THEN 'bad_time'
                WHEN quantity IS NULL OR quantity > {QUANTITY_MAX} THEN 'bad_quantity'
                WHEN coalesce(alias, '') = '' THEN 'bad_alias'
                {by_kind}
                WHEN used_at < TIMESTAMP '{oldest}' THEN 'too_old'
                WHEN used_at > TIMESTAMP '{newest}' THEN 'in_future'
                END AS fault
              FROM typed),
        known AS (SELECT DISTINCT value FROM aliases)
        SELECT c.line_no, c.raw, c.record_id, c.alias, c.used_at,
               CAST(timezone(a.timezone, timezone('UTC', c.used_at)) AS DATE) AS usage_on,
               coalesce(c.called, '') AS called, {called_head} AS called_head,
               ({called_key})::BIGINT AS called_key, coalesce(c.meter, '') AS meter, c.quantity,
               CASE WHEN c.fault IS NOT NULL THEN c.fault
                    WHEN k.value IS NULL THEN 'unknown_alias'
                    WHEN a.value IS NULL THEN 'alias_not_active' END AS reason
          FROM checked c
          LEFT JOIN known k ON k.value = c.alias
          LEFT JOIN aliases a
            ON a.value = c.alias AND c.used_at >= a.from_at AND c.used_at < a.to_at
        """  # noqa: S608
