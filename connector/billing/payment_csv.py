"""Bank files: strict columns, broken lines reported with their number, the rest recorded."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

import structlog

from connector.billing.payments import PaymentNotice, Recorded, record_payments
from connector.errors import ConnectorError, InvalidInput
from connector.store.engine import Store

log = structlog.get_logger(__name__)

REQUIRED = ("reference", "date", "amount", "currency")
OPTIONAL = ("invoice_number", "account_number", "method")
SOURCE = "csv"
LINES_MAX = 1_000_000
CHUNK = 1_000


class NotAPaymentFile(InvalidInput):
    """The file has not the columns of a payment file."""

    code = "billing.not_a_payment_file"
    remedy = f"Columns: {', '.join(REQUIRED)}, and any of {', '.join(OPTIONAL)}."


@dataclass(frozen=True, slots=True)
class LineProblem:
    """A line that was not recorded, and why."""

    line_no: int
    reason: str


@dataclass(frozen=True, slots=True)
class HeldPayment:
    """A payment whose owner is not known."""

    line_no: int
    reference: str
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """What became of the lines of a file."""

    lines: int
    recorded: int
    repeated: int
    totals: dict[str, Decimal]
    held: tuple[HeldPayment, ...]
    problems: tuple[LineProblem, ...]

    def __str__(self) -> str:
        sums = ", ".join(f"{total} {currency}" for currency, total in sorted(self.totals.items()))
        text = f"{self.lines} lines: {self.recorded} payments" + (f", {sums}" if sums else "")
        if self.held:
            text += f"; {len(self.held)} held because nobody knows whose they are"
        if self.repeated:
            text += f"; {self.repeated} known already"
        if self.problems:
            text += f"; {len(self.problems)} broken lines"
        return text


def import_payments_csv(*, store: Store, text: str, now: datetime) -> PaymentReport:
    """Record the payments of a bank file; a line that is broken does not stop the others.

    The same file again records nothing: a reference is known by then.

    Raises:
        NotAPaymentFile: A column is missing or unknown, or the file is empty or too long.
    """
    problems: list[LineProblem] = []
    notices: list[tuple[int, PaymentNotice]] = []
    seen: dict[str, int] = {}
    lines = 0
    for line_no, cells in _rows(text):
        lines += 1
        try:
            notice = _notice(cells)
            if notice.reference in seen:
                raise InvalidInput(
                    f"Reference {notice.reference} is on line {seen[notice.reference]} already."
                )
        except InvalidInput as error:
            problems.append(LineProblem(line_no, error.message))
            continue
        seen[notice.reference] = line_no
        notices.append((line_no, notice))
    results: list[tuple[int, PaymentNotice, Recorded]] = []
    for start in range(0, len(notices), CHUNK):
        results += _record(store, notices[start : start + CHUNK], problems, now)
    report = _report(lines, results, problems)
    log.info("payments.imported", lines=lines, recorded=report.recorded, held=len(report.held))
    return report


def _record(
    store: Store,
    notices: list[tuple[int, PaymentNotice]],
    problems: list[LineProblem],
    now: datetime,
) -> list[tuple[int, PaymentNotice, Recorded]]:
    """Record a chunk in one transaction; if one is refused, line by line to find it."""
    try:
        with store.transaction() as tx:
            recorded = record_payments(tx=tx, notices=[notice for _, notice in notices], now=now)
    except ConnectorError as error:
        if len(notices) == 1:
            problems.append(LineProblem(notices[0][0], error.message))
            return []
        return [result for one in notices for result in _record(store, [one], problems, now)]
    return [
        (line_no, notice, one) for (line_no, notice), one in zip(notices, recorded, strict=True)
    ]


def _report(
    lines: int,
    results: list[tuple[int, PaymentNotice, Recorded]],
    problems: list[LineProblem],
) -> PaymentReport:
    fresh = [(line_no, notice, one) for line_no, notice, one in results if one.is_new]
    totals: dict[str, Decimal] = {}
    for _, notice, _ in fresh:
        totals[notice.currency] = totals.get(notice.currency, Decimal(0)) + notice.amount
    return PaymentReport(
        lines=lines,
        recorded=len(fresh),
        repeated=len(results) - len(fresh),
        totals=totals,
        held=tuple(
            HeldPayment(line_no, one.reference, one.hold_reason)
            for line_no, _, one in fresh
            if one.hold_reason is not None
        ),
        problems=tuple(sorted(problems, key=lambda problem: problem.line_no)),
    )


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield line numbers and cells; a line with too few or too many cells yields what it has."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in REQUIRED if name not in header]
        unknown = [name for name in header if name not in (*REQUIRED, *OPTIONAL)]
        if missing or unknown or len(set(header)) != len(header):
            raise NotAPaymentFile(f"The payment file {_wrong(missing, unknown)}.")
        for count, cells in enumerate(reader):
            if count >= LINES_MAX:
                raise NotAPaymentFile(f"The payment file has more than {LINES_MAX} lines.")
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                yield reader.line_num, {"": f"{len(cells)} values for {len(header)} columns"}
                continue
            yield reader.line_num, dict(zip(header, (c.strip() for c in cells), strict=True))
    except csv.Error as error:
        raise NotAPaymentFile(f"Line {reader.line_num} is not CSV: {error}.") from None


def _wrong(missing: list[str], unknown: list[str]) -> str:
    if missing:
        return f"lacks '{missing[0]}'"
    return f"has an unknown column '{unknown[0]}'" if unknown else "names a column twice"


def _notice(cells: Mapping[str, str]) -> PaymentNotice:
    if "" in cells:
        raise InvalidInput(cells[""])
    try:
        received_on = date.fromisoformat(cells["date"])
    except ValueError:
        raise InvalidInput(f"'{cells['date']}' is not a date like 2026-07-10.") from None
    try:
        amount = Decimal(cells["amount"])
    except InvalidOperation:
        raise InvalidInput(f"'{cells['amount']}' is not an amount like 150.00.") from None
    return PaymentNotice(
        source=SOURCE,
        reference=cells["reference"],
        received_on=received_on,
        amount=amount,
        currency=cells["currency"],
        method=cells.get("method") or "Bank transfer",
        invoice_number=cells.get("invoice_number") or None,
        account_number=cells.get("account_number") or None,
    )
