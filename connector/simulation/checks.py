"""Compares what came out of a scenario with what its `then` says, and tells the difference."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from connector.kernel.period import local_date
from connector.simulation.script import InvoiceCheck, LineCheck, Script, Then


def differences(script: Script, shown: Mapping[str, Any]) -> list[str]:
    """Return one sentence for everything that is not as the scenario says; none when all is."""
    then = script.then
    return [] if then is None else list(_differences(then, shown, script.calendar.timezone))


def _differences(then: Then, shown: Mapping[str, Any], zone: str) -> Iterator[str]:
    documents: Sequence[Mapping[str, Any]] = shown["invoices"]
    if then.invoices is not None:
        yield from _documents("invoices", then.invoices, documents, zone)
    if then.drafts is not None:
        yield from _documents("drafts", then.drafts, shown.get("drafts", ()), zone)
    if then.lines is not None:
        lines = [line | {"account": one["account"]} for one in documents for line in one["lines"]]
        yield from _lines("lines", then.lines, lines, zone)
    for key, wanted in (then.totals or {}).items():
        total = _total(key, documents)
        if total != wanted:
            yield f"totals: {key} is {total}, not {wanted}"
    if then.balances is not None:
        balances = [one["balance"] for one in documents]
        if balances != list(then.balances):
            yield f"balances: {_texts(balances)}, not {_texts(then.balances)}"
    if then.unapplied is not None:
        left = sum((one["amount"] for one in shown["unapplied"]), Decimal(0))
        if left != then.unapplied:
            yield f"unapplied: {left}, not {then.unapplied}"


def _total(key: str, documents: Sequence[Mapping[str, Any]]) -> Decimal:
    return sum(
        (one["total"] for one in documents if key in ("all", str(one["date"]), one["account"])),
        Decimal(0),
    )


def _documents(
    where: str,
    wanted: Sequence[InvoiceCheck],
    documents: Sequence[Mapping[str, Any]],
    zone: str,
) -> Iterator[str]:
    if len(wanted) != len(documents):
        got = ", ".join(f"{one['type']} of {one['date']} {one['total']}" for one in documents)
        yield f"{where}: {len(documents)} documents, not {len(wanted)}: {got or 'none'}"
    for number, (check, document) in enumerate(zip(wanted, documents, strict=False), start=1):
        at = f"{where} {number} ({document['type']} of {document['date']})"
        told = _told(check, zone)
        lines = told.pop("lines", None)
        tax = told.pop("tax", None)
        if tax is not None and tax != sum((one["tax"] for one in document["tax"]), Decimal(0)):
            yield f"{at}: tax is {document['total'] - document['subtotal']}, not {tax}"
        yield from _values(at, told, document)
        if lines and isinstance(lines[0], LineCheck):
            yield from _lines(f"{at} lines", lines, document["lines"], zone)
        elif lines is not None:
            amounts = sorted(one["amount"] for one in document["lines"])
            if amounts != sorted(lines):
                yield f"{at}: lines {_texts(amounts)}, not {_texts(sorted(lines))}"


def _lines(
    where: str, wanted: Sequence[LineCheck], lines: Sequence[Mapping[str, Any]], zone: str
) -> Iterator[str]:
    left = list(lines)
    for check in wanted:
        told = _told(check, zone)
        found = next((one for one in left if not list(_values("", told, one))), None)
        if found is None:
            likely = min(left, key=lambda one: len(list(_values("", told, one))), default=None)
            said = ", ".join(f"{name} {value}" for name, value in told.items())
            yield f"{where}: no line with {said}" + (
                "; nearest: " + "; ".join(_values("it", told, likely)) if likely else ""
            )
        else:
            left.remove(found)


def _told(check: BaseModel, zone: str) -> dict[str, Any]:
    told = {}
    for name, field in type(check).model_fields.items():
        value = getattr(check, name)
        if value is None:
            continue
        if isinstance(value, datetime):
            value = local_date(value, zone)
        told[field.alias or name] = value
    return told


def _values(at: str, told: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name, value in told.items():
        if found[name] != value:
            yield f"{at}: {name} is {_text(found[name])}, not {_text(value)}"


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _texts(amounts: Sequence[Decimal]) -> str:
    return "[" + ", ".join(map(str, amounts)) + "]"
