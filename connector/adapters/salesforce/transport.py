"""HTTP as an org is reached: certificates, loopback, and nothing from the environment there."""

import ipaddress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from connector.errors import Misconfigured

POOL_SIZE = 8


class PlainHttp(HTTPAdapter):
    """Sends what simple-salesforce addressed to https:// as plain HTTP; for loopback only."""

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send the request without TLS."""
        if request.url is not None and request.url.startswith("https:"):
            request.url = "http:" + request.url[len("https:") :]
        return super().send(request, *args, **kwargs)


def is_loopback(url: str) -> bool:
    """Return whether the address can only mean this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def prepare(session: requests.Session, *, url: str, ca_file: Path | None) -> None:
    """Make a session fit for an org's address.

    Raises:
        Misconfigured: Plain HTTP to another machine.
    """
    parts = urlsplit(url)
    if is_loopback(url):
        # A proxy or a CA bundle of the environment would swallow loopback (measured 4).
        session.trust_env = False
    if parts.scheme == "http":
        if not is_loopback(url):
            raise Misconfigured(
                f"{parts.scheme}://{parts.hostname} would send the session over the open network.",
                remedy="Write the org's address with https://; plain HTTP is for loopback only.",
            )
        plain = PlainHttp(pool_maxsize=POOL_SIZE, pool_block=True)
        session.mount(f"https://{parts.netloc}/", plain)
    elif parts.scheme != "https":
        raise Misconfigured(
            f"{url!r} is no web address.",
            remedy="Write salesforce.login_url as https://<my domain>.my.salesforce.com.",
        )
    session.mount("https://", HTTPAdapter(pool_maxsize=POOL_SIZE, pool_block=True))
    if ca_file is not None:
        session.verify = str(ca_file)
