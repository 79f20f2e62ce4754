"""The WSDL of each outbound message we take in: what its sender may be held against.

It says nothing that the metadata of the project does not say, so it is served without a secret.
"""

from collections.abc import Mapping
from typing import Protocol

from flask import Blueprint, Response, jsonify, request

from connector.sync.inbox.wsdl import MessageShape, wsdl_text


class WsdlApp(Protocol):
    """What this room needs of the application."""

    @property
    def shapes(self) -> Mapping[str, MessageShape]:
        """Return the outbound messages the mappings listen to, by object."""


def blueprint(app: WsdlApp) -> Blueprint:
    """Return the room: a list of the messages, and the WSDL of one."""
    room = Blueprint("wsdl", __name__)

    @room.get("/webhooks/salesforce/wsdl")
    def listed() -> Response:
        """Name the objects whose messages are taken in, with the address of each WSDL."""
        base = request.base_url.rstrip("/")
        return jsonify({"messages": {name: f"{base}/{name}" for name in sorted(app.shapes)}})

    @room.get("/webhooks/salesforce/wsdl/<name>")
    def one(name: str) -> Response:
        """Return the WSDL of the messages about one object."""
        shape = app.shapes.get(name)
        if shape is None:
            known = ", ".join(sorted(app.shapes))
            refusal = jsonify(
                {"error": f"No message is about {name}.", "remedy": f"One of {known}."}
            )
            refusal.status_code = 404
            return refusal
        return Response(wsdl_text(shape), mimetype="text/xml")

    return room
