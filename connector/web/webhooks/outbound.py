"""Receives Salesforce's outbound messages.

The order is the promise: size, safe parse, organization, INSERT and COMMIT, and only then the
acknowledgement (fact sheet G.3). Salesforce sends again whatever is not acknowledged, for 24 hours.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from xml.sax.saxutils import escape

import psycopg
import psycopg_pool
import structlog
from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from connector.errors import ConnectorError, TransientFailure
from connector.sync.envelope import ForeignOrganization, MalformedEnvelope, read_head
from connector.sync.inbox import InboxWriter

log = structlog.get_logger(__name__)

PATH = "/webhooks/salesforce/outbound"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_ENVELOPE = 'soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
_ACK = (
    f"{_HEAD}<{_ENVELOPE}><soapenv:Body>"
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)
_FAULT = (
    f"{_HEAD}<{_ENVELOPE}><soapenv:Body><soapenv:Fault><faultcode>soapenv:%s</faultcode>"
    "<faultstring>%s</faultstring></soapenv:Fault></soapenv:Body></soapenv:Envelope>"
)


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """Which messages are taken in."""

    organization_id: Callable[[], str]  # 18 characters; asked once, at the first message
    body_max_bytes: int
    secret: str | None = field(default=None, repr=False)
    action_ids: frozenset[str] = frozenset()  # empty: every action of the organization


def outbound_blueprint(
    *, writer: InboxWriter, policy: OutboundPolicy, nudge: Callable[[], None]
) -> Blueprint:
    """Return the routes that receive outbound messages."""
    blueprint = Blueprint("salesforce_outbound", __name__)
    receiver = _Receiver(writer, policy, nudge)
    blueprint.add_url_rule(PATH, view_func=receiver.receive, methods=["POST"])
    blueprint.add_url_rule(f"{PATH}/<secret>", view_func=receiver.receive, methods=["POST"])
    return blueprint


class _Receiver:
    def __init__(
        self, writer: InboxWriter, policy: OutboundPolicy, nudge: Callable[[], None]
    ) -> None:
        self._writer = writer
        self._policy = policy
        self._nudge = nudge
        self._organization_id = ""

    def receive(self, secret: str = "") -> Response:
        if not self._knows(secret):
            return _refused("secret", HTTPStatus.NOT_FOUND, "There is nothing here.")
        request.max_content_length = self._policy.body_max_bytes
        try:
            content = request.get_data(cache=False)
        except RequestEntityTooLarge:
            return _refused(
                "size", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The message is too large."
            )
        try:
            self._take_in(content)
        except MalformedEnvelope as error:
            return _refused(error.code, HTTPStatus.BAD_REQUEST, error.message)
        except ForeignOrganization as error:
            return _refused(error.code, HTTPStatus.FORBIDDEN, error.message)
        except (psycopg.Error, psycopg_pool.PoolTimeout, ConnectorError) as error:
            # Not acknowledged, so Salesforce keeps the message and sends it again.
            log.warning("webhook.unavailable", error=type(error).__name__)
            return _fault(HTTPStatus.SERVICE_UNAVAILABLE, "Server", "Send it again later.")
        self._nudge()
        return Response(_ACK, content_type="text/xml; charset=utf-8")

    def _knows(self, secret: str) -> bool:
        expected = self._policy.secret or ""
        return hmac.compare_digest(secret.encode(), expected.encode())

    def _take_in(self, content: bytes) -> None:
        head = read_head(content)
        if head.organization_id != self._expected_organization():
            raise ForeignOrganization("The message is of another organization.")
        if self._policy.action_ids and head.action_id not in self._policy.action_ids:
            raise ForeignOrganization("The message is of an action that is not on the list.")
        self._writer.store_envelope(
            organization_id=head.organization_id, action_id=head.action_id, content=content
        )

    def _expected_organization(self) -> str:
        if not self._organization_id:
            found = self._policy.organization_id()
            if not found:
                raise TransientFailure("The organization of this connector is not known yet.")
            self._organization_id = found
        return self._organization_id


def _refused(reason: str, status: HTTPStatus, text: str) -> Response:
    log.warning(
        "webhook.refused",
        reason=reason,
        status=int(status),
        size=request.content_length,
        sender=request.remote_addr,
    )
    return _fault(status, "Client", text)


def _fault(status: HTTPStatus, side: str, text: str) -> Response:
    return Response(
        _FAULT % (side, escape(text)), status=int(status), content_type="text/xml; charset=utf-8"
    )
