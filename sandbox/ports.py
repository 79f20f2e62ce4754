"""Says why a port cannot be listened on, and what to do about it."""

import errno
import socket

from .errors import SetupError

_REASONS = {
    errno.EADDRINUSE: "is taken by another program; stop that program or choose another port",
    errno.EACCES: "may not be opened by this user; choose a port from 1024 upwards",
}


def refused_port(option: str, *, host: str, port: int, error: OSError) -> SetupError:
    """Return the error of a port that could not be opened; `option` is what chose it."""
    reason = _REASONS.get(error.errno or 0)
    if reason is not None:
        return SetupError(f"{option} {port} {reason} (0 picks a free one)")
    return SetupError(f"--host {host}: cannot listen on port {port}: {error}")


def check_free(option: str, *, host: str, port: int) -> None:
    """Look whether a port can be opened.

    Raises:
        SetupError: It cannot.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise refused_port(option, host=host, port=port, error=error) from error
