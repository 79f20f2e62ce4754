"""Merge tickets: the CRM has another record with the values of ours; a person says which counts.

A refused record names the one that stands in its way. Adopting writes our key on that one: from the
next push on it is the record of ours. Deleting or correcting it in the CRM ends the ticket as well.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection, text

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.ids import to_18
from connector.errors import InvalidInput, StateConflict
from connector.store.engine import Store
from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.push.collapse import mark
from connector.sync.push.delivery import write_fields
from connector.sync.push.records import claim
from connector.sync.push.state import Owed
from connector.sync.push.verdict import Refusal

log = structlog.get_logger(__name__)

CODES = frozenset({"DUPLICATE_VALUE", "DUPLICATES_DETECTED"})
SHOWN_MAX = 500
_OTHER = re.compile(r"record with id: ([A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?)")

_OPEN = text("""
    INSERT INTO duplicate (entity, hub_id, object, external_key, other_sfid, message, opened_at)
    VALUES (:entity, :hub_id, :object, :external_key, :other_sfid, :message, now())
    ON CONFLICT (entity, hub_id, other_sfid) DO UPDATE
       SET message = excluded.message, adopted_at = NULL
""")
# Over, too, once the record got through by itself: somebody mended it in the CRM.
_LIST = text("""
    SELECT d.id, d.entity, d.hub_id, d.object, d.external_key, d.other_sfid, d.message, d.opened_at
      FROM duplicate d JOIN crm_record r ON r.entity = d.entity AND r.hub_id = d.hub_id
     WHERE d.adopted_at IS NULL AND r.status = 'Error'
       AND (CAST(:id AS bigint) IS NULL OR d.id = :id)
     ORDER BY d.id DESC LIMIT :limit
""")
_ADOPTED = text("UPDATE duplicate SET adopted_at = :now WHERE id = :id")


class TicketUnknown(InvalidInput):
    """There is no open merge ticket with this number."""

    code = "duplicate.unknown"
    remedy = "See `l2c sync duplicates list`."


class NotAdopted(StateConflict):
    """The CRM's record could not become the one of ours."""

    code = "duplicate.not_adopted"
    remedy = "Correct or delete the other record in the CRM, then retry the dead letter."


@dataclass(frozen=True, slots=True)
class Ticket:
    """A record of ours, and the one in the CRM that stands in its way."""

    id: int
    entity: str
    hub_id: int
    object: str
    external_key: str
    other_sfid: str
    message: str
    opened_at: datetime


def open_tickets(tx: Connection, mapping: Mapping, refused: Sequence[tuple[Owed, Refusal]]) -> None:
    """Keep a ticket for each refusal that names another record."""
    for owed, refusal in refused:
        named = _OTHER.search(refusal.message) if refusal.code in CODES else None
        if named is None or mapping.pushed.verb == "update":
            continue
        tx.execute(
            _OPEN,
            {
                "entity": mapping.entity,
                "hub_id": owed.key,
                "object": mapping.object,
                "external_key": owed.external_key,
                "other_sfid": to_18(named[1]),
                "message": refusal.message,
            },
        )


def tickets(*, tx: Connection, limit: int = SHOWN_MAX) -> tuple[Ticket, ...]:
    """Return the open tickets, the newest first."""
    rows = tx.execute(_LIST, {"id": None, "limit": limit})
    return tuple(Ticket(**row._mapping) for row in rows)


def adopt(
    *, store: Store, org: OrgClient, mappings: Mappings, ticket_id: int, now: datetime
) -> Ticket:
    """Make the CRM's record the one of ours; the next push fills it.

    Repeated after a lost answer it does the same again.

    Raises:
        TicketUnknown: No open ticket has this number.
        NotAdopted: The CRM refused, or the record belongs to another one of ours.
        OrgUnavailable: The org does not answer; nothing is decided.
    """
    with store.read() as tx:
        row = tx.execute(_LIST, {"id": ticket_id, "limit": 1}).one_or_none()
    if row is None:
        raise TicketUnknown(f"There is no open merge ticket {ticket_id}.")
    ticket = Ticket(**row._mapping)
    mapping = mappings.by_entity[ticket.entity]
    key = {mapping.pushed.key: ticket.external_key}
    (result,) = write_fields(org, [(ticket.object, ticket.other_sfid, dict(key))])
    if not result.success:
        why = result.errors[0].message if result.errors else "no reason"
        raise NotAdopted(f"The CRM does not give {ticket.other_sfid} our key: {why}")
    with store.transaction() as tx:
        claim(tx, mapping, ticket.hub_id, sfid=ticket.other_sfid, known={})
        tx.execute(_ADOPTED, {"id": ticket.id, "now": now})
        mark(tx=tx, entity=ticket.entity, keys=[ticket.hub_id])
    log.info("duplicate.adopted", ticket_id=ticket.id, entity=ticket.entity, hub_id=ticket.hub_id)
    return ticket
