"""Contracts: their term, and what activation asks for (fact sheet I.2)."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row
from .base import Behaviour
from .statuses import by_label, code_of

if TYPE_CHECKING:
    from ..save import Writer


class ContractBehaviour(Behaviour):
    """A contract ends its term minus a day after its start."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Derive end date and status code; refuse to activate what has no term."""
        statuses = by_label(writer.tx, "ContractStatus")
        for draft in drafts:
            new = draft.new
            new["StatusCode"] = code_of(statuses, new["Status"])
            if new["StatusCode"] == "Activated" and draft.changed("StatusCode"):
                _activate(writer, draft, system=system)
            new["EndDate"] = None
            if new["StartDate"] and new["ContractTerm"]:
                start = date.fromisoformat(new["StartDate"])
                new["EndDate"] = _months_later(start, new["ContractTerm"]).isoformat()

    def why_kept(self, row: Row) -> str | None:
        """Keep activated contracts."""
        return "activated contracts cannot be deleted" if row["StatusCode"] == "Activated" else None


def _activate(writer: "Writer", draft: Draft, *, system: bool) -> None:
    missing = [name for name in ("StartDate", "ContractTerm") if draft.new[name] is None]
    if missing and not system:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        draft.refuse("REQUIRED_FIELD_MISSING", message, *missing)
    draft.new["ActivatedDate"] = writer.tx.now_s
    draft.new["ActivatedById"] = writer.tx.actor.user_id


def _months_later(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    year = min(year, date.max.year - 1)
    following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    last_day = (following - timedelta(days=1)).day
    return date(year, month + 1, min(start.day, last_day)) - timedelta(days=1)
