"""The operations of the partner API that read, and the table of all of them (fact sheet F.3)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import clock
from ..errors import ApiError
from ..ids import normalize
from ..rest import collections, info, query
from ..rest.http import Request
from ..storage.values import datetime_json
from . import dml
from .accounts import get_user_info, invalidate_sessions, logout
from .reading import Call
from .sobjects import query_result_xml, record_xml, stamps
from .writing import Xml

if TYPE_CHECKING:
    from ..org import Org

Handler = Callable[["Org", Request, Call], Any]
DEFAULT_BATCH = 500
MOST_DESCRIBED = 100
NUMBER = re.compile(r"\d{1,6}\Z")


def run_query(org: "Org", request: Request, call: Call) -> Xml:
    """Return the first page of a query."""
    return _query(org, request, call, query.query)


def run_query_all(org: "Org", request: Request, call: Call) -> Xml:
    """Return the first page of a query that sees the recycle bin."""
    return _query(org, request, call, query.query_all)


def _query(org: "Org", request: Request, call: Call, handler: Any) -> Xml:
    text = call.arguments.one("queryString") or ""
    answer = handler(org, replace(_with_batch(request, call), query={"q": text}), ())
    return query_result_xml("result", answer.body, org.schema)


def query_more(org: "Org", request: Request, call: Call) -> Xml:
    """Return a further page of a query."""
    locator = call.arguments.one("queryLocator") or ""
    answer = query.query_more(org, _with_batch(request, call), [locator])
    return query_result_xml("result", answer.body, org.schema)


def _with_batch(request: Request, call: Call) -> Request:
    given = call.header("QueryOptions", "batchSize") or ""
    size = int(given) if NUMBER.match(given) else DEFAULT_BATCH
    headers = {**request.headers, "sforce-query-options": f"batchSize={size}"}
    return replace(request, headers=headers)


def retrieve(org: "Org", request: Request, call: Call) -> list[Xml]:
    """Return records by id, in the order asked for; nil where there is none."""
    name = call.arguments.one("sObjectType") or ""
    fields = [part.strip() for part in (call.arguments.one("fieldList") or "").split(",")]
    ids = call.arguments.texts("ids")
    _known(org, name)
    for text in ids:
        if normalize(text) is None:
            raise ApiError(400, "MALFORMED_ID", f"malformed id {text}")
    if not ids:
        return []
    body = {"ids": ids, "fields": [field for field in fields if field]}
    records = collections.read_many_by_body(org, replace(request, parsed=body), [name]).body
    return [record_xml("result", r and _with_id(r), org.schema, id_twice=False) for r in records]


def _with_id(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its id, which comes along unasked."""
    return {**record, "Id": str(record["attributes"]["url"]).rsplit("/", 1)[-1]}


def _known(org: "Org", name: str) -> str:
    found = org.schema.find(name)
    if found is None:
        raise ApiError(404, "NOT_FOUND", f"sObject type '{name}' is not supported.")
    return found.name


def describe_global(org: "Org", request: Request, call: Call) -> dict[str, Any]:
    """Return the list of all objects."""
    body: dict[str, Any] = info.global_describe(org, request, ()).body
    return body | {"sobjects": [_object(entry) for entry in body["sobjects"]]}


def describe_one(org: "Org", request: Request, call: Call) -> dict[str, Any]:
    """Return everything about one object."""
    return _described(org, request, call.arguments.one("sObjectType") or "")


def describe_many(org: "Org", request: Request, call: Call) -> list[dict[str, Any]]:
    """Return everything about up to a hundred objects."""
    names = call.arguments.texts("sObjectType")
    if len(names) > MOST_DESCRIBED:
        message = f"cannot describe more than {MOST_DESCRIBED} objects"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    return [_described(org, request, name) for name in names]


def _described(org: "Org", request: Request, name: str) -> dict[str, Any]:
    body: dict[str, Any] = info.describe(org, request, [_known(org, name)]).body
    urls = body["urls"]
    return _object(body) | {
        "urlDetail": request.origin + urls["uiDetailTemplate"],
        "urlEdit": request.origin + urls["uiEditTemplate"],
        "urlNew": request.origin + urls["uiNewRecord"],
    }


def _object(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "idEnabled": True}


def get_server_timestamp(org: "Org", request: Request, call: Call) -> dict[str, Any]:
    """Return the org's time."""
    return {"timestamp": stamps(datetime_json(clock.epoch_s()))}


def get_updated(org: "Org", request: Request, call: Call) -> Any:
    """Return the ids of records changed in a window."""
    return stamps(query.updated(org, _window(request, call), [_type(org, call)]).body)


def get_deleted(org: "Org", request: Request, call: Call) -> Any:
    """Return the records deleted in a window."""
    return stamps(query.deleted(org, _window(request, call), [_type(org, call)]).body)


def _type(org: "Org", call: Call) -> str:
    return _known(org, call.arguments.one("sObjectType") or "")


def _window(request: Request, call: Call) -> Request:
    start, end = call.arguments.one("startDate"), call.arguments.one("endDate")
    return replace(request, query={"start": start or "", "end": end or ""})


HANDLERS: dict[str, Handler] = {
    "logout": logout,
    "invalidateSessions": invalidate_sessions,
    "getUserInfo": get_user_info,
    "getServerTimestamp": get_server_timestamp,
    "describeGlobal": describe_global,
    "describeSObject": describe_one,
    "describeSObjects": describe_many,
    "query": run_query,
    "queryAll": run_query_all,
    "queryMore": query_more,
    "retrieve": retrieve,
    "create": dml.create,
    "update": dml.update,
    "upsert": dml.upsert,
    "delete": dml.delete,
    "undelete": dml.undelete,
    "emptyRecycleBin": dml.empty_recycle_bin,
    "merge": dml.merge,
    "convertLead": dml.convert_leads,
    "getUpdated": get_updated,
    "getDeleted": get_deleted,
}
