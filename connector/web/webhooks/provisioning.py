"""Notices of what was provisioned, or failed: signed, fresh, each task completed once.

The header is that of `signature.py`. The body is one JSON object: `task` (the number of the task
that waits, such as TSK-000012, which goes to the provider with the order) and either
`provisioned_at` (an instant with its offset from UTC), with an optional `reference` (the provider's
own name for it, kept on the task), or `failed` (why). A notice that comes again is answered the
same.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify

from connector.errors import ConnectorError, InvalidInput
from connector.flows.provisioned import Provisioned
from connector.web.webhooks.signed_notice import NoticeApp, refusal, signed_body

TEXT_MAX = 200
YEAR_MIN = 2000
_DONE = frozenset({"task", "provisioned_at"})
_FAILED = frozenset({"task", "failed"})


class BadProvisioningNotice(InvalidInput):
    """The notice is signed but says nothing that could complete a task."""

    code = "webhooks.bad_provisioning_notice"


@dataclass(frozen=True, slots=True)
class ProvisioningNotice:
    """What a provider tells; `provisioned_at` knows its offset, None is a failure."""

    task_number: str
    provisioned_at: datetime | None
    reference: str = ""
    failure: str = ""


class ProvisioningApp(NoticeApp, Protocol):
    """What the provisioning webhook needs of the application."""

    def complete_provisioned_task(
        self, number: str, *, at: datetime, reference: str = ""
    ) -> Provisioned:
        """Complete a task of this number, and ask for what waits for it to be run."""

    def fail_provisioned_task(self, number: str, *, reason: str) -> Provisioned:
        """Put a task of this number in Error."""


def blueprint(app: ProvisioningApp) -> Blueprint:
    """Return the room `POST /webhooks/provisioning`."""
    room = Blueprint("provisioning", __name__)

    @room.post("/webhooks/provisioning")
    def take_notice() -> tuple[Response, int]:
        try:
            body = signed_body(app, app.settings.webhooks.provisioning_secret)
            done = _take(app, read_notice(body))
        except ConnectorError as error:
            return refusal("provisioning_notice", error)
        answer = {
            "task": done.task_number,
            "state": done.state,
            "effective_on": None if done.effective_on is None else done.effective_on.isoformat(),
            "is_new": done.is_new,
        }
        return jsonify(answer), 200

    return room


def _take(app: ProvisioningApp, notice: ProvisioningNotice) -> Provisioned:
    number = notice.task_number
    if notice.provisioned_at is None:
        return app.fail_provisioned_task(number, reason=notice.failure)
    return app.complete_provisioned_task(
        number, at=notice.provisioned_at, reference=notice.reference
    )


def read_notice(body: bytes) -> ProvisioningNotice:
    """Read a notice of what was provisioned.

    Raises:
        BadProvisioningNotice: It is no JSON object of the known fields, or a value is wrong.
    """
    try:
        fields: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise BadProvisioningNotice("The notice is not JSON.") from None
    if not isinstance(fields, dict):
        raise BadProvisioningNotice("The notice is not a JSON object.")
    has_failed = "failed" in fields
    if missing := sorted((_FAILED if has_failed else _DONE) - fields.keys()):
        raise BadProvisioningNotice(f"The notice has no '{missing[0]}'.")
    if unknown := sorted(fields.keys() - (_FAILED if has_failed else _DONE | {"reference"})):
        raise BadProvisioningNotice(f"The notice has an unknown field '{unknown[0][:40]}'.")
    for name, value in fields.items():
        if not isinstance(value, str) or not value.isprintable() or len(value) > TEXT_MAX:
            raise BadProvisioningNotice(
                f"'{name}' of a notice is one line of text of at most {TEXT_MAX} signs."
            )
    if has_failed:
        return ProvisioningNotice(fields["task"], None, failure=_reason(fields["failed"]))
    return ProvisioningNotice(
        fields["task"], _instant(fields["provisioned_at"]), fields.get("reference", "")
    )


def _reason(told: str) -> str:
    if not told.strip():
        raise BadProvisioningNotice("'failed' of a notice says why.")
    return f"The provider: {told.strip()}"


def _instant(told: str) -> datetime:
    try:
        instant = datetime.fromisoformat(told)
        if instant.utcoffset() is None or instant.year < YEAR_MIN:
            raise ValueError
    except ValueError:
        raise BadProvisioningNotice(
            "'provisioned_at' reads like 2026-06-05T14:05:00+02:00."
        ) from None
    return instant
