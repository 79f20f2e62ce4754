"""Who may see the console: this machine alone, or whoever has the token."""

import hashlib
import hmac
import ipaddress

from flask import Response, abort, redirect, render_template, request, url_for
from pydantic import SecretStr
from werkzeug.wrappers import Response as AnyResponse

COOKIE = "l2c_console"
COOKIE_LIFE_S = 8 * 3600
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
# A proxy on this machine would make every visitor look local; these headers give it away.
PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class Guard:
    """Lets nobody in from elsewhere without the token; without a token, only loopback."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token.get_secret_value() if token is not None else ""
        # The cookie holds a proof of the token, not the token itself.
        self._proof = hmac.new(self._token.encode(), b"l2c console", hashlib.sha256).hexdigest()

    def check(self) -> AnyResponse | None:
        """Let a request pass, send a person to the door, or refuse."""
        if request.endpoint == "console.enter":
            return None
        if not self._token:
            if _is_from_here():
                return None
            abort(403, "Without web.console_token the console opens to this machine alone.")
        if "Authorization" in request.headers:
            bearer = request.headers["Authorization"].removeprefix("Bearer ")
            if _is_equal(bearer, self._token):
                return None
            abort(401, "The bearer token is not that of web.console_token.")
        if _is_equal(request.cookies.get(COOKIE, ""), self._proof):
            return None
        return redirect(url_for("console.enter"))

    def enter(self) -> AnyResponse | str:
        """Ask for the token and remember its proof for a working day."""
        if not self._token:
            return redirect(url_for("console.start"))
        if request.method == "POST":
            if _is_equal(request.form.get("token", ""), self._token):
                answer = redirect(url_for("console.start"))
                answer.set_cookie(
                    COOKIE,
                    self._proof,
                    max_age=COOKIE_LIFE_S,
                    httponly=True,
                    samesite="Strict",
                    secure=request.is_secure,
                    path="/console",
                )
                return answer
            return Response(render_template("console/enter.html", is_refused=True), status=403)
        return render_template("console/enter.html", is_refused=False)


def _is_equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _is_from_here() -> bool:
    if any(header in request.headers for header in PROXY_HEADERS):
        return False
    # The Host check stops a foreign page from reading us through a rebound name.
    name = request.host if request.host.endswith("]") else request.host.rsplit(":", 1)[0]
    return name in LOCAL_HOSTS and _is_loopback(request.remote_addr)


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
