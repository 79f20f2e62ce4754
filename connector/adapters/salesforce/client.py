"""The org as the rest of the connector sees it: queries, composite calls, collections.

simple-salesforce builds the REST calls; our session underneath logs in, counts and compresses.
Everything sent here may be repeated without harm (reads, upserts by key, updates by id), which is
what allows the retries; a composite call that creates records is sent once.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote, urlencode

import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError

from connector.adapters.salesforce.answers import (
    RowResult,
    Subrequest,
    SubResponse,
    error_of,
    results_of,
)
from connector.adapters.salesforce.errors import OrgBusy, OrgLimit, OrgUnavailable
from connector.adapters.salesforce.login import Login
from connector.adapters.salesforce.payload import encode
from connector.adapters.salesforce.retry import RetryPolicy
from connector.adapters.salesforce.session import LimitInfo, OrgSession, TokenHolder
from connector.adapters.salesforce.transport import prepare
from connector.errors import TransientFailure

if TYPE_CHECKING:
    from connector.adapters.salesforce.soap import PartnerApi

DEFAULT_API_VERSION = "64.0"
ROWS_PER_COLLECTION = 200
COLLECTIONS_PER_CALL = 5
ROWS_PER_CALL = ROWS_PER_COLLECTION * COLLECTIONS_PER_CALL
SUBREQUESTS_PER_CALL = 25
IDS_PER_RETRIEVE = 2_000
MAX_PAGES = 50_000  # 100 million rows

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Collection:
    """Up to 200 rows of one object, written by one subrequest.

    Each row holds `Id` (update) or the key field (upsert); parents may be named by external id.
    """

    verb: Literal["upsert", "update"]
    object_name: str
    rows: Sequence[Mapping[str, object]]
    key_field: str | None = None

    def subrequest(self, reference: str) -> Subrequest:
        """Return the call that writes the rows."""
        path = "composite/sobjects"
        if self.verb == "upsert":
            path += f"/{self.object_name}/{self.key_field}"
        attributes = {"attributes": {"type": self.object_name}}
        records = [attributes | dict(row) for row in self.rows]
        return Subrequest("PATCH", path, reference, {"allOrNone": False, "records": records})

    def of(self, places: Sequence[int]) -> "Collection":
        """Return the same write for some of the rows."""
        return Collection(
            self.verb, self.object_name, [self.rows[i] for i in places], self.key_field
        )


class OrgClient:
    """A Salesforce org over REST. Threads may share one client.

    With `is_read_only` it sends nothing but GET, so nothing in the org can change by it.
    """

    def __init__(
        self,
        login: Login,
        *,
        api_version: str = DEFAULT_API_VERSION,
        timeout_s: float = 60,
        retry: RetryPolicy | None = None,
        is_read_only: bool = False,
    ) -> None:
        self.login = login
        self.api_version = api_version
        self._retry = retry or RetryPolicy()
        self._session = OrgSession(
            TokenHolder(login.open), timeout_s=timeout_s, is_read_only=is_read_only
        )
        self._rest: Salesforce | None = None
        self._instance_url = ""
        self._lock = threading.Lock()
        self._limit_refusal: OrgLimit | None = None

    @property
    def calls(self) -> int:
        """Return how many counted calls this client has sent, repeated ones included."""
        return self._session.calls

    @property
    def limit_info(self) -> LimitInfo | None:
        """Return the org's own count of the last 24 hours, as the last answer told it."""
        return self._session.limit_info

    def take_limit_refusal(self) -> OrgLimit | None:
        """Return the last refusal for want of calls since this was asked before."""
        with self._lock:
            refusal, self._limit_refusal = self._limit_refusal, None
        return refusal

    def identity(self) -> str:
        """Return the 18-character id of the organization, logging in if need be."""
        return self._retry.run(self._session.tokens.current).organization_id

    @property
    def tokens(self) -> TokenHolder:
        """Return the session all ways to this org share."""
        return self._session.tokens

    @property
    def instance_url(self) -> str:
        """Return the address of the org's pages and APIs."""
        return self._retry.run(self._session.tokens.current).instance_url

    @cached_property
    def partner(self) -> "PartnerApi":
        """What the org does over SOAP only, with the same session."""
        # Imported here: a quarter second that only conversions and merges have to wait for.
        from connector.adapters.salesforce.soap import PartnerApi

        return PartnerApi(
            self._session,
            api_version=self.api_version,
            retry=self._retry,
            connect=self._connected,
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def query(self, soql: str, *, include_deleted: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the rows of a query, page after page (2,000 rows each, one call a page)."""
        resource = "queryAll" if include_deleted else "query"
        page = self._call("GET", f"{resource}?{urlencode({'q': soql})}")
        for _ in range(MAX_PAGES):
            yield from page["records"]
            if page["done"]:
                return
            page = self._call("GET", self._below_version(page["nextRecordsUrl"]))
        raise OrgUnavailable(f"The query does not end after {MAX_PAGES} pages.")

    def query_all(self, soql: str) -> list[dict[str, Any]]:
        """Return all rows of a query that is known to be small."""
        return list(self.query(soql))

    def retrieve(self, object_name: str, sfid: str, fields: Sequence[str]) -> dict[str, Any]:
        """Return some fields of one record.

        Raises:
            OrgRefused: No such record for us; `error_code` is NOT_FOUND.
        """
        listed = quote(",".join(fields), safe=",")
        found: dict[str, Any] = self._call(
            "GET", f"sobjects/{object_name}/{quote(sfid, safe='')}?fields={listed}"
        )
        return found

    def describe(self, object_name: str) -> dict[str, Any]:
        """Return what the org says about an object."""
        found: dict[str, Any] = self._call("GET", f"sobjects/{object_name}/describe")
        return found

    def composite(
        self, subrequests: Sequence[Subrequest], *, all_or_none: bool = False
    ) -> list[SubResponse]:
        """Send up to 25 subrequests as one counted call, carried out in order.

        A subrequest's failure is in its answer; only the failure of the whole call raises.
        """
        assert 0 < len(subrequests) <= SUBREQUESTS_PER_CALL, len(subrequests)
        body = encode(
            {
                "allOrNone": all_or_none,
                "collateSubrequests": False,
                "compositeRequest": [self._wire(subrequest) for subrequest in subrequests],
            }
        )
        answer = self._call("POST", "composite", body=body, once=any(map(_creates, subrequests)))
        return [
            SubResponse(part["referenceId"], part["httpStatusCode"], part["body"])
            for part in answer["compositeResponse"]
        ]

    def retrieve_many(
        self, wanted: Mapping[str, Sequence[str]], *, fields: Mapping[str, Sequence[str]]
    ) -> dict[str, list[dict[str, Any]]]:
        """Read records of several objects by id, 5 × 2,000 ids a call.

        Records that are gone or not visible are left out.
        """
        parts = [
            (name, list(sfids[start : start + IDS_PER_RETRIEVE]))
            for name, sfids in wanted.items()
            for start in range(0, len(sfids), IDS_PER_RETRIEVE)
        ]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
        for start in range(0, len(parts), COLLECTIONS_PER_CALL):
            called = parts[start : start + COLLECTIONS_PER_CALL]
            answers = self.composite(
                [
                    Subrequest(
                        "POST",
                        f"composite/sobjects/{name}",
                        f"r{place}",
                        {"ids": sfids, "fields": list(fields[name])},
                    )
                    for place, (name, sfids) in enumerate(called)
                ]
            )
            for (name, _), answer in zip(called, answers, strict=True):
                answer.raise_for_status()
                found[name] += [record for record in answer.body if record is not None]
        return found

    def upsert_collections(
        self, object_name: str, key_field: str, rows: Sequence[Mapping[str, object]]
    ) -> list[RowResult]:
        """Upsert rows by an external id, 1,000 a call; return a result for each, in order."""
        return self._write_all(
            [
                Collection("upsert", object_name, rows[start : start + 200], key_field)
                for start in range(0, len(rows), ROWS_PER_COLLECTION)
            ]
        )

    def update_collections(
        self, object_name: str, rows: Sequence[Mapping[str, object]]
    ) -> list[RowResult]:
        """Update rows by `Id`, 1,000 a call; return a result for each, in order."""
        return self._write_all(
            [
                Collection("update", object_name, rows[start : start + 200])
                for start in range(0, len(rows), ROWS_PER_COLLECTION)
            ]
        )

    def write_row(self, method: str, path: str, *, body: object) -> SubResponse:
        """Write one record by its own address; a refusal is in the answer, as in a composite.

        Raises:
            TransientFailure: The org did not answer or says later; the row may be written.
        """
        encoded = encode(body)

        def attempt() -> SubResponse:
            self._connected()
            url = f"{self._base}/services/data/v{self.api_version}/{path}"
            try:
                answer = self._session.request(
                    method, url, data=encoded, headers={"Content-Type": "application/json"}
                )
            except requests.RequestException as error:
                raise OrgUnavailable(f"The org did not answer ({type(error).__name__}).") from None
            content = _json_of(answer) if answer.content else None
            if not answer.ok:
                failure = error_of(status=answer.status_code, content=content)
                if isinstance(failure, TransientFailure) and not isinstance(failure, OrgBusy):
                    raise failure
            return SubResponse("row", answer.status_code, content)

        return self._run(attempt)

    def delete_collections(self, sfids: Sequence[str]) -> list[RowResult]:
        """Delete up to 1,000 records as one call; return a result for each, in order."""
        assert 0 < len(sfids) <= ROWS_PER_CALL, len(sfids)
        parts = [
            sfids[start : start + ROWS_PER_COLLECTION]
            for start in range(0, len(sfids), ROWS_PER_COLLECTION)
        ]
        answers = self.composite(
            [
                Subrequest(
                    "DELETE", f"composite/sobjects?ids={','.join(part)}&allOrNone=false", f"d{n}"
                )
                for n, part in enumerate(parts)
            ]
        )
        return [
            result
            for answer, part in zip(answers, parts, strict=True)
            for result in results_of(answer, len(part))
        ]

    def _write_all(self, collections: Sequence[Collection]) -> list[RowResult]:
        results: list[RowResult] = []
        for start in range(0, len(collections), COLLECTIONS_PER_CALL):
            for part in self.write(collections[start : start + COLLECTIONS_PER_CALL]):
                results += part
        return results

    def write(self, collections: Sequence[Collection]) -> list[list[RowResult]]:
        """Write up to five collections as one call; return the results of each, row by row.

        Rows that only met a lock are sent again, alone, with growing pauses; what is still locked
        afterwards comes back as such.
        """
        assert 0 < len(collections) <= COLLECTIONS_PER_CALL, len(collections)
        assert all(len(part.rows) <= ROWS_PER_COLLECTION for part in collections)
        results: list[list[RowResult]] = [[RowResult(False)] * len(c.rows) for c in collections]
        left = {place: list(range(len(part.rows))) for place, part in enumerate(collections)}

        def step() -> bool:
            sent = [(place, rows) for place, rows in left.items() if rows]
            answers = self.composite(
                [collections[p].of(rows).subrequest(f"w{p}") for p, rows in sent]
            )
            for (place, rows), answer in zip(sent, answers, strict=True):
                for row, result in zip(rows, results_of(answer, len(rows)), strict=True):
                    results[place][row] = result
                left[place] = [row for row in rows if results[place][row].is_locked]
            return not any(left.values())

        self._retry.run_until(step)
        return results

    def _wire(self, subrequest: Subrequest) -> dict[str, object]:
        wire: dict[str, object] = {
            "method": subrequest.method,
            "url": f"/services/data/v{self.api_version}/{subrequest.path}",
            "referenceId": subrequest.reference,
        }
        if subrequest.body is not None:
            wire["body"] = subrequest.body
        return wire

    def _below_version(self, url: str) -> str:
        _, _, path = url.partition(f"/v{self.api_version}/")
        if not path:
            raise OrgUnavailable("The org's next page is not where pages are.")
        return path

    def call(self, method: str, path: str, *, body: object = None, once: bool = False) -> Any:
        """Send one JSON call below `/services/data/vNN.N/` and return what it answers.

        With `once` it is not repeated: a repetition could do it a second time.
        """
        return self._call(method, path, body=None if body is None else encode(body), once=once)

    def transfer(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "text/csv",
        once: bool = False,
    ) -> requests.Response:
        """Send a call whose body or answer is no JSON; the answer is read as a stream.

        The caller closes it. With `once` it is not repeated.
        """

        def attempt() -> requests.Response:
            self._connected()
            url = f"{self._base}/services/data/v{self.api_version}/{path}"
            headers = {"Content-Type": content_type, "Accept": content_type}
            try:
                answer = self._session.request(method, url, data=body, headers=headers, stream=True)
                if answer.ok:
                    return answer
                with answer:
                    raise error_of(status=answer.status_code, content=_json_of(answer))
            except requests.RequestException as error:
                raise OrgUnavailable(f"The org did not answer ({type(error).__name__}).") from None

        return self._run(attempt, once=once)

    @property
    def _base(self) -> str:
        # Plain HTTP of a loopback org goes through an adapter mounted on https://.
        return "https://" + self._instance_url.partition("://")[2].rstrip("/")

    def _call(
        self, method: str, path: str, *, body: bytes | None = None, once: bool = False
    ) -> Any:
        return self._run(lambda: self._call_once(method, path, body), once=once)

    def _run(self, call: Callable[[], T], *, once: bool = False) -> T:
        try:
            return call() if once else self._retry.run(call)
        except OrgLimit as refusal:
            with self._lock:
                self._limit_refusal = refusal
            raise

    def _call_once(self, method: str, path: str, body: bytes | None) -> Any:
        try:
            return self._connected().restful(path, method=method, data=body)
        except SalesforceError as error:
            raise error_of(status=error.status, content=error.content) from None
        except requests.JSONDecodeError:
            raise OrgUnavailable("The org answered with something that is no JSON.") from None
        except requests.RequestException as error:
            # The library's message holds the address with the query: only its kind is told.
            raise OrgUnavailable(f"The org did not answer ({type(error).__name__}).") from None

    def _connected(self) -> Salesforce:
        token = self._session.tokens.current()
        with self._lock:
            if self._rest is None or self._instance_url != token.instance_url:
                prepare(self._session, url=token.instance_url, ca_file=self.login.ca_file)
                self._rest = Salesforce(
                    session=self._session,
                    session_id="unused",  # the session writes the token itself
                    instance_url=token.instance_url,
                    version=self.api_version,
                    parse_float=Decimal,
                    object_pairs_hook=None,
                )
                self._instance_url = token.instance_url
            return self._rest


def _json_of(answer: requests.Response) -> object:
    try:
        return answer.json()
    except requests.JSONDecodeError:
        return None


def _creates(subrequest: Subrequest) -> bool:
    """Return whether a repetition could make a second record."""
    is_read = "ids" in subrequest.body if isinstance(subrequest.body, dict) else False
    return subrequest.method == "POST" and not is_read
