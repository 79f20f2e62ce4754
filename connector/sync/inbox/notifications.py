"""Decodes a stored envelope: which records an outbound message is about, and since when.

What it says about them is a hint only: the records are read again before anything is done, so a
forged or outdated message causes a read and nothing else (design D4).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from lxml import etree
from zeep.exceptions import Error as ZeepError

from connector.adapters.salesforce.ids import to_18
from connector.errors import InvalidInput
from connector.sync.inbox.envelope import OUTBOUND, XSI, child_text, parse
from connector.sync.inbox.wsdl import MessageShape

_SFID = re.compile(r"^[A-Za-z0-9]{18}$")

log = structlog.get_logger(__name__)


class UnreadableNotification(InvalidInput):
    """A notification of an outbound message does not say which record it is about."""

    code = "sync.unreadable_notification"
    remedy = "Nothing, if it was forged; else the next sweep finds the record."


@dataclass(frozen=True, slots=True)
class Notification:
    """One changed record; `values` are typed by the message's WSDL, numbers as Decimal."""

    notification_id: str
    object_name: str
    sfid: str
    version: datetime | None
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DecodedEnvelope:
    """The notifications of an envelope that could be read, and why others could not."""

    notifications: tuple[Notification, ...]
    problems: tuple[str, ...]


def decode(content: bytes, shapes: Mapping[str, MessageShape]) -> DecodedEnvelope:
    """Read the notifications of a stored envelope; one that is wrong does not hide the others.

    Raises:
        MalformedEnvelope: The whole is no outbound message.
    """
    notifications: list[Notification] = []
    problems: list[str] = []
    for place, element in enumerate(parse(content).iterchildren(f"{{{OUTBOUND}}}Notification"), 1):
        try:
            found = _notification(element, shapes)
        except UnreadableNotification as error:
            problems.append(f"notification {place}: {error.message}")
            continue
        except (ValueError, ZeepError) as error:
            # Its text may quote what the message says of a customer.
            problems.append(f"notification {place}: {type(error).__name__}")
            continue
        if found is not None:
            notifications.append(found)
    return DecodedEnvelope(tuple(notifications), tuple(problems))


def _notification(
    element: etree._Element, shapes: Mapping[str, MessageShape]
) -> Notification | None:
    notification_id = child_text(element, "Id")
    sobject = element.find(f"{{{OUTBOUND}}}sObject")
    if not notification_id:
        raise UnreadableNotification("It has no id.")
    if sobject is None or len(sobject) == 0:
        # The record was deleted before the message was sent (fact sheet G.4).
        log.info("envelope.record_gone", notification_id=notification_id)
        return None
    object_name = (sobject.get(f"{{{XSI}}}type") or "").rpartition(":")[2]
    shape = shapes.get(object_name)
    if shape is None:
        log.warning("envelope.unknown_object", object=object_name[:80])
        return None
    values = _values(shape, sobject)
    sfid = values.get("Id")
    if not isinstance(sfid, str) or not _SFID.match(to_18(sfid)):
        raise UnreadableNotification(f"Its {object_name} has no id, or one that is none.")
    stamp = values.get("SystemModstamp")
    return Notification(
        notification_id=notification_id,
        object_name=object_name,
        sfid=to_18(sfid),
        version=stamp.astimezone(UTC) if isinstance(stamp, datetime) else None,
        values=values,
    )


def _values(shape: MessageShape, sobject: etree._Element) -> Mapping[str, object]:
    try:
        return shape.read_strictly(sobject)
    except (ZeepError, ValueError):
        # Somebody changed the message: every field that is known still counts (measured 5).
        values, unknown = shape.read_by_name(sobject)
        log.warning("envelope.other_shape", object=shape.object_name, unknown=unknown)
        return values
