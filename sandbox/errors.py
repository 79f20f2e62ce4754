"""What the local org answers when it refuses, in Salesforce's words (fact sheet B.5, C.9)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowError:
    """One reason why one record was not saved."""

    code: str
    message: str
    fields: tuple[str, ...] = ()

    def as_result(self) -> dict[str, object]:
        """Return the form used inside results of collections and trees."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}

    def as_error(self) -> dict[str, object]:
        """Return the form used as the body of a failed single-record call."""
        return {"message": self.message, "errorCode": self.code, "fields": list(self.fields)}


class ApiError(Exception):
    """A refused request: an HTTP status and Salesforce's error array."""

    def __init__(
        self, status: int, code: str, message: str, *, fields: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> list[dict[str, object]]:
        """Return the JSON body: always an array."""
        item: dict[str, object] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            item["fields"] = list(self.fields)
        return [item]


class OAuthError(Exception):
    """A refused token request: `{"error", "error_description"}` (fact sheet A.6)."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


class SetupError(Exception):
    """The local org cannot start: a broken schema folder, seed file or data file."""


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    """Return the 404 of an unknown resource."""
    return ApiError(404, "NOT_FOUND", message)


def method_not_allowed(method: str, allowed: tuple[str, ...]) -> ApiError:
    """Return the 405 naming the methods a resource knows."""
    names = ",".join(sorted(allowed))
    text = f"HTTP Method '{method}' not allowed. Allowed are {names}"
    return ApiError(405, "METHOD_NOT_ALLOWED", text)


def row_failure(error: RowError, *, status: int = 400) -> ApiError:
    """Turn the first reason of a failed record into the answer of a single-record call."""
    return ApiError(status, error.code, error.message, fields=error.fields)
