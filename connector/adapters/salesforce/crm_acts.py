"""Acts that a person asks of the CRM: convert leads, merge accounts (fact sheet F.5).

Both look first at what is done already, so that asking twice, or again after an answer that never
came, does it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from connector.adapters.salesforce.answers import RowError
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.ids import to_18
from connector.adapters.salesforce.results import Converted, LeadConversion
from connector.errors import InvalidInput, Misconfigured

log = structlog.get_logger(__name__)

LEADS_PER_CALL = 100
LOSERS_PER_CALL = 2
_STATUS = "SELECT MasterLabel FROM LeadStatus WHERE IsConverted = true LIMIT 1"
_ALREADY = "CANNOT_UPDATE_CONVERTED_LEAD"
_UNKNOWN = RowError("NOT_FOUND", "There is no such lead, or the connector may not see it.")


class NoRecordId(InvalidInput):
    """This is no Salesforce id."""

    code = "org.no_record_id"
    remedy = "Write the 15 or 18 letters and digits of the record's address."


class NoConvertedStatus(Misconfigured):
    """The org has no lead status that means converted."""

    code = "org.no_converted_status"
    remedy = "Mark one value of Lead Status as converted in the CRM's set-up."


@dataclass(frozen=True, slots=True)
class MergedAccounts:
    """What became of a merge: by this call, before it, and why some were not merged."""

    master: str
    merged: tuple[str, ...]
    already: tuple[str, ...]
    errors: tuple[RowError, ...] = ()


def convert_leads(
    org: OrgClient, lead_ids: Sequence[str], *, without_opportunity: bool = False
) -> list[Converted]:
    """Convert leads, each by itself; return what each has become, in order.

    One that was converted before comes back with the ids it got then.

    Raises:
        NoConvertedStatus: The org has no status for converted leads.
    """
    wanted = list(dict.fromkeys(_id(lead_id) for lead_id in lead_ids))
    known = _read(org, wanted)
    open_ids = [one for one in wanted if one in known and known[one] is None]
    done = {one: converted for one, converted in known.items() if converted is not None}
    for start in range(0, len(open_ids), LEADS_PER_CALL):
        part = open_ids[start : start + LEADS_PER_CALL]
        status = _converted_status(org)
        wishes = [
            LeadConversion(lead_id, status, without_opportunity=without_opportunity)
            for lead_id in part
        ]
        done |= {one.lead_id: one for one in org.partner.convert_leads(wishes)}
    raced = [one for one in open_ids if any(e.code == _ALREADY for e in done[one].errors)]
    done |= {one: found for one, found in _read(org, raced).items() if found is not None}
    log.info("org.leads_converted", asked=len(wanted), open=len(open_ids))
    return [done.get(one, Converted(one, None, None, None, (_UNKNOWN,))) for one in wanted]


def merge_accounts(org: OrgClient, *, master: str, losers: Sequence[str]) -> MergedAccounts:
    """Merge accounts into a master, two a call; the first that is refused ends it."""
    master_id = _id(master)
    wanted = list(dict.fromkeys(_id(loser) for loser in losers))
    already = _merged_into(org, master_id, wanted)
    left = [loser for loser in wanted if loser not in already]
    merged: list[str] = []
    for start in range(0, len(left), LOSERS_PER_CALL):
        result = org.partner.merge("Account", master_id, left[start : start + LOSERS_PER_CALL])
        if result.errors:
            return MergedAccounts(master_id, tuple(merged), tuple(already), result.errors)
        merged += result.loser_ids
    return MergedAccounts(master_id, tuple(merged), tuple(already))


def _id(text: str) -> str:
    sfid = to_18(text.strip())
    if len(sfid) != 18 or not (sfid.isascii() and sfid.isalnum()):
        raise NoRecordId(f"{text!r} is no id of a record.")
    return sfid


def _listed(sfids: Sequence[str]) -> str:
    return ", ".join(f"'{sfid}'" for sfid in sfids)


def _read(org: OrgClient, lead_ids: Sequence[str]) -> dict[str, Converted | None]:
    found: dict[str, Converted | None] = {}
    for start in range(0, len(lead_ids), LEADS_PER_CALL):
        soql = (
            "SELECT Id, IsConverted, ConvertedAccountId, ConvertedContactId, "  # noqa: S608
            "ConvertedOpportunityId FROM Lead "
            f"WHERE Id IN ({_listed(lead_ids[start : start + LEADS_PER_CALL])})"
        )
        found |= {row["Id"]: _converted(row) for row in org.query_all(soql)}
    return found


def _converted(row: dict[str, Any]) -> Converted | None:
    if not row["IsConverted"]:
        return None
    return Converted(
        row["Id"],
        row["ConvertedAccountId"],
        row["ConvertedContactId"],
        row["ConvertedOpportunityId"],
    )


def _converted_status(org: OrgClient) -> str:
    rows = org.query_all(_STATUS)
    if not rows:
        raise NoConvertedStatus("The org has no lead status that means converted.")
    return str(rows[0]["MasterLabel"])


def _merged_into(org: OrgClient, master: str, losers: Sequence[str]) -> list[str]:
    soql = (
        "SELECT Id FROM Account WHERE IsDeleted = true "  # noqa: S608
        f"AND MasterRecordId = '{master}' AND Id IN ({_listed(losers)})"
    )
    return [row["Id"] for row in org.query(soql, include_deleted=True)]
