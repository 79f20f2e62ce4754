"""The envelope of an outbound message: read safely, without trusting a byte of it.

Facts: fact sheet G.1-G.3. The hot path reads only what decides about acceptance, and of a plain
envelope not even that with a parser (`plain_envelope.py`); the values are decoded when the stored
envelope is applied (`wsdl.py`).
"""

from dataclasses import dataclass
from typing import ClassVar

from lxml import etree

from connector.errors import InvalidInput, NotPermitted
from connector.sync.inbox.plain_envelope import read_plain_head

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
NOTIFICATIONS_MAX = 100  # per message (fact sheet G.4)
_ID_LENGTH = 18


class MalformedEnvelope(InvalidInput):
    """The body is no outbound message."""

    code: ClassVar[str] = "webhook.malformed"
    remedy = "Send what Salesforce sends: a SOAP envelope with `notifications`, without a doctype."


class ForeignOrganization(NotPermitted):
    """The message comes from an organization this connector does not serve."""

    code: ClassVar[str] = "webhook.foreign_organization"
    remedy = "Point the outbound message of that org to its own connector."


@dataclass(frozen=True, slots=True)
class EnvelopeHead:
    """What decides about acceptance."""

    organization_id: str
    action_id: str
    notification_count: int


def parse(content: bytes) -> etree._Element:
    """Parse an envelope and return its `notifications` element.

    No entity is expanded, no doctype accepted, nothing fetched.

    Raises:
        MalformedEnvelope: It is not such an envelope.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        # The parser's message may quote the body.
        raise MalformedEnvelope("The message is not well-formed XML.") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedEnvelope("The message has a doctype.")
    if root.tag == f"{{{SOAP}}}Envelope":
        # By children: a path costs as much as a quarter of the parse.
        for body in root.iterchildren(f"{{{SOAP}}}Body"):
            for notifications in body.iterchildren(f"{{{OUTBOUND}}}notifications"):
                return notifications
    raise MalformedEnvelope("The message holds no notifications.")


def read_head(content: bytes) -> EnvelopeHead:
    """Read who sends how much.

    What stands between the notifications of an envelope in Salesforce's own shape is not looked at:
    `parse` does when it is applied.

    Raises:
        MalformedEnvelope: It is no outbound message, or one without a single notification.
    """
    organization_id, action_id, count = read_plain_head(content) or _parsed_head(content)
    if not 0 < count <= NOTIFICATIONS_MAX:
        raise MalformedEnvelope(f"The message holds {count} notifications, not 1 to 100.")
    if len(organization_id) != _ID_LENGTH or len(action_id) != _ID_LENGTH:
        raise MalformedEnvelope("The message names no organization or no action.")
    return EnvelopeHead(organization_id, action_id, count)


def _parsed_head(content: bytes) -> tuple[str, str, int]:
    notifications = parse(content)
    count = sum(1 for _ in notifications.iterchildren(f"{{{OUTBOUND}}}Notification"))
    return child_text(notifications, "OrganizationId"), child_text(notifications, "ActionId"), count


def child_text(element: etree._Element, name: str) -> str:
    """Return the text of a direct child of the outbound namespace, empty when there is none."""
    child = next(element.iterchildren(f"{{{OUTBOUND}}}{name}"), None)
    return "" if child is None else (child.text or "").strip()
