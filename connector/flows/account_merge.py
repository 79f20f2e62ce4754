"""The CRM merged two customers: the hub follows, or asks a person first (domain D5)."""

from collections.abc import Mapping

from connector.inventory.services import move_services
from connector.ordering.orders import move_orders
from connector.parties.merging import Keep, TwoBilledCustomers, fold_account
from connector.store.engine import Store
from connector.sync.apply.intents import Flow, IntentRequest


def merge_flows(*, store: Store) -> Mapping[str, Flow]:
    """Return the flow `merge_account`; it opens its own transaction."""

    def merge_account(request: IntentRequest) -> None:
        keep = request.facts.get("keep")
        follow_merge(
            store=store,
            loser_sfid=request.sfid,
            master_sfid=request.facts.get("master") or "",
            keep=Keep(keep) if keep else None,
        )

    return {"merge_account": merge_account}


def follow_merge(*, store: Store, loser_sfid: str, master_sfid: str, keep: Keep | None) -> None:
    """Move everything of the loser to the master, in one transaction.

    Raises:
        TwoBilledCustomers: Both have billing accounts and nobody has chosen; nothing moved.
        MasterNotHere: The hub has not met the master yet.
    """
    with store.transaction() as tx:
        folded = fold_account(tx=tx, loser_sfid=loser_sfid, master_sfid=master_sfid, keep=keep)
        if folded is not None and not folded.undecided:
            accounts = {"from_account_id": folded.loser_id, "to_account_id": folded.master_id}
            move_services(tx=tx, **accounts)
            move_orders(tx=tx, **accounts)
    if folded is not None and folded.undecided:
        raise TwoBilledCustomers(
            f"Accounts {loser_sfid} and {master_sfid} were merged in the CRM and both are billed "
            f"({', '.join(folded.undecided)}).",
            remedy=f"Choose whose billing account takes new deals: "
            f"l2c sync merges decide {loser_sfid} --keep master (or loser).",
        )
