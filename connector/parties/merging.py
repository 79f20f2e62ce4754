"""Two customers of the CRM became one: what hangs on the loser hangs on the master (domain D5).

Billing accounts move whole, with their invoices and what they bill: nothing is billed twice and no
invoice is orphaned. Which of two leads, that is bills new deals, is a person's choice.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text

from connector.errors import InvalidInput, TransientFailure

log = structlog.get_logger(__name__)


class Keep(StrEnum):
    """Whose billing account leads from now on."""

    MASTER = "master"
    LOSER = "loser"


class TwoBilledCustomers(InvalidInput):
    """Both customers of a merge have billing accounts; nobody may join them silently."""

    code = "parties.two_billed_customers"


class MasterNotHere(TransientFailure):
    """The hub has not met the customer that remains yet."""

    code = "parties.master_not_here"
    remedy = "Nothing: it comes with the next sweep, and the merge is followed then."


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of a merge. `undecided` names the billing accounts of both, if a person must."""

    loser_id: int
    master_id: int
    undecided: tuple[str, ...] = ()


_ACCOUNTS = text("SELECT id, sfid FROM account WHERE sfid = ANY(:sfids) ORDER BY id FOR UPDATE")
_BILLED = text(
    """
    SELECT b.id, b.account_id, b.number, b.currency, b.system, b.superseded_by_id, a.sfid
      FROM billing_account b JOIN account a ON a.id = b.account_id
     WHERE a.sfid = ANY(:sfids) ORDER BY b.id
    """
)
_AMBIGUOUS = text("UPDATE account SET link_state = 'Ambiguous' WHERE id = :master")
_SUPERSEDE = text("UPDATE billing_account SET superseded_by_id = :by WHERE id = :id")
_MOVE_BILLING = text(
    "UPDATE billing_account SET account_id = :master WHERE account_id = :loser"
)  # with everything that hangs on them
_MOVE_PLACES = text("UPDATE location SET account_id = :master WHERE account_id = :loser")
_LINKS = text(
    """
    UPDATE account a
       SET link_state = CASE WHEN EXISTS (SELECT FROM billing_account b WHERE b.account_id = a.id)
                             THEN 'Linked' ELSE 'Unlinked' END
     WHERE a.id = ANY(:ids) AND (a.deleted_at IS NULL OR a.id = :loser)
    """
)


def fold_account(
    *, tx: Connection, loser_sfid: str, master_sfid: str, keep: Keep | None
) -> Folded | None:
    """Move billing accounts and places of the loser to the master.

    Return None when the hub never knew the loser. Where both are billed and nobody has chosen,
    nothing moves and the master's link becomes Ambiguous. Doing it again changes nothing.

    Raises:
        MasterNotHere: The master is not in the hub yet.
    """
    ids = {row.sfid: row.id for row in tx.execute(_ACCOUNTS, {"sfids": [loser_sfid, master_sfid]})}
    loser, master = ids.get(loser_sfid), ids.get(master_sfid)
    if loser is None:
        return None
    if master is None:
        raise MasterNotHere(f"Account {master_sfid} is not in the hub yet.")
    billed = tx.execute(_BILLED, {"sfids": [loser_sfid, master_sfid]}).all()
    ours = [row for row in billed if row.account_id == loser]
    theirs = [row for row in billed if row.account_id == master]
    if ours and theirs and keep is None:
        tx.execute(_AMBIGUOUS, {"master": master})
        return Folded(loser, master, tuple(row.number for row in (*ours, *theirs)))
    if keep is not None:
        _supersede(tx, leading=theirs if keep is Keep.MASTER else ours, others=[*ours, *theirs])
    moved = {"master": master, "loser": loser}
    tx.execute(_MOVE_BILLING, moved)
    tx.execute(_MOVE_PLACES, moved)
    tx.execute(_LINKS, {"ids": [loser, master], "loser": loser})
    log.info("account.folded", loser_id=loser, master_id=master, billing_accounts=len(ours))
    return Folded(loser, master)


def billed_customers(*, tx: Connection, sfids: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the numbers of the billing accounts of those accounts that have some."""
    found: dict[str, tuple[str, ...]] = {}
    for row in tx.execute(_BILLED, {"sfids": sfids}):
        found[row.sfid] = (*found.get(row.sfid, ()), row.number)
    return found


def _supersede(tx: Connection, *, leading: list[Row[Any]], others: list[Row[Any]]) -> None:
    leads = {(row.currency, row.system): row.id for row in leading if row.superseded_by_id is None}
    for row in others:
        by = leads.get((row.currency, row.system))
        if by is not None and by != row.id and row.superseded_by_id is None:
            tx.execute(_SUPERSEDE, {"id": row.id, "by": by})
