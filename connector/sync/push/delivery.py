"""One counted API call: up to five collections of 200 rows, and what became of each row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from connector.adapters.salesforce.answers import (
    RowError,
    RowResult,
    Subrequest,
    results_of,
    row_errors,
)
from connector.adapters.salesforce.client import (
    COLLECTIONS_PER_CALL,
    ROWS_PER_COLLECTION,
    OrgClient,
)
from connector.sync.mapping.definition import FieldType, Mapping
from connector.sync.push.state import Owed

__all__ = [
    "COLLECTIONS_PER_CALL",
    "ROWS_PER_COLLECTION",
    "Parcel",
    "deliver",
    "find_by_key",
    "write_fields",
]


_KEYS_PER_QUERY = 100  # an address may have 16,384 bytes


@dataclass(frozen=True, slots=True)
class Parcel:
    """Up to 200 rows of one entity."""

    mapping: Mapping
    rows: tuple[Owed, ...]

    def subrequest(self, reference: str) -> Subrequest:
        """Return the call that writes the rows; bodies go out as PostgreSQL wrote them."""
        push = self.mapping.pushed
        path = "composite/sobjects"
        if push.is_keyed:
            path += f"/{self.mapping.object}/{push.key}"
        # Salesforce wants `attributes` first in a record.
        head = b'{"attributes":{"type":' + orjson.dumps(self.mapping.object) + b"},"
        records = b",".join(head + self._identity(owed) + _rest(owed) for owed in self.rows)
        body = orjson.Fragment(b'{"allOrNone":false,"records":[' + records + b"]}")
        return Subrequest("PATCH", path, reference, body)

    def _identity(self, owed: Owed) -> bytes:
        if not self.mapping.pushed.is_keyed:
            return b'"Id":' + orjson.dumps(owed.sfid)
        return orjson.dumps(self.mapping.pushed.key) + b":" + orjson.dumps(owed.external_key)


def _rest(owed: Owed) -> bytes:
    fields = (owed.body or "{}").encode()[1:]
    return b"}" if fields == b"}" else b"," + fields


def deliver(org: OrgClient, parcels: Sequence[Parcel]) -> list[list[RowResult]]:
    """Send the parcels as one call; return a result for each row of each, in order.

    Raises:
        TransientFailure: The whole call failed; each row may or may not be written.
    """
    assert len(parcels) <= COLLECTIONS_PER_CALL
    if len(parcels) == 1 and len(parcels[0].rows) == 1:
        return [[_deliver_lone(org, parcels[0])]]
    answers = org.composite(
        [parcel.subrequest(f"p{place}") for place, parcel in enumerate(parcels)]
    )
    return [
        results_of(answer, len(parcel.rows))
        for parcel, answer in zip(parcels, answers, strict=True)
    ]


def _deliver_lone(org: OrgClient, parcel: Parcel) -> RowResult:
    """Send a lone row by its own address: the shortest way for an urgent change."""
    (owed,) = parcel.rows
    push = parcel.mapping.pushed
    path = f"sobjects/{parcel.mapping.object}/"
    if push.is_keyed:
        path += f"{push.key}/{quote(owed.external_key, safe='')}"
    else:
        path += owed.sfid or ""
    answer = org.write_row("PATCH", path, body=orjson.Fragment(owed.body or "{}"))
    if not answer.is_success:
        unexplained = RowError("UNKNOWN_EXCEPTION", f"The org answered HTTP {answer.status}.")
        return RowResult(success=False, errors=row_errors(answer.body) or (unexplained,))
    said = answer.body if isinstance(answer.body, dict) else {}
    return RowResult(True, said.get("id") or owed.sfid, created=bool(said.get("created")))


def find_by_key(
    org: OrgClient, mapping: Mapping, keys: Sequence[str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield key, Salesforce id and parents of the records that have one of the keys."""
    push = mapping.pushed
    references = [n for n, f in mapping.fields.items() if f.type is FieldType.REFERENCE]
    parents = [*mapping.parents, *references]
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        listed = ", ".join(_quoted(key) for key in keys[start : start + _KEYS_PER_QUERY])
        query = (
            f"SELECT {', '.join(['Id', push.key, *parents])} FROM {mapping.object} "  # noqa: S608
            f"WHERE {push.key} IN ({listed})"
        )
        for row in org.query(query):
            yield row[push.key], row["Id"], {name: row.get(name) for name in parents}


def _quoted(key: str) -> str:
    return "'" + key.replace("\\", "\\\\").replace("'", "\\'") + "'"


def write_fields(
    org: OrgClient, changes: Sequence[tuple[str, str, dict[str, object]]]
) -> list[RowResult]:
    """Update a few fields of records given as (object, Salesforce id, fields), 1,000 a call."""
    ordered = sorted(changes, key=lambda change: change[0])  # each object in one run (D.4)
    results: list[RowResult] = []
    for start in range(0, len(ordered), COLLECTIONS_PER_CALL * ROWS_PER_COLLECTION):
        block = ordered[start : start + COLLECTIONS_PER_CALL * ROWS_PER_COLLECTION]
        parts = [
            block[at : at + ROWS_PER_COLLECTION] for at in range(0, len(block), ROWS_PER_COLLECTION)
        ]
        answers = org.composite(
            [
                Subrequest(
                    "PATCH",
                    "composite/sobjects",
                    f"f{place}",
                    {
                        "allOrNone": False,
                        "records": [
                            {"attributes": {"type": name}, "Id": sfid} | fields
                            for name, sfid, fields in part
                        ],
                    },
                )
                for place, part in enumerate(parts)
            ]
        )
        for part, answer in zip(parts, answers, strict=True):
            results += results_of(answer, len(part))
    return results
