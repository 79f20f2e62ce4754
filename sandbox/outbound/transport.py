"""Posts one message over HTTP."""

import ssl
from urllib.parse import urlsplit

TIMEOUT_S = 60.0


class NotDelivered(Exception):
    """The message could not be handed over."""


def post(url: str, body: bytes, *, timeout_s: float = TIMEOUT_S) -> tuple[int, bytes]:
    """Post a SOAP message and return status and body.

    Raises:
        NotDelivered: No answer came.
    """
    import http.client  # takes a while to load: only who sends messages waits for it

    parts = urlsplit(url)
    port = parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            parts.hostname or "", port, timeout=timeout_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=timeout_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
    try:
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(1_048_576)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDelivered(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
