"""What an org does over SOAP only: convert leads, merge, undelete; and its time (fact sheet F).

The session is the one of REST, opened by OAuth and shared (design D13); SOAP's own login is never
used. The WSDL is our own and small (`partner.wsdl`). No amount travels here: zeep would make a
float of it (design D8). Reads may be repeated; what writes is sent once, and whoever calls looks
first at what is done already.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
import structlog
import zeep
from lxml import etree
from zeep import xsd
from zeep.exceptions import Error as ZeepError
from zeep.exceptions import Fault, TransportError

from connector.adapters.salesforce.answers import RowError, error_of
from connector.adapters.salesforce.errors import OrgSessionRefused, OrgUnavailable
from connector.adapters.salesforce.ids import to_18
from connector.adapters.salesforce.login import Token
from connector.adapters.salesforce.results import (
    Converted,
    Deleted,
    LeadConversion,
    Merged,
    Updated,
)
from connector.adapters.salesforce.retry import RetryPolicy
from connector.adapters.salesforce.session import OrgSession
from connector.errors import ConnectorError

log = structlog.get_logger(__name__)

WSDL = Path(__file__).with_name("partner.wsdl")
LEADS_PER_CALL = 100
LOSERS_PER_MERGE = 2
IDS_PER_UNDELETE = 200
_BINDING = "{urn:partner.soap.sforce.com}SoapBinding"
_BAD_REQUEST = 400
_SESSION_ENDED = "INVALID_SESSION_ID"
_LATER = frozenset({"UNKNOWN_EXCEPTION", "SERVER_UNAVAILABLE", "API_CURRENTLY_DISABLED"})


class PartnerApi:
    """The partner API of an org; threads may share it."""

    def __init__(
        self,
        session: OrgSession,
        *,
        api_version: str,
        retry: RetryPolicy,
        connect: Callable[[], object],
    ) -> None:
        """Use the session of the REST client; `connect` makes it fit for the org's address."""
        self._retry = retry
        self._session = session
        self._api_version = api_version
        self._connect = connect

    def server_time(self) -> datetime:
        """Return the org's present instant."""
        # An answer of one element is unwrapped by zeep.
        return _instant(self._retry.run(lambda: self._call("getServerTimestamp")))

    def updated(self, object_name: str, start: datetime, end: datetime) -> Updated:
        """Return the records changed in a window of at most 30 days."""
        answer = self._retry.run(lambda: self._call("getUpdated", object_name, start, end))
        return Updated(tuple(map(to_18, answer.ids or ())), _instant(answer.latestDateCovered))

    def deleted(self, object_name: str, start: datetime, end: datetime) -> Deleted:
        """Return the records deleted in a window of at most 15 days.

        Raises:
            OrgRefused: INVALID_REPLICATION_DATE where the log does not reach back so far.
        """
        answer = self._retry.run(lambda: self._call("getDeleted", object_name, start, end))
        return Deleted(
            tuple(
                (to_18(one.id), _instant(one.deletedDate)) for one in answer.deletedRecords or ()
            ),
            _instant(answer.earliestDateAvailable),
            _instant(answer.latestDateCovered),
        )

    def undelete(self, sfids: Sequence[str]) -> dict[str, tuple[RowError, ...]]:
        """Bring up to 200 records back from the recycle bin; return the errors of each."""
        assert 0 < len(sfids) <= IDS_PER_UNDELETE, len(sfids)
        answers = self._call("undelete", list(sfids)) or ()
        return {sfid: _errors(one) for sfid, one in zip(sfids, answers, strict=True)}

    def convert_leads(self, wishes: Sequence[LeadConversion]) -> list[Converted]:
        """Convert up to 100 leads, each by itself; return what became of each, in order."""
        assert 0 < len(wishes) <= LEADS_PER_CALL, len(wishes)
        sent = [
            {
                "accountId": wish.account_id or xsd.SkipValue,
                "contactId": wish.contact_id or xsd.SkipValue,
                "convertedStatus": wish.converted_status,
                "doNotCreateOpportunity": wish.without_opportunity,
                "leadId": wish.lead_id,
                "opportunityId": xsd.SkipValue,
                "opportunityName": wish.opportunity_name or xsd.SkipValue,
                "overwriteLeadSource": False,
                "ownerId": wish.owner_id or xsd.SkipValue,
                "sendNotificationEmail": False,
            }
            for wish in wishes
        ]
        return [
            Converted(
                wish.lead_id,
                one.accountId,
                one.contactId,
                one.opportunityId,
                _errors(one),
            )
            for wish, one in zip(wishes, self._call("convertLead", sent) or (), strict=True)
        ]

    def merge(self, object_name: str, master_id: str, loser_ids: Sequence[str]) -> Merged:
        """Merge one or two records into a master; the master's own values stay."""
        assert 0 < len(loser_ids) <= LOSERS_PER_MERGE, len(loser_ids)
        master = {"type": object_name, "fieldsToNull": xsd.SkipValue, "Id": master_id}
        request = {"masterRecord": master, "recordToMergeIds": list(loser_ids)}
        (one,) = self._call("merge", [request])
        return Merged(master_id, tuple(map(to_18, one.mergedRecordIds or ())), _errors(one))

    def _call(self, operation: str, *arguments: object) -> Any:
        """Call an operation; a session that has ended is renewed once."""
        token = self._token()
        try:
            return self._call_as(token, operation, arguments)
        except OrgSessionRefused:
            log.info("org.session_ended")
            token = self._session.tokens.renewed(instead_of=token)
            return self._call_as(token, operation, arguments)

    def _token(self) -> Token:
        self._connect()
        return self._session.tokens.current()

    def _call_as(self, token: Token, operation: str, arguments: tuple[object, ...]) -> Any:
        address = f"{token.instance_url}/services/Soap/u/{self._api_version}"
        service = self._client.create_service(_BINDING, address)
        header = {"SessionHeader": {"sessionId": token.access_token}}
        try:
            return service[operation](*arguments, _soapheaders=header)
        except Fault as fault:
            raise _error(fault) from None
        except requests.RequestException as error:
            raise OrgUnavailable(f"The org did not answer ({type(error).__name__}).") from None
        except TransportError as error:
            raise OrgUnavailable(f"The org answered HTTP {error.status_code}.") from None
        except (ZeepError, etree.XMLSyntaxError) as error:
            kind = type(error).__name__
            raise OrgUnavailable(f"The org's answer is none of its WSDL ({kind}).") from None

    @cached_property
    def _client(self) -> Any:
        settings = zeep.Settings(strict=True, forbid_dtd=True, forbid_entities=True)
        with WSDL.open("rb") as wsdl:
            return zeep.Client(wsdl, transport=_Transport(self._session), settings=settings)  # type: ignore[no-untyped-call]


class _Transport(zeep.Transport):
    """Sends envelopes over the session of REST, which has time-outs and follows no redirect."""

    def __init__(self, session: OrgSession) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.org_session = session

    def post(self, address: str, message: bytes, headers: dict[str, str]) -> requests.Response:
        """Send one envelope."""
        return self.org_session.request("POST", address, data=message, headers=headers)

    def load(self, url: str) -> bytes:
        """Refuse to read anything a document points at."""
        raise OrgUnavailable(f"A SOAP document points at {url!r}, which is not read.")


def _error(fault: Fault) -> ConnectorError:
    """Return our error for a fault (fact sheet F.6)."""
    code = str(fault.code or "").rpartition(":")[2] or "UNKNOWN_EXCEPTION"
    message = str(fault.message or "").removeprefix(f"{code}: ")
    if code == _SESSION_ENDED:
        return OrgSessionRefused(f"The org refuses the session: {code}.")
    if code in _LATER:
        return OrgUnavailable(f"The org answered {code}.")
    return error_of(status=_BAD_REQUEST, content=[{"errorCode": code, "message": message}])


def _errors(result: Any) -> tuple[RowError, ...]:
    if result.success:
        return ()
    found = tuple(
        RowError(str(one.statusCode), str(one.message), tuple(one.fields or ()))
        for one in result.errors or ()
    )
    return found or (RowError("UNKNOWN_EXCEPTION", "The org gave no reason."),)


def _instant(value: datetime) -> datetime:
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
