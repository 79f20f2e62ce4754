"""zeep, unmodified, speaking to the org under test; and raw envelopes for what zeep never sends."""

from functools import lru_cache
from typing import Any

import requests
import zeep
from lxml import etree
from zeep import xsd

PARTNER = "urn:partner.soap.sforce.com"
RECORD = "urn:sobject.partner.soap.sforce.com"
VERSION = "64.0"


@lru_cache(maxsize=8)
def wsdl_client(base_url: str) -> zeep.Client:
    """A client made from the WSDL the org serves; loading it takes a while."""
    return zeep.Client(f"{base_url}/services/wsdl/partner", settings=zeep.Settings(strict=True))


class Partner:
    """Calls the org as a program does that knows nothing but the partner WSDL."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self.token = token
        self.client = wsdl_client(base_url)
        url = f"{base_url}/services/Soap/u/{VERSION}"
        self.service = self.client.create_service(f"{{{PARTNER}}}SoapBinding", url)
        self._record = self.client.get_type(f"{{{RECORD}}}sObject")

    def call(self, operation: str, *arguments: Any, headers: Any = None, **named: Any) -> Any:
        """Return the result of an operation."""
        head = {"SessionHeader": {"sessionId": self.token}} | (headers or {})
        answer = self.service[operation](*arguments, _soapheaders=head, **named)
        return answer.body.result if answer.body is not None else None

    def record(
        self, kind: str, *, id: str | None = None, null: tuple[str, ...] = (), **fields: Any
    ) -> Any:
        """Return an sObject; a dict is a related record named by external id."""
        return self._record(
            type=kind,
            Id=id if id is not None else xsd.SkipValue,
            fieldsToNull=list(null),
            _value_1=[self._field(name, value) for name, value in fields.items()],
        )

    def _field(self, name: str, value: Any) -> xsd.AnyObject:
        tag = f"{{{RECORD}}}{name}"
        if isinstance(value, dict):
            kind = value.pop("type")
            return xsd.AnyObject(xsd.Element(tag, self._record), self.record(kind, **value))
        return xsd.AnyObject(xsd.Element(tag, xsd.String()), value)

    def create(self, kind: str, **fields: Any) -> str:
        """Create one record and return its id."""
        (result,) = self.call("create", [self.record(kind, **fields)])
        assert result.success, result
        return str(result.id)

    def fault(self, operation: str, *arguments: Any, **named: Any) -> zeep.exceptions.Fault:
        """Return the fault of a call that is to be refused."""
        try:
            self.call(operation, *arguments, **named)
        except zeep.exceptions.Fault as fault:
            return fault
        raise AssertionError(f"{operation} was not refused")

    def post(self, envelope: str | bytes, *, path: str = f"u/{VERSION}") -> requests.Response:
        """Send a message as it is."""
        return requests.post(
            f"{self.base_url}/services/Soap/{path}",
            data=envelope.encode() if isinstance(envelope, str) else envelope,
            headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
            timeout=10,
        )

    def envelope(self, body: str, *, token: str | None = None, headers: str = "") -> str:
        """Return an envelope of the caller's session around a call."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
            f'xmlns="{PARTNER}" xmlns:sf="{RECORD}" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Header>'
            f"<SessionHeader><sessionId>{token or self.token}</sessionId></SessionHeader>"
            f"{headers}</e:Header><e:Body>{body}</e:Body></e:Envelope>"
        )

    def raw(self, body: str, **options: Any) -> etree._Element:
        """Return the answer of a call as XML."""
        return etree.fromstring(self.post(self.envelope(body, **options)).content)


def values(record: Any) -> dict[str, str | None]:
    """Return the plain fields of a record as zeep hands them out."""
    found = {}
    for part in record._value_1:
        if isinstance(part, etree._Element):
            found[etree.QName(part).localname] = part.text
    return found


def fault_code(answer: requests.Response) -> str:
    """Return the code of a refused raw call."""
    assert answer.headers["Content-Type"].startswith("text/xml"), answer.text
    return str(etree.fromstring(answer.content).findtext(".//faultcode"))
