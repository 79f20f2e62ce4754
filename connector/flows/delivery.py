"""The flows of delivery by the names under which intents ask for them (design D15)."""

from collections.abc import Mapping
from datetime import date

import structlog
from sqlalchemy import select

from connector.errors import InvalidInput, StateConflict
from connector.flows.order_action import act_on_order
from connector.flows.rules import DeliveryRules
from connector.flows.task_action import act_on_task
from connector.flows.win import ReadTree, win_opportunity
from connector.store.engine import Store
from connector.store.tables.sync import crm_record
from connector.sync.apply.intents import Flow, IntentRequest
from connector.sync.mapping.keys import hub_id_of

log = structlog.get_logger(__name__)


class UnknownRecord(StateConflict):
    """The record that asks is none of ours."""

    code = "flows.unknown_record"
    remedy = "Ask on a record that the connector has made; others can be deleted."


class BadDate(InvalidInput):
    """This is not a date."""

    code = "flows.bad_date"
    remedy = "Write it as 2026-06-30."


def delivery_flows(
    *, store: Store, read_tree: ReadTree, rules: DeliveryRules
) -> Mapping[str, Flow]:
    """Return the flows `win`, `task_action` and `order_action`; each opens its own transaction.

    `win` leaves a deal alone whose close date lies before the policy's `won_since`.
    """

    def win(request: IntentRequest) -> None:
        closed_on = _day(request.facts.get("CloseDate"))
        since = rules.policy.won_since
        if since is not None and closed_on is not None and closed_on < since:
            log.info("opportunity.before_go_live", opportunity=request.sfid, closed_on=closed_on)
            return
        win_opportunity(
            store=store,
            read_tree=read_tree,
            rules=rules,
            opportunity_sfid=request.sfid,
            now=request.now,
        )

    def task_action(request: IntentRequest) -> None:
        act_on_task(
            store=store,
            policy=rules.policy,
            task_id=_hub_id(store, request, "task"),
            action=request.facts.get("Action__c") or "",
            effective_on=_day(request.facts.get("Effective_On__c")),
            note=request.facts.get("Completion_Note__c"),
            now=request.now,
        )

    def order_action(request: IntentRequest) -> None:
        act_on_order(
            store=store,
            rules=rules,
            order_id=_hub_id(store, request, "customer_order"),
            action=request.facts.get("Action__c") or "",
            now=request.now,
        )

    return {"win": win, "task_action": task_action, "order_action": order_action}


def _hub_id(store: Store, request: IntentRequest, entity: str) -> int:
    key = request.facts.get("Billing_Key__c")
    found: int | None = hub_id_of(entity, key) if key else None
    if found is not None:
        return int(found)
    # An envelope that does not carry the key: the record's id leads to it as well.
    with store.read() as tx:
        found = tx.scalar(
            select(crm_record.c.hub_id).where(
                crm_record.c.entity == entity, crm_record.c.sfid == request.sfid
            )
        )
    if found is None:
        raise UnknownRecord(f"{request.object} {request.sfid} was not made by the connector.")
    return int(found)


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadDate(f"'{text}' is not a date.") from None
