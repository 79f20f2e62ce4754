"""Opportunities: what the stage, the close date and the lines say (fact sheet I.3)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row, Transaction
from .base import Behaviour
from .quote import start_sync, stop_sync
from .statuses import by_label

if TYPE_CHECKING:
    from ..save import Writer

STAGE_FIELDS = ("IsClosed", "IsWon", "ForecastCategory", "ForecastCategoryName")
UNKNOWN_STAGE: Row = {"IsClosed": 0, "IsWon": 0, "DefaultProbability": 0}


class OpportunityBehaviour(Behaviour):
    """Derives state from the stage; amount comes from the lines where there are any."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Derive stage, revenue and fiscal values; check the price book and synced quote."""
        stages = by_label(writer.tx, "OpportunityStage")
        for draft in drafts:
            new = draft.new
            if new["StageName"] and (draft.creating or draft.changed("StageName")):
                _enter_stage(draft, stages.get(new["StageName"].lower(), UNKNOWN_STAGE))
            if not system and not draft.creating and draft.old["HasOpportunityLineItem"] == 1:
                # Writing the amount beside lines is ignored, not refused (fact sheet I.3).
                new["Amount"] = draft.old["Amount"]
                if draft.changed("Pricebook2Id"):
                    message = "the price book cannot change while there are line items"
                    draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, "Pricebook2Id")
            if new["Amount"] is None or new["Probability"] is None:
                new["ExpectedRevenue"] = None
            else:
                new["ExpectedRevenue"] = (new["Amount"] * new["Probability"] + 50) // 100
            _set_fiscal(new)
            if new["SyncedQuoteId"] is not None and draft.changed("SyncedQuoteId"):
                _check_synced_quote(writer.tx, draft)

    def after(self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft]) -> None:
        """Start or stop quotes syncing."""
        for draft in drafts:
            if draft.changed("SyncedQuoteId"):
                if draft.old.get("SyncedQuoteId"):
                    stop_sync(writer, draft.old["SyncedQuoteId"])
                if draft.new["SyncedQuoteId"]:
                    start_sync(writer, draft.new)


def _enter_stage(draft: Draft, stage: Row) -> None:
    for name in STAGE_FIELDS:
        if name not in draft.values:
            draft.new[name] = stage.get(name)
    if draft.values.get("Probability") is None:
        draft.new["Probability"] = stage["DefaultProbability"]


def _set_fiscal(new: Row) -> None:
    day = new["CloseDate"]
    if day:
        new["FiscalYear"] = int(day[:4])
        new["FiscalQuarter"] = (int(day[5:7]) + 2) // 3
        new["Fiscal"] = f"{new['FiscalYear']} {new['FiscalQuarter']}"


def _check_synced_quote(tx: Transaction, draft: Draft) -> None:
    quote = tx.fetch(tx.schema.get("Quote"), [draft.new["SyncedQuoteId"]])
    row = quote.get(draft.new["SyncedQuoteId"])
    if row is None or row["OpportunityId"] != draft.id:
        message = "the synced quote must belong to the opportunity"
        draft.refuse("FIELD_INTEGRITY_EXCEPTION", message, "SyncedQuoteId")
