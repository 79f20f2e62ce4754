"""The statuses an object can have are records themselves, such as CaseStatus."""

from ..transaction import Row, Transaction


def by_label(tx: Transaction, name: str) -> dict[str, Row]:
    """Return the statuses an object such as CaseStatus lists, by lower-case label."""
    rows = tx.fetch_where(tx.schema.get(name), "IsDeleted", [0])
    return {row["MasterLabel"].lower(): row for row in rows}


def is_closed(statuses: dict[str, Row], status: str | None) -> bool:
    """Whether a status is listed as closed; a status nobody listed is open."""
    known = statuses.get((status or "").lower())
    return known is not None and known["IsClosed"] == 1


def code_of(statuses: dict[str, Row], status: str | None) -> str:
    """Return the category of a status (`Draft`, `Activated`); one nobody listed is a draft."""
    known = statuses.get((status or "").lower())
    return "Draft" if known is None else str(known["StatusCode"])
