"""States derived from a status, and the few rules of objects that have no more than one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...clock import from_epoch
from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row
from .base import Behaviour
from .statuses import by_label, is_closed

if TYPE_CHECKING:
    from ..save import Writer

CLOSED_WORK = frozenset({"Completed", "Closed", "Cannot Complete", "Canceled"})


class CaseBehaviour(Behaviour):
    """A case is closed while its status says so."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Set IsClosed and the moment of closing."""
        statuses = by_label(writer.tx, "CaseStatus")
        for draft in drafts:
            closed = is_closed(statuses, draft.new["Status"])
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
        statuses = by_label(writer.tx, "TaskStatus")
        for draft in drafts:
            new = draft.new
            new["IsClosed"] = int(is_closed(statuses, new["Status"]))
            new["IsHighPriority"] = int(new["Priority"] == "High")
            new["AccountId"] = _account_of(new)


class EventBehaviour(Behaviour):
    """An event about an account belongs to it."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Set the account."""
        for draft in drafts:
            draft.new["AccountId"] = _account_of(draft.new)


def _account_of(activity: Row) -> str | None:
    what: str | None = activity["WhatId"]
    return what if what is not None and what.startswith("001") else None


class AssetBehaviour(Behaviour):
    """An asset belongs to somebody."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Refuse an asset of nobody; take the code of its product."""
        tx = writer.tx
        ids = sorted({d.new["Product2Id"] for d in drafts if d.new["Product2Id"]})
        products = tx.fetch(tx.schema.get("Product2"), ids)
        for draft in drafts:
            new = draft.new
            if new["AccountId"] is None and new["ContactId"] is None:
                message = "an asset needs an account or a contact"
                draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, "AccountId", "ContactId")
            new["ProductCode"] = products.get(new["Product2Id"], {}).get("ProductCode")


class WorkOrderBehaviour(Behaviour):
    """A work order is closed while its status says so."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Set IsClosed."""
        for draft in drafts:
            draft.new["IsClosed"] = int(draft.new["Status"] in CLOSED_WORK)


class CampaignMemberBehaviour(Behaviour):
    """A member is one lead or one contact, once in a campaign."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Refuse nobody and doubles; set when the member responded first."""
        campaigns = sorted({d.new["CampaignId"] for d in drafts if d.new["CampaignId"]})
        rows = writer.tx.fetch_where(item, "CampaignId", campaigns)
        taken = {_member(row): row["Id"] for row in rows}
        for draft in drafts:
            new = draft.new
            if (new["LeadId"] is None) == (new["ContactId"] is None):
                message = "a campaign member is either a lead or a contact"
                draft.refuse("REQUIRED_FIELD_MISSING", message, "LeadId", "ContactId")
            elif taken.setdefault(_member(new), draft.id or "") != (draft.id or ""):
                draft.refuse("DUPLICATE_VALUE", "this person is a member of the campaign already")
            new["HasResponded"] = int(new["Status"] == "Responded")
            if new["HasResponded"] and new["FirstRespondedDate"] is None:
                new["FirstRespondedDate"] = from_epoch(writer.tx.now_s).date().isoformat()


def _member(row: Row) -> tuple[str | None, str | None]:
    return row["CampaignId"], row["LeadId"] or row["ContactId"]
