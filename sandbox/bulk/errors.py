"""How Bulk API refuses: the usual array, with codes of its own spelling (fact sheet E.6, E.7)."""

from html import escape

from ..errors import ApiError

ASYNC_NAMESPACE = "http://www.force.com/2009/06/asyncapi/dataload"


def invalid_job(message: str) -> ApiError:
    """Return the refusal of a job that makes no sense."""
    return ApiError(400, "INVALIDJOB", message)


def invalid_state(message: str) -> ApiError:
    """Return the refusal of what a job's state does not allow."""
    return ApiError(400, "INVALIDJOBSTATE", message)


def client_input(message: str) -> ApiError:
    """Return the refusal of bad input."""
    return ApiError(400, "CLIENTINPUTERROR", message)


def feature_not_enabled(message: str) -> ApiError:
    """Return the refusal of what cannot be done in bulk."""
    return ApiError(400, "FEATURENOTENABLED", message)


def exceeded_quota(message: str) -> ApiError:
    """Return the refusal of what goes beyond the org's allowance."""
    return ApiError(400, "EXCEEDEDQUOTA", message)


def async_error(code: str, message: str) -> bytes:
    """Return an error of the first Bulk API, which speaks XML."""
    code, message = escape(code, quote=False), escape(message, quote=False)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<error xmlns="{ASYNC_NAMESPACE}"><exceptionCode>{code}</exceptionCode>'
        f"<exceptionMessage>{message}</exceptionMessage></error>"
    ).encode()
