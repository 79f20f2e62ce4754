"""Schemas of events, as subscribers read them over REST (fact sheet B.2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from ..errors import ApiError, not_found
from ..events.avro import EventSchema
from ..events.channels import DATA, EVENT
from .http import Answer, Request

if TYPE_CHECKING:
    from ..org import Org

COMPACT = "COMPACT"


def of_event(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /sobjects/EVENT/eventSchema of a platform event or change event.

    Raises:
        ApiError: 404 for what is no event.
    """
    for prefix in (EVENT, DATA):
        name = org.events.channels.named(prefix + found[0])
        topic = org.events.channels.find(name) if name is not None else None
        if topic is not None:
            org.events.bus.keep_schema(topic.schema)
            return _answer(request, topic.schema)
    raise not_found()


def by_id(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /event/eventSchema/ID.

    Raises:
        ApiError: 404 for an unknown id.
    """
    schema = org.events.bus.schema(found[0])
    if schema is None:
        raise not_found()
    return _answer(request, schema)


def _answer(request: Request, schema: EventSchema) -> Answer:
    asked = request.query.get("payloadFormat", COMPACT)
    if asked.upper() != COMPACT:
        message = f"payloadFormat {asked} is not provided by the local org; use {COMPACT}"
        raise ApiError(400, "INVALID_INPUT", message)
    return Answer(200, orjson.loads(schema.text) | {"uuid": schema.id})
