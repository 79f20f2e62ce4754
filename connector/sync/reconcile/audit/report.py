"""The audit written down: for a reader, or as a table."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby

from connector.kernel.money import shown_exactly
from connector.sync.reconcile.audit.findings import AuditReport, Finding

SHOWN_PER_KIND = 50
CSV_COLUMNS = (
    "kind", "account", "account_name", "service", "currency", "expected", "billed", "difference",
)  # fmt: skip


def as_text(report: AuditReport) -> str:
    """Return what was found, kind by kind, at most fifty lines each, and the sums."""
    lines = [
        f"{report.services} services, {report.active} of them active; {report.lines} lines billed."
    ]
    for kind, grouped in groupby(sorted(report.findings, key=_order), key=lambda one: one.kind):
        found = list(grouped)
        lines += ["", f"{kind[0].upper()}{kind[1:]}: {len(found)}"]
        lines += [_line(one) for one in found[:SHOWN_PER_KIND]]
        if len(found) > SHOWN_PER_KIND:
            lines.append(f"  and {len(found) - SHOWN_PER_KIND} more: see --format csv or json")
    lines.append("")
    lines += [
        f"{one.currency}: {shown_exactly(one.expected, one.currency)} a month by the CRM, "
        f"{shown_exactly(one.billed, one.currency)} billed, "
        f"difference {shown_exactly(one.billed - one.expected, one.currency)}."
        for one in report.sums
    ]
    lines.append(f"Findings: {len(report.findings)}. Nothing was written anywhere.")
    return "\n".join(lines)


def _order(one: Finding) -> tuple[int, str, str, str]:
    return list(type(one.kind)).index(one.kind), one.account, one.service, one.currency


def _line(one: Finding) -> str:
    named = " ".join(part for part in (one.service, one.account_name or one.account) if part)
    expected, billed, difference = (
        shown_exactly(amount, one.currency) for amount in (one.expected, one.billed, one.difference)
    )
    return (
        f"  {named}: {one.currency or 'no currency'}, {expected} expected, {billed} billed, "
        f"difference {difference}"
    )


def as_csv(report: AuditReport) -> str:
    """Return a line per finding; the amounts with all their digits."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_cells(one) for one in sorted(report.findings, key=_order))
    return out.getvalue()


def _cells(one: Finding) -> Iterator[str]:
    yield from (one.kind.value, one.account, one.account_name, one.service, one.currency)
    yield from (_plain(one.expected), _plain(one.billed), _plain(one.difference))


def _plain(amount: Decimal) -> str:
    return f"{amount:f}"
