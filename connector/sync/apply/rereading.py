"""Reads records again that something was heard of: as they are now, and only those of interest.

A hint names any record of its object; whether the mapping's condition holds for it only the org can
tell, so it is asked where there is one. A sweep asks with the condition in the first place.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from urllib.parse import urlencode

import structlog

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import COLLECTIONS_PER_CALL, OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.errors import TransientFailure
from connector.sync.inbox.arrivals import ID, OrgRow, fields_to_read, row_of
from connector.sync.mapping.definition import Mappings

log = structlog.get_logger(__name__)

Key = tuple[str, str]  # object and Salesforce id

# Refusals that concern one record of many (fact sheet B.5).
_ABOUT_AN_ID = frozenset(
    {
        "INVALID_CROSS_REFERENCE_KEY",
        "INVALID_ID_FIELD",
        "INVALID_QUERY_FILTER_OPERATOR",
        "MALFORMED_ID",
        "NOT_FOUND",
    }
)
_IDS_PER_QUERY = 400  # an address has 16,384 characters (fact sheet C.7), an id in it 27


@dataclass(slots=True)
class Reread:
    """What was found of some records.

    Attributes:
        rows: Those of interest.
        alive: All that are there, of interest or not.
        refused: Those that could not be read now, with the reason.
        problems: Hints that name no record of their object, in words.
    """

    rows: list[OrgRow] = field(default_factory=list)
    alive: set[Key] = field(default_factory=set)
    refused: list[tuple[Set[Key], TransientFailure | OrgRefused]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def reread_records(org: OrgClient, mappings: Mappings, keys: Set[Key]) -> Reread:
    """Read records; one object the org refuses does not hold up the others."""
    reread = Reread()
    _Reader(org, mappings, reread).read_what_can_be(keys)
    return reread


@dataclass(frozen=True, slots=True)
class _Reader:
    org: OrgClient
    mappings: Mappings
    reread: Reread

    def read_what_can_be(self, keys: Set[Key]) -> None:
        """Read all at once, else object by object."""
        if not keys:
            return
        try:
            rows = self._of_interest(self._read(keys))
        except TransientFailure as error:
            self.reread.refused.append((keys, error))
            return
        except OrgRefused as error:
            objects = sorted({object_name for object_name, _ in keys})
            if len(objects) == 1:
                self.reread.refused.append((keys, error))
                return
            for name in objects:
                self.read_what_can_be({key for key in keys if key[0] == name})
            return
        self.reread.rows += rows

    def _read(self, keys: Set[Key]) -> list[OrgRow]:
        wanted: dict[str, list[str]] = {}
        for object_name, sfid in sorted(keys):
            wanted.setdefault(object_name, []).append(sfid)
        fields = {name: fields_to_read(self.mappings, name) for name in wanted}
        try:
            found = self.org.retrieve_many(wanted, fields=fields)
        except OrgRefused as error:
            if error.error_code not in _ABOUT_AN_ID:
                raise
            if len(keys) == 1:
                self.reread.problems.append(f"{keys}: {error.message}")
                log.warning("inbox.hint_refused", keys=sorted(keys), code=error.error_code)
                return []
            # One id among them is no record of its object: find it by halves.
            ordered = sorted(keys)
            middle = len(ordered) // 2
            return self._read(set(ordered[:middle])) + self._read(set(ordered[middle:]))
        rows = [row_of(name, record) for name, records in found.items() for record in records]
        if len(rows) < len(keys):
            log.info("inbox.records_gone", count=len(keys) - len(rows))
        return rows

    def _of_interest(self, rows: Sequence[OrgRow]) -> list[OrgRow]:
        """Leave out the records for which the condition of their mapping does not hold."""
        self.reread.alive |= {(row.object_name, row.sfid) for row in rows}
        judged = {
            name for name in {row.object_name for row in rows} if self.mappings.conditions_of(name)
        }
        inside = self._inside([row for row in rows if row.object_name in judged])
        return [row for row in rows if row.object_name not in judged or row.sfid in inside]

    def _inside(self, rows: Sequence[OrgRow]) -> set[str]:
        by_object: dict[str, list[str]] = {}
        for row in rows:
            by_object.setdefault(row.object_name, []).append(row.sfid)
        queries = [
            self._query(name, sfids[start : start + _IDS_PER_QUERY])
            for name, sfids in by_object.items()
            for start in range(0, len(sfids), _IDS_PER_QUERY)
        ]
        inside: set[str] = set()
        for start in range(0, len(queries), COLLECTIONS_PER_CALL):
            asked = queries[start : start + COLLECTIONS_PER_CALL]
            answers = self.org.composite(
                [Subrequest("GET", path, f"w{place}") for place, path in enumerate(asked)]
            )
            for answer in answers:
                answer.raise_for_status()
                inside |= {record[ID] for record in answer.body["records"]}
        return inside

    def _query(self, object_name: str, sfids: Iterable[str]) -> str:
        listed = ", ".join(f"'{sfid}'" for sfid in sfids)
        conditions = [f"{ID} IN ({listed})", *self.mappings.conditions_of(object_name)]
        where = " AND ".join(f"({one})" for one in conditions)
        soql = f"SELECT {ID} FROM {object_name} WHERE {where}"  # noqa: S608 - of checked mappings
        return f"query?{urlencode({'q': soql})}"
