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
            # The Host check stops a foreign page from reading us through a rebound name.
            host = request.host.rsplit(":", 1)[0] if ":" in request.host else request.host
            if _is_loopback(request.remote_addr) and host in LOCAL_HOSTS:
                return None
            abort(403, "Without web.console_token the console opens to this machine alone.")
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(bearer.encode(), self._token.encode()):
            return None
        if hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._proof.encode()):
            return None
        return redirect(url_for("console.enter"))

    def enter(self) -> AnyResponse | str:
        """Ask for the token and remember its proof for a working day."""
        if not self._token:
            return redirect(url_for("console.start"))
        if request.method == "POST":
            given = request.form.get("token", "")
            if hmac.compare_digest(given.encode(), self._token.encode()):
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


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
