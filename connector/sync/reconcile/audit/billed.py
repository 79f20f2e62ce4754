"""The lines that were billed, from a CSV file or a view of any PostgreSQL database.

Read once, line by line; amounts are exact decimals. Whatever cannot be read ends the audit with the
line and what to write there: a figure built on half a file would be worse than none.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from connector.errors import Misconfigured
from connector.kernel.money import UnknownCurrency, minor_digits
from connector.sync.reconcile.audit.definition import InvoiceColumns

LINES_MAX = 10_000_000
_CONNECT_TIMEOUT_S = 10
_ROWS_PER_FETCH = 2_000
_AMOUNT = re.compile(r"[+-]?\d{1,18}(\.\d{1,9})?")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_READ_ONLY = "-c default_transaction_read_only=on"


class UnreadableInvoices(Misconfigured):
    """The invoices that were named cannot be read as such."""

    code = "audit.unreadable_invoices"


@dataclass(frozen=True, slots=True)
class BilledLine:
    """One line of an invoice, as far as the audit needs it."""

    service: str | None
    account: str | None
    amount: Decimal
    currency: str


def billed_lines(
    source: str, *, columns: InvoiceColumns, month: str | None = None
) -> Iterator[BilledLine]:
    """Yield the lines of a CSV file or of `postgresql://..?view=NAME`; of one month if asked for.

    Raises:
        UnreadableInvoices: The file or view is missing, empty, lacks a column, or a line is wrong.
    """
    if month is not None and not _MONTH.fullmatch(month):
        raise UnreadableInvoices(f"{month} is no month.", remedy="Write it as 2026-06.")
    is_sql = source.startswith(("postgresql://", "postgres://"))
    opened = _view(source) if is_sql else _file(Path(source))
    count = 0
    with opened as (name, header, rows):
        wanted = _places(name, header, columns, month)
        for number, row in rows:
            count += 1
            if count > LINES_MAX:
                raise UnreadableInvoices(
                    f"{name} has more than {LINES_MAX} lines.", remedy="Audit a month at a time."
                )
            line = _read(name, number, {key: row[at] for key, at in wanted.items()}, month)
            if line is not None:
                yield line
    if not count:
        raise UnreadableInvoices(
            f"{name} holds no invoice line.", remedy="Export the invoices again, or name another."
        )


_Opened = tuple[str, Sequence[str], Iterator[tuple[int, Sequence[Any]]]]


@contextmanager
def _file(path: Path) -> Iterator[_Opened]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
            header = [name.strip() for name in next(reader, [])]
            yield str(path), header, _csv_rows(path, reader, len(header))
    except OSError as error:
        raise UnreadableInvoices(
            f"{path} cannot be read: {error.strerror}.", remedy="Name another file."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableInvoices(
            f"{path} is no CSV file in UTF-8: {error}.", remedy="Save it as CSV in UTF-8."
        ) from error


def _csv_rows(path: Path, reader: Any, width: int) -> Iterator[tuple[int, Sequence[str]]]:
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != width:
            raise UnreadableInvoices(
                f"{path}, line {reader.line_num}: {len(row)} cells where the header has {width}.",
                remedy="Quote cells that hold the delimiter.",
            )
        yield reader.line_num, row


@contextmanager
def _view(url: str) -> Iterator[_Opened]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    view = query.pop("view", "")
    if not view:
        raise UnreadableInvoices(
            "The database address names no view.", remedy="Add ?view=NAME (or SCHEMA.NAME) to it."
        )
    address = urlunsplit(parts._replace(query=urlencode(query)))
    named = sql.Identifier(*view.split("."))
    try:
        with (
            psycopg.connect(
                address, connect_timeout=_CONNECT_TIMEOUT_S, options=_READ_ONLY
            ) as connection,
            connection.cursor(name="l2c_audit") as cursor,
        ):
            cursor.itersize = _ROWS_PER_FETCH
            cursor.execute(sql.SQL("SELECT * FROM {}").format(named))
            header = [column.name for column in cursor.description or ()]
            yield f"The view {view}", header, enumerate(cursor, start=1)
    except psycopg.Error as error:
        # The driver's message may hold the address with its password.
        said = error.diag.message_primary or type(error).__name__
        raise UnreadableInvoices(
            f"The view {view} cannot be read: {said}.",
            remedy="Check address, user, its right to SELECT, and the name of the view.",
        ) from None


def _places(
    name: str, header: Sequence[str], columns: InvoiceColumns, month: str | None
) -> dict[str, int]:
    wanted = {"amount": columns.amount, "currency": columns.currency}
    wanted |= {"service": columns.service} if columns.service else {}
    wanted |= {"account": columns.account} if columns.account else {}
    wanted |= {"date": columns.date} if month is not None else {}
    has_other = {columns.service, columns.account} - {None} & set(header)
    missing = [
        column
        for key, column in wanted.items()
        if column not in header and not (key in ("service", "account") and has_other)
    ]
    if missing:
        raise UnreadableInvoices(
            f"{name} has no column {' and no '.join(missing)}; it has "
            f"{', '.join(header) or 'none at all'}.",
            remedy="Name your columns under `invoices:` in a file for --services.",
        )
    return {key: header.index(column) for key, column in wanted.items() if column in header}


def _read(name: str, number: int, row: Mapping[str, Any], month: str | None) -> BilledLine | None:
    place = f"{name}, line {number}"
    if month is not None and _month_of(place, row["date"]) != month:
        return None
    service, account = _text(row.get("service")), _text(row.get("account"))
    if service is None and account is None:
        raise UnreadableInvoices(f"{place}: neither service nor account.", remedy="Fill one in.")
    return BilledLine(
        service, account, _amount(place, row["amount"]), _currency(place, row["currency"])
    )


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _amount(place: str, value: Any) -> Decimal:
    if isinstance(value, Decimal) and value.is_finite():
        return value
    text = "" if value is None else str(value).strip()
    if isinstance(value, float) or not _AMOUNT.fullmatch(text):
        raise UnreadableInvoices(
            f"{place}: {text!r} is no exact amount.",
            remedy="Write amounts as 1234.50, without thousands; of a view, cast them to numeric.",
        )
    return Decimal(text)


def _currency(place: str, value: Any) -> str:
    code = _text(value) or ""
    try:
        minor_digits(code)
    except UnknownCurrency:
        raise UnreadableInvoices(
            f"{place}: {code!r} is no currency.", remedy="Write the ISO 4217 code, such as EUR."
        ) from None
    return code


def _month_of(place: str, value: Any) -> str:
    if isinstance(value, date | datetime):
        return f"{value:%Y-%m}"
    try:
        return f"{date.fromisoformat(str(value or '').strip()):%Y-%m}"
    except ValueError:
        raise UnreadableInvoices(
            f"{place}: {value!r} is no date.", remedy="Write dates as 2026-06-30."
        ) from None
