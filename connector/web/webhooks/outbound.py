"""Receives Salesforce's outbound messages.

The order is the promise: size, frame of the envelope, organization, INSERT and COMMIT, and only
then the acknowledgement (fact sheet G.3). What is inside is parsed when it is applied. Salesforce
sends again whatever is not acknowledged, for 24 hours.
"""

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import psycopg
import structlog

from connector.errors import ConnectorError, TransientFailure
from connector.sync.inbox.envelope import ForeignOrganization, MalformedEnvelope, read_head
from connector.sync.inbox.writer import InboxWriter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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


class OutboundReceiver:
    """The WSGI application of one path; everything else goes on to the application behind it.

    Plain WSGI: a framework's request would cost as much as parsing and storing together.
    """

    def __init__(
        self,
        behind: "WSGIApplication",
        *,
        writer: InboxWriter,
        policy: OutboundPolicy,
        nudge: Callable[[], None],
    ) -> None:
        self._behind = behind
        self._writer = writer
        self._policy = policy
        self._nudge = nudge
        self._organization_id = ""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Receive a message, or pass the request on."""
        path: str = environ.get("PATH_INFO", "")
        if path != PATH and not path.startswith(f"{PATH}/"):
            return self._behind(environ, start_response)
        status, body = self._answer(environ, secret=path[len(PATH) + 1 :])
        content = body.encode()
        headers = [
            ("Content-Type", "text/xml; charset=utf-8"),
            ("Content-Length", str(len(content))),
        ]
        start_response(f"{status.value} {status.phrase}", headers)
        return [content]

    def _answer(self, environ: "WSGIEnvironment", *, secret: str) -> tuple[HTTPStatus, str]:
        size = _content_length(environ)
        try:
            if not self._knows(secret):
                raise _Refused("secret", HTTPStatus.NOT_FOUND, "There is nothing here.")
            if environ["REQUEST_METHOD"] != "POST":
                raise _Refused("method", HTTPStatus.METHOD_NOT_ALLOWED, "Messages are posted.")
            if size is None:
                raise _Refused("length", HTTPStatus.LENGTH_REQUIRED, "Say how long the message is.")
            if size > self._policy.body_max_bytes:
                raise _Refused(
                    "size", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The message is too large."
                )
            self._take_in(environ["wsgi.input"].read(size))
        except _Refused as refusal:
            return _refused(refusal.reason, refusal.status, refusal.text, environ, size)
        except MalformedEnvelope as error:
            return _refused(error.code, HTTPStatus.BAD_REQUEST, error.message, environ, size)
        except ForeignOrganization as error:
            return _refused(error.code, HTTPStatus.FORBIDDEN, error.message, environ, size)
        except (psycopg.Error, ConnectorError) as error:
            # Not acknowledged, so Salesforce keeps the message and sends it again.
            log.warning("webhook.unavailable", error=type(error).__name__)
            return HTTPStatus.SERVICE_UNAVAILABLE, _FAULT % ("Server", "Send it again later.")
        self._nudge()
        return HTTPStatus.OK, _ACK

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


class _Refused(Exception):
    def __init__(self, reason: str, status: HTTPStatus, text: str) -> None:
        super().__init__(reason)
        self.reason, self.status, self.text = reason, status, text


def _content_length(environ: "WSGIEnvironment") -> int | None:
    written: str = environ.get("CONTENT_LENGTH") or ""
    return int(written) if written.isascii() and written.isdigit() else None


def _refused(
    reason: str, status: HTTPStatus, text: str, environ: "WSGIEnvironment", size: int | None
) -> tuple[HTTPStatus, str]:
    log.warning(
        "webhook.refused",
        reason=reason,
        status=int(status),
        size=size,
        sender=environ.get("REMOTE_ADDR"),
    )
    return status, _FAULT % ("Client", escape(text))
