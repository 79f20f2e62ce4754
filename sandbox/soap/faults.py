"""SOAP faults in Salesforce's form (fact sheet F.6)."""

import re

from ..errors import ApiError
from .types import ENVELOPE, FAULT, FAULTS, METADATA, XSI
from .writing import clean

PLACE = re.compile(r"ERROR at Row:(\d+):Column:(\d+)")
NOWHERE = ("-1", "-1")
FAULT_STATUS = 500
# The type of fault by the code of the refusal; everything else is an unexpected error.
TYPE_OF_CODE = {
    "INVALID_TYPE": "InvalidSObjectFault",
    "INVALID_FIELD": "InvalidFieldFault",
    "MALFORMED_QUERY": "MalformedQueryFault",
    "INVALID_QUERY_LOCATOR": "InvalidQueryLocatorFault",
    "MALFORMED_ID": "InvalidIdFault",
    "INVALID_ID_FIELD": "InvalidIdFault",
    "INVALID_QUERY_FILTER_OPERATOR": "ApiQueryFault",
    "QUERY_TOO_COMPLICATED": "ApiQueryFault",
    "QUERY_TIMEOUT": "ApiQueryFault",
    "EXCEEDED_MAX_SEMIJOIN_SUBSELECTS": "ApiQueryFault",
    "NUMBER_OUTSIDE_VALID_RANGE": "ApiQueryFault",
    "INVALID_LOGIN": "LoginFault",
}


# What the REST handlers call otherwise.
RENAMED = {"NOT_FOUND": "INVALID_TYPE", "REQUEST_TOO_LARGE": "EXCEEDED_MAX_SIZE_REQUEST"}


class SoapFault(Exception):
    """A call refused as a whole; `kind` is None for faults without a type of their own."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        kind: str | None = "UnexpectedErrorFault",
        namespace: str = FAULT,
        status: int = FAULT_STATUS,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = kind
        self.namespace = namespace
        self.status = status

    def envelope(self) -> bytes:
        """Return the message."""
        message = clean(self.message)
        if self.kind is None:
            inner = f"<faultcode>{self.code}</faultcode><faultstring>{message}</faultstring>"
            namespaces = ""
        else:
            namespaces = f' xmlns:sf="{self.namespace}"'
            inner = (
                f"<faultcode>sf:{self.code}</faultcode>"
                f"<faultstring>{self.code}: {message}</faultstring>"
            )
            if self.namespace != METADATA:
                inner += f"<detail>{self._detail(message)}</detail>"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<soapenv:Envelope xmlns:soapenv="{ENVELOPE}"{namespaces} xmlns:xsi="{XSI}">'
            f"<soapenv:Body><soapenv:Fault>{inner}</soapenv:Fault></soapenv:Body>"
            "</soapenv:Envelope>"
        ).encode()

    def _detail(self, message: str) -> str:
        place = ""
        assert self.kind is not None
        if self.kind == "ApiQueryFault" or FAULTS[self.kind][0] == "ApiQueryFault":
            match = PLACE.search(self.message)
            row, column = match.groups() if match is not None else NOWHERE
            place = f"<sf:row>{row}</sf:row><sf:column>{column}</sf:column>"
        return (
            f'<sf:{self.kind} xsi:type="sf:{self.kind}">'
            f"<sf:exceptionCode>{self.code}</sf:exceptionCode>"
            f"<sf:exceptionMessage>{message}</sf:exceptionMessage>{place}</sf:{self.kind}>"
        )


def fault_of(error: ApiError) -> SoapFault:
    """Return the fault that says what a refused REST call would have said."""
    code, message = error.code, error.message
    if code == "JSON_PARSER_ERROR":
        # Only the transport of a SOAP call is read like that of any other: gzip, nesting.
        return client_fault(message)
    code = RENAMED.get(code, code)
    status = error.status if error.status > FAULT_STATUS else FAULT_STATUS
    kind = TYPE_OF_CODE.get(code, "UnexpectedErrorFault")
    return SoapFault(code, message, kind=kind, status=status)


def client_fault(message: str) -> SoapFault:
    """Return the plain fault of a message that cannot be understood."""
    return SoapFault("soapenv:Client", message, kind=None)
