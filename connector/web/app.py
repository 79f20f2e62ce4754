"""The Flask application: one list of rooms, each a blueprint."""

import importlib
import importlib.util
from typing import Any, Protocol

from flask import Blueprint, Flask, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from connector.config import Settings
from connector.store.engine import Store
from connector.sync.inbox.writer import InboxWriter
from connector.web.webhooks.outbound import OutboundPolicy, OutboundReceiver

APPLY_JOB = "apply_inbox"

# Rooms that build their blueprint from the app: a module with `blueprint(app) -> Blueprint`.
ROOMS = (
    "connector.web.webhooks.payments",
    "connector.web.webhooks.provisioning",
    "connector.web.webhooks.wsdl",
    "connector.web.console",
)


class Queue(Protocol):
    """Where a webhook asks for work without waiting for it."""

    def nudge(self, name: str) -> None:
        """Ask for a run of the job; many asks at once may become one."""


class Org(Protocol):
    """The org whose messages are taken in."""

    def identity(self) -> str:
        """Return the 18-character organization id."""


class WebApp(Protocol):
    """What the web room needs of the application."""

    @property
    def settings(self) -> Settings:
        """Return the settings."""

    @property
    def store(self) -> Store:
        """Return the hub's database."""

    @property
    def queue(self) -> Queue:
        """Return the job queue."""

    @property
    def org(self) -> Org:
        """Return the Salesforce client."""


def create_app(app: WebApp) -> Flask:
    """Build the web application around an open `App`."""
    flask = Flask("connector.web", static_folder="static", template_folder="templates")
    flask.json.sort_keys = False  # type: ignore[attr-defined]
    writer = InboxWriter(app.store.conninfo)
    flask.extensions["l2c_inbox_writer"] = writer
    flask.wsgi_app = OutboundReceiver(  # type: ignore[method-assign]
        flask.wsgi_app,
        writer=writer,
        policy=_policy(app),
        nudge=lambda: app.queue.nudge(APPLY_JOB),
    )
    for room in filter(importlib.util.find_spec, ROOMS):
        flask.register_blueprint(_blueprint(room, app))
    flask.add_url_rule("/healthz", view_func=lambda: _health(app.store))
    return flask


def close_app(flask: Flask) -> None:
    """Close what `create_app` opened."""
    flask.extensions["l2c_inbox_writer"].close()


def _policy(app: WebApp) -> OutboundPolicy:
    settings = app.settings
    configured = settings.salesforce.organization_id
    secret = settings.webhooks.secret_path
    return OutboundPolicy(
        # Asked at the first message: the web starts although no org is configured yet.
        organization_id=lambda: configured or app.org.identity(),
        body_max_bytes=settings.webhooks.body_max_kib * 1024,
        secret=secret.get_secret_value() if secret else None,
    )


def _blueprint(room: str, app: WebApp) -> Blueprint:
    module: Any = importlib.import_module(room)
    blueprint: Blueprint = module.blueprint(app)
    return blueprint


def _health(store: Store) -> Response:
    try:
        with store.read() as tx:
            tx.execute(text("SELECT 1"))
    except SQLAlchemyError:
        answer = jsonify(status="unavailable", store="unreachable")
        answer.status_code = 503
        return answer
    return jsonify(status="ok")
