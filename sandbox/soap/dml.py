"""Operations that write records: create to convertLead (fact sheet F.3, F.5)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..errors import ApiError, RowError
from ..ids import normalize
from ..records.convert_lead import Wish, convert_lead
from ..records.merge import merge_records
from ..records.save import Writer
from ..records.undelete import remove_from_bin, undelete_record
from ..rest import collections
from ..rest.http import Request
from .reading import Call, Given
from .sobjects import JsonRecord, read_record

if TYPE_CHECKING:
    from ..org import Org

Result = dict[str, Any]
MOST = 200
MOST_LEADS = 100
NOT_CONVERTED = (
    "accountRecord",
    "contactRecord",
    "opportunityRecord",
    "relatedPersonAccountId",
    "relatedPersonAccountRecord",
)


class _Undo(Exception):
    """Takes back a call in which one row failed."""


def create(org: "Org", request: Request, call: Call) -> list[Result]:
    """Create records; each fails or succeeds by itself unless AllOrNoneHeader says otherwise."""
    return _save(org, request, call, collections.create_many)


def update(org: "Org", request: Request, call: Call) -> list[Result]:
    """Update records named by their Id."""
    return _save(org, request, call, collections.update_many)


def _save(org: "Org", request: Request, call: Call, handler: Any) -> list[Result]:
    records = _records(org, call)
    if not records:
        return []
    body = {"allOrNone": _all_or_none(call), "records": records}
    return list(handler(org, replace(request, parsed=body), ()).body)


def upsert(org: "Org", request: Request, call: Call) -> list[Result]:
    """Create or update records by a key; records may be of several types that have it."""
    key = call.arguments.one("externalIDFieldName")
    if key is None:
        message = "externalIDFieldName has to be specified"
        raise ApiError(400, "INVALID_FIELD", message)
    records = _records(org, call)
    _check_count(records, MOST)
    for record in records:
        # Known by the name the schema gives them, or they would not group.
        item = org.schema.find(record["attributes"]["type"])
        field = item.find(key) if item is not None else None
        if item is None:
            raise ApiError(404, "NOT_FOUND", _no_type(record["attributes"]["type"]))
        if field is None or not (field.external_id or field.id_lookup):
            message = (
                f"Field name provided, {key} is not an External ID or indexed field on {item.name}"
            )
            raise ApiError(400, "INVALID_FIELD", message)

    def run(_: Writer) -> list[Result]:
        results: list[Result] = []
        for name, rows in groupby(records, key=lambda r: r["attributes"]["type"].lower()):
            inner = replace(request, parsed={"allOrNone": False, "records": list(rows)})
            results += collections.upsert_many(org, inner, [name, key]).body
        return results

    return _atomically(org, request, call, run) if records else []


def delete(org: "Org", request: Request, call: Call) -> list[Result]:
    """Put records into the recycle bin."""
    ids = call.arguments.texts("ids")
    if not ids:
        return []
    flag = "true" if _all_or_none(call) else "false"
    inner = replace(request, query={"ids": ",".join(ids), "allOrNone": flag})
    results: list[Result] = collections.delete_many(org, inner, ()).body
    return results


def undelete(org: "Org", request: Request, call: Call) -> list[Result]:
    """Bring records back from the recycle bin."""
    return _by_id(org, request, call, undelete_record)


def empty_recycle_bin(org: "Org", request: Request, call: Call) -> list[Result]:
    """Remove records from the recycle bin for good."""
    return _by_id(org, request, call, remove_from_bin)


def _by_id(
    org: "Org", request: Request, call: Call, action: Callable[[Writer, str], None]
) -> list[Result]:
    ids = call.arguments.texts("ids")
    _check_count(ids, MOST)

    def one(text: str, writer: Writer) -> Result:
        record_id = normalize(text)
        if record_id is None:
            raise ApiError(400, "MALFORMED_ID", f"malformed id {text}")
        action(writer, record_id)
        return {"id": record_id}

    def run(writer: Writer) -> list[Result]:
        return [_attempt(writer, partial(one, text)) for text in ids]

    return _atomically(org, request, call, run)


def merge(org: "Org", request: Request, call: Call) -> list[Result]:
    """Merge records; each request is a transaction of its own."""
    wishes = call.arguments.all("request")
    _check_count(wishes, MOST)
    results = []
    for wish in wishes:
        master = wish.all("masterRecord")
        if not master:
            raise ApiError(400, "MISSING_ARGUMENT", "masterRecord has to be specified")
        record = read_record(master[0], org.schema)
        results += _atomically(org, request, call, _merging(org, record, wish))
    return results


def _merging(org: "Org", record: JsonRecord, wish: Given) -> Callable[[Writer], list[Result]]:
    item = org.schema.find(record["attributes"]["type"])
    if item is None:
        raise ApiError(404, "NOT_FOUND", _no_type(record["attributes"]["type"]))

    def one(writer: Writer) -> Result:
        done = merge_records(writer, item, master=record, losers=wish.texts("recordToMergeIds"))
        return {
            "id": done.master_id,
            "mergedRecordIds": done.loser_ids,
            "updatedRelatedIds": done.related_ids,
        }

    def run(writer: Writer) -> list[Result]:
        result = _attempt(writer, one)
        return [{"id": record.get("Id")} | result]

    return run


def convert_leads(org: "Org", request: Request, call: Call) -> list[Result]:
    """Convert leads into accounts, contacts and opportunities."""
    wishes = call.arguments.all("leadConverts")
    _check_count(wishes, MOST_LEADS)

    def run(writer: Writer) -> list[Result]:
        return [
            {"leadId": wish.one("leadId")} | _attempt(writer, partial(_convert, wish))
            for wish in wishes
        ]

    return _atomically(org, request, call, run)


def _convert(given: Given, writer: Writer) -> Result:
    for name in NOT_CONVERTED:
        if given.all(name):
            message = f"{name} is not supported by the local org"
            raise ApiError(400, "INVALID_ARGUMENT_TYPE", message)
    done = convert_lead(
        writer,
        Wish(
            lead_id=given.one("leadId"),
            converted_status=given.one("convertedStatus"),
            account_id=given.one("accountId"),
            contact_id=given.one("contactId"),
            opportunity_id=given.one("opportunityId"),
            opportunity_name=given.one("opportunityName"),
            owner_id=given.one("ownerId"),
            without_opportunity=given.flag("doNotCreateOpportunity"),
            overwrite_lead_source=given.flag("overwriteLeadSource"),
        ),
    )
    return {
        "leadId": done.lead_id,
        "accountId": done.account_id,
        "contactId": done.contact_id,
        "opportunityId": done.opportunity_id,
    }


# --- how rows succeed and fail ---


def _all_or_none(call: Call) -> bool:
    return call.header_flag("AllOrNoneHeader", "allOrNone")


def _records(org: "Org", call: Call) -> list[JsonRecord]:
    records = [read_record(given, org.schema) for given in call.arguments.all("sObjects")]
    for record in records:
        if org.schema.find(record["attributes"]["type"]) is None:
            raise ApiError(400, "INVALID_TYPE", _no_type(record["attributes"]["type"]))
    return records


def _no_type(name: str) -> str:
    return (
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, "
        "be sure to append the '__c' after the entity name. Please reference your WSDL or the "
        "describe call for the appropriate names."
    )


def _check_count(rows: Sequence[Any], most: int) -> None:
    if len(rows) > most:
        message = (
            f"record limit reached. cannot submit more than {most} records into this operation"
        )
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)


def _attempt(writer: Writer, action: Callable[[Writer], Result]) -> Result:
    """Run one row's action; one that is refused leaves no trace but its reason."""
    try:
        with writer.tx.savepoint():
            return action(writer) | {"success": True, "errors": []}
    except ApiError as error:
        reason = RowError(error.code, error.message, error.fields or ())
        return {"success": False, "errors": [reason.as_result()]}


def _atomically(
    org: "Org", request: Request, call: Call, run: Callable[[Writer], list[Result]]
) -> list[Result]:
    """Run rows in one transaction; where one fails and the caller wants it, keep none."""
    results: list[Result] = []
    with org.transaction(request.me.actor, request_id=request.request_id) as writer:
        try:
            with writer.tx.savepoint():
                results = run(writer)
                if _all_or_none(call) and not all(result["success"] for result in results):
                    raise _Undo
        except _Undo:
            undone = {"success": False, "errors": [collections.ROLLED_BACK.as_result()]}
            return [r if not r["success"] else undone for r in results]
    return results
