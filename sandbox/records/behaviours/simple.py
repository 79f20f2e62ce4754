"""States derived from a status."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from ...schema.model import ObjectType
from ..draft import Draft
from .base import Behaviour

if TYPE_CHECKING:
    from ..save import Writer


class CaseBehaviour(Behaviour):
    """A case is closed while its status says so."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Set IsClosed and the moment of closing."""
        for draft in drafts:
            closed = draft.new["Status"] == "Closed"
            draft.new["IsClosed"] = int(closed)
            if not closed:
                draft.new["ClosedDate"] = None
            elif draft.new["ClosedDate"] is None:
                draft.new["ClosedDate"] = writer.tx.now_s


class TaskBehaviour(Behaviour):
    """A task is closed when completed."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Set IsClosed, IsHighPriority and the account."""
        for draft in drafts:
            new = draft.new
            new["IsClosed"] = int(new["Status"] == "Completed")
            new["IsHighPriority"] = int(new["Priority"] == "High")
            what = new["WhatId"]
            if what is not None and what.startswith("001"):
                new["AccountId"] = what


class ContractBehaviour(Behaviour):
    """A contract ends its term minus a day after its start."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Derive end date and status code."""
        for draft in drafts:
            new = draft.new
            new["StatusCode"] = (new["Status"] or "Draft").replace(
                "In Approval Process", "InApproval"
            )
            if new["Status"] == "Activated" and new["ActivatedDate"] is None:
                new["ActivatedDate"] = writer.tx.now_s
            new["EndDate"] = None
            if new["StartDate"] and new["ContractTerm"]:
                start = date.fromisoformat(new["StartDate"])
                new["EndDate"] = _months_later(start, new["ContractTerm"]).isoformat()


def _months_later(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    year = min(year, date.max.year - 1)
    following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    last_day = (following - timedelta(days=1)).day
    return date(year, month + 1, min(start.day, last_day)) - timedelta(days=1)
