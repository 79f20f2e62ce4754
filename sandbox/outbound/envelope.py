"""The SOAP envelope of outbound messages, and what counts as an acknowledgement (G.2, G.3)."""

from collections.abc import Sequence
from html import escape
from typing import Any

from lxml import etree

from ..schema.automation import OutboundMessage
from ..schema.model import ObjectType
from ..storage.values import soap_text

NAMESPACE = "http://soap.sforce.com/2005/09/outbound"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
MAX_ANSWER = 65_536
_PARSER_OPTIONS = {"resolve_entities": False, "no_network": True, "huge_tree": False}


def build_envelope(
    message: OutboundMessage,
    item: ObjectType,
    notifications: Sequence[tuple[str, str, dict[str, Any] | None]],
    *,
    organization_id: str,
    base_url: str,
    session_id: str | None,
) -> bytes:
    """Return the message for notifications given as (id, record id, stored values or None).

    Null fields are left out; a record that is gone is sent as its id alone.
    """
    service = f"{base_url}/services/Soap/{{}}/{message.api_version}/{organization_id[:15]}"
    session = (
        '<SessionId xsi:nil="true"/>'
        if session_id is None
        else f"<SessionId>{escape(session_id, quote=False)}</SessionId>"
    )
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<soapenv:Envelope xmlns:soapenv="{SOAP}" '
        'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">',
        " <soapenv:Body>",
        f'  <notifications xmlns="{NAMESPACE}">',
        f"   <OrganizationId>{organization_id}</OrganizationId>",
        f"   <ActionId>{message.action_id}</ActionId>",
        f"   {session}",
        f"   <EnterpriseUrl>{escape(service.format('c'), quote=False)}</EnterpriseUrl>",
        f"   <PartnerUrl>{escape(service.format('u'), quote=False)}</PartnerUrl>",
    ]
    for notification_id, record_id, values in notifications:
        lines += [
            "   <Notification>",
            f"    <Id>{notification_id}</Id>",
            f'    <sObject xsi:type="sf:{item.name}" '
            'xmlns:sf="urn:sobject.enterprise.soap.sforce.com">',
            f"     <sf:Id>{record_id}</sf:Id>",
        ]
        for name in message.fields if values is not None else ():
            text = soap_text(item.by_name[name.lower()], (values or {}).get(name))
            if text is not None:
                lines.append(f"     <sf:{name}>{_clean(text)}</sf:{name}>")
        lines += ["    </sObject>", "   </Notification>"]
    lines += ["  </notifications>", " </soapenv:Body>", "</soapenv:Envelope>"]
    return "\n".join(lines).encode()


def _clean(text: str) -> str:
    """Escape text and leave out characters that XML cannot carry."""
    allowed = "".join(c for c in text if c >= " " or c in "\t\n\r")
    return escape(allowed, quote=False)


def acknowledged(status: int, body: bytes) -> bool:
    """Return whether an answer acknowledges the whole message."""
    if status != 200 or len(body) > MAX_ANSWER:
        return False
    try:
        root = etree.fromstring(body, etree.XMLParser(**_PARSER_OPTIONS))
    except (etree.XMLSyntaxError, ValueError):
        return False
    path = f"{{{SOAP}}}Body/{{{NAMESPACE}}}notificationsResponse/{{{NAMESPACE}}}Ack"
    ack = root.find(path) if root.tag == f"{{{SOAP}}}Envelope" else None
    return ack is not None and (ack.text or "").strip() in {"true", "1"}
