"""What standard objects do by themselves when they are saved (fact sheet I)."""

from .base import Behaviour
from .contract import ContractBehaviour
from .files import ContentVersionBehaviour
from .lines import OpportunityLineBehaviour, QuoteLineBehaviour
from .opportunity import OpportunityBehaviour
from .orders import OrderBehaviour, OrderLineBehaviour
from .people import AccountBehaviour, LeadBehaviour, PersonNameBehaviour, UserBehaviour
from .priced_lines import PricedLineBehaviour, WorkOrderLineBehaviour
from .prices import PricebookEntryBehaviour
from .quote import QuoteBehaviour
from .simple import (
    AssetBehaviour,
    CampaignMemberBehaviour,
    CaseBehaviour,
    EventBehaviour,
    TaskBehaviour,
    WorkOrderBehaviour,
)

_BEHAVIOURS: dict[str, Behaviour] = {
    "Account": AccountBehaviour(),
    "Contact": PersonNameBehaviour(),
    "Lead": LeadBehaviour(),
    "User": UserBehaviour(),
    "Opportunity": OpportunityBehaviour(),
    "OpportunityLineItem": OpportunityLineBehaviour(),
    "Quote": QuoteBehaviour(),
    "QuoteLineItem": QuoteLineBehaviour(),
    "PricebookEntry": PricebookEntryBehaviour(),
    "Order": OrderBehaviour(),
    "OrderItem": OrderLineBehaviour(),
    "Event": EventBehaviour(),
    "Asset": AssetBehaviour(),
    "WorkOrder": WorkOrderBehaviour(),
    "WorkOrderLineItem": WorkOrderLineBehaviour(),
    "ContractLineItem": PricedLineBehaviour(),
    "CampaignMember": CampaignMemberBehaviour(),
    "Individual": PersonNameBehaviour(),
    "Case": CaseBehaviour(),
    "Task": TaskBehaviour(),
    "Contract": ContractBehaviour(),
    "ContentVersion": ContentVersionBehaviour(),
}


def behaviour_of(object_name: str) -> Behaviour | None:
    """Return the behaviour of a standard object; custom objects have none."""
    return _BEHAVIOURS.get(object_name)
