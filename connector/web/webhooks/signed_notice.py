"""What all doors for signed notices do alike: read the body, check who sent it, say why not."""

from typing import Protocol

import structlog
from flask import Response, jsonify, request
from pydantic import SecretStr

from connector.config import Settings
from connector.errors import ConnectorError, InvalidInput, StateConflict
from connector.kernel.clock import Clock
from connector.web.webhooks.signature import HEADER, BadSignature, check_signature

log = structlog.get_logger(__name__)


class NoticeApp(Protocol):
    """What a door for signed notices needs of the application."""

    @property
    def settings(self) -> Settings:
        """Return the settings."""

    @property
    def wall_clock(self) -> Clock:
        """Return the clock signatures are checked against: business time may be moved."""


def signed_body(app: NoticeApp, secret: SecretStr) -> bytes:
    """Return the body of the request if it was signed with the secret just now.

    Raises:
        BadSignature: It was not.
        RequestEntityTooLarge: It is longer than the settings allow; answered with 413.
    """
    limits = app.settings.webhooks
    request.max_content_length = limits.body_max_kib * 1024
    body = request.get_data(cache=False)
    check_signature(
        header=request.headers.get(HEADER, ""),
        body=body,
        secret=secret.get_secret_value(),
        now_s=int(app.wall_clock.now().timestamp()),
        age_max_s=limits.signature_age_max_s,
    )
    return body


def refusal(notice: str, error: ConnectorError) -> tuple[Response, int]:
    """Answer a notice that could not be taken: 401, 409 or 400; 503 asks for it again."""
    for kind, status in ((BadSignature, 401), (StateConflict, 409), (InvalidInput, 400)):
        if isinstance(error, kind):
            log.warning(f"{notice}.refused", code=error.code)
            return jsonify(error=error.message, remedy=error.remedy or ""), status
    log.error(f"{notice}.failed", code=error.code)
    return jsonify(error="The notice could not be taken; send it again."), 503
